"""What is no digit is said to be none, and digits are left in peace."""

import numpy as np
import pytest
from helpers import digits

from mnist.pictures import decode, plausible
from mnist.pictures.normalize import NoInk
from tests.material import absurd


def caught(kind, count):
    """How many of ``count`` pictures have no ink, or ink that is built as no digit's is."""
    found = 0
    for seed in range(count):
        try:
            digit = decode.to_mnist(absurd.ABSURD[kind](np.random.RandomState(seed)))
        except NoInk:
            found += 1
        else:
            found += not plausible.may_be_digit(digit, confidence=1.0)
    return found


@pytest.mark.parametrize("kind", sorted(absurd.BLANK))
def test_blank_paper_in_any_light_has_no_ink(kind):
    assert caught(kind, 10) >= 8


@pytest.mark.parametrize(
    "kind", ["noise", "noise of 28×28", "checkerboard", "squared paper", "paragraph", "barcode",
             "code of squares", "word", "coarse noise"],
)  # fmt: skip
def test_what_is_built_like_no_digit_is_none_however_sure_the_model_is(kind):
    assert caught(kind, 10) >= 8


def test_a_filled_page_is_a_solid_shape_and_none():
    assert caught("filled page", 10) >= 8


def test_real_digits_may_be_digits():
    data = digits()
    allowed = [plausible.may_be_digit(digit, 0.9) for digit in data.train.images]
    assert np.mean(allowed) > 0.99


def test_a_model_that_does_not_believe_itself_is_not_believed():
    digit = digits().train.images[0]
    assert plausible.may_be_digit(digit, 0.51) and not plausible.may_be_digit(digit, 0.49)


@pytest.mark.parametrize("level", [0, 127, 255])
def test_one_level_is_none(level):
    assert not plausible.may_be_digit(np.full((28, 28), level, np.uint8), 1.0)


def test_mnists_own_eval_is_left_in_peace(real_mnist):
    from mnist.data import idx

    images_ = idx.read_images(real_mnist / "t10k-images-idx3-ubyte.gz").array
    allowed = [plausible.may_be_digit(image, 1.0) for image in images_]
    assert np.mean(allowed) > 0.99
