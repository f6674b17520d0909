"""Which of our models parameters are of, by their shapes: the files of others do not say.

Names tell which weight and which bias are one layer's, and which of two layers of one shape was
made first. What data go through first and what next, the shapes tell.
"""

import math
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mnist.base.arrays import Array, Arrays
from mnist.base.errors import InputError

# How Paddle 1 to 3 and their users call what a layer has: weight, bias, mean and variance.
_PART = re.compile(
    r"[._](?:(w|weights?|scale|w_0)|(b|bias|biases|offset|b_0)|(_?mean|w_1)|(_?variance|w_2))$"
)
# What we call these parts.
_PARTS = ("weight", "bias", "_mean", "_variance")
_PIXELS = 28 * 28
_LOSSES = {10: "softmax_cross_entropy", 1: "square_error"}
# The side of the maps after two 5×5 convolutions and 2×2 poolings → how these were padded.
_PADDINGS = {7: [2, 2], 6: [0, 2], 5: [2, 0], 4: [0, 0]}

# What Layer.side is of layers that are no convolutions.
_LINEAR, _NORM = 0, -1
# The sides of kernels and the numbers of parameters, layer by layer.
_CONVNET = [(5, 1), (_NORM, 4), *[(3, 1), (_NORM, 4)] * 4, (_LINEAR, 2)]


class Layer(NamedTuple):
    """The names of a layer's parameters, weight first; what it takes and gives; its kernel."""

    names: List[str]
    inputs: int
    outputs: int
    side: int


class Inferred(NamedTuple):
    """A model of ours: a config's keys, its parameters, and what the files call each."""

    model: Dict[str, Any]
    parameters: Arrays
    names: Dict[str, str]


def infer(parameters: Arrays, name_table: Mapping[str, str]) -> Inferred:
    """The model whose parameters these are: float32, and called and shaped as we do.

    ``name_table`` may say what Paddle called a parameter. With 10 outputs the model classifies,
    with 1 it is the course's regression. What leaves no trace in shapes is in
    ``mnist.checkpoints.conventions``. Raises InputError for what is none of our models.
    """
    layers = _in_data_order(_layers(parameters, name_table))
    model = _model(layers) if layers and layers[-1].outputs in _LOSSES else None
    if model is None:
        shapes = [str(list(array.shape)) for array in parameters.values()]
        more = f", … ({len(shapes)} in all)" if len(shapes) > 20 else ""
        raise InputError(
            f"the parameters' shapes are {', '.join(shapes[:20]) or 'none'}{more}: neither lenet"
            " (two 5×5 convolutions, then linear), fc (784 → … → 10 or 1), convnet nor embedding,"
            " whole with biases"
        )
    keys, called = model
    names = {
        f"{ours}.{part}": theirs
        for ours, layer in zip(called, layers)
        for part, theirs in zip(_PARTS, layer.names)
    }
    found = {
        ours: parameters[theirs].astype(np.float32, copy=False) for ours, theirs in names.items()
    }
    # A convolution that sees all of a map is a linear layer.
    found = {n: a if n.startswith("conv") else as_linear(a) for n, a in found.items()}
    return Inferred({**keys, "loss": _LOSSES[layers[-1].outputs]}, found, names)


def as_linear(weight: Array) -> Array:
    """A convolution of all of a map, ``[K,C,S,S]``, as linear weights; others as they are."""
    is_square = weight.ndim == 4 and weight.shape[2] == weight.shape[3]
    return weight.reshape(len(weight), -1).T.copy() if is_square else weight


def natural(name: str) -> List[Tuple[str, int]]:
    """A sort key that puts ``conv2d_9`` before ``conv2d_10``."""
    return [(text, int(digits or 0)) for text, digits in re.findall("([^0-9]*)([0-9]*)", name)]


