"""Changed digits: what each change does to pixels, and what it leaves alone."""

import numpy as np
import pytest
from helpers import digits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mnist.report.perturbations import CHANGES, add_noise, move

some_images = st.integers(1, 6).flatmap(lambda n: arrays(np.uint8, (n, 28, 28)))
each_change = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)


@each_change
def test_every_strength_keeps_shape_and_type_and_the_source(change):
    images = digits().eval.images[:9].copy()
    before = images.copy()
    unchanged = 1.0 if change.name == "Scaling" else 0
    for strength in change.strengths:
        changed = change.apply(images, strength)
        assert changed.shape == images.shape and changed.dtype == np.uint8
        assert np.array_equal(change.apply(images, strength), changed)
        assert np.array_equal(changed, images) == (strength == unchanged)
    assert np.array_equal(images, before)


@given(some_images)
def test_no_change_is_no_change(images):
    for changed in (move(images), add_noise(images, 0)):
        assert np.array_equal(changed, images)


@given(arrays(np.uint8, (4, 28, 28)), st.integers(0, 28))
def test_shifting_moves_by_whole_pixels_and_nothing_comes_in(images, pixels):
    left, right, up, down = move(images, pixels=pixels)
    kept = 28 - pixels
    assert np.array_equal(left[:, :kept], images[0][:, pixels:]) and not left[:, kept:].any()
    assert np.array_equal(right[:, pixels:], images[1][:, :kept]) and not right[:, :pixels].any()
    assert np.array_equal(up[:kept], images[2][pixels:]) and not up[kept:].any()
    assert np.array_equal(down[pixels:], images[3][:kept]) and not down[:pixels].any()


@given(some_images)
def test_a_quarter_turn_is_numpys(images):
    difference = move(images, degrees=90).astype(int) - np.rot90(images, axes=(1, 2))
    assert np.abs(difference).max(initial=0) <= 1


def test_scaling_changes_the_inks_size_around_the_middle():
    square = np.zeros((1, 28, 28), np.uint8)
    square[0, 7:21, 7:21] = 255
    for factor, side in ((0.5, 7), (1.5, 21)):
        inked = move(square, factor=factor)[0] >= 128
        assert abs(np.ptp(np.flatnonzero(inked.any(0))) + 1 - side) <= 1
        assert np.array_equal(inked, inked[::-1]) and np.array_equal(inked, inked.T)


def test_noise_has_the_deviation_it_says():
    grey = np.full((50, 28, 28), 128, np.uint8)
    noisy = add_noise(grey, 0.1).astype(float)
    assert abs(noisy.std() - 25.5) < 0.5 and abs(noisy.mean() - 128) < 0.5


def test_strengths_are_written_for_people():
    written = [change.show(change.strengths[0]) for change in CHANGES]
    assert written == ["0 px", "−60°", "0.5×", "0"]
