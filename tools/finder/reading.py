"""From a picture to the digits on it in MNIST's form: one way for one digit and for many."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import cv2
import numpy as np
from finder import Box, Finder, FoundDigit
from numpy.typing import NDArray
from refusal import REASONS, Refusal, doubt

from mnist.base.errors import InputError
from mnist.base.files import find_input, read_input
from mnist.checkpoints import pickles
from mnist.pictures.normalize import NoInk, is_mnist_form

Array = NDArray[Any]

FOLDER = "data/pretrained-finder"
# Where many digits are wanted, so much more doubt (a logit) is put up with before one is left out.
MORE_ON_PAGES = 3.0


class Several(InputError):
    """There are several digits on a picture that was to have one."""


class LineDigit(NamedTuple):
    """A digit of a picture: where, in which line of writing from 0, and in MNIST's form."""

    box: Box
    line: int
    image: Array


class Reader:
    """What finds digits and what refuses them, with the weights of a folder."""

    def __init__(self, folder: str = FOLDER) -> None:
        path = find_input(folder)
        self._finder = Finder(_weights(path / "finder.pdparams"))
        self._refusal = Refusal(_weights(path / "refusal.pdparams"))
        state = json.loads(read_input(path / "refusal.json", 1 << 20))
        self._threshold = float(state["threshold"])

    def digit(self, picture: Array) -> Array:
        """The one digit on a picture, uint8 ``[28, 28]``; NoInk or Several where there is not one.

        ``picture``: uint8 ``[H, W]`` or RGB ``[H, W, 3]``. What has MNIST's form comes back as it
        is, black on white turned into white on black.
        """
        plain = as_it_is(picture)
        if plain is not None:
            return plain
        found = self.found(picture, many=False)
        if not found:
            raise NoInk("no digit's ink found on the picture")
        if len(found) > 1:
            raise Several(f"{len(found)} digits on the picture; --many reads them all")
        return found[0].image

    def digits(self, picture: Array) -> List[LineDigit]:
        """The digits on a picture in reading order: by line, from the left; NoInk without any."""
        found = self.found(picture, many=True)
        if not found:
            raise NoInk("no digit's ink found on the picture")
        return [
            LineDigit(digit.box, number, digit.image)
            for number, line in enumerate(in_lines(found))
            for digit in line
        ]

    def found(self, picture: Array, many: bool) -> List[FoundDigit]:
        """What may be a digit; of several things that may be, those that are like digits.

        If only one is wanted, what is far smaller than the largest is a mark, too. Nothing like a
        digit among several: the surest of them, for others to refuse.
        """
        found = self._finder.find(picture)
        if len(found) < 2:
            return found
        doubts = doubt(self._refusal.logits(np.stack([digit.image for digit in found])))
        limit = self._threshold + (MORE_ON_PAGES if many else 0)
        likely = [digit for digit, value in zip(found, doubts) if value < limit]
        largest = max((max(digit.box[2:]) for digit in likely), default=0)
        if not many:
            likely = [digit for digit in likely if max(digit.box[2:]) > 0.45 * largest]
        return likely or [max(found, key=lambda digit: digit.score * max(digit.box[2:]))]

    def refused(self, images: Array, threshold: float = 0.0) -> List[str]:
        """Why each of uint8 ``[N, 28, 28]`` is no digit, in words; "" for a digit."""
        logits = self._refusal.logits(images)
        reasons = np.where(logits[:, 1] > logits[:, 2], REASONS[1], REASONS[2])
        doubtful = doubt(logits) > self._threshold + threshold
        return [str(reason) if bad else "" for reason, bad in zip(reasons, doubtful)]


@lru_cache(maxsize=1)
def reader(folder: str = FOLDER) -> Reader:
    """The reader that a process shares."""
    return Reader(folder)


def as_it_is(picture: Array) -> "Array | None":
    """A picture that is in MNIST's form already, or would be if inverted; else None."""
    if picture.shape[:2] != (28, 28):
        return None
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    for image in (grey, cv2.bitwise_not(grey)):
        if is_mnist_form(image):
            return image.copy()
    return None


def in_lines(found: List[FoundDigit]) -> List[List[FoundDigit]]:
    """Digits by line of writing, from the top, each from the left.

    A line is followed from digit to digit, so it may rise or fall, as on a photo held askew.
    """
    lines: List[List[FoundDigit]] = []
    for digit in sorted(found, key=lambda digit: digit.box[0]):
        near = [line for line in lines if _continues(line[-1], digit)]
        if near:
            min(near, key=lambda line: abs(_middle(line[-1]) - _middle(digit))).append(digit)
        else:
            lines.append([digit])
    return sorted(lines, key=lambda line: float(np.mean([_middle(digit) for digit in line])))


def _middle(digit: FoundDigit) -> float:
    return digit.box[1] + digit.box[3] / 2


def _continues(last: FoundDigit, digit: FoundDigit) -> bool:
    return abs(_middle(last) - _middle(digit)) < 0.5 * max(last.box[3], digit.box[3])


def _weights(path: Path) -> Dict[str, Array]:
    return pickles.load(path)
