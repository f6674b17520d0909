"""Handwritten digits as they look on the pictures that people have: the same digit, many dresses.

A dress takes a digit as MNIST holds it (uint8 ``[28, 28]``, light ink on black) and a random
stream, and returns a picture file's pixels: uint8 ``[H, W]`` or ``[H, W, 3]`` (RGB). Nothing of
``mnist`` is used here, so that what reads the pictures is not what drew them.
"""

import zlib
from typing import Callable, Dict

import cv2
import numpy as np

Dress = Callable[[np.ndarray, np.random.RandomState], np.ndarray]

# The side of the large drawing, and of one pixel of the 28×28 on it.
SIDE = 280
PIXEL = SIDE // 28


def cover(digit: np.ndarray) -> np.ndarray:
    """The digit drawn large: the share of each pixel that ink covers, float32 ``[280, 280]``."""
    large = cv2.resize(digit, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(large.astype(np.float32) / 255, (0, 0), 0.25 * PIXEL)
    return np.clip((smooth - 0.5) * 4 + 0.5, 0, 1)


def with_pen(digit: np.ndarray, width: float) -> np.ndarray:
    """The digit written with another pen, ``width`` in pixels of the 28×28: float32 0–1.

    All strokes become wider or narrower by as much as makes the usual one so wide; where they
    would break, the pen still runs along their middle. What is filled in stays so.
    """
    ink = cover(digit) > 0.5
    inside = cv2.distanceTransform(ink.astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((~ink).astype(np.uint8), cv2.DIST_L2, 5)
    lines = skeleton(ink)
    change = width * PIXEL / 2 - float(np.median(inside[lines]))
    along = cv2.distanceTransform((~lines).astype(np.uint8), cv2.DIST_L2, 5)
    moved = np.clip(inside - outside + change + 0.5, 0, 1)
    pen = np.clip(width * PIXEL / 2 - along + 0.5, 0, 1)
    return np.maximum(moved, pen).astype(np.float32)


def skeleton(mask: np.ndarray) -> np.ndarray:
    """The middle lines of a shape, one pixel wide (T. Y. Zhang and C. Y. Suen, 1984)."""
    image = mask.astype(np.uint8)
    while True:
        before = image.sum()
        for removable in REMOVABLE:
            code = cv2.filter2D(image, -1, AROUND, borderType=cv2.BORDER_CONSTANT)
            image[removable[code]] = 0
        if image.sum() == before:
            return image > 0


# The bit of each neighbour of a pixel, clockwise from the one above.
AROUND = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


def _removable(first: bool) -> np.ndarray:
    """For each of the 256 neighbourhoods, whether a pass of Zhang and Suen's removes the pixel."""
    p = [(np.arange(256) >> bit) & 1 for bit in range(8)]
    north, east, south, west = p[0], p[2], p[4], p[6]
    if first:
        sides = (north * east * south == 0) & (east * south * west == 0)
    else:
        sides = (north * east * west == 0) & (north * south * west == 0)
    count = sum(p)
    starts = sum((p[i] == 0) & (p[(i + 1) % 8] == 1) for i in range(8))
    return (count >= 2) & (count <= 6) & (starts == 1) & sides


REMOVABLE = (_removable(True), _removable(False))


def on_paper(ink: np.ndarray, paper=(252, 252, 250), pen=(24, 24, 28)) -> np.ndarray:
    """Ink of a colour on plain paper: uint8 ``[H, W, 3]``."""
    share = ink[..., None]
    return np.rint(share * np.array(pen) + (1 - share) * np.array(paper)).astype(np.uint8)


def dark(ink: np.ndarray) -> np.ndarray:
    return np.rint(255 * (1 - ink)).astype(np.uint8)


# --- the dresses ---


def inverted(digit, rng):
    """Dark on white, otherwise as MNIST holds it."""
    return 255 - digit


def large(digit, rng):
    return dark(cover(digit))


def small(digit, rng):
    """Fourteen pixels high, on a picture of 20."""
    small_ = cv2.resize(dark(cover(digit)), (20, 20), interpolation=cv2.INTER_AREA)
    return small_


def coloured(digit, rng):
    papers = [(250, 235, 150), (40, 90, 50), (205, 225, 250), (255, 255, 255)]
    pens = [(20, 20, 120), (250, 250, 230), (200, 30, 40), (70, 110, 220)]
    kind = rng.randint(len(papers))
    return on_paper(cover(digit), papers[kind], pens[kind])


def framed(digit, rng):
    picture = np.pad(dark(cover(digit)), 20, constant_values=255)
    far = picture.shape[0] - 1
    inset, thickness = int(rng.randint(0, 10)), int(rng.randint(2, 7))
    return cv2.rectangle(picture, (inset, inset), (far - inset, far - inset), 40, thickness)


def off_centre(digit, rng):
    """Anywhere on a sheet three times as wide and high."""
    sheet = np.full((3 * SIDE, 3 * SIDE), 255, np.uint8)
    top, left = rng.randint(0, 2 * SIDE + 1, 2)
    sheet[top : top + SIDE, left : left + SIDE] = dark(cover(digit))
    return sheet


def tight(digit, rng):
    """Cut out along the ink."""
    picture = dark(cover(digit))
    rows, columns = (np.flatnonzero((picture < 128).any(axis)) for axis in (1, 0))
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def hairline(digit, rng):
    return dark(with_pen(digit, 0.4))


def thin(digit, rng):
    return dark(with_pen(digit, 1.0))


def thick(digit, rng):
    return dark(with_pen(digit, 4.0))


def very_thick(digit, rng):
    return dark(with_pen(digit, 5.0))


def jpeg(digit, rng):
    """A poor JPEG of a picture of 56×56."""
    picture = cv2.resize(dark(cover(digit)), (56, 56), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 25])
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def rotated(degrees: float) -> Dress:
    def turn(digit, rng):
        matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), degrees, 1)
        return dark(np.clip(cv2.warpAffine(cover(digit), matrix, (SIDE, SIDE)), 0, 1))

    return turn


