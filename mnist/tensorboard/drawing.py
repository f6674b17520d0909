"""Pictures for TensorBoard, of arrays: tiles with captions, a confusion matrix, filters.

NumPy and OpenCV only, both of which are loaded anyway. Pictures are grey, uint8 ``[H,W]``,
where they can be, which takes half as long to pack and to write; or uint8 ``[H,W,3]``, red
first. Each takes a few milliseconds.
"""

from typing import List, Sequence, Tuple

import cv2
import numpy as np

from mnist.base.arrays import Array

Colour = Tuple[int, ...]

_WHITE = (255, 255, 255)
_INK = (33, 37, 41)
_GREY = (134, 142, 150)
_RED = (201, 42, 42)
_BLUE = (24, 100, 171)

_GAP = 8  # pixels between two tiles
_CAPTION = 22  # the height of a caption under a tile
_CELL = 36  # the side of a confusion matrix's cell
_MARGIN = 48  # what its headings take
_FILTER = 50  # about how large a filter is drawn
_SURE = 0.9  # the confidence from which on a mistake stands out


def tiles(
    images: Array, captions: Sequence[str], columns: int, scale: int, inverted: Sequence[bool] = ()
) -> Array:
    """Grey images in rows, each with its caption underneath; a grey picture.

    ``images``: uint8 ``[N,H,W]``, drawn ``scale`` times as large; no image at all makes an
    empty picture of the same width. ``inverted``: which captions are white on dark.
    """
    large = _enlarged(images, scale)
    height, width = scale * images.shape[1] + _CAPTION, scale * images.shape[2]
    canvas = np.full(_grid_size(len(images), columns, height, width), 255, np.uint8)
    for index, (image, caption) in enumerate(zip(large, captions)):
        top, left = _place(index, columns, height, width)
        tile = canvas[top : top + height, left : left + width]
        tile[: len(image)] = image
        dark = bool(inverted) and inverted[index]
        if dark:
            tile[len(image) :] = _INK[:1]
        centre = (width // 2, height - _CAPTION // 2)
        _write(tile, caption, centre, (_WHITE if dark else _INK)[:1], 0.4)
    return canvas


def mistakes(images: Array, labels: Array, guesses: Array, confidences: Array) -> Array:
    """Wrongly read digits, each with what it is, what it was read as, and how surely.

    ``images``: uint8 ``[N,28,28]``; ``labels`` and ``guesses``: int64 ``[N]``;
    ``confidences``: float ``[N]`` in 0–1, of which those of 0.9 and more stand out.
    """
    captions = [
        f"{label} as {guess} {100 * confidence:.0f}%"
        for label, guess, confidence in zip(labels, guesses, confidences)
    ]
    picture = tiles(images, captions, 5, 3, [confidence >= _SURE for confidence in confidences])
    if not len(images):
        height, width = picture.shape
        _write(picture, "no mistakes", (width // 2, height // 2), _INK[:1], 0.6)
    return picture


def confusion(matrix: Array) -> Array:
    """A table of int counts ``[C,C]``: row = label, column = guess.

    What is right is blue by the share of its row; mistakes are red by their own largest
    count, or else a good model's would all look like nothing.
    """
    classes = len(matrix)
    side = _MARGIN + classes * _CELL + 4
    canvas = np.full((side, side, 3), 255, np.uint8)
    _write(canvas, "columns: what it was read as", (side // 2 + 20, 11), _GREY, 0.4)
    _write(canvas, "label", (24, 34), _GREY, 0.4)
    wrong = matrix * (1 - np.eye(classes, dtype=matrix.dtype))
    worst = max(int(wrong.max()), 1)
    totals = np.maximum(matrix.sum(axis=1), 1)
    for row in range(classes):
        _write(canvas, str(row), (_MARGIN // 2, _centre(row)), _INK, 0.45)
        _write(canvas, str(row), (_centre(row), _MARGIN - 14), _INK, 0.45)
        for column in range(classes):
            count = int(matrix[row, column])
            if row == column:
                _cell(canvas, row, column, count, _BLUE, 0.8 * count / totals[row])
            else:
                _cell(canvas, row, column, count, _RED, 0.8 * (count / worst) ** 0.5)
    # Fewer shades at the edges of the figures, and a third less to pack and to write.
    return canvas & 0xF8


def filters(weights: Array) -> Array:
    """Filters ``[N,H,W]`` side by side: blue is negative, red positive, white zero.

    One scale for all of them, so that their strengths can be compared.
    """
    weights = np.nan_to_num(weights.astype(np.float32))
    largest = max(float(np.abs(weights).max()), 1e-12)
    large = _enlarged(weights / largest, max(_FILTER // weights.shape[1], 1))
    height, width = large.shape[1:]
    columns = min(len(weights), 10)
    canvas = np.full((*_grid_size(len(weights), columns, height, width), 3), _GREY, np.uint8)
    for index, values in enumerate(large):
        top, left = _place(index, columns, height, width)
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


def _enlarged(images: Array, scale: int) -> Array:
    return np.repeat(np.repeat(images, scale, axis=1), scale, axis=2)


def _grid_size(count: int, columns: int, height: int, width: int) -> Tuple[int, int]:
    """Height and width of a picture of tiles; of one row at least."""
    rows = max(-(-count // columns), 1)
    return rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP


def _place(index: int, columns: int, height: int, width: int) -> Tuple[int, int]:
    """Top and left of a tile."""
    row, column = divmod(index, columns)
    return _GAP + row * (height + _GAP), _GAP + column * (width + _GAP)


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
        ink = _WHITE if strength > 0.6 else _INK
        _write(canvas, str(count), (_centre(column), _centre(row)), ink, 0.4)


def _mixed(colour: Colour, strength: float) -> List[int]:
    """White at 0, ``colour`` at 1; a trace of grey so that empty cells are seen."""
    return [round(248 + strength * (part - 248)) for part in colour]


def _diverging(values: Array) -> Array:
    """Floats in −1…1, ``[H,W]`` → blue, white, red, ``[H,W,3]``."""
    strength = np.abs(values)[..., np.newaxis]
    colour = np.where((values < 0)[..., np.newaxis], _BLUE, _RED)
    return np.asarray(255 + strength * (colour - 255.0), np.uint8)
