"""The course's own pairs: ``mnist_epoch3.pdparams`` and ``mnist_epoch3.pdopt``, by prefix.

They hold parameters by structured name (``conv1.weight``), and accumulators by the names that
Paddle's global counters gave (``conv2d_6.w_0_moment1_0``: the parameter's name, the
accumulator's, a counter). Neither says which model or optimizer it came from. What can be
worked out from shapes and names is worked out here; what cannot is an InputError.
"""

import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mnist.base.arrays import Array, Arrays
from mnist.base.errors import InputError
from mnist.base.files import PathLike, find_input
from mnist.checkpoints import pickles

PARAMETERS = ".pdparams"
OPTIMIZER = ".pdopt"

Shape = Tuple[int, ...]

# What momentum, Adagrad and Adam of Paddle 1.8.5 keep for a parameter; SGD keeps nothing.
_WHOLE_SETS = ({"velocity"}, {"moment"}, {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"})
_KEY = re.compile(r"(.+)_(velocity|moment[12]?|beta[12]_pow_acc)_[0-9]+")
_SCHEDULE = "LR_Scheduler"
_GLOBAL_STEP = "global_step"
_NO_ACCUMULATORS = (pickles.NAME_TABLE, _SCHEDULE, _GLOBAL_STEP)

# What Paddle's BatchNorm saves among the parameters and no optimizer trains.
RUNNING_STATISTICS = ("._mean", "._variance")

_LOSSES = {10: "softmax_cross_entropy", 1: "square_error"}
_PIXELS = 28 * 28
_POOLED = 7 * 7


def is_pair(prefix: PathLike) -> bool:
    """Whether ``prefix`` (or one of a pair's files) names a pair that is there."""
    return os.path.isfile(find_input(_stem(os.fspath(prefix)) + PARAMETERS))


def read_pair(prefix: PathLike) -> Tuple[Arrays, Dict[str, str], Optional[Dict[str, Any]]]:
    """Parameters, name table and optimizer state of the pair ``prefix`` (or one of its files).

    The parameters are float32, by structured name and in the model's order, which is that of
    the file unless Python 2 wrote it. The name table maps structured names to Paddle's and is
    empty where the file has none. The optimizer state is None where there is no ``.pdopt``,
    as after SGD. Raises InputError for a missing file and for one that holds something else.
    """
    given = os.fspath(prefix)
    path = find_input(_stem(given) + PARAMETERS)
    optimizer_path = Path(_stem(str(path)) + OPTIMIZER)
    for needed in (path, optimizer_path) if given.endswith(OPTIMIZER) else (path,):
        if not os.path.exists(needed):
            raise InputError(
                f"{needed}: does not exist; give a checkpoint folder, or the prefix of a pair"
                f" like mnist_epoch3{PARAMETERS} and mnist_epoch3{OPTIMIZER}"
            )
    parameters = pickles.load(path)
    name_table = parameters.pop(pickles.NAME_TABLE, {})
    _check_parameters(path, parameters, name_table)
    parameters = _in_model_order(parameters, name_table)
    if not optimizer_path.exists():
        return parameters, name_table, None
    state = pickles.load(optimizer_path)
    state.pop(pickles.NAME_TABLE, None)
    return parameters, name_table, state


def epochs_done(prefix: PathLike) -> Optional[int]:
    """How many epochs a pair's name tells of, or None.

    The course counts from 0: it saves ``mnist_epoch0`` at the end of the first epoch and
    goes on from it with ``range(1, EPOCH_NUM)``.
    """
    match = re.search(r"epoch([0-9]{1,6})$", _stem(os.fspath(prefix)))
    return int(match.group(1)) + 1 if match else None


def infer_model(parameters: Mapping[str, Array]) -> Dict[str, Any]:
    """The course's model whose parameters these are, as keys of our config's ``model``.

    Worked out from the shapes alone; weights and biases follow each other layer by layer.
    With 10 outputs the model classifies, with 1 it is the course's regression. What leaves no
    trace in shapes is in ``mnist.checkpoints.conventions``.
    """
    shapes = [tuple(array.shape) for array in parameters.values()]
    model = _model_of(shapes)
    if model is None:
        raise InputError(
            f"the parameters' shapes are {_listed(shapes)}: neither the course's lenet (two 5×5"
            " convolutions, then linear) nor its fc (784 → … → 10 or 1, weights and biases)"
        )
    return model


def optimizer_by_parameter(
    state: Mapping[str, Any], name_table: Mapping[str, str], parameters: Mapping[str, Array]
) -> Dict[str, Arrays]:
    """The accumulators as {structured parameter name: {``moment1``: array, …}}.

    Whatever Paddle's counters were, the name table tells which accumulator belongs to which
    parameter. Where it is missing or of another process, parameters and accumulators of one
    shape are paired in order. Empty if there are no accumulators (SGD). Raises InputError if
    they do not fit the parameters one to one, or if the order is not plain.
    """
    accumulators = _accumulators(state)
    if not accumulators:
        return {}
    trained = {n: array for n, array in parameters.items() if not n.endswith(RUNNING_STATISTICS)}
    pairs = {name: name_table.get(name, "") for name in trained}
    if sorted(pairs.values()) != sorted(accumulators):
        pairs = _pair_by_shape(accumulators, trained)
    for name, paddle_name in pairs.items():
        _check_shapes(name, parameters[name].shape, paddle_name, accumulators[paddle_name])
    return {name: accumulators[pairs[name]] for name in trained}


def schedule_step(state: Mapping[str, Any]) -> Optional[int]:
    """How many steps the learning-rate schedule has made; None without one that counts steps."""
    global_step = state.get(_GLOBAL_STEP)
    if _SCHEDULE not in state:
        return None if global_step is None else _as_step(_GLOBAL_STEP, global_step)
    schedule = state[_SCHEDULE]
    if not isinstance(schedule, dict):
        raise InputError(f"the optimizer state's {_SCHEDULE} holds no schedule")
    if "step_num" not in schedule:  # ReduceLROnPlateau, StepDecay, … count epochs
        return None
    step = _as_step("step_num", schedule["step_num"])
    if global_step is not None and _as_step(_GLOBAL_STEP, global_step) != step:
        raise InputError(f"the optimizer state's {_GLOBAL_STEP} is not its step_num, {step}")
    return step


def _stem(path: str) -> str:
    for suffix in (PARAMETERS, OPTIMIZER):
        if path.endswith(suffix):
            return path[: -len(suffix)]
    return path


def _check_parameters(path: Path, parameters: Mapping[str, Any], name_table: Any) -> None:
    names = name_table.values() if isinstance(name_table, dict) else [None]
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: {pickles.NAME_TABLE} is no table of names")
    if not parameters:
        raise InputError(f"{path}: holds no parameters")
    for name, value in parameters.items():
        if not isinstance(value, np.ndarray) or value.dtype != np.float32:
            raise InputError(f"{path}: {name} is {_described(value)}, not a float32 parameter")


def _in_model_order(parameters: Arrays, name_table: Mapping[str, str]) -> Arrays:
    """``parameters`` layer by layer, weight before bias.

    Dicts had no order in Python 2, so its files have none. The layers' own names tell it
    then, or else Paddle's, where the shapes confirm it.
    """

    def ordered_by(name_of: Callable[[str], str]) -> Arrays:
        keys = {n: (_natural(_layer(name_of(n))), -array.ndim) for n, array in parameters.items()}
        return {name: parameters[name] for name in sorted(parameters, key=keys.__getitem__)}

    by_paddle_name = ordered_by(lambda name: name_table.get(name, ""))
    for ordered in (parameters, ordered_by(str), by_paddle_name):
        if _reads_as_model(ordered, name_table):
            return ordered
    return parameters


def _reads_as_model(parameters: Arrays, name_table: Mapping[str, str]) -> bool:
    """Whether shapes fit, each weight comes with its bias, and counters agree with the order."""
    layers = [_layer(name) for name in parameters]
    made: Dict[str, List[Any]] = defaultdict(list)
    for name in parameters:
        paddle_layer = _layer(name_table.get(name, ""))
        made[_kind(paddle_layer)].append(_natural(paddle_layer))
    return (
        layers[::2] == layers[1::2]
        and all(of_a_kind == sorted(of_a_kind) for of_a_kind in made.values())
        and _model_of([tuple(array.shape) for array in parameters.values()]) is not None
    )


def _layer(name: str) -> str:
    """``conv1`` of ``conv1.weight``, ``conv2d_6`` of ``conv2d_6.w_0``."""
    return name.rpartition(".")[0]


def _kind(name: str) -> str:
    """``name`` without its counters."""
    return re.sub("[0-9]+", "", name)


def _natural(name: str) -> List[Tuple[str, int]]:
    """A sort key that puts ``conv2d_9`` before ``conv2d_10``."""
    return [(text, int(digits or 0)) for text, digits in re.findall("([^0-9]*)([0-9]*)", name)]


def _model_of(shapes: Sequence[Shape]) -> Optional[Dict[str, Any]]:
    if len(shapes) < 6 or len(shapes[0]) != 4 or len(shapes[2]) != 4:
        linear = _linear_keys(shapes, _PIXELS)
        return linear and {"name": "fc", **linear}
    first, second = shapes[0][0], shapes[2][0]
    convolutions = [(first, 1, 5, 5), (first,), (second, first, 5, 5), (second,)]
    linear = _linear_keys(shapes[4:], second * _POOLED)
    if list(shapes[:4]) != convolutions or linear is None:
        return None
    return {"name": "lenet", "filters": [first, second], **linear}


def _linear_keys(shapes: Sequence[Shape], inputs: int) -> Optional[Dict[str, Any]]:
    """The keys of a chain of linear layers, or None if the shapes are of no such chain."""
    widths = [width for bias in shapes[1::2] for width in bias[:1]]
    chain: List[Shape] = []
    for width in widths:
        chain += [(inputs, width), (width,)]
        inputs = width
    if chain != list(shapes) or inputs not in _LOSSES:
        return None
    return {"hidden_sizes": widths[:-1], "loss": _LOSSES[inputs]}


def _accumulators(state: Mapping[str, Any]) -> Dict[str, Arrays]:
    """{Paddle's parameter name: {accumulator: array}}, in file order."""
    grouped: Dict[str, Arrays] = {}
    for key, value in state.items():
        if key in _NO_ACCUMULATORS:
            continue
        # The parameter's name may itself look like an accumulator's: the last one counts.
        match = _KEY.fullmatch(key)
        if match is None or not isinstance(value, np.ndarray) or value.dtype != np.float32:
            raise InputError(
                f"the optimizer state holds {key} ({_described(value)}), which is no float32"
                " accumulator of momentum, adagrad or adam"
            )
        name, kind = match.groups()
        arrays = grouped.setdefault(name, {})
        if kind in arrays:
            raise InputError(f"the optimizer state holds {kind} of {name} twice")
        arrays[kind] = value
    kinds = [set(arrays) for arrays in grouped.values()]
    if kinds and (kinds[0] not in _WHOLE_SETS or any(kind != kinds[0] for kind in kinds)):
        found = " + ".join(sorted(set().union(*kinds)))
        raise InputError(f"the optimizer state holds {found}, not the same whole set throughout")
    return grouped


def _pair_by_shape(accumulators: Mapping[str, Arrays], parameters: Arrays) -> Dict[str, str]:
    """{structured name: Paddle's name} of equal shapes, in the order of making within each.

    The counters in Paddle's names tell that order, which only layers of one kind share.
    """
    shape_of = {name: _parameter_shape(arrays) for name, arrays in accumulators.items()}
    found = sorted(accumulators, key=lambda name: (shape_of[name], _natural(name)))
    wanted = sorted(parameters, key=lambda name: parameters[name].shape)
    shapes, model_shapes = [shape_of[n] for n in found], [parameters[n].shape for n in wanted]
    if shapes != model_shapes:
        raise InputError(
            "the optimizer state is of other parameters: its are of shapes"
            f" {_listed(shapes)}, the model's {_listed(model_shapes)}"
        )
    for name, following in zip(found, found[1:]):
        if shape_of[name] == shape_of[following] and _kind(name) != _kind(following):
            raise InputError(
                f"the optimizer state cannot be paired with the parameters: {name} and {following}"
                " have the same shape, and no name table says which is which"
            )
    return dict(zip(wanted, found))


def _parameter_shape(arrays: Arrays) -> Shape:
    """All accumulators have it but Adam's powers of beta, of shape [1]."""
    return next(array.shape for name, array in arrays.items() if not name.endswith("_pow_acc"))


def _check_shapes(name: str, shape: Shape, paddle_name: str, arrays: Arrays) -> None:
    for accumulator, array in arrays.items():
        expected = (1,) if accumulator.endswith("_pow_acc") else shape
        if array.shape != expected:
            raise InputError(
                f"the optimizer state is of other parameters: {accumulator} of {paddle_name} is"
                f" {list(array.shape)}, but {name} is {list(shape)}"
            )


def _as_step(key: str, value: Any) -> int:
    number = value[0] if isinstance(value, np.ndarray) and value.shape == (1,) else value
    if not isinstance(number, (int, np.integer)) or number < 0:
        raise InputError(f"the optimizer state's {key} is {_described(value)}, not a step")
    return int(number)


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return type(value).__name__


def _listed(shapes: Sequence[Shape]) -> str:
    shown = ", ".join(str(list(shape)) for shape in shapes[:20]) or "none"
    return shown if len(shapes) <= 20 else f"{shown}, … ({len(shapes)} in all)"
