"""What a set of handwritten digits is: its splits, its sizes, its limits."""

from typing import Tuple

import numpy as np
from numpy.typing import NDArray

SPLIT_NAMES = ("train", "valid", "eval")
SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10

MAX_IMAGES = 1_000_000
"""Images in one split or file (784 MB). A file that claims more is an error."""

Arrays = Tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images, uint8 ``[N, 28, 28]``, and their labels, int64 ``[N]``."""
