"""The copy of a picture with boxes."""

import numpy as np
import pytest
from PIL import Image

from mnist.model.predictor import Prediction
from mnist.pictures import annotation
from mnist.pictures.decode import Pixels
from mnist.pictures.normalize import FoundDigit

KINDS = (Prediction(3, 1.0, []), Prediction(1, 0.6, []), Prediction(4, 1.0, [], 0.9, "no"))
COLOURS = (annotation.SURE, annotation.UNSURE, annotation.NONE)


@pytest.mark.parametrize("reduced", [1, 2])
@pytest.mark.parametrize("scale", [1, 8])
def test_the_copy_has_boxes_and_the_rest_is_the_picture(tmp_path, scale, reduced):
    picture = np.full((200 * scale, 400 * scale), 230, np.uint8)
    times = scale * reduced
    image = np.zeros((28, 28), np.uint8)
    found = [
        FoundDigit((times * left, times * 60, times * 40, times * 60), image, 60)
        for left in (40, 160, 280)
    ]
    annotation.write(tmp_path / "copy.png", Pixels(picture, reduced), list(zip(found, KINDS)))
    drawn = np.asarray(Image.open(tmp_path / "copy.png"))
    size = min(400 * scale, annotation.MAX_SIDE)
    assert drawn.shape == (size // 2, size, 3)
    unit = size / 400
    for left, colour in zip((40, 160, 280), COLOURS):
        box = drawn[
            int(45 * unit) : int(135 * unit), int((left - 15) * unit) : int((left + 55) * unit)
        ]
        mine = (box == colour).all(axis=2)
        assert mine.any(1).sum() > 60 * unit and 40 * unit < mine.any(0).sum() < 55 * unit
        assert (box == 255).all(axis=2).any()
    assert (drawn[-int(30 * unit) :] == 230).all()
