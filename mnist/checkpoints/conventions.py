"""What a pair of the course's does not say: how the net in it was meant.

Its files hold arrays. Which activation stood between the layers, how was pooled and which
numbers the pixels were leave no trace in them, and a wrong guess reads digits at 19% where the
right one reads 92%. What is assumed is therefore said on every use, and can be stated.
"""

from contextlib import suppress
from itertools import product
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from mnist.base.errors import InputError

Conventions = Dict[str, Any]
"""What is said of how a net was meant: keys of a config's ``model``, those of CHOICES."""

# The course's own come first.
CHOICES: Dict[str, Sequence[Any]] = {
    # Of convolutions and hidden layers.
    "activation": ("relu", "sigmoid", "tanh"),
    "pooling": ("max", "avg"),
    # What a blank pixel and one full of ink are as inputs. Ours; paddle.dataset.mnist's; both
    # for dark ink on white paper; bytes as they are.
    "input_range": ([0.0, 1.0], [-1.0, 1.0], [1.0, 0.0], [1.0, -1.0], [0.0, 255.0]),
}

# What is usual of those that bear on a net of these shapes.
_USUAL: Dict[str, Conventions] = {
    "lenet": {key: choices[0] for key, choices in CHOICES.items()},
    "fc": {"activation": "sigmoid", "input_range": [0.0, 1.0]},
    "convnet": {"activation": "relu"},
    "embedding": {},
}


def as_options(said: Conventions) -> List[str]:
    """What is said, as ``--assume`` takes it."""
    return [
        "input={:g}..{:g}".format(*value) if key == "input_range" else f"{key}={value}"
        for key, value in said.items()
    ]


def of_model(model: Mapping[str, Any]) -> Conventions:
    """The conventions that stand in a config's ``model``, and bear on its outputs."""
    said = {key: model[key] for key in usual_for(model) if key in model}
    return {key: list(value) if key == "input_range" else value for key, value in said.items()}


def usual_for(model: Mapping[str, Any]) -> Conventions:
    """The course's own, for a net of these shapes, without those that have no bearing on it."""
    usual = dict(_USUAL[model["name"]])
    if model["name"] == "fc" and not model["hidden_sizes"]:
        del usual["activation"]
    return usual


def all_for(model: Mapping[str, Any]) -> List[Conventions]:
    """Every combination that a net of these shapes may have been meant with, the usual first."""
    usual = usual_for(model)
    found = [dict(zip(usual, each)) for each in product(*map(CHOICES.__getitem__, usual))]
    return sorted(found, key=lambda each: each != usual)


def parse(items: Sequence[str]) -> Conventions:
    """What ``["activation=relu", "pooling=avg", "input=-1..1"]`` says."""
    return dict(map(_parse_one, items))


def _parse_one(item: str) -> Tuple[str, Any]:
    key, _, value = item.partition("=")
    if value in CHOICES.get(key, ()):
        return key, value
    with suppress(ValueError):
        blank, full = map(float, value.split(".."))
        if key == "input" and blank != full and all(abs(end) <= 1e6 for end in (blank, full)):
            return "input_range", [blank, full]
    raise InputError(
        f"--assume {item}: must be activation=relu, sigmoid or tanh, pooling=max or avg, or what a"
        " blank pixel is and what one full of ink is, two numbers like input=-1..1"
    )
