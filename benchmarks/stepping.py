"""The trainer's own steps, for benchmarks to time: the same code, nothing written or printed."""

import gc
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

from mnist.fluid import environment

# As the verbs do, before NumPy, too: its matrix products would spin on threads of their own.
environment.prepare()

from mnist import config as configs  # noqa: E402
from mnist.base.signals import StopRequest  # noqa: E402
from mnist.data.dataset import Dataset  # noqa: E402
from mnist.fluid.door import fluid  # noqa: E402
from mnist.fluid.feeding import feed  # noqa: E402
from mnist.fluid.processes import ALONE, Group  # noqa: E402
from mnist.train import resuming  # noqa: E402
from mnist.train.learner import Learner  # noqa: E402
from mnist.train.loop import Loop  # noqa: E402
from mnist.train.output import Telling  # noqa: E402
from mnist.train.saving import Saving  # noqa: E402


@contextmanager
def without_collector() -> Iterator[None]:
    """What a worker holds while it measures, as the trainer does while it trains."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Stepper:
    """A run of the trainer that can be taken step by step. Inside ``fluid.dygraph.guard``."""

    def __init__(
        self,
        settings: Sequence[str],
        data: Dataset,
        group: Group = ALONE,
        file: Optional[Path] = None,
    ) -> None:
        self.config = configs.load(file, settings) if file else configs.default(settings)
        self.data, self.place = data, fluid.CPUPlace()
        state = resuming.initial_state(self.config, data, self.place, None)
        self._learner = Learner(self.config, self.place, state, len(data.train), group)
        saving, telling = Saving(self._learner, None), Telling(self._learner, data, None)
        self._loop = Loop(self._learner, data, StopRequest(), saving, telling)
        self.model = self._learner.model

    def steps(self) -> Iterator[Any]:
        """Step after step, epoch after epoch, fed as the trainer feeds; (loss, accuracy)."""
        while True:
            with closing(self._fed()) as feeding:
                for images, labels in feeding:
                    yield self._loop.step(images, labels)
            self._begin_next_epoch()

    def steps_on_one_batch(self) -> Iterator[Any]:
        """Steps on a batch that stays where it is: what is left without any input pipeline."""
        with closing(self._fed()) as feeding:
            images, labels = next(feeding)
        while True:
            if self._learner.state.step_in_epoch >= self._learner.steps_per_epoch - 1:
                self._begin_next_epoch()
            yield self._loop.step(images, labels)

    def batches(self) -> Iterator[Any]:
        """The batches alone, made and never trained on."""
        while True:
            yield from self._loop.batches()

    def _fed(self) -> Any:
        return feed(self._loop.batches(), self.config.data.loader, self._learner.place)

    def _begin_next_epoch(self) -> None:
        state = self._learner.state
        state.epoch += 1
        state.step_in_epoch = state.correct = state.samples = 0
        state.loss_sum = 0.0
