"""The trainer's own steps, for benchmarks to time: the same code, nothing written or printed."""

from contextlib import closing
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence

from mnist.fluid import places

# As the verbs do, before NumPy, too: its matrix products would spin on threads of their own.
places.prepare_process()

from mnist import config as configs  # noqa: E402
from mnist.base.signals import StopRequest  # noqa: E402
from mnist.data.dataset import Dataset  # noqa: E402
from mnist.fluid.door import fluid  # noqa: E402
from mnist.fluid.feeding import TrainingBatches, feed  # noqa: E402
from mnist.fluid.processes import ALONE, Group  # noqa: E402
from mnist.train import loop, resuming  # noqa: E402

# What a worker holds while it measures, as the trainer does while it trains.
without_collector = loop._old_objects_left_alone


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
        self.data = data
        self.place = fluid.CPUPlace()
        state = resuming.initial_state(self.config, data, None, self.place, None)
        self._run = loop._Run(self.config, data, self.place, state, group)
        self._run.stop = StopRequest()
        self.model = self._run.model

    def steps(self) -> Iterator[Any]:
        """Step after step, epoch after epoch, fed as the trainer feeds; (loss, accuracy)."""
        while True:
            with closing(feed(self._batches(), self.config.data.loader, self.place)) as feeding:
                for images, labels in feeding:
                    yield self._run._step(images, labels)
            self._begin_next_epoch()

    def steps_on_one_batch(self) -> Iterator[Any]:
        """Steps on a batch that stays where it is: what is left without any input pipeline."""
        first = self._batches(start=0)
        with closing(feed(first, self.config.data.loader, self.place)) as feeding:
            images, labels = next(feeding)
        while True:
            if self._run.state.step_in_epoch >= self._run.steps_per_epoch - 1:
                self._begin_next_epoch()
            yield self._run._step(images, labels)

    def batches(self) -> Iterator[Any]:
        """The batches alone, made and never trained on."""
        while True:
            yield from self._batches(start=0)

    def _batches(self, start: Optional[int] = None) -> TrainingBatches:
        run, config = self._run, self.config
        self.model.train()
        return TrainingBatches(
            self.data.train, config.data, config.train.seed, run.state.epoch,
            run.state.step_in_epoch if start is None else start, run.group,
        )  # fmt: skip

    def _begin_next_epoch(self) -> None:
        state = self._run.state
        state.epoch += 1
        state.step_in_epoch = state.correct = state.samples = 0
        state.loss_sum = 0.0
