"""A trained model in use: images in, digits and probabilities out."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from mnist import config as configs
from mnist.base import notes
from mnist.base.errors import InputError
from mnist.base.files import PROJECT_ROOT, PathLike, find_input
from mnist.checkpoints import conventions, reading, records
from mnist.checkpoints.conventions import Conventions
from mnist.checkpoints.records import Checkpoint
from mnist.config import DeviceConfig, ModelConfig
from mnist.data import dataset
from mnist.data.dataset import Split
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.feeding import as_model_input
from mnist.kernels.engine import choose as choose_engine
from mnist.model import architectures, calibration, losses, restore
from mnist.pictures import plausible

BATCH = 256

# Digits of other hands and pens than MNIST's, which nets that were trained on that know less well.
_LABELLED = PROJECT_ROOT / "data" / "digits.json.gz"
_CLEARLY = 0.05

_MODEL_CONFIG: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)


@dataclass(frozen=True)
class Prediction:
    """The likeliest digit, and every digit with its probability, the likeliest first.

    ``is_digit`` is False where the picture is none by the rule of ``mnist.pictures.plausible``; the
    other fields then say what it would be if it were one.
    """

    digit: int
    confidence: float
    ranking: List[Tuple[int, float]]
    is_digit: bool


def find_checkpoint(name: Optional[PathLike]) -> Path:
    """The checkpoint to use: the named one, else the best in ``checkpoints``, else its newest."""
    return reading.locate(name, find_input("checkpoints"))


def open_checkpoint(name: Optional[PathLike], assume: Sequence[str] = ()) -> Checkpoint:
    """Find and read a checkpoint; of a course pair, say how its net is taken, and try that.

    ``assume`` is what the user states of a pair, as ``conventions.parse`` takes it. In a
    checkpoint of our own nothing is assumed.
    """
    stated = conventions.parse(assume)
    source = reading.load(find_checkpoint(name))
    if source.state is not None:
        if assume:
            notes.warn(f"{source.named}: says itself what its model is; --assume is not used")
        return source
    source = meant_as(source, stated)
    say_assumed(source, conventions.of_model(source.model).but(stated))
    try_on_digits(source)
    return source


def meant_as(source: Checkpoint, stated: Conventions) -> Checkpoint:
    """A course pair with its net taken as stated; InputError for what such a net does not have."""
    usual = conventions.usual_for(source.model).as_model()
    for key in stated.as_model():
        if key not in usual:
            raise InputError(f"{source.path}: its net ({source.model['name']}) has no {key}")
    return replace(source, model={**source.model, **stated.as_model()})


def _expected_share(source: Checkpoint) -> float:
    """What a net of these shapes, trained on MNIST, reads of the labelled digits at least.

    Seen after a few epochs: lenet 0.97, fc 0.82–0.90, without hidden layers 0.78–0.80, the
    regression 0.23–0.27; with inputs in -1…1 taken for 0…1: 0.82, 0.11–0.79, 0.59 and 0.11.
    """
    if source.model["loss"] == "square_error":
        return 0.17
    if source.model["name"] == "lenet":
        return 0.88
    return 0.8 if source.model["hidden_sizes"] else 0.7


def say_assumed(source: Checkpoint, assumed: Conventions, way: str = "--assume KEY=VALUE") -> None:
    """Warn of what is taken for granted about a course pair, and how to state it."""
    if assumed != conventions.NOTHING:
        notes.warn(
            f"{source.path}: a pair does not say how its net was meant; assumed:"
            f" {' '.join(assumed.as_options())} ({way} says otherwise)"
        )


def try_on_digits(source: Checkpoint) -> None:
    """Warn where a course pair reads a few labelled digits far worse than such nets do.

    That is how a wrong convention shows. All are tried then, and the one that reads most is named.
    """
    if not _LABELLED.exists():
        return
    split = dataset.load(_LABELLED).valid
    taken, expected = share_read(source, split), _expected_share(source)
    if taken >= expected:
        return
    others = conventions.all_for(source.model)
    shares = [share_read(meant_as(source, other), split) for other in others]
    best = int(np.argmax(shares))
    hint = "it may be trained little, or be no net for digits"
    if shares[best] >= max(taken + _CLEARLY, expected / 2):
        now = conventions.of_model(source.model).as_options()
        other = [f"--assume {each}" for each in others[best].as_options() if each not in now]
        hint = f"with {' '.join(other)} it reads {shares[best]:.1%}"
    notes.warn(f"{source.path}: reads only {taken:.1%} of {len(split)} labelled digits; {hint}")


def share_read(source: Checkpoint, split: Split) -> float:
    """The part of a split, 0–1, that a checkpoint's model reads right."""
    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.dygraph.no_grad():
        model = load_model(source)
        outputs = model(to_variable(as_model_input(split.images))).numpy()
    return float(np.mean(losses.digits(model.config.loss, outputs) == split.labels))


def load_model(source: Checkpoint) -> architectures.Model:
    """The checkpoint's architecture with its parameters, in evaluation mode.

    Must run inside ``fluid.dygraph.guard``.
    """
    with fluid.unique_name.guard():
        model = architectures.build(_model_config(source), seed=0)
    restore.parameters(model, source)
    place = fluid.framework._current_expected_place()
    model.engine = choose_engine(DeviceConfig(), place, model.convolutions_and_norms())
    model.eval()
    return model


def _model_config(source: Checkpoint) -> ModelConfig:
    try:
        return _MODEL_CONFIG.validate_python(source.model)
    except ValidationError:
        # Read as part of a whole config, which takes longer, it is complained of in one line.
        where = str(source.path / records.STATE)
        return configs.from_dict({"model": source.model}, where).model


class Predictor:
    """Predicts digits with the model of a checkpoint, on the CPU.

    Probabilities are at the temperature that was fitted when the checkpoint was trained; a
    checkpoint without one (the course's own, a regression) keeps the model's.
    """

    def __init__(self, name: Optional[PathLike], assume: Sequence[str] = ()) -> None:
        self.source = open_checkpoint(name, assume)
        state = self.source.state
        self.temperature = (state.temperature if state else None) or 1.0
        self._place = fluid.CPUPlace()
        with fluid.dygraph.guard(self._place):
            self._model = load_model(self.source)

    @property
    def model(self) -> architectures.Model:
        """The network itself, in evaluation mode."""
        return self._model

    def probabilities(self, images: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """uint8 ``[N,28,28]``, light ink on black → float64 ``[N,10]``."""
        rows = [self._predict(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        return np.concatenate(rows) if rows else np.zeros((0, 10))

    def predict(self, images: "np.ndarray[Any, Any]") -> List[Prediction]:
        """uint8 ``[N,28,28]``, light ink on black → a Prediction each."""
        probabilities = self.probabilities(images)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=1)
        rankings = [list(zip(*row)) for row in zip(order.tolist(), ranked.tolist())]
        return [_prediction(ranking, image) for ranking, image in zip(rankings, images)]

    def _predict(self, images: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        with fluid.dygraph.guard(self._place), fluid.dygraph.no_grad():
            outputs = self._model(to_variable(as_model_input(images)))
            given = losses.probabilities(self._model.config.loss, outputs.numpy())
            return calibration.at(given, self.temperature)


def _prediction(ranking: List[Tuple[int, float]], image: "np.ndarray[Any, Any]") -> Prediction:
    digit, confidence = ranking[0]
    return Prediction(digit, confidence, ranking, plausible.may_be_digit(image, confidence))
