"""Several digits on a picture: found, in order, in MNIST's form; drawn into a copy."""

import cv2
import numpy as np
import pytest
from helpers import ROOT, digits
from PIL import Image

from mnist.model.predictor import Prediction
from mnist.pictures import annotation, decode, normalize, several
from tests.material import dresses

SHEETS = ROOT / "data" / "samples" / "sheets"


def sheet(lines=("314", "15926"), size=60, pen=2.0, rise=0.0):
    """Real digits in lines on white paper, and the box of each, in reading order."""
    data = digits().train
    height, width = 110 * len(lines), 90 * max(map(len, lines)) + 40
    paper, boxes = np.zeros((height, width), np.float32), []
    for row, text in enumerate(lines):
        for column, digit in enumerate(text):
            image = data.images[np.flatnonzero(data.labels == int(digit))[row + column]]
            large = cv2.resize(dresses.with_pen(image, pen), (size, size))
            top = int(110 * row + 25 - rise * 90 * column)
            left = 90 * column + 20
            paper[top : top + size, left : left + size] = large
            boxes.append((left, top, size, size))
    return np.rint(255 * (1 - paper)).astype(np.uint8), boxes


def inside(found, box):
    left, top, width, height = box
    x, y = found.box[0] + found.box[2] / 2, found.box[1] + found.box[3] / 2
    return left < x < left + width and top < y < top + height


def right(found, boxes):
    return len(found) == len(boxes) and all(map(inside, found, boxes))


def test_digits_are_found_in_reading_order_and_in_mnists_form():
    picture, boxes = sheet(("314", "7926"))
    found = several.find_digits(picture)
    assert right(found, boxes)
    assert [digit.line for digit in found] == [0] * 3 + [1] * 4
    for digit in found:
        assert normalize.is_mnist_form(digit.image)


@pytest.mark.parametrize("factor", [0.5, 1, 4])
@pytest.mark.parametrize("inverted", [False, True])
def test_any_size_and_polarity(factor, inverted):
    picture, boxes = sheet(("2749",))
    large = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    found = several.find_digits(255 - large if inverted else large)
    assert right(found, [tuple(factor * side for side in box) for box in boxes])


def test_a_line_that_rises_stays_a_line():
    picture, boxes = sheet(("7", "74926"), rise=0.12)
    found = several.find_digits(picture)
    assert right(found, boxes)
    assert [digit.line for digit in found] == [0] + [1] * 5


def test_uneven_light_a_shadow_and_ruled_paper():
    picture, boxes = sheet(("374", "2796"))
    picture[10::30] = np.minimum(picture[10::30], 190)
    lit = dresses._lit(np.dstack([picture] * 3), np.random.RandomState(4))[..., 0]
    assert right(several.find_digits(lit), boxes)


def test_a_line_cut_out_tightly():
    picture, _ = sheet(("2749",))
    rows, columns = (np.flatnonzero((picture < 128).any(axis)) for axis in (1, 0))
    cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert len(several.find_digits(cut)) == 4


def test_dust_is_no_digit():
    picture, boxes = sheet(("374",))
    for x, y in ((5, 5), (150, 12), (300, 100)):
        cv2.circle(picture, (x, y), 3, 0, -1)
    assert right(several.find_digits(picture), boxes)


def test_a_detached_bar_belongs_to_its_digit():
    picture = np.full((200, 300), 255, np.uint8)
    cv2.line(picture, (60, 50), (100, 48), 0, 6)
    cv2.polylines(picture, [np.array([[55, 60], [52, 95], [85, 100], [95, 130], [50, 150]])],
                  False, 0, 6)  # fmt: skip
    cv2.line(picture, (200, 48), (195, 150), 0, 6)
    assert len(several.find_digits(picture)) == 2


@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_paper(level):
    with pytest.raises(normalize.NoInk):
        several.find_digits(np.full((300, 400), level, np.uint8))


def test_the_sample_sheets():
    counts = {"ruled-paper.jpg": [8, 4, 7], "squared-paper-on-a-table.jpg": [4, 5, 3]}
    assert {path.name for path in SHEETS.iterdir()} == set(counts)
    for name, expected in counts.items():
        found = several.find_digits(decode.load_image(SHEETS / name))
        assert np.bincount([digit.line for digit in found]).tolist() == expected


def test_the_copy_has_boxes_and_the_rest_is_the_picture(tmp_path):
    picture, _ = sheet(("314",))
    found = several.find_digits(picture)
    kinds = [
        Prediction(3, 1.0, [], True),
        Prediction(1, 0.6, [], True),
        Prediction(4, 1.0, [], False),
    ]
    annotation.write(tmp_path / "copy.png", picture, [digit.box for digit in found], kinds)
    drawn = np.asarray(Image.open(tmp_path / "copy.png"))
    assert drawn.shape == (*picture.shape, 3)
    for digit, colour in zip(found, (annotation.SURE, annotation.UNSURE, annotation.NONE)):
        left, top, width, height = digit.box
        around = drawn[top : top + height + 6, max(0, left - 6) : left + width + 6].reshape(-1, 3)
        assert (around == colour).all(axis=1).sum() > height
    assert np.array_equal(drawn[-3:, :, 0], picture[-3:])
