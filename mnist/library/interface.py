"""The names that ``import mnist`` has: data, models, training, prediction. docs/library.md.

Models live in Paddle's dygraph mode, which ``create_model`` and ``Trainer`` switch on for good, as
``fluid.enable_dygraph()`` does. Nothing here exits, or needs a signal or a terminal.
"""

from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from mnist import config as configs
from mnist.base import own_code
from mnist.base.errors import InputError
from mnist.base.files import PathLike
from mnist.base.signals import StopRequest
from mnist.checkpoints.records import Checkpoint
from mnist.checkpoints.store import CheckpointStore
from mnist.config import Config
from mnist.config.classes import DIGITS, Classes
from mnist.config.schema import LoaderConfig
from mnist.data import dataset, obtain
from mnist.data.dataset import Dataset, Split
from mnist.fluid import environment, places
from mnist.fluid.door import fluid
from mnist.fluid.feeding import feed
from mnist.fluid.processes import ALONE
from mnist.model import architectures
from mnist.model.architectures import Model
from mnist.model.evaluation import Evaluation
from mnist.model.predictor import Predictor
from mnist.train import loop, resuming, saving, start
from mnist.train.learner import Learner
from mnist.train.output import Telling

ConfigLike = Union[Config, PathLike, None]


def load_data(path: Optional[PathLike] = None) -> Dataset:
    """A data set in the course's format: ``train``, ``valid`` and ``eval``, and its ``classes``.

    Each split has ``images``, uint8 ``[N,28,28]``, and ``labels``, int64 ``[N]``. Without ``path``
    it is MNIST, downloaded if need be; where that fails, with a warning, the bundled digits.
    """
    if path is not None:
        return dataset.load(path)
    return obtain.obtain(configs.default([f"data.fallback={obtain.BUNDLED_DIGITS}"]).data)


def load_config(path: Optional[PathLike] = None, *settings: str) -> Config:
    """A YAML config, or the defaults, with ``"key=value"`` settings as ``--set`` takes them."""
    return start.read_config(path, settings)


def register(layer: Any) -> Any:
    """Let configs and checkpoints name a ``Layer`` of yours, ``__main__:Wide``; a decorator."""
    own_code.name_of(layer)
    return layer


def create_model(
    name: Any = "lenet", seed: int = 1, classes: Classes = DIGITS, **options: Any
) -> Model:
    """A model with new weights: float32 ``[B,1,28,28]`` in 0–1 in, logits ``[B,C]`` out.

    ``name`` is that of an architecture, or a ``Layer`` class; ``options`` are the keys of
    ``model`` in a config, or the class's own arguments.
    """
    if isinstance(name, type):
        name, options = own_code.name_of(name), {"options": options}
    section = configs.from_dict({"model": {"name": name, **options}}, "create_model").model
    _enter_dygraph(fluid.CPUPlace())
    return architectures.build(section, seed, classes)


def fit(
    config: ConfigLike = None, data: Optional[Dataset] = None, resume: Optional[PathLike] = None
) -> Dict[str, Any]:
    """Train as ``python -m mnist.train`` does, and return the content of ``result.json``.

    ``resume`` is a checkpoint, or ``"latest"``; without a config its own is used. Interrupted, it
    saves and raises ``Interrupted``.
    """
    return loop.train(*_plan(config, data, resume), exits=False)


class Trainer:
    """The run that ``fit`` makes of a config, step by step, in a loop of your own.

    ``model`` is what is trained, ``state`` where it stands: ``state.epoch``, ``state.step``. For
    batch after batch of ``batches()`` call ``train_step``, then ``end_epoch``: the numbers are
    those of ``fit``, bit for bit. There are no curves and no progress bar.
    """

    def __init__(
        self,
        config: ConfigLike = None,
        data: Optional[Dataset] = None,
        resume: Optional[PathLike] = None,
    ) -> None:
        self.config, self.data, source = _plan(config, data, resume)
        place = places.choose_place(self.config.device)
        state = resuming.initial_state(self.config, self.data, place, source)
        _enter_dygraph(place)
        with fluid.unique_name.guard():
            self._learner = Learner(self.config, place, state, len(self.data.train), ALONE)
        self.model, self.state = self._learner.model, state
        if source is not None:
            self._learner.restore(source)
        folder = Path(self.config.checkpoint.dir)
        self._store = CheckpointStore(folder, self.config.checkpoint.keep_last)
        with self._store:
            saving.make_room(self._store, state, source, self._store.name_aside())
        self._saving = saving.Saving(self._learner, self._store)
        told = Telling(self._learner, self.data, None)
        self._loop = loop.Loop(self._learner, self.data, StopRequest(), self._saving, told)

    def batches(self) -> Iterator[List[Any]]:
        """What is left of the epoch under way: ``[images, labels]``, VarBases."""
        loader = LoaderConfig(mode="sync")
        with closing(feed(self._loop.batches(), loader, self._learner.place)) as batches:
            yield from batches

    def train_step(self, images: Any, labels: Any) -> Tuple[float, float]:
        """Train on a batch; its loss and accuracy. Ctrl-C waits for the end of the step."""
        # In Paddle's ``minimize`` an exception would leave half of the parameters updated.
        with StopRequest(exits=False) as stop:
            result = self._loop.step(images, labels)
        if stop.signal_number is not None:
            raise KeyboardInterrupt
        return result

    def end_epoch(self) -> Evaluation:
        """Evaluate on valid, save the epoch's checkpoint and point at the best."""
        with self._store:
            return self._loop.finish_epoch()

    def evaluate(self, split: Split) -> Evaluation:
        """The model as it is now, on a split."""
        return self._loop.evaluate(split)

    def save(self) -> Path:
        """Write a checkpoint of where the run stands."""
        with self._store:
            path = self._saving.save(must=True)
        assert path is not None
        return path


def load_model(checkpoint: Optional[PathLike] = None, model: Any = None) -> Predictor:
    """The model of a checkpoint, or of the best in ``checkpoints``, to predict with.

    ``model`` names the code of a model of your own, ``my_models:Wide``, or is its class: a
    checkpoint never has it run by itself.
    """
    if isinstance(model, str):
        own_code.trust(model)
    elif model is not None:
        own_code.name_of(model)
    return Predictor(checkpoint)


def _plan(
    given: ConfigLike, data: Optional[Dataset], resume: Optional[PathLike]
) -> Tuple[Config, Dataset, Optional[Checkpoint]]:
    """What to train by, on and from; InputError for what takes processes."""
    config = given if isinstance(given, Config) or given is None else load_config(given)
    config, source = start.with_checkpoint(config, resume)
    if config.parallel.workers > 1:
        raise InputError("parallel.workers: several processes need python -m mnist.train")
    environment.prepare(config.device.threads)
    return config, data or obtain.obtain(config.data), source


def _enter_dygraph(place: Any) -> None:
    if not fluid.in_dygraph_mode():
        fluid.enable_dygraph(place)
