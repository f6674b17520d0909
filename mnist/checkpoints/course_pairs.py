"""The course's own pairs: ``mnist_epoch3.pdparams`` and ``mnist_epoch3.pdopt``, by prefix.

They hold parameters by structured name (``conv1.weight``), and accumulators by the names that
Paddle's global counters gave (``conv2d_6.w_0_moment1_0``: the parameter's name, the
accumulator's, a counter). Neither says which optimizer it came from: its accumulators do.
"""

import os
import re
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from mnist.base.arrays import Array, Arrays
from mnist.base.errors import InputError
from mnist.base.files import PathLike, find_input
from mnist.checkpoints import pickles
from mnist.checkpoints.shapes import as_linear

PARAMETERS = ".pdparams"
OPTIMIZER = ".pdopt"

# What the optimizers of Paddle keep for a parameter; SGD keeps nothing.
OPTIMIZERS = {
    "momentum": {"velocity"},
    "adagrad": {"moment"},
    "adam": {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"},
    "rmsprop": {"momentum", "mean_square", "mean_grad"},
}
KEY = re.compile(
    r"(.+)_(velocity|moment[12]?|beta[12]_pow_acc|momentum|mean_square|mean_grad|inf_norm"
    r"|_avg_squared_(?:grad|update)|squared|linear)_[0-9]+"
)
_SCHEDULE = "LR_Scheduler"
_STEPS = ("global_step", "@LR_DECAY_COUNTER@")  # of dygraph, of a static program
_RATE = "learning_rate_"
_NO_ACCUMULATORS = (pickles.NAME_TABLE, _SCHEDULE, "master_weights", *_STEPS)

# What Paddle's BatchNorm saves among the parameters and no optimizer trains.
RUNNING_STATISTICS = ("._mean", "._variance")


def is_pair(prefix: PathLike) -> bool:
    """Whether ``prefix`` (or one of a pair's files) names a pair that is there."""
    return os.path.isfile(find_input(stem(os.fspath(prefix)) + PARAMETERS))


def stem(path: str) -> str:
    """The prefix of a pair, given it or one of the pair's files."""
    return re.sub(f"({re.escape(PARAMETERS)}|{re.escape(OPTIMIZER)})$", "", path)


def epochs_done(prefix: PathLike) -> Optional[int]:
    """How many epochs a pair's name tells of, or None.

    The course counts from 0: it saves ``mnist_epoch0`` at the end of the first epoch and
    goes on from it with ``range(1, EPOCH_NUM)``.
    """
    match = re.search(r"epoch([0-9]{1,6})$", stem(os.fspath(prefix)))
    return int(match.group(1)) + 1 if match else None


def apart(tensors: Arrays) -> Tuple[Arrays, Dict[str, Any]]:
    """The parameters of a static program, and what its optimizer keeps among them."""

    def belongs(name: str) -> bool:
        match = KEY.fullmatch(name)
        return name in _STEPS or name.startswith(_RATE) or bool(match and match[1] in tensors)

    kept = {name: array for name, array in tensors.items() if belongs(name)}
    return {name: array for name, array in tensors.items() if name not in kept}, kept


def optimizer_by_parameter(
    state: Mapping[str, Any], name_table: Mapping[str, str], parameters: Mapping[str, Array]
) -> Dict[str, Arrays]:
    """The accumulators as {structured parameter name: {``moment1``: array, …}}.

    Whatever Paddle's counters were, the name table tells which accumulator belongs to which
    parameter; static programs have one name for both. Empty if there are no accumulators (SGD).
    Raises InputError if they are not whole, or of other parameters.
    """
    trained = [name for name in parameters if not name.endswith(RUNNING_STATISTICS)]
    ours = {name_table.get(name, name): name for name in trained}
    found: Dict[str, Arrays] = {name: {} for name in trained}
    for key, value in state.items():
        if key in _NO_ACCUMULATORS or key.startswith(_RATE):
            continue
        # The parameter's name may itself look like an accumulator's: the last one counts.
        match = KEY.fullmatch(key)
        name = ours.get(match[1]) if match else None
        if match is None or name is None or match[2] in found[name]:
            raise InputError(
                f"the optimizer state is of other parameters: its {key} ({described(value)}) is"
                " of none of these; without the .pdopt an optimizer begins anew"
            )
        shape = (1,) if match[2].endswith("_pow_acc") else parameters[name].shape
        if isinstance(value, np.ndarray) and len(shape) == 2:
            value = as_linear(value)
        if described(value) != f"float32 {list(shape)}":
            expected = f"float32 {list(shape)} as {name} needs"
            raise InputError(f"the optimizer state's {key} is {described(value)}, not {expected}")
        found[name][match[2]] = value
    kinds = {kind for arrays in found.values() for kind in arrays}
    whole = kinds in OPTIMIZERS.values() and all(kinds == set(each) for each in found.values())
    if kinds and not whole:
        held = " + ".join(sorted(kinds))
        raise InputError(f"the optimizer state holds {held}, not the same whole set throughout")
    return found if kinds else {}


def optimizer_of(accumulators: Mapping[str, Arrays]) -> Optional[str]:
    """Whose accumulators these are, ``adam`` or another of OPTIMIZERS; None without any."""
    kinds = next((set(arrays) for arrays in accumulators.values()), None)
    return next((name for name, whole in OPTIMIZERS.items() if whole == kinds), None)


def schedule_step(state: Mapping[str, Any]) -> Optional[int]:
    """How many steps the learning-rate schedule has made; None without one that counts steps."""
    schedule = state.get(_SCHEDULE, {})
    if not isinstance(schedule, dict):
        raise InputError(f"the optimizer state's {_SCHEDULE} holds no schedule")
    counted = {"step_num": schedule.get("step_num"), **{key: state.get(key) for key in _STEPS}}
    # ReduceLROnPlateau, StepDecay, … count epochs, and have a global_step nevertheless.
    if schedule and counted["step_num"] is None:
        return None
    steps = {key: _as_step(key, value) for key, value in counted.items() if value is not None}
    if len({*steps.values()}) > 1:
        said = ", ".join(f"{key} {step}" for key, step in steps.items())
        raise InputError(f"the optimizer state counts its steps in two ways: {said}")
    return next(iter(steps.values()), None)


def _as_step(key: str, value: Any) -> int:
    number = _number(value)
    if not isinstance(number, int) or number < 0:
        raise InputError(f"the optimizer state's {key} is {described(value)}, not a step")
    return number


def _number(value: Any) -> Any:
    """The number in an array of one; others as they are."""
    is_one = isinstance(value, np.generic) or getattr(value, "shape", ()) == (1,)
    return value.item() if is_one else value


def described(value: Any) -> str:
    """What a value is, for a message."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return type(value).__name__
