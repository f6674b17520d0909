"""A picture of anything → 28×28, where classes are other than digits.

What differs from the border's grey counts, light on black, cropped and as large as MNIST's digits
are: the same for training and for prediction. Nothing is known of pens, paper and light here.
"""

import cv2
import numpy as np

from mnist.base.errors import InputError
from mnist.data.digits import SIDE
from mnist.pictures.decode import Source, load_pixels, name_of
from mnist.pictures.normalize import BOX, Grey

# Whatever differs less from the border, in grey values, is no content; and so much of the most.
_LEAST_CONTRAST = 16
_CONTENT = 0.25


def read(source: Source) -> Grey:
    """What is on a picture: uint8 ``[28,28]``, light on black; what has that form stays.

    Raises InputError, naming the path, for a file that cannot be read or is blank.
    """
    picture = load_pixels(source).values
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    border = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    if grey.shape == (SIDE, SIDE) and border < 128:
        return grey.copy()
    content = cv2.absdiff(grey, np.full_like(grey, round(border)))
    most = int(content.max())
    if most < _LEAST_CONTRAST:
        raise InputError(f"{name_of(source)}: nothing is on the picture")
    left, top, width, height = cv2.boundingRect((content > _CONTENT * most).astype(np.uint8))
    cropped = content[top : top + height, left : left + width]
    size = (max(1, round(side * BOX / max(width, height))) for side in (width, height))
    small = cv2.resize(cropped, tuple(size), interpolation=cv2.INTER_AREA)
    form = np.zeros((SIDE, SIDE), np.uint8)
    top, left = ((SIDE - side) // 2 for side in small.shape)
    form[top : top + small.shape[0], left : left + small.shape[1]] = small
    return np.asarray(cv2.convertScaleAbs(form, alpha=255 / max(int(small.max()), 1)))
