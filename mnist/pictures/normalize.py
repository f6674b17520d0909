"""A digit's ink in MNIST's own form.

MNIST's form, as the data set's page describes it (Y. LeCun, C. Cortes, C. J. C. Burges, "The
MNIST database of handwritten digits"): bilevel images from NIST were "size normalized to fit in
a 20x20 pixel box while preserving their aspect ratio", grey levels come from the anti-aliasing
of that step, and the images were "centered in a 28x28 image by computing the center of mass of
the pixels, and translating the image so as to position this point at the center". Ink is light,
paper is 0. In the 70,000 images the longer side of the ink measures 20 pixels and the centre of
mass lies within half a pixel of the middle of pixel (14, 14), counted from 0.
"""

import math
from dataclasses import dataclass, replace
from typing import Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.data.digits import SIDE

BOX = 20
CENTRE = 14

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = Tuple[int, int, int, int]

# The side of a digit while its strokes are looked at.
WORK_SIDE = 96
# Of ink the finder is mostly surer than this.
CLEAR = 0.88
# Mean stroke widths in pixels of the 20×20 box, around MNIST's median of 2.4.
MIN_STROKE, MAX_STROKE = 2.0, 3.4


@dataclass(frozen=True)
class FoundDigit:
    """A digit on a picture: left, top, width and height in the picture's pixels.

    ``image`` is the digit in MNIST's form, uint8 ``[28, 28]``; ``seen`` its longer side in pixels
    as it was looked at; ``score`` how sure the finder is of its ink, 0–1; ``doubt`` how much
    speaks against its being a digit, in logits; ``line`` the line of writing it is in, from 0.
    """

    box: Box
    image: Grey
    seen: int
    score: float = 1.0
    doubt: float = 0.0
    line: int = 0

    @property
    def faintness(self) -> float:
        """How much less sure the finder is of the ink than it mostly is: a logarithm, from 0 on."""
        return max(0.0, -math.log(max(2 * self.score - 1, 1e-3) / (2 * CLEAR - 1)))

    def on_larger(self, times: float) -> "FoundDigit":
        """The digit as it lies on a picture that is so many times larger."""
        left, top, width, height = (round(times * side) for side in self.box)
        return replace(self, box=(left, top, width, height))

    @property
    def side(self) -> int:
        return max(self.box[2:])

    @property
    def middle(self) -> Tuple[float, float]:
        left, top, width, height = self.box
        return left + width / 2, top + height / 2

    def holds(self, other: "FoundDigit") -> bool:
        """Whether the other's middle lies in this one's box."""
        ends = zip(self.box[:2], self.box[2:], other.middle)
        return all(first <= middle <= first + side for first, side, middle in ends)


class NotOneDigit(InputError):
    """There is no digit on a picture, or more than the one that was asked for; ``reason`` says so.

    ``reason`` is "no writing" or "several digits".
    """

    def __init__(self, name: str, count: int) -> None:
        several = f"several digits on the picture ({count}); --many reads them all"
        super().__init__(f"{name}: {several if count else 'no ink found on the picture'}")
        self.reason = "several digits" if count else "no writing"


def form_of(ink: Floats) -> Grey:
    """A digit's ink, float32 ``[H, W]`` in 0–1, in MNIST's form: uint8 ``[28, 28]``."""
    factor = WORK_SIDE / max(ink.shape)
    size = (max(3, round(ink.shape[1] * factor)), max(3, round(ink.shape[0] * factor)))
    large = cv2.resize(ink, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA)
    mask = large > min(0.5, 0.5 * float(large.max()))
    return place(with_stroke(mask, MIN_STROKE, MAX_STROKE))


def is_mnist_form(grey: Grey) -> bool:
    """Whether a picture is 28×28, light on black, 20 pixels long and centred by mass."""
    if grey.shape != (SIDE, SIDE) or np.median(grey) > 10:
        return False
    _, _, width, height = cv2.boundingRect((grey > 25).astype(np.uint8))
    is_sized = abs(max(width, height) - BOX) <= 2
    return is_sized and bool(np.all(np.abs(_centre(grey) - CENTRE) <= 0.75))


def place(shape: Floats) -> Grey:
    """Light ink, float32 ``[H, W]`` in 0–1, cropped, scaled and centred: uint8 ``[28, 28]``.

    The longer side of the ink becomes 20 pixels by area averaging, the aspect ratio is kept, and
    the centre of mass comes to the middle.
    """
    left, top, width, height = cv2.boundingRect((shape > 0.25).astype(np.uint8))
    cropped = shape[top : top + height, left : left + width]
    height, width = (max(1, round(side * BOX / max(cropped.shape))) for side in cropped.shape)
    small = cv2.resize(cropped, (width, height), interpolation=cv2.INTER_AREA)
    top, left = np.rint(CENTRE - _centre(small)).astype(int)
    top, left = np.clip(top, 0, SIDE - height), np.clip(left, 0, SIDE - width)
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[top : top + height, left : left + width] = np.rint(np.clip(small, 0, 1) * 255)
    return image


def with_stroke(mask: Mask, lowest: float, highest: float) -> Floats:
    """A shape with its mean stroke width brought between two limits: float32, 0–1.

    The limits are in pixels of the 20×20 box. The result is larger than ``mask`` by a margin.
    """
    unit = max(mask.shape) / BOX
    margin = int(np.ceil(lowest * unit / 2)) + 2
    padded = np.pad(mask, margin)
    inside = _distance(padded)
    width = stroke_width(padded)
    wider = (np.clip(width, lowest * unit, highest * unit) - width) / 2
    signed = inside - _distance(~padded)
    grown = np.clip(signed + wider + 0.5, 0, 1)
    if wider < 0:
        grown = np.maximum(grown, _ridge(inside, highest * unit / 2))
    return np.asarray(grown, np.float32)


def stroke_width(mask: Mask) -> float:
    """The mean width of the strokes in a mask, in its pixels."""
    inside = _distance(np.pad(mask, 1))[1:-1, 1:-1]
    # Across a stroke n pixels wide the distances are 1, 2, … n/2 … 2, 1: n = 4 × mean − 2.
    return max(1.0, 4 * float(inside[mask].mean()) - 2)


def _ridge(inside: Floats, radius: float) -> Floats:
    """The middle lines of the strokes, drawn with a pen of a radius.

    Thinning must not break a stroke where it is narrower than elsewhere.
    """
    lines = (inside >= cv2.dilate(inside, np.ones((3, 3), np.uint8)) - 0.1) & (inside > 1)
    narrow = np.minimum(radius, inside.max())
    pen = np.clip(narrow - _distance(~lines) + 0.5, 0, 1)
    return np.minimum(pen, inside > 0)


def _distance(mask: Mask) -> Floats:
    """The distance of each pixel of a mask to the nearest pixel outside it, in pixels."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5))


def _centre(image: Array) -> Array:
    """The centre of mass, (row, column) in pixels."""
    mass = image.sum(dtype=float)
    rows = (image.sum(1, dtype=float) * np.arange(image.shape[0])).sum() / mass
    columns = (image.sum(0, dtype=float) * np.arange(image.shape[1])).sum() / mass
    return np.array([rows, columns])
