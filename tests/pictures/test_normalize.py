"""Ink in MNIST's form: 20 pixels long, centred by mass, strokes as wide as MNIST's."""

import cv2
import numpy as np
import pytest

from mnist.data import idx
from mnist.pictures import normalize


def seven(size, pen):
    """The ink of a seven: float32 [size, size], cut out with a margin."""
    ink = np.zeros((size, size), np.float32)
    points = np.array([[0.25, 0.2], [0.72, 0.2], [0.45, 0.8]]) * size
    cv2.polylines(ink, [np.rint(points).astype(int)], False, 1, pen, cv2.LINE_AA)
    return ink


@pytest.mark.parametrize("size, pen", [(40, 4), (120, 1), (120, 24), (1000, 2), (1500, 90)])
def test_any_ink_comes_into_the_form(size, pen):
    image = normalize.form_of(seven(size, pen))
    assert image.shape == (28, 28) and image.dtype == np.uint8
    assert normalize.is_mnist_form(image)
    rows, columns = (np.flatnonzero((image > 0).any(axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    mass = image.astype(float)
    for axis in (0, 1):
        centre = (mass.sum(axis) * np.arange(28)).sum() / mass.sum()
        assert abs(centre - 14) <= 0.5


@pytest.mark.parametrize("pen", [1, 8, 60])
def test_strokes_are_as_wide_as_mnists(pen):
    shape = normalize.with_stroke(seven(400, pen) > 0.5, 2.0, 3.4) > 0.5
    unit = max(np.ptp(np.flatnonzero(shape.any(axis))) + 1 for axis in (0, 1)) / normalize.BOX
    assert 1.5 * unit < normalize.stroke_width(shape) < 4.2 * unit


def test_real_mnist_has_the_form_and_what_is_moved_or_inverted_has_not(real_mnist):
    digits = idx.read_images(real_mnist / "t10k-images-idx3-ubyte.gz")[0][:2000]
    assert all(normalize.is_mnist_form(digit) for digit in digits)
    assert not any(normalize.is_mnist_form(255 - digit) for digit in digits)
    assert not any(normalize.is_mnist_form(np.roll(digit, 5, 1)) for digit in digits)
