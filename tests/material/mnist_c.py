"""The fifteen corruptions of MNIST-C, written anew from their description.

N. Mu and J. Gilmer, MNIST-C: A Robustness Benchmark for Computer Vision, 2019 (arXiv:1906.02337).
Each takes uint8 ``[N, 28, 28]``, light ink on black, and a random stream, and returns the same
shape and type. None of them has a place in any training.
"""

from typing import Callable, Dict

import cv2
import numpy as np

SIDE = 28
MIDDLE = (SIDE - 1) / 2

Corruption = Callable[[np.ndarray, np.random.RandomState], np.ndarray]


def _bytes(shares: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)


def _each(images: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Every image, as float32 shares 0–1, changed by itself."""
    shares = images.astype(np.float32) / 255
    return _bytes(np.stack([change(image) for image in shares])) if len(images) else images.copy()


def shot_noise(images, rng):
    """The noise of counted photons: Poisson, of three at full light."""
    return _bytes(rng.poisson(images / 255.0 * 3) / 3)


def impulse_noise(images, rng):
    """Salt and pepper on 17% of the pixels."""
    fate = rng.rand(*images.shape)
    return np.where(fate < 0.085, 0, np.where(fate < 0.17, 255, images)).astype(np.uint8)


def glass_blur(images, rng):
    """Seen through frosted glass: blurred, neighbours exchanged, blurred again."""

    def change(image):
        soft = cv2.GaussianBlur(image, (0, 0), 0.7)
        for _ in range(2):
            for row in range(SIDE - 2, 0, -1):
                for column in range(SIDE - 2, 0, -1):
                    down, right = rng.randint(-1, 2, 2)
                    there = row + down, column + right
                    soft[row, column], soft[there] = soft[there], soft[row, column]
        return cv2.GaussianBlur(soft, (0, 0), 0.7)

    return _each(images, change)


def motion_blur(images, rng):
    """Moved within ±45° of the horizontal, most light at one end of the path."""

    def change(image):
        reach = 10
        kernel = np.zeros((2 * reach + 1,) * 2, np.float32)
        angle = rng.uniform(-np.pi / 4, np.pi / 4)
        for step in np.arange(0, reach, 0.25):
            at = reach + step * np.array([np.sin(angle), np.cos(angle)])
            kernel[tuple(np.rint(at).astype(int))] += np.exp(-(step**2) / (2 * 3.0**2))
        return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_CONSTANT)

    return _each(images, change)


def _warped(images, matrix_of):
    """By affine maps around the middle; what comes in is black."""

    def change(image):
        linear, moved = matrix_of()
        centre = np.array([MIDDLE, MIDDLE])
        matrix = np.column_stack([linear, centre - linear @ centre + moved])
        return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)

    return _each(images, change)


def shear(images, rng):
    """By 0.4 to one side or the other."""
    return _warped(images, lambda: (np.array([[1, 0.4 * rng.choice([-1, 1])], [0, 1]]), (0, 0)))


def scale(images, rng):
    """Shrunk to 0.6 around the middle."""
    return _warped(images, lambda: (0.6 * np.eye(2), (0, 0)))


def rotate(images, rng):
    """Turned by 0.4 radians to one side or the other."""

    def turn():
        angle = 0.4 * rng.choice([-1, 1])
        cosine, sine = np.cos(angle), np.sin(angle)
        return np.array([[cosine, -sine], [sine, cosine]]), (0, 0)

    return _warped(images, turn)


def brightness(images, rng):
    """Everything lighter by half of the range."""
    return _bytes(images / 255.0 + 0.5)


def translate(images, rng):
    """Moved by three pixels and more along each axis."""
    return _warped(images, lambda: (np.eye(2), rng.choice([-1, 1], 2) * rng.uniform(2.5, 4, 2)))


def stripe(images, rng):
    """A stripe at the left and one at the right, inverted."""
    striped = images.copy()
    striped[:, :, :7] = 255 - striped[:, :, :7]
    striped[:, :, 21:] = 255 - striped[:, :, 21:]
    return striped


def _clouds(rng) -> np.ndarray:
    """Noise of all scales, each half as strong as the next larger one: 0 to 1."""
    clouds = np.zeros((SIDE, SIDE), np.float32)
    for level in range(1, 6):
        grains = rng.rand(2**level + 1, 2**level + 1).astype(np.float32)
        clouds += cv2.resize(grains, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) / 2**level
    return (clouds - clouds.min()) / np.ptp(clouds)


def fog(images, rng):
    """Clouds twice as bright as the ink, then all of it darkened to fit."""
    return _each(images, lambda image: (image + 2 * _clouds(rng)) / 3)


def spatter(images, rng):
    """Drops of one grey on the lens, covering what is behind them."""

    def change(image):
        liquid = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE)).astype(np.float32), (0, 0), 1.6)
        drops = liquid > np.quantile(liquid, 0.86)
        share = cv2.GaussianBlur(drops.astype(np.float32), (0, 0), 0.6)
        share[share < 0.4] = 0
        return image * (1 - share) + share * rng.uniform(0.3, 0.65)

    return _each(images, change)


def _ends(rng):
    """Two points beyond the middle, one at each side of it."""
    angle = rng.uniform(0, np.pi)
    toward = 15 * np.array([np.cos(angle), np.sin(angle)])
    middle = MIDDLE + rng.uniform(-5, 5, 2)
    return middle - toward, middle + toward


def _drawn_over(images, points_of, closed_lines):
    def change(image):
        ink = np.zeros((SIDE, SIDE), np.uint8)
        for points in closed_lines(points_of()):
            fixed = np.rint(np.asarray(points) * 16).astype(np.int32)
            cv2.polylines(ink, [fixed], False, 255, 1, cv2.LINE_AA, 4)
        return np.maximum(image, ink.astype(np.float32) / 255)

    return _each(images, change)


def dotted_line(images, rng):
    """A straight row of short dashes across the digit."""

    def dashes(ends):
        start, end = ends
        places = [start + share * (end - start) for share in np.linspace(0, 1, 11)]
        return [(place, place + 0.04 * (end - start)) for place in places]

    return _drawn_over(images, lambda: _ends(rng), dashes)


def zigzag(images, rng):
    """A zigzag line across the digit."""

    def line(ends):
        start, end = ends
        across = np.array([start[1] - end[1], end[0] - start[0]]) / 30
        steps = np.linspace(0, 1, 9)
        return [[start + s * (end - start) + 2 * (-1) ** i * across for i, s in enumerate(steps)]]

    return _drawn_over(images, lambda: _ends(rng), line)


def canny_edges(images, rng):
    """The edges alone, as Canny finds them."""

    def change(image):
        soft = cv2.GaussianBlur(np.rint(image * 255).astype(np.uint8), (0, 0), 1)
        return cv2.Canny(soft, 25, 50, L2gradient=True).astype(np.float32) / 255

    return _each(images, change)


CORRUPTIONS: Dict[str, Corruption] = {
    "shot noise": shot_noise,
    "impulse noise": impulse_noise,
    "glass blur": glass_blur,
    "motion blur": motion_blur,
    "shear": shear,
    "scale": scale,
    "rotate": rotate,
    "brightness": brightness,
    "translate": translate,
    "stripe": stripe,
    "fog": fog,
    "spatter": spatter,
    "dotted line": dotted_line,
    "zigzag": zigzag,
    "canny edges": canny_edges,
}
