"""Digits as they might have come: moved, turned, grown, noisy. Whole batches at a time.

Every function takes uint8 ``[N,28,28]``, light ink on black, and returns the same shape and
type; what comes in from outside is black, as the paper is. Equal arguments give equal results.
"""

from dataclasses import dataclass
from typing import Any, Callable, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist.base import seeding

Images = NDArray[np.uint8]


def shift(images: Images, pixels: int) -> Images:
    """Each image moved ``pixels`` (0–28) to one side: by turns left, right, up, down."""
    moved = np.empty_like(images)
    for turn, (down, right) in enumerate(((0, -1), (0, 1), (-1, 0), (1, 0))):
        by = (0, down * pixels, right * pixels)
        ndimage.shift(images[turn::4], by, output=moved[turn::4], order=0)
    return moved


def rotate(images: Images, degrees: float, factor: float = 1.0) -> Images:
    """Each image turned around its middle, anticlockwise for positive ``degrees``, and grown."""
    size = images.shape[1]
    middle = ((size - 1) / 2, (size - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, degrees, factor)
    warped = np.empty(images.shape, np.uint8)
    for source, target in zip(images, warped):
        # Linear interpolation; what lies outside of the source is black.
        cv2.warpAffine(source, matrix, (size, size), dst=target)
    return warped


def scale(images: Images, factor: float) -> Images:
    """Each image grown (above 1) or shrunk around its middle."""
    return rotate(images, 0.0, factor)


def add_noise(images: Images, deviation: float) -> Images:
    """Normal noise on every pixel; ``deviation`` in parts of white (255), cut at 0 and 255.

    The noise is the same for every ``deviation``, only stronger.
    """
    noise = seeding.stream(0, "noise").standard_normal(images.shape, np.float32)
    noisy = images + np.float32(255 * deviation) * noise
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Change:
    """One way to change digits, and the strengths worth looking at, such as change nothing, too."""

    name: str
    strength_name: str
    apply: Callable[[Images, Any], Images]
    strengths: Tuple[float, ...]
    written: str  # a format for one strength

    def show(self, strength: float) -> str:
        """A strength for people, e.g. ``"15°"``."""
        return self.written.format(strength).replace("-", "−")


CHANGES = (
    Change("Shifting", "pixels to one side", shift, (0, 1, 2, 3, 4, 5, 6), "{} px"),
    Change(
        "Turning", "degrees, anticlockwise", rotate,
        (-60, -45, -30, -20, -10, 0, 10, 20, 30, 45, 60), "{}°",
    ),
    Change(
        "Scaling", "times the size", scale,
        (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4), "{}×",
    ),
    Change(
        "Noise", "standard deviation, in parts of white", add_noise,
        (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "{}",
    ),
)  # fmt: skip
