"""Pictures of arrays: where things land, and what colour says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mnist.tensorboard import drawing

BLANK = np.zeros((0, 28, 28), np.uint8)


def test_tiles_are_the_images_enlarged_with_captions_under_them():
    images = np.random.default_rng(1).integers(0, 256, (7, 28, 28)).astype(np.uint8)
    picture = drawing.tiles(images, "abcdefg", columns=3, scale=3)
    assert picture.dtype == np.uint8 and picture.shape == (3 * 114 + 8, 3 * 92 + 8)
    for index in range(7):
        top, left = 8 + index // 3 * 114, 8 + index % 3 * 92
        assert np.array_equal(picture[top : top + 84 : 3, left : left + 84 : 3], images[index])
        caption = picture[top + 84 : top + 106, left : left + 84]
        assert caption.min() < 128 and (caption == 255).mean() > 0.5


def test_mistakes_say_what_they_were_read_as_and_none_are_said_to_be_none():
    images = np.zeros((2, 28, 28), np.uint8)
    picture = drawing.mistakes(images, np.array([1, 2]), np.array([7, 8]), np.array([0.99, 0.5]))
    expected = drawing.tiles(images, ["1 as 7 99%", "2 as 8 50%"], columns=5, scale=3)
    assert np.array_equal(picture, expected)
    none = drawing.mistakes(BLANK, np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    assert none.shape[1] == picture.shape[1] and none.min() < 128


def test_a_confusion_matrix_is_blue_where_right_red_where_wrong_blank_elsewhere():
    matrix = np.diag([10] * 10)
    matrix[3, 5] = 1

    def colour(row, column):
        top, left = 48 + row * 36, 48 + column * 36
        return drawing.confusion(matrix)[top + 4, left + 4].astype(int)

    assert colour(2, 2)[2] > colour(2, 2)[0] + 50
    assert colour(3, 5)[0] > colour(3, 5)[2] + 50
    assert np.ptp(colour(5, 3)) == 0 and colour(5, 3)[0] > 240


def test_no_count_at_all_is_a_blank_matrix():
    assert drawing.confusion(np.zeros((10, 10), np.int64)).shape == (412, 412, 3)


def test_filters_are_blue_below_zero_and_red_above_on_one_scale():
    weights = np.array([[[-2.0, 2.0]], [[0.0, 1.0]]])
    picture = drawing.filters(weights).astype(int)
    negative, positive = picture[10, 10], picture[10, 60]
    assert negative[2] > negative[0] + 50 and positive[0] > positive[2] + 50
    zero, half = picture[10, 120], picture[10, 190]
    assert list(zero) == [255, 255, 255] and positive[2] < half[2] < 255


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_filters_of_any_size_can_be_drawn(count, height, width, finite):
    weights = np.full((count, height, width), 1.0 if finite else np.nan, np.float32)
    picture = drawing.filters(weights)
    assert picture.dtype == np.uint8 and picture.ndim == 3


@given(st.integers(1, 40))
def test_sprites_lie_row_by_row_in_a_square(count):
    images = np.arange(count, dtype=np.uint8)[:, np.newaxis, np.newaxis].repeat(4, 1).repeat(3, 2)
    sheet = drawing.sprites(images)
    side = int(np.ceil(np.sqrt(count)))
    assert sheet.shape == (4 * side, 3 * side)
    cells = sheet[::4, ::3].ravel()
    assert list(cells[:count]) == list(range(count)) and not cells[count:].any()