def noisy(digit, rng):
    """Faint ink under a noisy sensor."""
    grey = 180 - 90 * cover(digit) + rng.normal(0, 12, (SIDE, SIDE))
    return np.clip(grey, 0, 255).astype(np.uint8)


def uneven_light(digit, rng):
    return _lit(on_paper(cover(digit)), rng)


def ruled(digit, rng):
    """On ruled or squared paper, the lines fainter than the ink."""
    step = int(rng.choice([40, 56, 70]))
    paper = np.full((SIDE, SIDE, 3), (250, 249, 244), np.uint8)
    start = int(rng.randint(step))
    paper[start::step] = paper[start + 1 :: step] = (170, 190, 225)
    if rng.rand() < 0.5:
        paper[:, start::step] = paper[:, start + 1 :: step] = (170, 190, 225)
    share = cover(digit)[..., None]
    return np.rint(share * np.array((40, 44, 70)) + (1 - share) * paper).astype(np.uint8)


def photo(digit, rng):
    """A photo of paper: seen at an angle, under a lamp, out of focus, as a JPEG."""
    sheet = np.full((2 * SIDE, 2 * SIDE), 0, np.float32)
    top, left = rng.randint(SIDE // 4, 3 * SIDE // 4 + 1, 2)
    sheet[top : top + SIDE, left : left + SIDE] = with_pen(digit, rng.uniform(1.2, 2.6))
    picture = on_paper(seen_at_an_angle(sheet, rng), (226, 220, 206), (44, 46, 66))
    picture = _lit(picture, rng)
    blurred = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 2.0)).astype(float)
    noisy_ = np.clip(blurred + rng.normal(0, 3, blurred.shape), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", noisy_, [cv2.IMWRITE_JPEG_QUALITY, 70])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def seen_at_an_angle(sheet: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """The middle of a sheet from a random point of view: the same size, float32."""
    height, width = sheet.shape
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * (width, height)
    moved = np.float32(corners + rng.uniform(-0.1, 0.1, (4, 2)) * (width, height))
    matrix = cv2.getPerspectiveTransform(np.float32(corners), moved)
    return np.clip(cv2.warpPerspective(sheet, matrix, (width, height)), 0, 1)


def _lit(picture: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Light that falls off to one side, and the soft edge of a shadow: uint8 like the picture."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1) - 0.5
    angle, turn = rng.uniform(0, 2 * np.pi, 2)
    light = 0.75 - 0.4 * (np.cos(angle) * x + np.sin(angle) * y)
    across = np.cos(turn) * x + np.sin(turn) * y - rng.uniform(-0.3, 0.3)
    shadow = 1 - rng.uniform(0.15, 0.35) / (1 + np.exp(-across * 25))
    return np.clip(picture * (light * shadow)[..., None], 0, 255).astype(np.uint8)


DRESSES: Dict[str, Dress] = {
    "as MNIST has it": lambda digit, rng: digit,
    "inverted": inverted,
    "large": large,
    "small": small,
    "coloured": coloured,
    "framed": framed,
    "off-centre": off_centre,
    "cut tightly": tight,
    "hairline": hairline,
    "thin": thin,
    "thick": thick,
    "very thick": very_thick,
    "JPEG": jpeg,
    "turned 15° left": rotated(15),
    "turned 15° right": rotated(-15),
    "noisy": noisy,
    "uneven light": uneven_light,
    "ruled paper": ruled,
    "photo of paper": photo,
}


def dressed(name: str, digit: np.ndarray) -> np.ndarray:
    """The digit in a dress; its stream is its own, whatever else is drawn."""
    return DRESSES[name](digit, np.random.RandomState(zlib.crc32(name.encode() + digit.tobytes())))
