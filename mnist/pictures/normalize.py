"""Brings one handwritten digit on a greyscale picture into MNIST's own form.

MNIST's form, as the data set's page describes it (Y. LeCun, C. Cortes, C. J. C. Burges, "The
MNIST database of handwritten digits"): bilevel images from NIST were "size normalized to fit in
a 20x20 pixel box while preserving their aspect ratio", grey levels come from the anti-aliasing
of that step, and the images were "centered in a 28x28 image by computing the center of mass of
the pixels, and translating the image so as to position this point at the center". Ink is light,
paper is 0. In the 70,000 images the longer side of the ink measures 20 pixels and the centre of
mass lies within half a pixel of the middle of pixel (14, 14), counted from 0.
"""

from functools import lru_cache
from itertools import product
from typing import Callable, Optional, Tuple

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

# The picture is worked on with its longer side between these, the digit with at least DIGIT_SIDE.
WORK_SIDES = (256, 1024)
DIGIT_SIDE = 160
# Ink must differ from the paper by this part of the paper's brightness.
MIN_CONTRAST = 0.06
# Mean stroke widths in pixels of the 20×20 box, around MNIST's median of 2.4.
MIN_STROKE, MAX_STROKE = 2.0, 3.4
# What is wider than this is no stroke of a pen, and is left as it is.
WIDEST_PEN = 7.0
# The part of a digit's surroundings that must be lighter than it.
PAPER_AROUND = 0.75
# How fast the logarithm of brightness must change at the ink's edge, from a pixel to the next: ink
# a quarter darker than paper does so; in light, shadow and clouds it changes more slowly.
SOFT_EDGE = 0.035
# Where there is hardly any paper to compare with, ink must end as sharply as this.
SHARP_EDGE = 0.12
# Light is so smooth that a picture with this longer side tells all of it.
LIGHT_SIDE = 32
# Paper darker than this part of the brightest is too dark for faint ink to be told from noise.
DARKEST_PAPER = 0.2
# Blots smaller than this part of the largest one, or than so many pixels, are specks.
SPECK, SPECK_AREA = 0.04, 12


class NoInk(InputError):
    """There is nothing on the picture that a pen could have drawn."""


def to_mnist(grey: Grey) -> Grey:
    """A picture with one digit, uint8 ``[H, W]``, as MNIST would hold it: uint8 ``[28, 28]``.

    The ink may be darker or lighter than the paper, anywhere and of any size; uneven light,
    noise, specks and a frame are put aside. A picture that has MNIST's form already comes back
    as it is. Raises NoInk, an InputError, if there is no ink on the picture.
    """
    if is_mnist_form(grey):
        return grey.copy()
    longest = max(grey.shape)
    sized = scaled(grey, np.clip(longest, *WORK_SIDES) / longest)
    return form_of(*_find_ink(with_light_paper(sized)))


def _find_ink(grey: Grey) -> Tuple[Floats, Mask]:
    """The ink of a picture, and the part of it that is the digit, as ``form_of`` takes them."""
    # Most pictures are read at the first try. The others are for ink so wide that it could pass
    # for paper: tightly cut digits, and solid shapes.
    for picture, paper in product((grey, cv2.bitwise_not(grey)), (local_paper, _even_paper)):
        ink = ink_of(picture, paper)
        blots = _digit_blots(ink)
        if blots.any() and is_drawn(picture, blots):
            return ink - paper_level(ink)[0], blots
    strip = _ink_of_strip(grey)
    if strip is None:
        raise NoInk("no ink found on the picture")
    return strip.astype(np.float32), strip


def _ink_of_strip(grey: Grey) -> Optional[Mask]:
    """The ink of a long narrow picture, cut along a 1, which leaves hardly any paper; or None."""
    if max(grey.shape) < 2 * min(grey.shape) or min(grey.shape) < 3:
        return None
    _, light = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    ink: Mask = light == 0
    # A stroke's ends are round: of the corners more are paper; or else of the longer sides.
    sides = ink[:, [0, -1]] if ink.shape[0] > ink.shape[1] else ink[[0, -1]]
    if ink[[0, 0, -1, -1], [0, -1, 0, -1]].mean() + 0.1 * sides.mean() > 0.55:
        ink = ~ink
    if ink.all() or not ink.any():
        return None
    _, edge = _brightness_and_edge(grey, _distance(~ink))
    return ink if edge > SHARP_EDGE else None


