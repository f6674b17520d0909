"""Which of our models parameters are of, by their shapes: the files of others do not say.

Names tell which weight and which bias are one layer's, and which of two layers of one shape was
made first. What data go through first and what next, the shapes tell.
"""

import math
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from mnist.base.arrays import Array, Arrays
from mnist.base.errors import InputError

Shape = Tuple[int, ...]

# How Paddle 1 to 3 and their users call what a layer has: weight, bias, mean and variance.
_PART = re.compile(
    r"[._](?:(w|weights?|scale|w_0)|(b|bias|biases|offset|b_0)|(_?mean|w_1)|(_?variance|w_2))$"
)
_PIXELS = 28 * 28
_LOSSES = {10: "softmax_cross_entropy", 1: "square_error"}
# The side of the maps after two 5×5 convolutions and 2×2 poolings → how these were padded.
_PADDINGS = {7: [2, 2], 6: [0, 2], 5: [2, 0], 4: [0, 0]}


class Layer(NamedTuple):
    """The names of a layer's parameters, weight first, and the weight's shape."""

    names: List[str]
    weight: Shape

    @property
    def outputs(self) -> int:
        """How many numbers or maps it gives."""
        return self.weight[1 if len(self.weight) == 2 else 0]


class Inferred(NamedTuple):
    """A model of ours: a config's keys, its parameters, and what the files call each."""

    model: Dict[str, Any]
    parameters: Arrays
    names: Dict[str, str]


class _Candidate(NamedTuple):
    """What layers may be: a config's keys, the layers in its order, the model's own shapes."""

    keys: Dict[str, Any]
    layers: Sequence[Layer]
    shapes: Dict[str, Shape]


def infer(parameters: Arrays, name_table: Mapping[str, str]) -> Inferred:
    """The model whose parameters these are: float32, and called and shaped as we do.

    ``name_table`` may say what Paddle called a parameter. With 10 outputs the model classifies,
    with 1 it is the course's regression. What leaves no trace in shapes is in
    ``mnist.checkpoints.conventions``. Raises InputError for what is none of our models.
    """
    layers = _in_data_order(_layers(parameters, name_table))
    for found in _candidates(layers) if layers and layers[-1].outputs in _LOSSES else []:
        theirs = [name for layer in found.layers for name in layer.names]
        names = dict(zip(found.shapes, theirs))
        ours = {name: parameters[names[name]].astype(np.float32, copy=False) for name in names}
        # A convolution that sees all of a map is a linear layer.
        ours = {n: as_linear(a) if len(found.shapes[n]) == 2 else a for n, a in ours.items()}
        fits = {name: array.shape for name, array in ours.items()} == found.shapes
        if fits and len(theirs) == len(ours):
            return Inferred({**found.keys, "loss": _LOSSES[layers[-1].outputs]}, ours, names)
    shapes = [str(list(array.shape)) for array in parameters.values()]
    more = f", … ({len(shapes)} in all)" if len(shapes) > 20 else ""
    raise InputError(
        f"the parameters' shapes are {', '.join(shapes[:20]) or 'none'}{more}: neither lenet (two"
        " 5×5 convolutions, then linear), fc (784 → … → 10 or 1), convnet nor embedding, whole with"
        " biases"
    )


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
    return [Layer(each, parameters[each[0]].shape) for each in names]


def _in_data_order(made: Sequence[Layer]) -> List[Layer]:
    """The layers as data go through them; empty if they are no chain."""
    left, found = list(made), [Layer([], (0,))]
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
        is_table = len(after) == 2 and after[0] % _PIXELS in (0, 1)
        return is_table or (len(after) == 4 and after[1] == 1)
    if len(after) == 1:
        return len(before) > 1 and after[0] == before[len(before) == 2]
    if len(before) == 2:
        return len(after) == 2 and after[0] == before[1]
    return len(after) in (2, 4) and after[len(after) == 4] % before[0] == 0


def _candidates(layers: List[Layer]) -> Iterable[_Candidate]:
    """The models that these may be; whether they are, all of their shapes tell."""
    outputs = [layer.outputs for layer in layers]
    first = layers[0].weight
    keys: Dict[str, Any] = {"name": "fc", "hidden_sizes": outputs[:-1]}
    yield _Candidate(keys, layers, _dense(_PIXELS, outputs))
    levels, excess = divmod(first[0], _PIXELS)
    if len(layers) == 2 and levels and excess == 1:
        keys = {"name": "embedding", "levels": levels + 1, "embedding_size": outputs[0]}
        shapes = {"embedding.weight": first, **_dense(outputs[0], outputs[1:])}
        yield _Candidate(keys, layers, shapes)
    if len(layers) > 2:
        one, two, *rest = outputs
        third = layers[2].weight
        inputs = third[0] if len(third) == 2 else math.prod(third[1:])
        side = math.isqrt(inputs // two)
        keys = {"name": "lenet", "filters": [one, two], "paddings": _PADDINGS.get(side)}
        shapes = {"conv1.weight": (one, 1, 5, 5), "conv1.bias": (one,)}
        shapes.update({"conv2.weight": (two, one, 5, 5), "conv2.bias": (two,)})
        shapes.update(_dense(two * side**2, rest) if side in _PADDINGS else {})
        yield _Candidate({**keys, "hidden_sizes": rest[:-1]}, layers, shapes)
    filters = outputs[:-1:2]
    if len(filters) == 5:
        sides = zip([1, *filters], filters, [5, 3, 3, 3, 3])
        shapes = {
            f"convolutions.{number}.weight": (after, before, side, side)
            for number, (before, after, side) in enumerate(sides)
        }
        for number, width in enumerate(filters):
            parts = ("weight", "bias", "_mean", "_variance")
            shapes.update({f"norms.{number}.{part}": (width,) for part in parts})
        shapes.update(_dense(9 * filters[-1], outputs[-1:]))
        ordered = [*layers[:-1:2], *layers[1:-1:2], layers[-1]]
        yield _Candidate({"name": "convnet", "filters": filters}, ordered, shapes)


def _dense(inputs: int, outputs: Sequence[int]) -> Dict[str, Shape]:
    """The linear layers at a model's end, the last of which is ``fc``."""
    shapes: Dict[str, Shape] = {}
    for number, (before, after) in enumerate(zip([inputs, *outputs], outputs), 1):
        name = "fc" if number == len(outputs) else f"hidden.{number - 1}"
        shapes.update({f"{name}.weight": (before, after), f"{name}.bias": (after,)})
    return shapes
