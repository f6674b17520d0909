"""From a picture to the digits on it in MNIST's form: one way for one digit and for many."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

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
# A digit smaller than this, on the picture as it was looked at, is looked at again, larger.
SMALL = 34
# Where one digit is wanted, so much less doubt makes another thing a second one.
SURELY = 3.0
# Ink of which the finder is less sure than CLEAR is rather noise: so many logits of doubt (on
# pages half as many) for each time that it is e times less sure.
CLEAR, UNCLEAR = 0.88, 10.0
# What is doubted more than this is not even refused: it is no writing.
NO_DIGIT = 12.0


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
        self._alone = float(state["threshold_alone"])

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
        """What is like a digit; without any, what is most like one, for others to refuse.

        The picture is looked at again, larger, as long as nothing is found or what is, is small.
        If only one digit is wanted, what is far smaller than the largest is a mark.
        """
        kept: List[FoundDigit] = []
        small: List[FoundDigit] = []
        doubtful: List[Tuple[float, FoundDigit]] = []
        for look in self._finder.looks(picture):
            new = [digit for digit in look if not _any_at(digit, kept)]
            doubts = self._doubts(new)
            limit = self._alone + (MORE_ON_PAGES if many else 0)
            weight = UNCLEAR / 2 if many else UNCLEAR
            clear = [v + weight * _unclear(digit) < limit for digit, v in zip(new, doubts)]
            likely = [digit for digit, is_clear in zip(new, clear) if is_clear]
            # What only its faint ink speaks against is no writing: others would not refuse it.
            doubtful += [(v, digit) for digit, v in zip(new, doubts) if limit <= v < NO_DIGIT]
            likely = [digit for digit in likely if not _is_ring(digit, likely)]
            small = [digit for digit in small if not _any_at(digit, likely)]
            small += [digit for digit in likely if digit.side < SMALL]
            kept += [digit for digit in likely if digit.side >= SMALL]
            if kept and not (many and small):
                break
        kept += small
        if not kept:
            return [min(doubtful, key=lambda pair: pair[0])[1]] if doubtful else []
        return kept if many else self._main(kept)

    def _main(self, found: List[FoundDigit]) -> List[FoundDigit]:
        """The digit of a picture that is to have one, and others only if they surely are digits.

        What is far smaller than the largest is a mark.
        """
        doubts = self._doubts(found)
        best = int(np.argmin(doubts))
        largest = max(max(digit.box[2:]) for digit in found)
        return [
            digit
            for i, digit in enumerate(found)
            if i == best
            or (doubts[i] < self._alone - SURELY and max(digit.box[2:]) > 0.45 * largest)
        ]

    def _doubts(self, found: List[FoundDigit]) -> Array:
        return doubt(self._refusal.logits(np.array([digit.image for digit in found])))

    def refused(self, images: Array, confidences: Array, threshold: float = 0.0) -> List[str]:
        """Why each of uint8 ``[N, 28, 28]`` is no digit, in words; "" for a digit.

        ``confidences``: the classifier's, ``[N]``.
        """
        logits = self._refusal.logits(images)
        reasons = np.where(logits[:, 1] > logits[:, 2], REASONS[1], REASONS[2])
        doubtful = doubt(logits, confidences) > self._threshold + threshold
        return [str(reason) if bad else "" for reason, bad in zip(reasons, doubtful)]


def _unclear(digit: FoundDigit) -> float:
    """How much less sure the finder is of a digit's ink than it mostly is, from 0 on."""
    share = max(2 * digit.score - 1, 1e-3) / (2 * CLEAR - 1)
    return max(0.0, -float(np.log(share)))


def _any_at(digit: FoundDigit, others: List[FoundDigit]) -> bool:
    """Whether one of the others lies where a digit lies: over half of the smaller of both."""
    for other in others:
        smaller = min(digit.box[2] * digit.box[3], other.box[2] * other.box[3])
        if _common(digit.box, other.box) > 0.5 * smaller:
            return True
    return False


def _is_ring(digit: FoundDigit, others: List[FoundDigit]) -> bool:
    """Whether what was taken for a digit is around another one."""
    return any(
        max(digit.box[2:]) > 1.2 * max(other.box[2:])
        and _common(digit.box, other.box) > 0.9 * other.box[2] * other.box[3]
        for other in others
    )


def _common(a: Box, b: Box) -> int:
    """The area that two boxes share."""
    width, height = (min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    return max(0, width) * max(0, height)


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
