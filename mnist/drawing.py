"""Pictures for TensorBoard, of arrays: tiles with captions, a confusion matrix, filters.

NumPy and OpenCV only, both of which are loaded anyway; a picture takes a few milliseconds.
Pictures are uint8 ``[H,W,3]``, red first.
"""

from typing import Any, List, Sequence, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Colour = Tuple[int, int, int]

_WHITE = (255, 255, 255)
_INK = (33, 37, 41)
_GREY = (134, 142, 150)
_RED = (201, 42, 42)
_BLUE = (24, 100, 171)

_GAP = 8  # pixels between two tiles
_CAPTION = 22  # the height of a caption under a tile
_CELL = 44  # the side of a confusion matrix's cell
_MARGIN = 52  # what its headings take
_FILTER = 60  # about how large a filter is drawn


def tiles(
    images: Array, captions: Sequence[str], columns: int, colours: Sequence[Colour] = ()
) -> Array:
    """Grey images in rows, each with its caption underneath.

    ``images``: uint8 ``[N,H,W]``, drawn three times as large; no image at all makes an
    empty picture of the same width. ``colours`` are the captions' (dark by default).
    """
    large = np.repeat(np.repeat(images, 3, axis=1), 3, axis=2)
    height, width = 3 * images.shape[1] + _CAPTION, 3 * images.shape[2]
    rows = max(-(-len(images) // columns), 1)
    canvas = _blank(rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP)
    for index, (image, caption) in enumerate(zip(large, captions)):
        top = _GAP + index // columns * (height + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        canvas[top : top + len(image), left : left + width] = image[..., np.newaxis]
        centre = (left + width // 2, top + height - _CAPTION // 2 + 2)
        _write(canvas, caption, centre, colours[index] if colours else _INK, 0.42)
    return canvas


def mistakes(images: Array, labels: Array, guesses: Array, confidences: Array) -> Array:
    """Wrongly read digits, each with what it is, what it was read as, and how surely.

    ``images``: uint8 ``[N,28,28]``; ``labels`` and ``guesses``: int64 ``[N]``;
    ``confidences``: float ``[N]`` in 0–1.
    """
    captions = [
        f"{label} as {guess} {100 * confidence:.0f}%"
        for label, guess, confidence in zip(labels, guesses, confidences)
    ]
    # Red where the model was sure of what is wrong.
    colours = [_RED if confidence >= 0.9 else _INK for confidence in confidences]
    picture = tiles(images, captions, 5, colours)
    if not len(images):
        height, width = picture.shape[:2]
        _write(picture, "no mistakes", (width // 2, height // 2), _INK, 0.6)
    return picture


def confusion(matrix: Array) -> Array:
    """A table of int counts ``[C,C]``: row = label, column = guess.

    What is right is blue by the share of its row; mistakes are red by their own largest
    count, or else a good model's would all look like nothing.
    """
    classes = len(matrix)
    side = _MARGIN + classes * _CELL + 4
    canvas = _blank(side, side)
    _write(canvas, "columns: what it was read as", (side // 2 + 20, 12), _GREY, 0.42)
    _write(canvas, "label", (24, 36), _GREY, 0.42)
    wrong = matrix * (1 - np.eye(classes, dtype=matrix.dtype))
    worst = max(int(wrong.max()), 1)
    totals = np.maximum(matrix.sum(axis=1), 1)
    for row in range(classes):
        _write(canvas, str(row), (_MARGIN // 2, _centre(row)), _INK, 0.5)
        _write(canvas, str(row), (_centre(row), _MARGIN - 16), _INK, 0.5)
        for column in range(classes):
            count = int(matrix[row, column])
            if row == column:
                _cell(canvas, row, column, count, _BLUE, 0.8 * count / totals[row])
            else:
                _cell(canvas, row, column, count, _RED, 0.8 * (count / worst) ** 0.5)
    return canvas


def filters(weights: Array) -> Array:
    """Filters ``[N,H,W]`` side by side: blue is negative, red positive, white zero.

    One scale for all of them, so that their strengths can be compared.
    """
    weights = np.nan_to_num(weights.astype(np.float32))
    largest = max(float(np.abs(weights).max()), 1e-12)
    scale = max(_FILTER // weights.shape[1], 1)
    large = np.repeat(np.repeat(weights / largest, scale, axis=1), scale, axis=2)
    height, width = large.shape[1:]
    columns = min(len(weights), 10)
    rows = -(-len(weights) // columns)
    canvas = _blank(rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP)
    canvas[:] = _GREY
    for index, values in enumerate(large):
        top = _GAP + index // columns * (height + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        canvas[top : top + height, left : left + width] = _diverging(values)
    return canvas


def sprites(images: Array) -> Array:
    """uint8 ``[N,H,W]`` → a square of them, row by row, as the projector cuts it; grey."""
    side = int(np.ceil(np.sqrt(len(images))))
    count, height, width = images.shape
    sheet = np.zeros((side * side, height, width), np.uint8)
    sheet[:count] = images
    rows = sheet.reshape(side, side, height, width).transpose(0, 2, 1, 3)
    return np.asarray(rows.reshape(side * height, side * width))


def _blank(height: int, width: int) -> Array:
    return np.full((height, width, 3), 255, np.uint8)


def _write(canvas: Array, text: str, centre: Tuple[int, int], colour: Colour, size: float) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, size, 1)
    origin = (centre[0] - width // 2, centre[1] + height // 2)
    cv2.putText(canvas, text, origin, font, size, colour, 1, cv2.LINE_AA)


def _centre(index: int) -> int:
    return _MARGIN + index * _CELL + _CELL // 2


def _cell(
    canvas: Array, row: int, column: int, count: int, colour: Colour, strength: float
) -> None:
    """One cell of a confusion matrix; a count of zero stays blank."""
    top, left = _MARGIN + row * _CELL, _MARGIN + column * _CELL
    canvas[top + 1 : top + _CELL, left + 1 : left + _CELL] = _mixed(colour, strength)
    if count:
        ink = _WHITE if strength > 0.45 else _INK
        _write(canvas, str(count), (_centre(column), _centre(row)), ink, 0.45)


def _mixed(colour: Colour, strength: float) -> List[int]:
    """White at 0, ``colour`` at 1; a trace of grey so that empty cells are seen."""
    return [round(248 + strength * (part - 248)) for part in colour]


def _diverging(values: Array) -> Array:
    """Floats in −1…1, ``[H,W]`` → blue, white, red, ``[H,W,3]``."""
    strength = np.abs(values)[..., np.newaxis]
    colour = np.where((values < 0)[..., np.newaxis], _BLUE, _RED)
    return np.asarray(255 + strength * (colour - 255.0), np.uint8)
