"""Several digits on one picture: found, and put in the order in which they are read.

Ink is told from paper as for a single digit (``normalize``), only that paper is looked for in a
smaller neighbourhood, so that shadows and the table beside the sheet do not matter. Connected ink
is a digit; small parts go to the digit they stand over or touch. What is far smaller than the
rest is dust, what runs across the picture or along its edge is a ruled line or the table. Digits
that touch each other stay one blot.
"""

from dataclasses import dataclass
from typing import List, Tuple

import cv2
import numpy as np

from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.pictures import normalize
from mnist.pictures.normalize import Floats, Grey, Mask

# The picture is worked on with its longer side between these.
WORK_SIDES = (400, 1600)
# The side at which the paper is looked for: shadows down to an eighth of the picture are followed.
PAPER_SIDE = 160
# Ink is at least this part as dark as the darkest; ruled and squared lines mostly are not.
FULL_INK = 0.45
# Parts of the usual height of a digit: what is smaller is dust, or only a part of a digit.
DUST, PART = 0.3, 0.6
MOST_DIGITS = 500


@dataclass(frozen=True)
class FoundDigit:
    """A digit on a picture: where, in which line of writing from 0, and in MNIST's form.

    ``box`` is left, top, width and height in the picture's pixels; ``image`` uint8 ``[28, 28]``.
    """

    box: Tuple[int, int, int, int]
    line: int
    image: Grey


@dataclass
class _Blot:
    """Connected ink: its bounding box and the labels of its parts."""

    left: int
    top: int
    right: int
    bottom: int
    labels: List[int]

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def box(self) -> Tuple[int, int, int, int]:
        return self.left, self.top, self.right, self.bottom

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2

    def joined(self, other: "_Blot") -> "_Blot":
        return _Blot(
            min(self.left, other.left), min(self.top, other.top),
            max(self.right, other.right), max(self.bottom, other.bottom),
            self.labels + other.labels,
        )  # fmt: skip


def find_digits(grey: Grey) -> List[FoundDigit]:
    """The digits on a picture, uint8 ``[H, W]``, in reading order: by line, from the left.

    Raises NoInk if there is none, InputError if there are more than 500 things that might be.
    """
    factor = float(np.clip(max(grey.shape), *WORK_SIDES)) / max(grey.shape)
    likely = _with_light_paper(normalize.scaled(grey, factor))
    for picture in (likely, cv2.bitwise_not(likely)):
        ink = normalize.ink_of(picture, normalize.local_paper, PAPER_SIDE)
        ink = ink - normalize.paper_level(ink)[0]
        _, labels, stats, _ = cv2.connectedComponentsWithStats(_writing(ink).astype(np.uint8))
        lines = _in_lines(_digits(_blots(stats), picture, labels))
        if lines:
            return [
                FoundDigit(_box(blot, factor, grey.shape), number, _form(ink, labels, blot))
                for number, line in enumerate(lines)
                for blot in line
            ]
    raise normalize.NoInk("no ink found on the picture")


def _with_light_paper(grey: Grey) -> Grey:
    """The picture with its writing darker than its paper, whatever the table beside it is."""
    small = normalize.scaled(grey, 3 * PAPER_SIDE / max(grey.shape))
    # A median keeps large things and their edges; of writing it keeps the paper.
    deviation = small.astype(np.float32) - cv2.medianBlur(small, 41)
    return cv2.bitwise_not(grey) if float((deviation**3).sum()) > 0 else grey


def _writing(ink: Floats) -> Mask:
    """Where the pen was: what is nearly as dark as the darkest ink."""
    mask = normalize.ink_mask(ink)
    if not mask.any():
        return mask
    return mask & (ink > FULL_INK * float(np.percentile(ink[mask], 98)))


def _blots(stats: Array) -> List[_Blot]:
    blots = []
    for label, (left, top, width, height, area) in enumerate(stats.tolist()):
        if label > 0 and area >= normalize.SPECK_AREA:
            blots.append(_Blot(left, top, left + width, top + height, [label]))
    return blots


def _digits(blots: List[_Blot], picture: Grey, labels: Array) -> List[_Blot]:
    """The blots that may be digits, each with its parts."""
    at_edges = _at_edges(labels)
    blots = [b for b in blots if not _is_table(b, int(at_edges[b.labels[0]]), picture.shape)]
    blots = [blot for blot in blots if not _is_line(blot, picture.shape)]
    blots = [blot for blot in blots if not _is_frame(blot, blots, picture.shape)]
    if not blots:
        return []
    usual = _usual_height(blots)
    blots = [blot for blot in blots if max(blot.width, blot.height) >= DUST * usual]
    if len(blots) > MOST_DIGITS:
        raise InputError(f"more than {MOST_DIGITS} things on the picture might be digits")
    blots = [blot for blot in _with_parts(blots, usual) if blot.height >= PART * usual]
    return [blot for blot in blots if _is_drawn(picture, labels, blot)]


