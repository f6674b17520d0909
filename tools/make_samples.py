"""Make data/samples: digits as a person would write them, drawn by this script.

Run by hand, from the project's folder:

    python tools/make_samples.py data/samples

Each digit is a pen's path through a few points, smoothed by a spline, with a little wobble and a
width that varies along the stroke. The pictures are our own; they are taken from no data set.
"""

import sys
from pathlib import Path
from typing import Dict, List, Tuple

import cv2
import numpy as np
from PIL import Image
from scipy.interpolate import CubicSpline

Strokes = List[List[Tuple[float, float]]]
Colour = Tuple[int, int, int]

# The points of each stroke, (x, y) in a box of height 1 with y downwards.
DIGITS: Dict[str, Strokes] = {
    "zero": [[(0.42, 0.02), (0.16, 0.18), (0.06, 0.52), (0.18, 0.88), (0.40, 0.98),
              (0.62, 0.84), (0.70, 0.48), (0.60, 0.14), (0.40, 0.02)]],
    "one": [[(0.24, 0.18), (0.30, 0.10), (0.36, 0.01)],
            [(0.36, 0.01), (0.36, 0.48), (0.34, 0.99)]],
    "two": [[(0.08, 0.24), (0.20, 0.06), (0.42, 0.01), (0.60, 0.14), (0.58, 0.36),
             (0.38, 0.62), (0.06, 0.97)], [(0.06, 0.97), (0.34, 0.96), (0.70, 0.95)]],
    "three": [[(0.08, 0.12), (0.28, 0.01), (0.52, 0.06), (0.58, 0.24), (0.44, 0.42),
               (0.26, 0.47), (0.50, 0.52), (0.63, 0.70), (0.54, 0.91), (0.30, 0.99),
               (0.05, 0.88)]],
    "four": [[(0.42, 0.02), (0.26, 0.32), (0.05, 0.64)],
             [(0.05, 0.64), (0.36, 0.63), (0.72, 0.60)],
             [(0.54, 0.30), (0.52, 0.64), (0.50, 0.99)]],
    "five": [[(0.62, 0.03), (0.38, 0.03), (0.16, 0.05)], [(0.16, 0.05), (0.13, 0.24), (0.11, 0.43)],
             [(0.11, 0.43), (0.32, 0.36), (0.54, 0.44), (0.63, 0.66), (0.50, 0.91),
              (0.26, 0.98), (0.05, 0.90)]],
    "six": [[(0.54, 0.02), (0.30, 0.18), (0.12, 0.46), (0.08, 0.74), (0.22, 0.96), (0.44, 0.96),
             (0.58, 0.76), (0.46, 0.57), (0.26, 0.60), (0.11, 0.76)]],
    "seven": [[(0.06, 0.06), (0.34, 0.04), (0.64, 0.03)],
              [(0.64, 0.03), (0.46, 0.46), (0.30, 0.99)]],
    "eight": [[(0.52, 0.10), (0.32, 0.01), (0.14, 0.14), (0.22, 0.36), (0.46, 0.55), (0.56, 0.80),
               (0.36, 0.98), (0.12, 0.84), (0.20, 0.60), (0.44, 0.38), (0.54, 0.18),
               (0.50, 0.08)]],
    "nine": [[(0.56, 0.18), (0.38, 0.02), (0.14, 0.12), (0.09, 0.34), (0.26, 0.48), (0.48, 0.38),
              (0.57, 0.16)], [(0.57, 0.16), (0.55, 0.54), (0.46, 0.98)]],
}  # fmt: skip

# Drawn this many times as large, then averaged down.
FINE = 4


