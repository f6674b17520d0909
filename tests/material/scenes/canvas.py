"""What a picture is made of: ink, paper, desks, light, and the camera that looks at them.

Colours are RGB, float32 0–255, until a file is made. Ink is a share of each pixel, float32 0–1.
"""

from typing import NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from tests.material.dresses import skeleton

Colour = Sequence[float]

# The grid on which a digit's outline is looked for: so many pixels to one of the 28×28.
FINE = 5


class Digit(NamedTuple):
    """A digit as MNIST holds it, uint8 ``[28, 28]``, what it is, and what may stand beside it."""

    image: np.ndarray
    label: int
    others: "Sequence[Digit]" = ()


# --- ink -------------------------------------------------------------------------------


class Outline(NamedTuple):
    """A digit without its pen: distances in pixels of the 28×28, cut tightly around the ink."""

    inside: np.ndarray  # to the edge of its own strokes, positive within
    along: np.ndarray  # to the middle of its strokes
    usual: float  # half of its usual stroke's width


def outline(image: np.ndarray) -> Outline:
    side = 28 * FINE
    large = cv2.resize(image.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    mask = cv2.GaussianBlur(large, (0, 0), 0.3 * FINE) > 0.42 * large.max()
    mask = np.pad(mask, 8 * FINE)
    lines = skeleton(mask)
    within, without, along = (
        cv2.distanceTransform(m.astype(np.uint8), cv2.DIST_L2, 5) for m in (mask, ~mask, ~lines)
    )
    usual = float(np.median(within[lines])) / FINE
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    margin = 7 * FINE
    cut = np.s_[rows[0] - margin : rows[-1] + margin, columns[0] - margin : columns[-1] + margin]
    smooth = [
        cv2.GaussianBlur(f[cut] / FINE, (0, 0), 0.2 * FINE) for f in (within - without, along)
    ]
    return Outline(smooth[0], smooth[1], usual)


def written(digit: Digit, height: float, pen: Optional[float] = None) -> np.ndarray:
    """The digit's ink, ``height`` pixels high (or wide, if that is more), cut tightly.

    ``pen`` is the stroke's width in parts of the height; without it the digit keeps its own.
    """
    found = outline(digit.image)
    inner = np.array(found.inside.shape) / FINE - 14
    scale = height / float(inner.max())
    size = tuple(
        np.maximum(1, np.rint(np.array(found.inside.shape[::-1]) / FINE * scale)).astype(int)
    )
    inside = cv2.resize(found.inside, size, interpolation=cv2.INTER_LINEAR) * scale
    if pen is None:
        return cut_tightly(np.clip(inside + 0.5, 0, 1))
    along = cv2.resize(found.along, size, interpolation=cv2.INTER_LINEAR) * scale
    half = max(pen * height / 2, 0.5)
    moved = np.clip(inside + half - found.usual * scale + 0.5, 0, 1)
    return cut_tightly(np.maximum(moved, np.clip(half - along + 0.5, 0, 1)))


def middle_line(digit: Digit, height: float) -> np.ndarray:
    """Points (x, y) along the middle of the digit's strokes: float32 ``[N, 2]`` from 0."""
    side = 28 * FINE
    large = cv2.resize(digit.image.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    mask = cv2.GaussianBlur(large, (0, 0), 0.3 * FINE) > 0.42 * large.max()
    points = np.argwhere(skeleton(np.pad(mask, 2)))[:, ::-1].astype(np.float32)
    points -= points.min(0)
    return points * height / max(float(points.max()), 1)


def cut_tightly(ink: np.ndarray, margin: int = 2) -> np.ndarray:
    rows, columns = (np.flatnonzero((ink > 0.1).any(axis)) for axis in (1, 0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(cut, margin).astype(np.float32)


def turned(ink: np.ndarray, degrees: float) -> np.ndarray:
    height, width = ink.shape
    side = int(np.hypot(height, width)) + 4
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    return cut_tightly(np.clip(cv2.warpAffine(ink, matrix, (side, side)), 0, 1))


def layer(shape: Tuple[int, int], ink: np.ndarray, top: int, left: int) -> np.ndarray:
    """Ink in its place on an empty layer; what hangs over is cut off."""
    whole = np.zeros(shape, np.float32)
    height, width = min(ink.shape[0], shape[0] - top), min(ink.shape[1], shape[1] - left)
    whole[top : top + height, left : left + width] = ink[:height, :width]
    return whole


def box_of(ink: np.ndarray, top: int, left: int) -> Tuple[int, int, int, int]:
    """Left, top, right and bottom."""
    return left, top, left + ink.shape[1], top + ink.shape[0]


def anywhere(shape: Tuple[int, int], ink: np.ndarray, rng, margin: int = 12) -> Tuple[int, int]:
    """A top and left at which the ink lies wholly on the picture."""
    spare = [max(1, size - other - 2 * margin) for size, other in zip(shape, ink.shape)]
    top, left = (margin + int(rng.randint(room)) for room in spare)
    return top, left


def middle(shape: Tuple[int, int], ink: np.ndarray, rng, wander: float = 0.08) -> Tuple[int, int]:
    """A top and left somewhere around the middle."""
    moved = rng.uniform(-wander, wander, 2)
    top, left = (
        int(np.clip(size * (0.5 + move) - other / 2, 0, max(0, size - other)))
        for size, other, move in zip(shape, ink.shape, moved)
    )
    return top, left


def painted(picture: np.ndarray, ink: np.ndarray, colour: Colour) -> np.ndarray:
    """Covering ink: paint, chalk, a screen's pixels."""
    share = ink[..., None]
    return (picture * (1 - share) + np.asarray(colour, np.float32) * share).astype(np.float32)


def soaked(picture: np.ndarray, ink: np.ndarray, colour: Colour) -> np.ndarray:
    """Ink that light passes, as a pen's on paper: the paper's structure stays."""
    kept = 1 - ink[..., None] * (1 - np.asarray(colour, np.float32) / 255)
    return (picture * kept).astype(np.float32)


PENS = {
    "black": (30, 30, 34),
    "blue": (30, 50, 140),
    "red": (170, 30, 40),
    "green": (20, 105, 60),
    "grey": (70, 70, 76),
    "violet": (90, 40, 130),
}


def some_pen(rng) -> Colour:
    """Mostly black or blue, as people write."""
    names, often = list(PENS), [0.35, 0.35, 0.12, 0.06, 0.08, 0.04]
    base = np.array(PENS[names[rng.choice(len(names), p=often)]], np.float32)
    return np.clip(base + rng.uniform(-14, 14, 3), 0, 255)


def some_digit(digit: Digit, height: float, rng, low: float = 0.06, high: float = 0.14):
    """Written with a pen of some width, turned by a few degrees."""
    return turned(written(digit, height, rng.uniform(low, high)), rng.uniform(-7, 7))


# --- what is written on ----------------------------------------------------------------


def noise(shape: Tuple[int, int], rng, coarse: float = 1) -> np.ndarray:
    """Smooth noise of deviation about 1, its grains ``coarse`` pixels large."""
    small = [max(2, int(np.ceil(size / coarse)) + 1) for size in shape]
    grains = rng.standard_normal(small).astype(np.float32)
    return cv2.resize(grains, shape[::-1], interpolation=cv2.INTER_CUBIC)


def plain(shape: Tuple[int, int], colour: Colour) -> np.ndarray:
    return np.ones((*shape, 3), np.float32) * np.asarray(colour, np.float32)


def paper(shape: Tuple[int, int], rng, colour: Optional[Colour] = None) -> np.ndarray:
    if colour is None:
        colour = rng.uniform(225, 250) + rng.uniform(-6, 4, 3)
    grain = 1.6 * noise(shape, rng) + 1.5 * noise(shape, rng, 40)
    return plain(shape, colour) + grain[..., None]


WOODS = [(150, 104, 66), (190, 150, 105), (96, 62, 40), (205, 180, 145), (120, 84, 60)]


def wood(shape: Tuple[int, int], rng) -> np.ndarray:
    """Boards: long grain, rings that run on, now and then a joint."""
    height, width = shape
    y = np.mgrid[:height, :width][0].astype(np.float32)
    bent = y + 9 * noise(shape, rng, 130)
    rings = np.sin(bent / rng.uniform(2.5, 7) + 2 * noise(shape, rng, 90))
    streaks = cv2.resize(
        rng.standard_normal((height, max(2, width // 50))).astype(np.float32), (width, height)
    )
    tone = 1 + 0.05 * rings + 0.06 * streaks + 0.05 * noise(shape, rng, 160)
    boards = rng.uniform(60, 200)
    joint = np.abs((y - rng.uniform(boards)) % boards) < 1.2
    tone = np.where(joint, 0.6, tone) if rng.rand() < 0.5 else tone
    base = np.array(WOODS[rng.randint(len(WOODS))], np.float32) * rng.uniform(0.8, 1.1)
    desk = base * tone[..., None]
    return desk if rng.rand() < 0.6 else np.ascontiguousarray(_rotated(desk, shape))


def _rotated(picture: np.ndarray, shape: Tuple[int, int]) -> np.ndarray:
    return cv2.resize(picture.transpose(1, 0, 2), shape[::-1])


def cloth(shape: Tuple[int, int], rng) -> np.ndarray:
    """A woven, checked or flowered table cloth."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    base = rng.uniform(60, 210, 3)
    weave = 5 * np.sin(x * 2.1) * np.sin(y * 2.1) + 4 * noise(shape, rng, 3)
    picture = plain(shape, base) + weave[..., None]
    step = rng.uniform(40, 90)
    for place in (x, y):
        band = (place % step < step * 0.5).astype(np.float32)[..., None]
        picture = picture - 24 * band * rng.uniform(0.6, 1.0, 3).astype(np.float32)
    return picture


def stone(shape: Tuple[int, int], rng) -> np.ndarray:
    """A kitchen's worktop: grey or beige with specks."""
    base = rng.uniform(70, 190) + rng.uniform(-10, 10, 3)
    specks = noise(shape, rng, 2)
    tone = 9 * noise(shape, rng, 25) + 22 * (specks > 1.6) - 30 * (specks < -1.7)
    return plain(shape, base) + tone[..., None].astype(np.float32)


def desk(shape: Tuple[int, int], rng) -> np.ndarray:
    kinds = (wood, wood, wood, cloth, stone, plain_top)
    return kinds[rng.randint(len(kinds))](shape, rng)


def plain_top(shape: Tuple[int, int], rng) -> np.ndarray:
    base = rng.uniform(25, 175) + rng.uniform(-18, 18, 3)
    return plain(shape, base) + (3 * noise(shape, rng) + 3 * noise(shape, rng, 60))[..., None]


def bricks(shape: Tuple[int, int], rng) -> np.ndarray:
    height, width = shape
    y, x = np.mgrid[:height, :width]
    tall = int(rng.randint(26, 40))
    long = 2.4 * tall
    row = y // tall
    offset = (x + (row % 2) * long / 2) % long
    mortar = (y % tall < 3) | (offset < 3)
    each = ((row * 37 + ((x + (row % 2) * long / 2) // long).astype(int) * 91) % 17 - 8) * 2.2
    base = np.array([(160, 84, 66), (140, 70, 56), (176, 140, 112)][rng.randint(3)], np.float32)
    wall = base + (each + 6 * noise(shape, rng, 3))[..., None]
    mortar_colour = np.array((188, 182, 172), np.float32) + 4 * noise(shape, rng, 2)[..., None]
    return np.where(mortar[..., None], mortar_colour, wall).astype(np.float32)


def rules(
    picture: np.ndarray,
    step: float,
    colour: Colour,
    width: int = 2,
    start: float = 0,
    vertical: bool = False,
) -> np.ndarray:
    """Printed lines, one after another, over the whole sheet."""
    ink = np.zeros(picture.shape[:2], np.float32)
    for place in np.arange(start, picture.shape[int(vertical)], step):
        at = round(place)
        cut = np.s_[:, at : at + width] if vertical else np.s_[at : at + width]
        ink[cut] = 1
    return soaked(picture, ink, colour)


# --- things drawn by hand --------------------------------------------------------------


def shaky(points: Sequence[Tuple[float, float]], rng, amount: float) -> np.ndarray:
    """A line through points (x, y) as a hand draws it: float32 ``[N, 2]``."""
    points = np.asarray(points, np.float32)
    at = np.linspace(0, len(points) - 1, 16 * (len(points) - 1) + 1)
    line = np.stack([np.interp(at, np.arange(len(points)), points[:, i]) for i in (0, 1)], 1)
    wobble = np.stack([noise((1, len(line)), rng, 9)[0] for _ in (0, 1)], 1)
    return (line + amount * wobble).astype(np.float32)


def stroke(shape: Tuple[int, int], points: np.ndarray, width: float) -> np.ndarray:
    """A line's ink, with smooth edges: float32 0–1."""
    ink = np.zeros(shape, np.uint8)
    cv2.polylines(
        ink, [np.rint(points * 16).astype(np.int32)], False, 255, max(1, round(width)),
        cv2.LINE_AA, 4,
    )  # fmt: skip
    return ink.astype(np.float32) / 255


def line(shape, start, end, width, rng, shake: float = 1.5) -> np.ndarray:
    return stroke(shape, shaky([start, end], rng, shake), width)


def ring(shape, centre, radii, width, rng, shake: float = 0.04) -> np.ndarray:
    """A ring drawn by hand; its ends meet more or less."""
    start = rng.uniform(0, 2 * np.pi)
    angles = start + np.linspace(0, 2 * np.pi + rng.uniform(-0.1, 0.5), 90)
    wobble = 1 + shake * noise((1, 90), rng, 16)[0]
    points = np.stack(
        [
            centre[0] + radii[0] * wobble * np.cos(angles),
            centre[1] + radii[1] * wobble * np.sin(angles),
        ],
        1,
    )
    return stroke(shape, points.astype(np.float32), width)


# --- light and camera ------------------------------------------------------------------


def lamp(picture: np.ndarray, rng, strength: float = 0.35) -> np.ndarray:
    """Light that falls off from a side or from a spot."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y / height - 0.5, x / width - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 - strength * (0.5 + np.cos(angle) * x + np.sin(angle) * y)
    if rng.rand() < 0.4:
        at = rng.uniform(-0.5, 0.5, 2)
        light = light * (1 - strength * ((x - at[0]) ** 2 + (y - at[1]) ** 2))
    return picture * light[..., None]


def cast(picture: np.ndarray, shadow: np.ndarray, depth: float, rng) -> np.ndarray:
    """A shadow (0–1) upon everything; it is a little blue."""
    tint = 1 - depth * np.array([1.0, 0.98, 0.93], np.float32)
    return picture * (1 - shadow[..., None] * (1 - tint))


def seen(picture: np.ndarray, rng, tilt: float, fill: Optional[Colour] = None) -> np.ndarray:
    """From a random point of view: the same size."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    inward = corners + rng.uniform(-tilt, tilt, (4, 2))
    matrix = cv2.getPerspectiveTransform(
        np.float32(corners * (width, height)), np.float32(inward * (width, height))
    )
    border = cv2.BORDER_REFLECT if fill is None else cv2.BORDER_CONSTANT
    return cv2.warpPerspective(
        picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border,
        borderValue=tuple(map(float, fill)) if fill is not None else 0,
    )  # fmt: skip


def lay(ground: np.ndarray, sheet: np.ndarray, rng, size: float, tilt: float = 0.03) -> np.ndarray:
    """A sheet on a desk, turned and seen at an angle, with the shadow of its edge.

    ``size`` is the sheet's longer side in parts of the picture's shorter one.
    """
    height, width = ground.shape[:2]
    tall, wide = sheet.shape[:2]
    scale = size * min(height, width) / max(tall, wide)
    corners = np.array([[0, 0], [wide, 0], [wide, tall], [0, tall]], np.float32)
    angle = np.deg2rad(rng.uniform(-14, 14))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (corners - (wide / 2, tall / 2)) * scale @ turn.T
    moved *= 1 + rng.uniform(-tilt, tilt, (4, 2))
    reach = np.abs(moved).max(0)
    room = np.maximum(0, np.array([width, height]) / 2 - reach - 4)
    moved = np.float32(moved + np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * room)
    matrix = cv2.getPerspectiveTransform(corners, moved)
    shrink = max(1.0, 1 / scale)
    source = cv2.GaussianBlur(sheet, (0, 0), 0.4 * shrink) if shrink > 1.3 else sheet
    size_ = (width, height)
    laid = cv2.warpPerspective(source, matrix, size_, flags=cv2.INTER_LINEAR)
    mask = cv2.warpPerspective(np.ones((tall, wide), np.float32), matrix, size_)
    shift = np.float32([[1, 0, rng.uniform(-5, 5)], [0, 1, rng.uniform(1, 6)]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(mask, shift, size_), (0, 0), rng.uniform(1.5, 5))
    under = cast(ground, shadow, rng.uniform(0.2, 0.5), rng)
    return under * (1 - mask[..., None]) + laid * mask[..., None]


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), sigma) if sigma > 0.05 else picture


def disc_blurred(picture: np.ndarray, radius: float) -> np.ndarray:
    """Out of focus: every point becomes a disc."""
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return cv2.filter2D(picture, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT)


def pixels(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def encoded(picture: np.ndarray, suffix: str = ".png", *options: int) -> bytes:
    """A file of a picture that is grey or RGB(A), uint8."""
    if picture.ndim == 3:
        picture = picture[..., [2, 1, 0, 3][: picture.shape[2]]]
    done, data = cv2.imencode(suffix, picture, list(options))
    assert done, suffix
    return data.tobytes()


def jpeg(picture: np.ndarray, quality: int) -> bytes:
    return encoded(pixels(picture), ".jpg", cv2.IMWRITE_JPEG_QUALITY, int(quality))


def taken(
    picture: np.ndarray,
    rng,
    blur: Tuple[float, float] = (0.3, 1.1),
    grain: Tuple[float, float] = (1, 4),
    light: float = 0.35,
    tint: float = 0.05,
) -> bytes:
    """The photo a telephone makes of it: lamp, white balance, focus, sensor, JPEG."""
    lit = lamp(picture, rng, rng.uniform(0, light)) if light else picture
    lit = lit * (1 + rng.uniform(-tint, tint, 3)).astype(np.float32) * rng.uniform(0.85, 1.05)
    sharp = blurred(lit, rng.uniform(*blur))
    noisy = sharp + rng.uniform(*grain) * rng.standard_normal(sharp.shape).astype(np.float32)
    return jpeg(noisy, rng.randint(68, 94))


def scanned(picture: np.ndarray, rng) -> bytes:
    """What a flat scanner makes of it: even light, hardly any noise, PNG or JPEG."""
    noisy = blurred(picture, rng.uniform(0.3, 0.7)) + 1.2 * noise(picture.shape[:2], rng)[..., None]
    return encoded(pixels(noisy)) if rng.rand() < 0.5 else jpeg(noisy, rng.randint(75, 95))
