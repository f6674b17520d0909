"""The pictures for tests are what they say: readable files, always alike, with true boxes."""

import io

import numpy as np
import pytest
from helpers import digits
from PIL import Image

from tests.material import fonts, measure, mnist_c, scenes, targets
from tests.material.reader import Reading
from tests.material.scenes import nothing, sheets

ALL = {**scenes.KINDS, **scenes.NO_DIGITS}
# One font stands for all: they are drawn by one function.
FONTS = sorted(kind.name for kind in ALL.values() if kind.group == "fonts")
NAMES = sorted(set(ALL) - set(FONTS[1:]))


def some_digits(count):
    data = digits().eval
    return [scenes.Digit(data.images[i], int(data.labels[i])) for i in range(count)]


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_is_a_readable_file_and_always_the_same(name):
    first, *others = some_digits(12)
    digit = first._replace(others=tuple(others))
    file = scenes.picture(name, digit, 3)
    assert scenes.picture(name, digit, 3) == file
    picture = Image.open(io.BytesIO(file))
    picture.load()
    assert min(picture.size) >= 20 and max(picture.size) <= 2000


@pytest.mark.parametrize("name", sorted(set(NAMES) & set(scenes.KINDS)))
def test_the_digit_is_on_the_picture(name):
    """Two digits that differ make files that differ, with all else alike."""
    by_label = {one.label: one for one in some_digits(60)}
    seven, two = by_label[7], by_label[2]
    assert scenes.picture(name, seven, 1) != scenes.picture(name, two, 1)


def test_there_are_at_least_55_kinds_and_every_group_with_a_target():
    plain = [kind for kind in scenes.KINDS.values() if kind.group != "fonts"]
    assert len(plain) >= 55
    assert {kind.group for kind in plain} >= set(targets.GROUPS) - {"fonts"}
    assert {kind.group for kind in scenes.NO_DIGITS.values()} <= set(targets.REFUSED)


@pytest.mark.parametrize("name", sorted(sheets.SHEETS))
def test_a_sheets_boxes_are_around_its_digits(name):
    page = sheets.sheet(name, some_digits(sheets.DIGITS_EACH), 1)
    grey = np.asarray(Image.open(io.BytesIO(page.file)).convert("L"), int)
    assert len(page.boxes) == len(page.labels) >= 6
    for left, top, width, height in page.boxes:
        assert left >= 0 and top >= 0 and width > 0 and height > 0
        inside = grey[top : top + height, left : left + width]
        assert inside.size == width * height
        # The pen is in the box, and reaches its rim.
        assert np.percentile(inside, 3) < 0.8 * np.percentile(inside, 90)


@pytest.mark.parametrize("name", sorted(mnist_c.CORRUPTIONS))
def test_a_corruption_changes_pixels_and_keeps_their_form(name):
    images = digits().eval.images[:40]
    before = images.copy()
    corrupted = mnist_c.CORRUPTIONS[name](images, np.random.RandomState(5))
    again = mnist_c.CORRUPTIONS[name](images, np.random.RandomState(5))
    assert corrupted.shape == images.shape and corrupted.dtype == np.uint8
    assert np.array_equal(corrupted, again) and np.array_equal(images, before)
    assert (corrupted != images).any(axis=(1, 2)).all()
    assert mnist_c.CORRUPTIONS[name](images[:0], np.random.RandomState(5)).shape == (0, 28, 28)


def test_corruptions_that_are_exact():
    images = digits().eval.images[:3]
    striped = mnist_c.stripe(images, None)
    assert np.array_equal(striped[:, :, 7:21], images[:, :, 7:21])
    assert np.array_equal(striped[:, :, :7], 255 - images[:, :, :7])
    bright = mnist_c.brightness(images, None)
    assert bright.min() >= 127 and (bright[images > 128] == 255).all()


def test_counts_are_those_of_the_readings():
    readings = [
        Reading(3, True, 0.9, ""),
        Reading(5, True, 0.8, ""),
        Reading(5, False, 0.3, "several digits"),
        Reading(None, False, -1.0, "no ink"),
    ]
    found = measure.counts(readings, [3, 3, 5, 1])
    assert found[:6] == (4, 2, 1, 1, 2, 1) and found.share == 0.5
    both = measure.total([found, found])
    assert both[:6] == (8, 4, 2, 2, 4, 2) and len(both.scores) == 8


def test_auroc_is_the_share_of_pairs_in_order():
    digits_, others = [0.9, 0.5, 0.7], [0.5, 0.1]
    assert measure.auroc(digits_, others) == pytest.approx(5.5 / 6)
    rng = np.random.RandomState(2)
    one, other = rng.randint(0, 9, 50) / 10, rng.randint(0, 7, 40) / 10
    pairs = [(a > b) + (a == b) / 2 for a in one for b in other]
    assert measure.auroc(one, other) == pytest.approx(np.mean(pairs))


def test_a_found_box_counts_for_one_digit():
    page = sheets.Sheet(b"", [(0, 0, 10, 10), (12, 0, 10, 10)], [4, 7])

    def compared(*boxes):
        return measure.compared(page, [measure.reader.Found(box, 4, True) for box in boxes])

    assert compared((0, 0, 10, 10), (12, 1, 10, 10)) == (2, 2, 1, 2, 2)
    assert compared((0, 0, 14, 10)) == (2, 1, 1, 1, 1)
    assert compared((40, 0, 9, 9)) == (2, 0, 0, 1, 0)


@pytest.mark.skipif(not fonts.installed(), reason="no font of tests/material/fonts.py is installed")
def test_fonts_have_the_digits_and_somebody_has_every_sign():
    for font in fonts.installed():
        assert all(fonts.holds(font, digit) for digit in "0123456789"), font.file
    for sign in nothing.SIGNS + nothing.PLAIN_LETTERS:
        assert any(fonts.holds(font, sign) for font in fonts.installed()), sign


@pytest.mark.parametrize("name", ["printed letters", "punctuation", "Chinese characters"])
def test_no_sign_is_missing_in_its_font(name):
    if name not in ALL:
        pytest.skip("its fonts are not installed")
    digit = some_digits(1)[0]
    for number in range(150):
        scenes.picture(name, digit, number)