def form_of(ink: Floats, blots: Mask) -> Grey:
    """A digit in MNIST's form, uint8 ``[28, 28]``, from the ink of a picture and the digit's part.

    ``ink``: how much darker than the paper each pixel is, 0 being the mean of the paper.
    ``blots``: the digit's pixels.
    """
    digit = _digit(ink, blots) > 0.5
    if _stroke_width(digit) > WIDEST_PEN * max(digit.shape) / BOX:
        return place(np.pad(digit, 1).astype(np.float32))
    return place(with_stroke(digit, MIN_STROKE, MAX_STROKE))


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
    cropped = _crop(shape, shape > 0.25)
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
    width = _stroke_width(padded)
    wider = (np.clip(width, lowest * unit, highest * unit) - width) / 2
    signed = inside - _distance(~padded)
    grown = np.clip(signed + wider + 0.5, 0, 1)
    if wider < 0:
        grown = np.maximum(grown, _ridge(inside, highest * unit / 2))
    return np.asarray(grown, np.float32)


def _stroke_width(mask: Mask) -> float:
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


def scaled(image: Array, factor: float) -> Array:
    """A picture made so many times as large, by averaging or by cubic interpolation."""
    if factor == 1:
        return image
    height, width = (max(1, round(side * factor)) for side in image.shape)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method))


