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

Shape = Tuple[int, ...]
_Model = Optional[Tuple[Dict[str, Any], List["Layer"]]]

# How Paddle 1 to 3 and their users call what a layer has: weight, bias, mean and variance.
_PART = re.compile(
    r"[._](?:(w|weights?|scale|w_0)|(b|bias|biases|offset|b_0)|(_?mean|w_1)|(_?variance|w_2))$"
)
_PIXELS = 28 * 28
_LOSSES = {10: "softmax_cross_entropy", 1: "square_error"}
# The side of the maps after two 5×5 convolutions and 2×2 poolings → how these were padded.
_PADDINGS = {7: [2, 2], 6: [0, 2], 5: [2, 0], 4: [0, 0]}
_CONVNET = [5, 3, 3, 3, 3]  # the sizes of its convolutions


class Layer(NamedTuple):
    """The names of a layer's parameters, weight first, and their shapes."""

    names: List[str]
    shapes: List[Shape]

    @property
    def weight(self) -> Shape:
        return self.shapes[0]

    @property
    def outputs(self) -> int:
        return self.weight[1 if len(self.weight) == 2 else 0]

    @property
    def is_biased(self) -> bool:
        return self.shapes[1:] == [(self.outputs,)]


def infer(parameters: Arrays, name_table: Mapping[str, str]) -> Tuple[Dict[str, Any], Arrays]:
    """The keys of a config's ``model``, and its parameters, float32, in its order and shapes.

    ``name_table`` may say what Paddle called a parameter. With 10 outputs the model classifies,
    with 1 it is the course's regression. What leaves no trace in shapes is in
    ``mnist.checkpoints.conventions``. Raises InputError for what is none of our models.
    """
    layers = _in_data_order(_layers(parameters, name_table))
    found = next(filter(None, (read(layers) for read in _MODELS)), None)
    if found is None or layers[-1].outputs not in _LOSSES:
        shapes = [array.shape for array in parameters.values()]
        raise InputError(
            f"the parameters' shapes are {listed(shapes)}: neither lenet (two 5×5 convolutions,"
            " then linear), fc (784 → … → 10 or 1), convnet nor embedding, whole with biases"
        )
    keys, ordered = found
    names = [name for layer in ordered for name in layer.names]
    whole = {name: parameters[name].astype(np.float32, copy=False) for name in names}
    if keys["name"] == "lenet" and whole[names[4]].ndim == 4:
        whole[names[4]] = as_linear(whole[names[4]])
    return {**keys, "loss": _LOSSES[layers[-1].outputs]}, whole


def as_linear(weight: Array) -> Array:
    """A convolution that sees all of a map, ``[K,C,H,W]``, as the linear layer that it is."""
    return weight.reshape(len(weight), -1).T.copy()


def listed(shapes: Sequence[Shape]) -> str:
    """Shapes for a message: the first twenty."""
    shown = ", ".join(str(list(shape)) for shape in shapes[:20]) or "none"
    return shown if len(shapes) <= 20 else f"{shown}, … ({len(shapes)} in all)"


def natural(name: str) -> List[Tuple[str, int]]:
    """A sort key that puts ``conv2d_9`` before ``conv2d_10``."""
    return [(text, int(digits or 0)) for text, digits in re.findall("([^0-9]*)([0-9]*)", name)]


def _layers(parameters: Arrays, name_table: Mapping[str, str]) -> List[Layer]:
    """The layers in the order in which they were made, as far as the files tell it.

    Paddle's counters tell it, or the order in the file, unless that is none: dicts had none in
    Python 2. Then the layers' own names do.
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
    return [Layer(each, [parameters[name].shape for name in each]) for each in names]


def _in_data_order(made: Sequence[Layer]) -> List[Layer]:
    """The layers as data go through them; empty if they are no chain."""
    left, found = list(made), [Layer([], [(0,)])]
    while left:
        following = next((layer for layer in left if _fits(found[-1].weight, layer.weight)), None)
        if following is None:
            return []
        found.append(following)
        left.remove(following)
    return found[1:]


def _fits(before: Shape, after: Shape) -> bool:
    """Whether a layer takes what the one before gives; ``(0,)`` is before the first."""
    if before == (0,):
        first = len(after) == 4 and after[1] == 1
        return first or (len(after) == 2 and after[0] % _PIXELS in (0, 1))
    if len(after) == 1:
        return len(before) > 1 and after[0] == before[len(before) == 2]
    if len(before) == 2:
        return len(after) == 2 and after[0] == before[1]
    return len(after) in (2, 4) and after[len(after) == 4] % before[0] == 0


def _linears(layers: Sequence[Layer]) -> _Model:
    """``fc``; with a table of tokens for its first layer ``embedding``."""
    if not layers or any(len(layer.weight) != 2 for layer in layers):
        return None
    first, *rest = layers
    if first.weight[0] == _PIXELS and all(layer.is_biased for layer in layers):
        return {"name": "fc", "hidden_sizes": [layer.outputs for layer in layers[:-1]]}, [*layers]
    levels, excess = divmod(first.weight[0], _PIXELS)
    if excess != 1 or len(first.names) > 1 or len(rest) != 1 or not rest[0].is_biased:
        return None
    keys = {"name": "embedding", "levels": levels + 1, "embedding_size": first.outputs}
    return keys, [*layers]


def _lenet(layers: Sequence[Layer]) -> _Model:
    """Two convolutions with biases, then linear layers; a convolution of a whole map is one."""
    if len(layers) < 3 or not all(layer.is_biased for layer in layers):
        return None
    first, second, third = (layer.weight for layer in layers[:3])
    filters = [first[0], second[0]]
    inputs = third[0] if len(third) == 2 else math.prod(third[1:])
    side = math.isqrt(inputs // filters[1])
    maps = (filters[1], side, side)
    if [first, second] != [(filters[0], 1, 5, 5), (filters[1], filters[0], 5, 5)]:
        return None
    if side not in _PADDINGS or inputs != math.prod(maps) or third[1:] not in (third[1:2], maps):
        return None
    if any(len(layer.weight) != 2 for layer in layers[3:]):
        return None
    hidden = [layer.outputs for layer in layers[2:-1]]
    keys = {"name": "lenet", "filters": filters, "paddings": _PADDINGS[side]}
    return {**keys, "hidden_sizes": hidden}, [*layers]


def _convnet(layers: Sequence[Layer]) -> _Model:
    """Convolutions without biases, a batch norm behind each, then a linear layer."""
    *pairs, last = layers or [Layer([], [(0,)])]
    convolutions, norms = pairs[::2], pairs[1::2]
    filters = [layer.outputs for layer in convolutions]
    widths = zip([1, *filters], filters, _CONVNET)
    if [layer.shapes for layer in convolutions] != [[(n, c, k, k)] for c, n, k in widths]:
        return None
    if len(filters) != len(_CONVNET) or last.weight[:-1] != (filters[-1] * 9,):
        return None
    if not last.is_biased or [layer.shapes for layer in norms] != [[(n,)] * 4 for n in filters]:
        return None
    return {"name": "convnet", "filters": filters}, [*convolutions, *norms, last]


_MODELS = (_linears, _lenet, _convnet)
