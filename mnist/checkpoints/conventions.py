"""What a pair of the course's does not say: how the net in it was meant.

Its files hold arrays. Which activation stood between the layers, how was pooled and which
numbers the pixels were leave no trace in them, and a wrong guess reads digits at 19% where the
right one reads 92%. What is assumed is therefore said on every use, and can be stated.
"""

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mnist.base.errors import InputError

Range = Tuple[float, float]

ACTIVATIONS = ("relu", "sigmoid", "tanh")
POOLINGS = ("max", "avg")
# Ours; paddle.dataset.mnist's; both for dark ink on white paper; bytes as they are.
INPUT_RANGES: Tuple[Range, ...] = ((0, 1), (-1, 1), (1, 0), (1, -1), (0, 255))


@dataclass(frozen=True)
class Conventions:
    """How a net was meant; None where nothing is said. The fields are keys of its config.

    ``activation`` is that of convolutions and hidden layers, ``pooling`` is ``max`` or ``avg``,
    ``input_range`` what a blank pixel and one full of ink are as inputs.
    """

    activation: Optional[str] = None
    pooling: Optional[str] = None
    input_range: Optional[Range] = None

    def as_model(self) -> Dict[str, Any]:
        """What is said, as keys of a config's ``model``."""
        said = {key: value for key, value in asdict(self).items() if value is not None}
        if self.input_range is not None:
            said["input_range"] = [float(end) for end in self.input_range]
        return said

    def as_settings(self) -> List[str]:
        """What is said, as ``--set`` takes it."""
        return [f"model.{key}={value}" for key, value in self.as_model().items()]

    def as_options(self) -> List[str]:
        """What is said, as ``--assume`` takes it."""
        return [
            "input={:g}..{:g}".format(*value) if key == "input_range" else f"{key}={value}"
            for key, value in self.as_model().items()
        ]

    def but(self, other: "Conventions") -> "Conventions":
        """What is said here and not in ``other``."""
        said = asdict(other)
        return Conventions(**{k: v for k, v in asdict(self).items() if said[k] is None})


NOTHING = Conventions()


def of_model(model: Mapping[str, Any]) -> Conventions:
    """The conventions that stand in a config's ``model``, and bear on its outputs."""
    usual = usual_for(model)
    said = {key: model[key] for key in usual.as_model() if key in model}
    if "input_range" in said:
        said["input_range"] = tuple(said["input_range"])
    return Conventions(**said)


def usual_for(model: Mapping[str, Any]) -> Conventions:
    """The course's own, for a net of these shapes; None where a convention has no bearing."""
    if model["name"] == "lenet":
        return Conventions("relu", "max", INPUT_RANGES[0])
    return Conventions("sigmoid" if model["hidden_sizes"] else None, None, INPUT_RANGES[0])


def all_for(model: Mapping[str, Any]) -> List[Conventions]:
    """Every combination that a net of these shapes may have been meant with, the usual first."""
    usual = usual_for(model)
    activations = ACTIVATIONS if usual.activation else (None,)
    poolings = POOLINGS if usual.pooling else (None,)
    found = [Conventions(*each) for each in product(activations, poolings, INPUT_RANGES)]
    return sorted(found, key=lambda each: each != usual)


def parse(items: Sequence[str]) -> Conventions:
    """What ``["activation=relu", "pooling=avg", "input=-1..1"]`` says."""
    return Conventions(**dict(_parse_one(item) for item in items))


def _parse_one(item: str) -> Tuple[str, Any]:
    key, _, value = item.partition("=")
    if key == "input":
        return "input_range", _parse_range(item, value)
    choices = {"activation": ACTIVATIONS, "pooling": POOLINGS}.get(key, ())
    if value not in choices:
        one_of = f"{key} must be one of {', '.join(choices)}"
        way_out = one_of if choices else "must be activation, pooling or input, = and a value"
        raise InputError(f"--assume {item}: {way_out}")
    return key, value


def _parse_range(item: str, text: str) -> Range:
    blank, _, full = text.partition("..")
    try:
        ends = float(blank), float(full)
    except ValueError:
        ends = (0.0, 0.0)
    if ends[0] == ends[1] or not all(abs(end) <= 1e6 for end in ends):
        raise InputError(
            f"--assume {item}: must be what a blank pixel is and what one full of ink is, two"
            " numbers like -1..1"
        )
    return ends
