"""A picture with its digits in boxes, as a PNG file."""

from pathlib import Path
from typing import Any, Sequence, Tuple

import cv2
import numpy as np

from mnist.base.errors import Failure
from mnist.base.files import atomic_write
from mnist.pictures.decode import Pixels
from mnist.pictures.normalize import Box, FoundDigit, Grey

# Colours (RGB): sure, less sure, no digit.
SURE, UNSURE, NONE = (0, 140, 60), (214, 120, 0), (130, 130, 130)
SURE_FROM = 0.9
MAX_SIDE = 2000
FONT = cv2.FONT_HERSHEY_SIMPLEX


def write(path: Path, pixels: Pixels, pairs: Sequence[Tuple[FoundDigit, Any]]) -> None:
    """Write a picture with a box and a label for each digit, which has its prediction.

    A very large picture is made smaller, to 2,000 pixels. The file appears whole or not at all.
    """
    picture = pixels.values
    factor = min(1.0, MAX_SIDE / max(picture.shape[:2]))
    picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB) if picture.ndim == 2 else picture.copy()
    if factor < 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    factor /= pixels.reduced
    usual = float(np.median([digit.box[3] for digit, _ in pairs])) * factor
    for digit, prediction in pairs:
        left, top, width, height = (round(factor * side) for side in digit.box)
        _draw(picture, (left, top, width, height), prediction, usual)
    good, data = cv2.imencode(".png", picture[..., ::-1])
    if not good:
        raise Failure(f"{path}: the picture could not be encoded")
    with atomic_write(path) as file:
        file.write(data.tobytes())


def _draw(picture: Grey, box: Box, prediction: Any, usual: float) -> None:
    left, top, width, height = box
    colour, label = NONE, "?"
    if prediction.is_digit:
        colour = SURE if prediction.confidence >= SURE_FROM else UNSURE
        label = str(prediction.digit)
    thickness = max(1, round(usual / 40))
    margin = 2 * thickness
    corner = (left - margin, top - margin)
    far = (left + width + margin, top + height + margin)
    cv2.rectangle(picture, corner, far, colour, thickness)
    _label(picture, corner, label, colour, usual)


def _label(picture: Grey, corner: Tuple[int, int], label: str, colour: Any, usual: float) -> None:
    """White on a tab of the box's colour, above the box, or within it at the picture's top."""
    scale = float(np.clip(usual / 90, 0.35, 2.5))
    stroke = max(1, round(1.6 * scale))
    (width, height), _ = cv2.getTextSize(label, FONT, scale, stroke)
    pad = max(2, round(4 * scale))
    left, bottom = corner[0], max(corner[1], height + 2 * pad)
    tab = (left + width + 2 * pad, bottom - height - 2 * pad)
    cv2.rectangle(picture, (left, bottom), tab, colour, -1)
    at = (left + pad, bottom - pad)
    cv2.putText(picture, label, at, FONT, scale, (255, 255, 255), stroke, cv2.LINE_AA)