def _layers(parameters: Arrays, name_table: Mapping[str, str]) -> List[Layer]:
    """The layers in the order in which they were made, as far as the files tell it.

    Paddle's counters tell it, or the order in the file, unless that is none: dicts had none in
    Python 2. Then the layers' own names do. Empty if something is no layer of digit nets.
    """
    parts: Dict[str, Dict[int, str]] = {}
    for name in parameters:
        match = _PART.search(name)
        key, part = (name[: match.start()], match.lastindex or 1) if match else (name, 1)
        parts.setdefault(key, {})[part] = name
    names = [[of_layer[part] for part in sorted(of_layer)] for of_layer in parts.values()]
    if name_table:
        names.sort(key=lambda each: natural(name_table.get(each[0], each[0])))
    elif [name for each in names for name in each] != list(parameters):
        names.sort(key=lambda each: natural(each[0]))
    found = [_layer(each, [parameters[name].shape for name in each]) for each in names]
    is_whole = sum(map(len, names)) == len(parameters)
    return [layer for layer in found if layer] if is_whole and all(found) else []


def _layer(names: List[str], shapes: Sequence[Tuple[int, ...]]) -> Optional[Layer]:
    """A layer by its parameters' shapes; None for what no digit net has."""
    weight, *others = shapes
    if len(weight) == 4 and weight[2] == weight[3]:
        found = Layer(names, weight[1], weight[0], weight[2])
    elif len(weight) in (1, 2):
        found = Layer(names, weight[0], weight[-1], _LINEAR if len(weight) == 2 else _NORM)
    else:
        return None
    return found if {*others} <= {(found.outputs,)} else None


def _in_data_order(made: Sequence[Layer]) -> List[Layer]:
    """The layers as data go through them; empty if they are no chain."""
    left, found = list(made), [Layer([], 0, 0, 0)]
    while left:
        following = next((layer for layer in left if _fits(found[-1], layer)), None)
        if following is None:
            return []
        found.append(following)
        left.remove(following)
    return found[1:]


def _fits(before: Layer, after: Layer) -> bool:
    """Whether a layer takes what the one before gives; the one before the first gives nothing."""
    if not before.outputs:
        return after.inputs % _PIXELS in (0, 1) if after.side == _LINEAR else after.inputs == 1
    if after.side == _LINEAR and before.side != _LINEAR:  # all pixels of all maps
        return after.inputs % before.outputs == 0
    return after.inputs == before.outputs and (before.side, after.side) != (_NORM, _NORM)


def _model(layers: List[Layer]) -> Optional[Tuple[Dict[str, Any], List[str]]]:
    """What a chain of layers is, as a config's keys, and what we call the layers; None: another."""
    outputs = [layer.outputs for layer in layers]
    form = [(layer.side, len(layer.names)) for layer in layers]
    levels, excess = divmod(layers[0].inputs, _PIXELS)
    if form == [(_LINEAR, 1), (_LINEAR, 2)] and levels and excess == 1:
        keys = {"name": "embedding", "levels": levels + 1, "embedding_size": outputs[0]}
        return keys, ["embedding", "fc"]
    if form == _CONVNET and layers[-1].inputs == 9 * outputs[-2]:
        names = [f"{kind}.{number}" for number in range(5) for kind in ("convolutions", "norms")]
        return {"name": "convnet", "filters": outputs[:-1:2]}, [*names, "fc"]
    convolutions = 0 if layers[0].side == _LINEAR else 2
    linear = [layer.inputs * max(layer.side, 1) ** 2 for layer in layers[convolutions:]]
    is_chain = linear[1:] == outputs[convolutions:-1] and {len(e.names) for e in layers} == {2}
    names = [f"hidden.{number}" for number in range(len(linear) - 1)]
    if not linear or not is_chain or _NORM in [layer.side for layer in layers]:
        return None
    if not convolutions:
        keys = {"name": "fc", "hidden_sizes": outputs[:-1]}
        return (keys, [*names, "fc"]) if linear[0] == _PIXELS else None
    side = math.isqrt(linear[0] // outputs[1])
    if form[:2] != [(5, 2)] * 2 or side not in _PADDINGS or linear[0] != outputs[1] * side**2:
        return None
    keys = {"name": "lenet", "filters": outputs[:2], "paddings": _PADDINGS[side]}
    return {**keys, "hidden_sizes": outputs[2:-1]}, ["conv1", "conv2", *names, "fc"]
