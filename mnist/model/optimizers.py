"""Optimizers with their regularisation, clipping and learning-rate schedule, and their state.

A schedule is a function of the step alone, so a run that is resumed has the rate it would
have had.
"""

from typing import Any, Dict, Iterable, Tuple

from mnist.base.arrays import Arrays
from mnist.config.schema import OptimizerConfig, PiecewiseSchedule, PolynomialSchedule
from mnist.fluid.door import fill, fluid

# {parameter's structured name: {accumulator: array}}; the form in which a state travels.
Accumulators = Dict[str, Arrays]

# The classes, and which of a config's keys each of them takes besides what all take.
_OPTIMIZERS: Dict[str, Tuple[Any, Tuple[str, ...]]] = {
    "sgd": (fluid.optimizer.SGD, ()),
    "momentum": (fluid.optimizer.Momentum, ("momentum", "use_nesterov")),
    "adagrad": (fluid.optimizer.Adagrad, ("epsilon",)),
    "adam": (fluid.optimizer.Adam, ("beta1", "beta2", "epsilon")),
}

_Schedule: Any = fluid.dygraph.learning_rate_scheduler.LearningRateDecay


def build(
    config: OptimizerConfig, parameters: Iterable[Any], total_steps: int, steps_per_epoch: int
) -> Any:
    """The ``fluid.optimizer`` that ``config`` describes, for ``parameters``.

    ``total_steps`` is the whole run's, over which polynomial and cosine schedules stretch.
    L2 decay applies to all parameters, biases too, as in the course.

    The accumulators are made at once. Paddle makes them in the first ``minimize``, and checks a
    loaded state only there, by names that depend on every layer made before in the process
    ("Optimizer set error, conv2d_6… should in state dict"); so they can be filled by parameter.
    """
    make, keys = _OPTIMIZERS[config.name]
    decay, norm, trained = config.l2_decay, config.clip_norm, list(parameters)
    optimizer = make(
        learning_rate=learning_rate(config, total_steps, steps_per_epoch),
        parameter_list=trained,
        regularization=fluid.regularizer.L2Decay(decay) if decay else None,
        grad_clip=fluid.clip.GradientClipByGlobalNorm(norm) if norm else None,
        **{key: getattr(config, key) for key in keys},
    )
    optimizer.helper = fluid.layer_helper.LayerHelper(type(optimizer).__name__)
    optimizer._create_accumulators(fluid.default_main_program().global_block(), trained)
    return optimizer


def learning_rate(config: OptimizerConfig, total_steps: int, steps_per_epoch: int) -> Any:
    """A float, or a ``LearningRateDecay`` if the rate changes from step to step."""
    rate = float(config.learning_rate)
    schedule = config.schedule
    warmup = min(schedule.warmup_steps, total_steps)
    steps = max(total_steps - warmup, 1)
    after: Any = rate
    if isinstance(schedule, PolynomialSchedule):
        end, power = float(schedule.end_learning_rate), float(schedule.power)
        after = fluid.dygraph.PolynomialDecay(rate, steps, end, power)
    elif isinstance(schedule, PiecewiseSchedule):
        boundaries = [round(epoch * steps_per_epoch) - warmup for epoch in schedule.boundaries]
        values = [rate * factor for factor in schedule.factors]
        after = fluid.dygraph.PiecewiseDecay(boundaries, values, 0)
    elif schedule.name == "cosine":
        # With one step an "epoch" Paddle's staircase becomes a curve.
        after = fluid.dygraph.CosineDecay(rate, step_each_epoch=1, epochs=steps)
    return LinearWarmup(rate, warmup, after) if warmup else after


class LinearWarmup(_Schedule):
    """The rate rises in equal steps to ``rate``, then follows ``after`` from its start.

    Paddle 1.8.5's own ``LinearLrWarmup`` ignores its start and does not save the step of
    the schedule behind it; here that step is derived from the one number that is saved.
    """

    def __init__(self, rate: float, warmup_steps: int, after: Any) -> None:
        super().__init__(begin=0, step=1)
        self._rate = rate
        self._warmup_steps = warmup_steps
        self._after = after

    def step(self) -> Any:
        if self.step_num < self._warmup_steps:
            return self._rate * (self.step_num + 1) / self._warmup_steps
        if isinstance(self._after, float):
            return self._after
        self._after.step_num = self.step_num - self._warmup_steps
        return self._after.step()


def rate_at(optimizer: Any, step: int) -> float:
    """The learning rate that the optimizer uses in ``step``, counted from 0."""
    schedule = optimizer._learning_rate
    if not isinstance(schedule, _Schedule):
        return float(schedule)
    under_way = schedule.step_num
    schedule.step_num = step
    rate = schedule.step()
    schedule.step_num = under_way
    return float(rate if isinstance(rate, float) else rate.numpy()[0])


def set_state(optimizer: Any, names: Dict[str, str], state: Accumulators, step: int) -> None:
    """Fill the accumulators (see ``build``) and move the schedule to ``step``.

    Raises ValueError naming what is missing, left over or of another shape.
    """
    expected = {
        f"{accumulator} of {names[parameter]}": variable
        for accumulator, by_parameter in optimizer._accumulators.items()
        for parameter, variable in by_parameter.items()
    }
    given = {f"{key} of {name}": a for name, arrays in state.items() for key, a in arrays.items()}
    fill(expected, given, "state")
    schedule = optimizer._learning_rate
    if isinstance(schedule, _Schedule):
        schedule.step_num = int(step)