def main() -> None:
    """Write the pictures into the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    white, black = (252, 252, 250), (24, 24, 28)
    _save(folder / "seven.png", on_paper(ink("seven", 300, 400, 270, 17), white, black))
    _save(folder / "four-pencil.png", pencil(ink("four", 260, 320, 210, 8)))
    _save(folder / "three-chalk.png", chalk(ink("three", 320, 320, 220, 20)))
    blue = ink("five", 480, 360, 170, 10, at=(0.74, 0.34))
    _save(folder / "five-blue-ink.png", on_paper(blue, (250, 244, 214), (36, 62, 168)))
    _save(folder / "two-photo.png", photo(ink("two", 280, 210, 135, 10, at=(0.45, 0.55))))
    _save(folder / "eight-transparent.png", transparent(ink("eight", 256, 256, 190, 15)))
    _save(folder / "zero-framed.png", framed(on_paper(ink("zero", 200, 240, 150, 9), white, black)))
    _save(folder / "nine-tiny.png", on_paper(ink("nine", 40, 40, 28, 3), white, black))
    _save(folder / "six-marker.png", on_paper(ink("six", 300, 300, 230, 30), white, (200, 30, 40)))
    sheets = folder / "sheets"
    sheets.mkdir(exist_ok=True)
    squared = sheet(["3141", "59265", "358"], 640, 560, 96, 9, rule=32, squared=True)
    on_table(squared, 7).save(sheets / "squared-paper-on-a-table.jpg", quality=80)
    ruled = sheet(["20061998", "0473", "8152 966"], 900, 480, 74, 6, rule=60, squared=False)
    on_table(ruled, 8, table=False).save(sheets / "ruled-paper.jpg", quality=80)


def ink(
    digit: str,
    width: int,
    height: int,
    size: int,
    pen: float,
    at: Tuple[float, float] = (0.5, 0.5),
) -> np.ndarray:
    """The share of each pixel that a pen has covered: float ``[height, width]``, 0–1.

    ``size`` is the digit's height and ``pen`` the pen's mean width, in pixels; ``at`` is where
    the digit's middle lies, as shares of width and height.
    """
    rng = np.random.RandomState(sum(map(ord, digit)))
    fine = np.zeros((height * FINE, width * FINE), np.uint8)
    corner = np.array([at[0] * width - 0.36 * size, at[1] * height - 0.5 * size])
    for stroke in DIGITS[digit]:
        for (x, y), radius in zip(*path(stroke, rng)):
            point = (corner + size * np.array([x, y])) * FINE
            centre = tuple(int(v) for v in np.rint(point))
            cv2.circle(fine, centre, max(1, round(pen * radius * FINE / 2)), 255, -1, cv2.LINE_AA)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) / 255


def path(
    stroke: List[Tuple[float, float]], rng: np.random.RandomState
) -> Tuple[np.ndarray, np.ndarray]:
    """Points ``[400, 2]`` along a stroke and the pen's width at each, around 1."""
    points = np.array(stroke) + rng.normal(0, 0.006, (len(stroke), 2))
    points[0], points[-1] = stroke[0], stroke[-1]
    steps = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
    t = np.linspace(0, 1, 400)
    tremble = np.interp(t, np.linspace(0, 1, 9), rng.normal(0, 0.08, 9))
    return CubicSpline(along, points)(t), 1.08 + tremble - 0.25 * t**3


def on_paper(cover: np.ndarray, paper: Colour, colour: Colour) -> np.ndarray:
    """Ink of a colour on plain paper: uint8 ``[H, W, 3]``."""
    share = cover[..., None]
    return np.rint(share * colour + (1 - share) * np.array(paper)).astype(np.uint8)


def chalk(cover: np.ndarray) -> np.ndarray:
    """Chalk, with gaps, on a green board."""
    rng = np.random.RandomState(3)
    grain = cv2.GaussianBlur(rng.uniform(0, 1, cover.shape), (0, 0), 1.0)
    gaps = np.clip((grain - 0.42) * 9, 0.15, 1)
    return on_paper(cover * gaps, (38, 66, 54), (232, 232, 222)) // 6 * 6


def pencil(cover: np.ndarray) -> np.ndarray:
    """A soft pencil: grey, lighter here and there."""
    rng = np.random.RandomState(4)
    grain = cv2.GaussianBlur(rng.uniform(0, 1, cover.shape), (0, 0), 0.8)
    return (
        on_paper(cover * np.clip(0.5 + grain * 0.6, 0, 1), (247, 246, 243), (92, 92, 98)) // 3 * 3
    )


