"""The finder: its maps and what becomes of them; what the trained weights read is in test_cases."""

import cv2
import numpy as np
import pytest
from helpers import dygraph

from mnist.pictures import finder
from mnist.pictures.finder import Maps


def maps_of(*digits, size=(96, 160)):
    """Perfect maps of ellipses, each (x, y, half width, half height)."""
    cell = finder.VOTE_CELL
    ink = np.zeros(size, np.float32)
    votes = np.zeros((3, size[0] // cell, size[1] // cell), np.float32)
    rows, columns = np.mgrid[: size[0] : cell, : size[1] : cell] + (cell - 1) / 2
    for x, y, a, b in digits:
        ring = np.zeros(size, np.uint8)
        cv2.ellipse(ring, (x, y), (a, b), 0, 0, 360, 255, 5)
        ink[ring > 0] = 0.95
        mine = cv2.resize(ring, votes.shape[:0:-1], interpolation=cv2.INTER_AREA) > 0
        votes[0][mine] = (x - columns[mine]) / finder.OFFSET_UNIT
        votes[1][mine] = (y - rows[mine]) / finder.OFFSET_UNIT
        votes[2][mine] = np.log2(2 * max(a, b) / finder.SIZE_UNIT)
    return Maps(ink, votes)


def test_unfolding_is_the_inverse_of_folding():
    picture = np.random.default_rng(0).random((1, 12, 16)).astype(np.float32)
    assert finder.folded(picture).shape == (4, 6, 8)
    with dygraph() as fluid:
        folded = fluid.dygraph.to_variable(finder.folded(picture)[None])
        unfolded = fluid.layers.pixel_shuffle(folded, 2).numpy()
    np.testing.assert_array_equal(unfolded[0], picture)


@pytest.mark.parametrize("shape", [(160, 160), (160, 90), (28, 28), (1, 50)])
def test_the_input_has_sides_that_the_network_can_halve(shape):
    values = finder.as_input(np.full((*shape, 3), 200, np.uint8))
    assert values.dtype == np.float32
    assert values.shape[0] == 16
    assert values.shape[1] % 16 == 0 and values.shape[2] % 16 == 0
    assert 2 * values.shape[1] >= shape[0] and 2 * values.shape[2] >= shape[1]


def test_a_digit_is_found_where_it_is():
    (part,) = finder.parts_of(maps_of((80, 48, 20, 30)))
    assert np.abs(np.subtract(part.middle, (80, 48))).max() < 2
    assert abs(part.side - 60) < 2 and abs(part.extent - 65) <= 4


@pytest.mark.parametrize("count", [2, 3, 5])
def test_digits_that_touch_come_apart(count):
    digits = [(30 + 34 * number, 48, 16, 25) for number in range(count)]
    parts = finder.parts_of(maps_of(*digits, size=(96, 224)))
    assert len(parts) == count
    for part, (x, y, _, _) in zip(sorted(parts, key=lambda part: part.middle[0]), digits):
        assert np.abs(np.subtract(part.middle, (x, y))).max() < 4
        assert np.abs(np.subtract(part.last, part.first) + 1 - (55, 37)).max() <= 6


def test_a_small_digit_stays_apart_from_a_large_one():
    parts = finder.parts_of(maps_of((50, 48, 26, 40), (110, 70, 10, 14)))
    assert sorted(part.extent for part in parts) == pytest.approx([33, 85], abs=4)


def test_broken_strokes_come_together():
    maps = maps_of((80, 48, 20, 30))
    maps.ink[40:50] = 0
    assert len(finder.parts_of(maps)) == 1


def test_a_scrap_of_a_large_digit_is_none():
    maps = maps_of((80, 48, 20, 30))
    maps.ink[:60] = 0
    maps.ink[:, 80:] = 0
    assert finder.parts_of(maps) == []


def test_no_ink_is_no_digit():
    assert finder.parts_of(maps_of()) == []
