"""Digits drawn with lines, for tests of what becomes of a picture."""

import cv2
import numpy as np


def seven(size=120, pen=10):
    """A dark seven on white paper: uint8 [size, size]."""
    picture = np.full((size, size), 255, np.uint8)
    points = np.array([[0.25, 0.2], [0.72, 0.2], [0.45, 0.8]]) * size
    cv2.polylines(picture, [np.rint(points).astype(int)], False, 0, pen, cv2.LINE_AA)
    return picture
