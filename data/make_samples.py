"""Draw data/samples: eight pictures of digits as people make them, for trying predict.

    ./run python data/make_samples.py data/samples

They are this project's own: strokes given as points, smoothed to a curve, drawn with a pen of
uneven width on paper, board or nothing. No data set is in them. The same bytes come out every
time.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

# Strokes as (x, y) points in a unit square, y downwards.
STROKES = {
    2: [[(0.2, 0.3), (0.3, 0.1), (0.55, 0.05), (0.75, 0.2), (0.65, 0.45), (0.4, 0.7), (0.18, 0.92),
         (0.45, 0.93), (0.82, 0.9)]],
    3: [[(0.22, 0.15), (0.45, 0.04), (0.72, 0.13), (0.68, 0.34), (0.42, 0.46), (0.7, 0.56),
         (0.78, 0.78), (0.5, 0.96), (0.2, 0.86)]],
    4: [[(0.5, 0.04), (0.34, 0.3), (0.18, 0.6), (0.5, 0.6), (0.86, 0.57)],
        [(0.66, 0.4), (0.62, 0.68), (0.58, 0.97)]],
    5: [[(0.76, 0.07), (0.54, 0.07), (0.34, 0.09), (0.3, 0.26), (0.28, 0.44), (0.5, 0.38),
         (0.74, 0.52), (0.74, 0.78), (0.5, 0.95), (0.22, 0.87)]],
    6: [[(0.66, 0.05), (0.42, 0.24), (0.28, 0.52), (0.28, 0.78), (0.48, 0.95), (0.7, 0.82),
         (0.68, 0.62), (0.48, 0.54), (0.3, 0.7)]],
    7: [[(0.18, 0.1), (0.48, 0.09), (0.8, 0.08), (0.64, 0.36), (0.52, 0.64), (0.42, 0.96)]],
    8: [[(0.7, 0.2), (0.5, 0.05), (0.3, 0.2), (0.4, 0.4), (0.62, 0.56), (0.72, 0.77), (0.5, 0.95),
         (0.28, 0.77), (0.38, 0.56), (0.6, 0.4), (0.7, 0.2)]],
    9: [[(0.7, 0.24), (0.5, 0.07), (0.3, 0.22), (0.34, 0.42), (0.54, 0.46), (0.7, 0.24),
         (0.68, 0.5), (0.62, 0.75), (0.54, 0.97)]],
}  # fmt: skip
ENCODING = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_JPEG_QUALITY, 85]
FINE = 4  # fine pixels to a pixel, for smooth edges


def main() -> None:
    """Write every sample into the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in samples().items():
        cv2.imwrite(str(folder / name), picture, ENCODING)


def samples() -> "dict[str, np.ndarray]":
    """File name → picture, uint8 ``[H,W,3]`` or ``[H,W,4]`` (blue, green, red, alpha)."""
    white, black = (255, 255, 255), (20, 20, 20)
    return {
        "seven.png": paint(ink(7, 300, 360, 9), white, black),
        "three-chalk.png": paint(ink(3, 260, 260, 11), (48, 62, 40), (225, 235, 230)),
        "five-blue-ink.png": paint(ink(5, 420, 300, 8, corner=(30, 40), size=150), white,
                                   (150, 60, 20)),
        "two-photo.jpg": photograph(paint(ink(2, 320, 320, 10), (205, 215, 220), (70, 60, 60))),
        "eight-transparent.png": transparent(ink(8, 200, 200, 9)),
        "four-marker.png": paint(ink(4, 280, 280, 22), (235, 245, 250), (30, 20, 160)),
        "six-small.png": paint(ink(6, 28, 28, 2.2, corner=(4, 3), size=21), (0, 0, 0), white),
        "nine-pencil.png": paint(ink(9, 300, 400, 4, corner=(60, 70), size=250), (240, 240, 236),
                                 (110, 105, 105)),
    }  # fmt: skip


def ink(digit, width, height, pen, corner=None, size=None):
    """How much ink there is on each pixel: float ``[height,width]``, 0–1.

    ``pen`` is the stroke's width in pixels; ``corner`` and ``size`` place the unit square.
    """
    size = size or 0.75 * min(width, height)
    left, top = corner or ((width - size) / 2, (height - size) / 2)
    canvas = np.zeros((height * FINE, width * FINE), np.uint8)
    wobble = np.random.default_rng(digit)
    for stroke in STROKES[digit]:
        points = smooth(np.array(stroke))
        for number, (x, y) in enumerate(points):
            swell = 1 + 0.15 * np.sin(number / 9 + digit) + 0.03 * wobble.standard_normal()
            centre = (int((left + size * x) * FINE), int((top + size * y) * FINE))
            cv2.circle(canvas, centre, max(1, round(pen * swell * FINE / 2)), 255, -1)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA) / 255


def smooth(points, between=24):
    """A Catmull-Rom curve through the points."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, between, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:]):
        cubic = 3 * b - 3 * c + d - a
        pieces.append(b + 0.5 * (t * (c - a) + t**2 * (2 * a - 5 * b + 4 * c - d) + t**3 * cubic))
    return np.concatenate([*pieces, points[-1:]])


def paint(amount, paper, colour):
    """Ink of one colour on paper of another: uint8 ``[H,W,3]``."""
    mixed = np.array(paper) * (1 - amount[..., None]) + np.array(colour) * amount[..., None]
    return np.rint(mixed).astype(np.uint8)


def photograph(picture):
    """Light that falls off to one corner, and the grain of a sensor."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    light = 1 - 0.45 * (rows / height + columns / width) / 2
    grain = np.random.default_rng(0).normal(0, 4, (height // 2, width // 2))
    grain = cv2.resize(grain, (width, height))[..., None]
    photo = np.clip(picture * light[..., None] + grain, 0, 255)
    return photo.astype(np.uint8)


def transparent(amount):
    """Dark ink on nothing: uint8 ``[H,W,4]``."""
    colour = np.full((*amount.shape, 3), 30, np.uint8)
    return np.dstack([colour, np.rint(255 * amount).astype(np.uint8)])


if __name__ == "__main__":
    main()
