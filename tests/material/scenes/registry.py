"""The list of kinds: each draws one digit on a picture and returns the file's bytes."""

import zlib
from typing import Callable, Dict, NamedTuple

import numpy as np

from tests.material.scenes.canvas import Digit

Draw = Callable[[Digit, np.random.RandomState], bytes]


class Kind(NamedTuple):
    """A kind of picture. Its group is one of those for which targets are set."""

    name: str
    group: str
    draw: Draw


KINDS: Dict[str, Kind] = {}
NO_DIGITS: Dict[str, Kind] = {}
"""The kinds of pictures on which no digit is, or several are; their digit is only a material."""


def kind(name: str, group: str, among: Dict[str, Kind] = KINDS) -> Callable[[Draw], Draw]:
    def keep(draw: Draw) -> Draw:
        assert name not in KINDS and name not in NO_DIGITS, name
        among[name] = Kind(name, group, draw)
        return draw

    return keep


def stream(*parts: object) -> np.random.RandomState:
    """A random stream of its own for every picture, whatever else is drawn."""
    return np.random.RandomState(zlib.crc32(repr(parts).encode()))


def picture(name: str, digit: Digit, number: int) -> bytes:
    """The file of a kind's picture with this number."""
    found = KINDS.get(name) or NO_DIGITS[name]
    return found.draw(digit, stream(name, number))
