"""From a picture to the digits on it in MNIST's form: one way for one digit and for many."""

import math
from dataclasses import replace
from functools import lru_cache
from typing import List, Tuple

import cv2
import numpy as np

from mnist.data.digits import SIDE
from mnist.pictures import decode, normalize, refusal, weights
from mnist.pictures.decode import Pixels, Source
from mnist.pictures.finder import LEAST_SIDE, Finder
from mnist.pictures.normalize import FoundDigit, Grey, NotOneDigit, is_mnist_form

# Doubts are in logits, from the refusal's threshold on. Where many digits are wanted so much more
# is put up with; and what is so little like one is not even refused: it is no writing.
MORE_ON_PAGES, NO_WRITING = 3.0, 9.0
# Faint ink is rather noise: so much more is doubted where one digit is wanted, and where many are.
FAINT, FAINT_ON_PAGES = 10.0, 5.0
# Where one is wanted, another is a second one if it is doubted less than this, and has more than
# this part of the largest one's side.
SURE, LEAST_PART = -1.0, 0.45
# Of all that is drawn on plain paper a digit fills this part, unless it is a part of something.
LEAST_AREA = 0.8
# And this part of the picture at most.
MOST_AREA = 0.6
# A digit smaller than this, on the picture as it was looked at, is looked at again, larger.
SMALL = 32
# On plain paper brightness differs by no more than this, and ink by at least that.
EVEN, CLEAR = 8, 60
# A stroke's width in pixels of the 20×20 box; of an outline it is less.
LEAST_STROKE = 1.6


def read_digit(source: Source, max_pixels: int = decode.MAX_PIXELS) -> Grey:
    """The digit on a picture: uint8 ``[28, 28]``, light ink on black.

    Raises InputError, naming the path, for a file that cannot be read, and of these NotOneDigit
    for a picture with none or several on it.
    """
    found = reader().one(decode.load_pixels(source, max_pixels).values)
    if len(found) != 1:
        raise NotOneDigit(decode.name_of(source), len(found))
    return found[0]


def read_digits(source: Source) -> Tuple[Pixels, List[FoundDigit]]:
    """A picture, and the digits on it in reading order; raises as ``read_digit`` does."""
    pixels = decode.load_pixels(source)
    found = reader().found(pixels.values, many=True)
    if not found:
        raise NotOneDigit(decode.name_of(source), 0)
    lines = enumerate(in_lines([digit.on_larger(pixels.reduced) for digit in found]))
    return pixels, [replace(digit, line=number) for number, line in lines for digit in line]


class Reader:
    """What finds digits and what refuses them."""

    def __init__(self, folder: str = weights.FOLDER) -> None:
        self._finder = Finder(weights.load("finder", folder)[0])
        self._refusal = refusal.shared(folder)

    def one(self, picture: Grey) -> List[Grey]:
        """The one digit on a picture, uint8 ``[28, 28]``, or none or several, if so many are there.

        ``picture``: uint8 ``[H, W]`` or RGB ``[H, W, 3]``. What has MNIST's form comes back as it
        is, black on white turned into white on black.
        """
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        as_it_is = [grey.copy(), cv2.bitwise_not(grey)] if grey.shape == (SIDE, SIDE) else []
        for image in as_it_is:
            if is_mnist_form(image):
                return [image]
        plain, is_certain, area = drawn_in_one_piece(grey)
        doubts, reasons = self._refusal.judge(np.array(plain))
        is_none = reasons == [refusal.REASONS[refusal.NONE]] and doubts[0] >= 0
        # What nearly fills the picture may be the paper that a digit is on.
        is_none = is_none and area < MOST_AREA * grey.size
        if is_certain and (is_none or doubts[0] < 0):
            return plain
        found = self.found(picture, many=False)
        images = [digit.image for digit in found]
        if len(found) == 1 and found[0].doubt < 0:
            # A part of what is none may look like a digit.
            found_area = math.prod(found[0].box[2:])
            return plain if is_none and found_area < LEAST_AREA * area else images
        # The finder may miss the finest lines, and what has no more than MNIST's pixels.
        others = plain + as_it_is
        likely = [image for image, doubt in zip(others, self._doubts(others)) if doubt < 0]
        # Or what is drawn there is no digit, or not yet.
        return likely[:1] or images or plain

    def found(self, picture: Grey, many: bool) -> List[FoundDigit]:
        """What is like a digit; without any, what is most like one, for others to refuse.

        The picture is looked at again, larger, as long as nothing is found or what is, is small.
        """
        most, faint = (MORE_ON_PAGES, FAINT_ON_PAGES) if many else (0.0, FAINT)
        kept: List[FoundDigit] = []
        small: List[FoundDigit] = []
        unlikely: List[FoundDigit] = []
        for look in self._finder.looks(picture):
            new = [digit for digit in look if not _any_at(digit, kept)]
            doubts = self._doubts([digit.image for digit in new])
            new = [replace(digit, doubt=doubt) for digit, doubt in zip(new, doubts)]
            # What only its faint ink speaks against is left out: others would not refuse it.
            new = [d for d in new if d.doubt + faint * d.faintness < NO_WRITING]
            unlikely += [digit for digit in new if digit.doubt >= most]
            likely = [digit for digit in new if digit.doubt + faint * digit.faintness < most]
            # What is around another digit was taken for one.
            likely = [
                d for d in likely if not any(d.side > 1.2 * e.side and d.holds(e) for e in likely)
            ]
            # What was like a digit is not given for what is less so, looked at larger.
            sure = [digit for digit in small if digit.doubt < 0]
            likely = [d for d in likely if d.doubt < 0 or not _any_at(d, sure)]
            small = [digit for digit in small if not _any_at(digit, likely)]
            small += [digit for digit in likely if digit.seen < SMALL]
            kept += [digit for digit in likely if digit.seen >= SMALL]
            if kept and not (many and small):
                break
        found = kept + small or sorted(unlikely, key=lambda digit: digit.doubt)[:1]
        return found if many else _main(found)

    def _doubts(self, images: List[Grey]) -> List[float]:
        return list(self._refusal.judge(np.array(images))[0]) if images else []