def with_light_paper(grey: Grey) -> Grey:
    """The picture with its ink darker than its paper: inverted if it is not so already."""
    small = scaled(grey, 128 / max(grey.shape))
    inverted = _has_light_ink(small)
    mask = ink_mask(ink_of(cv2.bitwise_not(small) if inverted else small, local_paper))
    if _share_along_edges(mask, 0) > 0.52 and _share_along_edges(mask, len(mask) // 10) > 0.3:
        # In a tightly cut picture the ink may be the larger part; but it is the paper that
        # runs along most of the edges. (What does so and is thin is a frame.)
        inverted = not inverted
    return cv2.bitwise_not(grey) if inverted else grey


def _share_along_edges(mask: Mask, inset: int) -> float:
    """The part of a mask that is set along the picture's edges, or so far within them."""
    cut = mask[inset : len(mask) - inset, inset : mask.shape[1] - inset]
    if not cut.size:
        return 0.0
    return float(np.concatenate([cut[0], cut[-1], cut[:, 0], cut[:, -1]]).mean())


def _has_light_ink(small: Grey) -> bool:
    """Whether what differs most from its surroundings is light: ink is the lesser part."""
    light = _light(small.astype(np.float32), ink_is_dark=False)
    even = np.clip(small * (np.median(light) / light), 0, 255).astype(np.uint8)
    mirrored = cv2.copyMakeBorder(even, 64, 64, 64, 64, cv2.BORDER_REFLECT)
    paper = cv2.medianBlur(mirrored, 127)[64:-64, 64:-64]
    deviation = even.astype(np.float32) - paper
    return float((deviation**3).sum()) > 0


def ink_of(grey: Grey, paper_of: Callable[[Floats], Floats], side: int = 64) -> Floats:
    """How much darker than the paper around it each pixel is: float32, up to 1.

    The paper is looked for on a picture whose longer side has ``side`` pixels.
    """
    small = scaled(grey, side / max(grey.shape)).astype(np.float32)
    light = _light(small)
    paper = paper_of(small / light) * light
    large = cv2.resize(paper, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    darker = large - cv2.GaussianBlur(grey, (0, 0), 1).astype(np.float32)
    return np.asarray(darker / np.maximum(large, max(1.0, DARKEST_PAPER * float(large.max()))))


def _light(small: Floats, ink_is_dark: bool = True) -> Floats:
    """The light on a picture, as smooth as light is: float32 like the picture, 1 at its best.

    The logarithm of the brightness is fitted by a polynomial of fourth degree, again and again
    without what is darker than the last fit (or, while the ink may be light, different): ink.
    """
    coarse = scaled(small, min(1.0, LIGHT_SIDE / max(small.shape)))
    terms = _polynomial(*coarse.shape)
    brightness = np.log(np.maximum(coarse, 4)).ravel()
    weight = np.ones_like(brightness)
    for _ in range(6):
        weighted = terms * weight[:, None]
        slight = 1e-4 * weight.sum() * np.eye(terms.shape[1])
        factors = np.linalg.solve(weighted.T @ terms + slight, weighted.T @ brightness)
        missing = terms @ factors - brightness
        if not ink_is_dark:
            missing = np.abs(missing)
        weight = (missing < max(0.05, float(np.median(np.abs(missing))))).astype(np.float32)
    if weight.mean() < 0.5:
        return np.ones_like(small)
    light = np.exp(_polynomial(*small.shape) @ factors).reshape(small.shape)
    return np.asarray(np.clip(light / light.max(), 0.1, 1), np.float32)


@lru_cache(maxsize=8)
def _polynomial(height: int, width: int) -> Floats:
    """The products of powers of x and y up to the fourth degree: float32 ``[H × W, 15]``."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = [x**i * y**j for i in range(5) for j in range(5 - i)]
    return np.stack(terms, -1).reshape(-1, len(terms)).astype(np.float32)


def local_paper(small: Floats) -> Floats:
    """The paper's brightness where shadows fall on it: float32 like the small picture.

    First guess: what remains when everything dark and narrower than 21 pixels is closed. What is
    much darker than that is ink; the paper is the local mean of all the rest, which follows the
    edge of a shadow closely where there is no ink near.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21))
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, kernel)
    darker = np.rint(255 * np.clip(1 - small / np.maximum(closed, 1), 0, 1)).astype(np.uint8)
    _, ink = cv2.threshold(darker, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    weight = 1 - cv2.dilate(ink, np.ones((3, 3), np.uint8)).astype(np.float32)
    near, near_weight = _weighted_mean(small, weight, closed, 1)
    far, _ = _weighted_mean(small, weight, closed, 3)
    return np.where(near_weight > 0.5, near, far)


def _weighted_mean(
    values: Floats, weight: Floats, otherwise: Floats, sigma: float
) -> Tuple[Floats, Floats]:
    """The Gaussian mean around each pixel of those with weight, and how much weight there is."""
    around: Floats = cv2.GaussianBlur(weight, (0, 0), sigma)
    mean = cv2.GaussianBlur(weight * values, (0, 0), sigma) + 1e-3 * otherwise
    return np.asarray(mean / (around + 1e-3), np.float32), around


def _even_paper(small: Floats) -> Floats:
    """One brightness for all of the paper: for ink so wide that it could pass for paper."""
    light_half = small[small > 0.5 * np.percentile(small, 90)]
    return np.full_like(small, np.median(light_half) if len(light_half) else 0)


def is_drawn(grey: Grey, blots: Mask) -> bool:
    """Whether blots have lighter paper on all sides, and an edge that light does not draw.

    The edge of a shadow, or of something large and dark, has paper on one side only.
    """
    half = int(np.ceil(_stroke_width(blots) / 2))
    reach = half + 2
    # Beyond the picture's edge it goes on as it is: paper as paper, ink as ink.
    around = cv2.copyMakeBorder(grey, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    away = _distance(~np.pad(blots, reach))
    brightness, edge = _brightness_and_edge(around, away)
    within = np.ones(2 * [2 * (reach + half) + 1], np.uint8)
    rises = brightness - cv2.erode(brightness, within)
    rises = rises[(away > reach - 1.5) & (away <= reach)]
    usual = float(np.percentile(rises, 75))
    return edge > SOFT_EDGE and float(np.mean(rises > 0.5 * usual)) > PAPER_AROUND


def _brightness_and_edge(grey: Grey, away: Floats) -> Tuple[Floats, float]:
    """The logarithm of a picture's brightness, and how fast it changes where ink ends.

    ``away``: the distance from the ink of each pixel outside it.
    """
    # In what is nearly black, one level more is a step.
    smooth = np.maximum(cv2.GaussianBlur(grey, (0, 0), 1), 16)
    brightness = np.log(smooth.astype(np.float32))
    steps = np.hypot(cv2.Sobel(brightness, -1, 1, 0), cv2.Sobel(brightness, -1, 0, 1)) / 8
    return brightness, float(np.percentile(steps[(away > 0) & (away <= 2)], 75))


def _digit(ink: Floats, blots: Mask) -> Floats:
    """The digit, cut out: 1 where the ink is full, 0 on the paper and on all that is not ink."""
    full = float(np.percentile(ink[blots], 75))
    near = cv2.dilate(blots.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    cropped = _crop(np.where(near, ink / full, 0).astype(np.float32), near)
    return np.clip(scaled(cropped, max(1.0, DIGIT_SIDE / max(cropped.shape))), 0, 1)


def paper_level(ink: Floats) -> Tuple[float, float]:
    """The mean and the standard deviation of the paper, from the lower percentiles."""
    low, quarter = (float(value) for value in np.percentile(ink, (5, 25)))
    noise = quarter - low
    return quarter + 0.67 * noise, noise


def ink_mask(ink: Floats) -> Mask:
    """Where there is more than paper and its noise."""
    level, noise = paper_level(ink)
    peak = float(ink.max()) - level
    return ink > level + max(MIN_CONTRAST, 5 * noise, 0.25 * peak)


def _digit_blots(ink: Floats) -> Mask:
    """The connected blots of ink that make up the digit: no frame, no specks, no shadows."""
    level, _ = paper_level(ink)
    mask = _without_edge_lines(ink_mask(ink))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA].astype(float)
    areas[0] = 0
    relief = ink - cv2.blur(ink, (max(ink.shape) // 8, max(ink.shape) // 8))
    without_frames = areas.copy()
    for blot in np.flatnonzero(areas >= max(1, SPECK * areas.max())):
        pixels = labels == blot
        if _is_shadow(ink[pixels] - level, relief[pixels]):
            areas[blot] = without_frames[blot] = 0
        elif _is_frame(pixels, stats[blot]):
            without_frames[blot] = 0
    # A lone "0" is no frame, whatever specks there are besides.
    if without_frames.max() > SPECK * areas.max():
        areas = without_frames
    inks = np.bincount(labels.ravel(), ink.ravel(), len(areas)) / np.maximum(areas, 1)
    large = areas >= max(SPECK_AREA, SPECK * areas.max())
    strong = inks - level >= 0.5 * (inks[large].max(initial=level) - level)
    return np.isin(labels, np.flatnonzero(large & strong))


def _without_edge_lines(mask: Mask) -> Mask:
    """The mask with thin lines along whole edges cleared: the digit may touch them."""
    cleared = mask.copy()
    for side in (cleared, cleared[::-1], cleared.T, cleared.T[::-1]):
        thickest = round(0.06 * len(side))
        full = side[: thickest + 1].mean(1) > 0.9
        thickness = int(np.argmin(full)) if not full.all() else 0
        if thickness:
            side[: thickness + 1] = False
    return cleared


def _is_shadow(ink: Floats, relief: Floats) -> bool:
    """Whether a blot has no sharp edge, where ink stands out from the mean of what is around.

    Across a sharp edge it does so by half its strength; the softest of enlarged digits, by 0.4.
    """
    return float(relief.max()) < 0.36 * float(ink.mean())


def _is_frame(blot: Mask, stats: Array) -> bool:
    """Whether a blot runs along the picture's edges, or around its own large bounding box."""
    left, top, width, height, area = (int(value) for value in stats)
    if _share_within(blot, area) < 0.05:
        return True
    large = width > 0.6 * blot.shape[1] and height > 0.6 * blot.shape[0]
    return large and _share_within(blot[top : top + height, left : left + width], area) < 0.1


def _share_within(blot: Mask, area: int) -> float:
    """The part of a blot that lies within the picture, away from its edges."""
    height, width = (round(0.08 * side) for side in blot.shape)
    return float(blot[height : -height or None, width : -width or None].sum()) / area


def _crop(image: Array, mask: Mask) -> Array:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _centre(image: Array) -> Array:
    """The centre of mass, (row, column) in pixels."""
    mass = image.sum(dtype=float)
    rows = (image.sum(1, dtype=float) * np.arange(image.shape[0])).sum() / mass
    columns = (image.sum(0, dtype=float) * np.arange(image.shape[1])).sum() / mass
    return np.array([rows, columns])