def photo(cover: np.ndarray) -> np.ndarray:
    """A photo of paper under a lamp: uneven light, a shadow, a blurred lens, sensor noise."""
    rng = np.random.RandomState(5)
    height, width = cover.shape
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    light = 1.0 - 0.35 * x - 0.15 * y
    shadow = 1 - 0.3 / (1 + np.exp(-(x + 0.6 * y - 1.1) * 22))
    picture = on_paper(cover, (224, 216, 200), (44, 46, 60)) * (light * shadow)[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), 1.0) + rng.normal(0, 2, (height, width, 1))
    return np.clip(picture, 0, 255).astype(np.uint8) // 8 * 8


def transparent(cover: np.ndarray) -> np.ndarray:
    """Black ink on nothing: uint8 ``[H, W, 4]``."""
    picture = np.zeros((*cover.shape, 4), np.uint8)
    picture[..., 3] = np.rint(255 * cover)
    return picture


def sheet(
    lines: List[str], width: int, height: int, size: int, pen: float, rule: int, squared: bool
) -> np.ndarray:
    """Lines of digits, each a little askew, on ruled or squared paper: uint8 ``[H, W, 3]``."""
    rng = np.random.RandomState(size)
    names = list(DIGITS)
    paper = np.full((height, width, 3), (250, 248, 240), np.uint8)
    paper[rule // 2 :: rule] = (176, 196, 226)
    if squared:
        paper[:, rule // 2 :: rule] = (176, 196, 226)
    cover = np.zeros((height, width))
    for row, text in enumerate(lines):
        for column, digit in enumerate(text):
            if digit != " ":
                x = 0.09 * width + (column + 0.5) * 0.95 * size + rng.uniform(-0.06, 0.06) * size
                y = (row + 0.75) * height / (len(lines) + 0.5) + rng.uniform(-0.08, 0.08) * size
                tall = round(size * rng.uniform(0.85, 1.1))
                at = (x / width, y / height)
                cover = np.maximum(cover, ink(names[int(digit)], width, height, tall, pen, at))
    share = cover[..., None]
    return np.rint(share * np.array((32, 40, 88)) + (1 - share) * paper).astype(np.uint8)


def on_table(paper: np.ndarray, seed: int, table: bool = True) -> Image.Image:
    """A photo of a sheet, at an angle, under a lamp, a hand's shadow on it."""
    rng = np.random.RandomState(seed)
    height, width = paper.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    # With the table in the picture the sheet is drawn in, without it the sheet goes beyond.
    inwards = 0.09 if table else -0.03
    middle = corners.mean(axis=0)
    moved = corners + (middle - corners) * 2 * inwards + rng.uniform(-0.05, 0.05, (4, 2)) * height
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    grain = cv2.GaussianBlur(rng.normal(0, 40, (height, width)), (0, 0), 30, sigmaY=1.5)
    wood = np.clip(np.array((112, 76, 50)) + grain[..., None], 0, 255)
    seen = cv2.warpPerspective(np.full((height, width), 1.0), matrix, (width, height))[..., None]
    warped = cv2.warpPerspective(paper, matrix, (width, height), flags=cv2.INTER_AREA)
    picture = seen * warped + (1 - seen) * wood
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    light = 0.95 - 0.35 * x - 0.2 * y
    shadow = 1 - 0.35 / (1 + np.exp(-(x - 0.5 * y - 0.45) * 30))
    picture = cv2.GaussianBlur(picture * (light * shadow)[..., None], (0, 0), 0.8)
    picture += rng.normal(0, 2.5, picture.shape)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def framed(picture: np.ndarray) -> np.ndarray:
    """The picture with a ruled frame near its edge."""
    height, width = picture.shape[:2]
    return cv2.rectangle(picture.copy(), (5, 5), (width - 6, height - 6), (60, 60, 60), 2)


def _save(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(path, optimize=True)


if __name__ == "__main__":
    main()