@lru_cache(maxsize=1)
def reader() -> Reader:
    """The one that a process needs; InputError if its files are missing or damaged."""
    return Reader()


def drawn_in_one_piece(grey: Grey) -> Tuple[List[Grey], bool, int]:
    """The only thing that is drawn on paper of one colour, in MNIST's form; else nothing.

    There is nothing to find then, and even the finest line keeps its place. And whether that is
    certain (it may be an outline), and how many pixels its box has.
    """
    rim = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    if int(np.ptp(rim)) > EVEN:
        return [], False, 0
    difference = cv2.absdiff(grey, np.full_like(grey, np.median(rim)))
    full = int(difference.max())
    mask = (difference > full // 2).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, width, height, _ = (int(value) for value in stats[-1])
    if full < CLEAR or count != 2 or max(width, height) < LEAST_SIDE:
        return [], False, 0
    reach = 2 + max(width, height) // 20
    around = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) == 0
    if cv2.minMaxLoc(difference, around.astype(np.uint8))[1] > EVEN:
        return [], False, 0
    window = slice(top - 1, top + height + 1), slice(left - 1, left + width + 1)
    ink = difference[window].astype(np.float32) / full
    regions, _ = cv2.connectedComponents(1 - mask, connectivity=4)
    stroke = normalize.stroke_width(mask[window] > 0) * normalize.BOX / max(width, height)
    return [normalize.form_of(ink)], regions == 2 or stroke >= LEAST_STROKE, width * height


def _main(found: List[FoundDigit]) -> List[FoundDigit]:
    """The digit where one is wanted, and of others those that surely are digits and no marks."""
    best = min(found, key=lambda digit: digit.doubt, default=None)
    least = LEAST_PART * max((digit.side for digit in found), default=0)
    return [d for d in found if d is best or (d.doubt < SURE and d.side > least)]


def _any_at(digit: FoundDigit, others: List[FoundDigit]) -> bool:
    return any(digit.holds(other) or other.holds(digit) for other in others)


def in_lines(found: List[FoundDigit]) -> List[List[FoundDigit]]:
    """Digits by line of writing, from the top, each from the left.

    A line is followed from digit to digit, so it may rise or fall, as on a photo held askew.
    """
    lines: List[List[FoundDigit]] = []
    for digit in sorted(found, key=lambda digit: digit.box[0]):
        near = [line for line in lines if _continues(line[-1], digit)]
        if near:
            min(near, key=lambda line: abs(line[-1].middle[1] - digit.middle[1])).append(digit)
        else:
            lines.append([digit])
    return sorted(lines, key=lambda line: float(np.mean([digit.middle[1] for digit in line])))


def _continues(last: FoundDigit, digit: FoundDigit) -> bool:
    return abs(last.middle[1] - digit.middle[1]) < 0.5 * max(last.box[3], digit.box[3])
