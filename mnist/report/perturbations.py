"""Digits as they might have come: moved, turned, grown, noisy. Whole batches at a time.

Every function takes uint8 ``[N,28,28]``, N at least 1, light ink on black, and returns the same
shape and type; what comes in from outside is black. Equal arguments give equal results.
"""

from dataclasses import dataclass
from typing import Any, Callable, Tuple

import numpy as np

from mnist.base import seeding
from mnist.base.arrays import Array
from mnist.data import augmentation

# Where a shifted digit's pixels come from, x first, by turns.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))


def move(images: Array, pixels: float = 0, degrees: float = 0, factor: float = 1) -> Array:
    """Each image shifted to one side, by turns left, right, up, down; or turned, or grown.

    Turned anticlockwise and grown (above 1) around its middle.
    """
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrices = np.array([[[cosine, -sine], [sine, cosine]]]) / factor
    shifts = pixels * np.resize(_SIDES, (len(images), 2))
    return augmentation.distort(images, augmentation.affine_maps(matrices, shifts))


def add_noise(images: Array, deviation: float) -> Array:
    """Normal noise on every pixel; ``deviation`` in parts of white (255), cut at 0 and 255.

    The noise is the same for every ``deviation``, only stronger.
    """
    noise = seeding.stream(0, "noise").standard_normal(images.shape, np.float32)
    noisy = images + np.float32(255 * deviation) * noise
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)


@dataclass(frozen=True)
class Change:
    """One way to change digits, and the strengths worth looking at, such as change nothing, too."""

    name: str
    strength_name: str
    apply: Callable[[Array, Any], Array]
    strengths: Tuple[float, ...]
    written: str  # a format for one strength

    def show(self, strength: float) -> str:
        """A strength for people, e.g. ``"15°"``."""
        return self.written.format(strength).replace("-", "−")


CHANGES = (
    Change(
        "Shifting", "pixels to one side", lambda images, pixels: move(images, pixels=pixels),
        (0, 1, 2, 3, 4, 5, 6), "{} px",
    ),
    Change(
        "Turning", "degrees, anticlockwise", lambda images, degrees: move(images, degrees=degrees),
        (-60, -45, -30, -20, -10, 0, 10, 20, 30, 45, 60), "{}°",
    ),
    Change(
        "Scaling", "times the size", lambda images, factor: move(images, factor=factor),
        (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4), "{}×",
    ),
    Change(
        "Noise", "standard deviation, in parts of white", add_noise,
        (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "{}",
    ),
)  # fmt: skip
