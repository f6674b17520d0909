"""What is trained: a model, its optimizer, the average of its weights, and how far they are."""

from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from typing import Any, ContextManager, Optional

from mnist.base.arrays import Arrays
from mnist.base.errors import InputError
from mnist.checkpoints.records import Checkpoint, RunState
from mnist.config import Config
from mnist.fluid.feeding import count_batches
from mnist.fluid.processes import Group
from mnist.kernels import engine
from mnist.model import architectures, optimizers, restore
from mnist.model.averaging import WeightAverage
from mnist.model.distillation import Teachers


class Learner:
    """A model in training. ``state`` says where it stands, and goes along with every step.

    ``samples`` are those of an epoch; ``group`` are the processes that train it together. Must
    be made inside ``fluid.dygraph.guard`` on ``place``.
    """

    def __init__(
        self, config: Config, place: Any, state: RunState, samples: int, group: Group
    ) -> None:
        self.config, self.place, self.state, self.group = config, place, state, group
        self.steps_per_epoch = count_batches(samples, config.data.batch_size)
        total_steps = config.train.epochs * self.steps_per_epoch
        self.model = architectures.build(config.model, config.train.seed, state.classes)
        self.model.engine = engine.choose(config.device, place, self.model.convolutions_and_norms())
        self.teachers = Teachers(config, group)
        models = [self.model, *self.teachers.models]
        state.kernels = "c" if any(model.engine for model in models) else "fluid"
        self.parameters = self.model.trained_parameters()
        self.optimizer = optimizers.build(
            config.optimizer, self.parameters, total_steps, self.steps_per_epoch
        )
        group.prepare(self.model)
        decay = config.train.averaging_decay
        self.average = None if decay is None else WeightAverage(self.model, decay)

    def restore(self, source: Checkpoint) -> None:
        """Take weights, their average, accumulators and the schedule's position."""
        weights = source.parameters if source.training is None else source.training
        restore.parameters(self.model, replace(source, parameters=weights))
        if self.average is not None and source.training is not None:
            self.average.restore(source.parameters, self.state.step)
        names = {p.name: name for name, p in self.model.named_parameters()}
        accumulators = source.accumulators or {}
        try:
            optimizers.set_state(self.optimizer, names, accumulators, self.state.step)
        except ValueError as error:
            raise InputError(
                f"{source.path}: the optimizer's state does not fit"
                f" optimizer.name={self.config.optimizer.name}: {error}"
            ) from error

    def minimize(self, loss: Any) -> None:
        """Have the optimizer take its step, in C where the engine can."""
        engine = self.model.engine
        if engine is None or not engine.minimize(self.optimizer, self.parameters):
            self.optimizer.minimize(loss)

    def count_step(self, loss: float, correct: int, samples: int) -> None:
        """A batch has been trained on: its mean loss, and how many of its samples were right."""
        state = self.state
        state.step += 1
        state.step_in_epoch += 1
        state.loss_sum += loss * samples
        state.correct += correct
        state.samples += samples
        if self.average is not None:
            self.average.update(state.step)

    def last_rate(self) -> float:
        """The learning rate of the last step."""
        return optimizers.rate_at(self.optimizer, self.state.step - 1)

    def averaged(self) -> ContextManager[Optional[Arrays]]:
        """The model with its averaged weights, if there are any; yields the others then."""
        return nullcontext() if self.average is None else self.average.in_place()

    def digest(self) -> str:
        """Of all parameters, running statistics too."""
        arrays = [parameter.numpy() for parameter in self.model.parameters()]
        return sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]
