"""What a set of handwritten digits is: its splits, its sizes, its limits."""

from typing import Tuple

from mnist.base.arrays import Array
from mnist.config.classes import DIGITS

SPLIT_NAMES = ("train", "valid", "eval")
SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = len(DIGITS)

MAX_IMAGES = 1_000_000
"""Images in one split or file (784 MB). A file that claims more is an error."""

Samples = Tuple[Array, Array]
"""Images, uint8 ``[N, 28, 28]``, and their labels, int64 ``[N]``."""
