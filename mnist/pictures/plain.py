"""A picture of anything → 28×28, where classes are other than digits.

What differs from the border's grey counts, light on black, cropped and as large as MNIST's digits
are: the same for training and for prediction. Nothing is known of pens, paper and light here.
"""

import os
from typing import Callable, Union

import cv2
import numpy as np

from mnist.base.errors import InputError
from mnist.base.files import PathLike
from mnist.config.classes import Classes, are_digits
from mnist.data.digits import SIDE
from mnist.pictures.decode import grey_of, load_image, read_digit
from mnist.pictures.normalize import Grey, to_mnist

BOX = 20
# Whatever differs less from the border, in grey values, is no content; and so much of the most.
_LEAST_CONTRAST = 16
_CONTENT = 0.25


def read(source: Union[PathLike, bytes]) -> Grey:
    """What is on a picture (a file, or its bytes): uint8 ``[28,28]``, light on black.

    Raises InputError, naming the path, for a file that cannot be read or is blank.
    """
    name = "picture" if isinstance(source, bytes) else os.fspath(source)
    return to_form(load_image(source), name)


def to_form(grey: Grey, name: str = "picture") -> Grey:
    """A picture, uint8 ``[H,W]``, as uint8 ``[28,28]``; one of that form stays as it is."""
    border = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    if grey.shape == (SIDE, SIDE) and border < 128:
        return grey.copy()
    content = cv2.absdiff(grey, np.full_like(grey, round(border)))
    most = int(content.max())
    if most < _LEAST_CONTRAST:
        raise InputError(f"{name}: nothing is on the picture")
    left, top, width, height = cv2.boundingRect((content > _CONTENT * most).astype(np.uint8))
    cropped = content[top : top + height, left : left + width]
    size = (max(1, round(side * BOX / max(width, height))) for side in (width, height))
    small = cv2.resize(cropped, tuple(size), interpolation=cv2.INTER_AREA)
    form = np.zeros((SIDE, SIDE), np.uint8)
    top, left = ((SIDE - side) // 2 for side in small.shape)
    form[top : top + small.shape[0], left : left + small.shape[1]] = small
    return np.asarray(cv2.convertScaleAbs(form, alpha=255 / max(int(small.max()), 1)))


def reader_of(classes: Classes) -> Callable[[Union[str, bytes]], Grey]:
    """What reads a picture of one of these classes from its file."""
    return read_digit if are_digits(classes) else read


def form_of(pixels: Grey, classes: Classes) -> Grey:
    """Pixels, uint8 ``[H,W]`` or ``[H,W,3]``, of one of these classes as uint8 ``[28,28]``."""
    grey = grey_of(pixels)
    return to_mnist(grey) if are_digits(classes) else to_form(grey)