def _is_line(blot: _Blot, shape: Tuple[int, ...]) -> bool:
    """Whether a blot is a line across the picture, as on ruled paper."""
    height, width = shape
    if blot.width > 0.5 * width and blot.height < 0.1 * height:
        return True
    return blot.height > 0.85 * height and blot.width < 0.05 * width


def _is_table(blot: _Blot, at_edges: int, shape: Tuple[int, ...]) -> bool:
    """Whether a blot lies along the picture's edges, as a table or a shadow beside the sheet."""
    if at_edges > 0.5 * max(blot.width, blot.height):
        return True
    return blot.width > 0.6 * shape[1] and at_edges > 0.5 * min(blot.width, blot.height)


def _at_edges(labels: Array) -> Array:
    """How many pixels of each label lie on the picture's edges."""
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.bincount(edges, minlength=int(labels.max()) + 1)


def _is_frame(blot: _Blot, blots: List[_Blot], shape: Tuple[int, ...]) -> bool:
    """Whether a large blot has others within: the table around a sheet, a drawn frame."""
    height, width = shape
    if blot.height < 0.5 * height or blot.width < 0.5 * width:
        return False
    within = (blot.joined(other) for other in blots if other.height > 0.04 * height)
    return sum(joined.box == blot.box for joined in within) > 1


def _usual_height(blots: List[_Blot]) -> float:
    """The height of a digit here: half of all ink's height is in blots at least as tall."""
    heights = np.sort([max(blot.height, blot.width / 2) for blot in blots])
    return float(heights[np.searchsorted(np.cumsum(heights), heights.sum() / 2)])


def _with_parts(blots: List[_Blot], usual: float) -> List[_Blot]:
    """Small blots joined to the digit they belong to: the bar of a 5, a broken stroke."""
    whole: List[_Blot] = []
    for blot in sorted(blots, key=lambda blot: -blot.height):
        near = [i for i, other in enumerate(whole) if _belongs(blot, other, usual)]
        if near:
            nearest = min(near, key=lambda i: _gap(blot, whole[i]))
            whole[nearest] = whole[nearest].joined(blot)
        else:
            whole.append(blot)
    return whole


def _belongs(part: _Blot, whole: _Blot, usual: float) -> bool:
    joined = part.joined(whole)
    if joined.box == whole.box and part.height < PART * whole.height:
        return True
    if part.height > PART * usual and whole.height > PART * usual:
        return False  # each is a digit
    return _gap(part, whole) <= 0.15 * usual and joined.height <= 1.5 * usual


def _gap(one: _Blot, other: _Blot) -> float:
    across = max(one.left, other.left) - min(one.right, other.right)
    along = max(one.top, other.top) - min(one.bottom, other.bottom)
    return max(across, along, 0)


def _is_drawn(picture: Grey, labels: Array, blot: _Blot) -> bool:
    margin = max(blot.height, blot.width) // 2
    window = _window(blot, margin, picture.shape)
    return normalize.is_drawn(picture[window], np.isin(labels[window], blot.labels))


def _window(blot: _Blot, margin: int, shape: Tuple[int, ...]) -> Tuple[slice, slice]:
    rows = slice(max(0, blot.top - margin), min(shape[0], blot.bottom + margin))
    return rows, slice(max(0, blot.left - margin), min(shape[1], blot.right + margin))


def _in_lines(blots: List[_Blot]) -> List[List[_Blot]]:
    """The blots by line of writing, from the top, each from the left.

    A line is followed from digit to digit, so it may rise or fall, as on a photo held askew.
    """
    lines: List[List[_Blot]] = []
    for blot in sorted(blots, key=lambda blot: blot.left):
        near = [line for line in lines if _continues(line[-1], blot)]
        if near:
            min(near, key=lambda line: abs(line[-1].middle - blot.middle)).append(blot)
        else:
            lines.append([blot])
    return sorted(lines, key=lambda line: float(np.mean([blot.middle for blot in line])))


def _continues(last: _Blot, blot: _Blot) -> bool:
    return abs(last.middle - blot.middle) < 0.5 * max(last.height, blot.height)


def _form(ink: Floats, labels: Array, blot: _Blot) -> Grey:
    window = _window(blot, 4, ink.shape)
    return normalize.form_of(ink[window], np.isin(labels[window], blot.labels))


def _box(blot: _Blot, factor: float, shape: Tuple[int, ...]) -> Tuple[int, int, int, int]:
    left, top = int(blot.left / factor), int(blot.top / factor)
    right = min(shape[1], int(np.ceil(blot.right / factor)))
    bottom = min(shape[0], int(np.ceil(blot.bottom / factor)))
    return left, top, right - left, bottom - top
