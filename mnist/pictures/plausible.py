"""Whether a picture may be a digit at all: a model gives every picture one of ten answers.

The rule is simple on purpose. A picture is no digit if the model hardly believes its own answer
(with its calibrated confidence, see ``mnist.model.calibration``), or if its ink is built as no
digit is: in too many pieces, with too many holes, too wide, too solid, too much of it. The bounds
lie where the 10,000 images of MNIST's valid lie within, all but five in a thousand; a letter, or a
drawing of a few strokes, passes.
"""

import cv2
import numpy as np

from mnist.base.arrays import Array

INK = 127
# The likeliest of ten answers has at least 0.1. On valid 0.15% of the digits have less than this.
LEAST_CONFIDENCE = 0.5
# Pieces, holes, width to height, radius and pixels: on valid the largest are 5, 5, 2.5, 6.4 and
# 271, and of a thousand digits 999 have no more than 3, 4, 1.7, 5.0 and 230.
MOST_PIECES = 3
MOST_HOLES = 3
MOST_WIDTH_TO_HEIGHT = 1.9
MOST_RADIUS = 5.5
MOST_INK = 250
# Pieces of fewer pixels are breaks in a stroke, or dust.
PIECE = 4


def may_be_digit(image: Array, confidence: float) -> bool:
    """Whether uint8 ``[28,28]``, light ink on black, may be a digit, read with a confidence."""
    if confidence < LEAST_CONFIDENCE:
        return False
    ink = (image > INK).view(np.uint8)
    _, _, width, height = cv2.boundingRect(ink)
    pixels = int(ink.sum())
    if pixels == 0 or width > MOST_WIDTH_TO_HEIGHT * height or pixels > MOST_INK:
        return False
    # The radius of the largest disc that fits into the ink, if so large a one could.
    if pixels > 3 * MOST_RADIUS**2 and _radius(ink) > MOST_RADIUS:
        return False
    _, _, pieces, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    if (pieces[1:, cv2.CC_STAT_AREA] >= PIECE).sum() > MOST_PIECES:
        return False
    # What is not ink is one piece, the paper, and the holes.
    around = cv2.copyMakeBorder(1 - ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    regions, _ = cv2.connectedComponents(around, connectivity=4)
    return bool(regions - 2 <= MOST_HOLES)


def _radius(ink: Array) -> float:
    return float(cv2.distanceTransform(ink, cv2.DIST_L2, 5).max())
