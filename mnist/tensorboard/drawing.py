"""Pictures for TensorBoard, of arrays: tiles with captions, a confusion matrix, filters.

NumPy and OpenCV only, both of which are loaded anyway. Pictures are grey, uint8 ``[H,W]``,
where they can be, which takes half as long to pack and to write; or uint8 ``[H,W,3]``, red
first. Each takes a few milliseconds.
"""

from typing import Sequence, Tuple

import cv2
import numpy as np

from mnist.base.arrays import Array
from mnist.config.classes import DIGITS, Classes

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


def tiles(images: Array, captions: Sequence[str], columns: int, scale: int) -> Array:
    """Grey images in rows, each with its caption underneath; a grey picture.

    ``images``: uint8 ``[N,H,W]``, drawn ``scale`` times as large; no image at all makes an
    empty picture of the same width.
    """
    large = images.repeat(scale, axis=1).repeat(scale, axis=2)
    _, height, width = large.shape
    canvases = np.pad(large, ((0, 0), (0, _CAPTION), (0, 0)), constant_values=255)
    for tile, caption in zip(canvases, captions):
        _write(tile, caption, (width // 2, height + _CAPTION // 2), _INK[:1], 0.4)
    return _mosaic(canvases, columns, _WHITE[:1])


def mistakes(images: Array, labels: Array, guesses: Array, confidences: Array) -> Array:
    """Wrongly read digits, each with what it is, what it was read as, and how surely.

    ``images``: uint8 ``[N,28,28]``; ``labels`` and ``guesses``: ``[N]``, as they are
    written; ``confidences``: float ``[N]`` in 0–1.
    """
    captions = [
        f"{label} as {guess} {100 * confidence:.0f}%"
        for label, guess, confidence in zip(labels, guesses, confidences)
    ]
    picture = tiles(images, captions, columns=5, scale=3)
    if not len(images):
        height, width = picture.shape
        _write(picture, "no mistakes", (width // 2, height // 2), _INK[:1], 0.6)
    return picture


def short(classes: Classes) -> Classes:
    """The names of classes as OpenCV can write them in little room, or else their numbers."""
    names = enumerate(classes)
    return [name if name.isascii() and len(name) < 4 else str(label) for label, name in names]


def confusion(matrix: Array, names: Sequence[str] = DIGITS) -> Array:
    """A table of int counts ``[C,C]``: row = label, column = guess, under their short ``names``.

    What is right is blue by the share of its row; mistakes are red by their own largest
    count, or else a good model's would all look like nothing. A count of zero stays blank.
    """
    classes = len(matrix)
    is_right = np.eye(classes, dtype=bool)
    worst = max(matrix[~is_right].max(initial=0), 1)
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    strengths = 0.8 * np.where(is_right, matrix / totals, np.sqrt(matrix / worst))
    colours = np.where(is_right[..., np.newaxis], _BLUE, _RED)
    # A trace of grey, so that empty cells are seen.
    mixed = np.rint(248 + strengths[..., np.newaxis] * (colours - 248)).astype(np.uint8)
    cells = mixed.reshape(-1, 1, 1, 3).repeat(_CELL - 1, axis=1).repeat(_CELL - 1, axis=2)
    table = _mosaic(cells, classes, _WHITE, gap=1)
    canvas = np.pad(table, ((_MARGIN, 3), (_MARGIN, 3), (0, 0)), constant_values=255)
    _write(canvas, "columns: what it was read as", (len(canvas) // 2 + 20, 11), _GREY, 0.4)
    _write(canvas, "label", (24, 34), _GREY, 0.4)
    centres = range(_MARGIN + _CELL // 2, _MARGIN + classes * _CELL, _CELL)
    for name, centre in zip(names, centres):
        _write(canvas, name, (_MARGIN // 2, centre), _INK, 0.45)
        _write(canvas, name, (centre, _MARGIN - 14), _INK, 0.45)
    for row, column in np.argwhere(matrix):
        ink = _WHITE if strengths[row, column] > 0.6 else _INK
        _write(canvas, str(matrix[row, column]), (centres[column], centres[row]), ink, 0.4)
    # Fewer shades at the edges of the figures, and a third less to pack and to write.
    return canvas & 0xF8


def filters(weights: Array) -> Array:
    """Filters ``[N,H,W]`` side by side: blue is negative, red positive, white zero.

    One scale for all of them, so that their strengths can be compared.
    """
    weights = np.nan_to_num(weights.astype(np.float32))[..., np.newaxis]
    strengths = np.abs(weights) / max(float(np.abs(weights).max()), 1e-12)
    colours = 255 + strengths * (np.where(weights < 0, _BLUE, _RED) - 255.0)
    scale = max(_FILTER // weights.shape[1], 1)
    large = colours.astype(np.uint8).repeat(scale, axis=1).repeat(scale, axis=2)
    return _mosaic(large, min(len(weights), 10), _GREY)


def sprites(images: Array) -> Array:
    """uint8 ``[N,H,W]`` → a square of them, row by row, as the projector cuts it; grey."""
    side = int(np.ceil(np.sqrt(len(images))))
    cells = np.zeros((side * side, *images.shape[1:]), np.uint8)
    cells[: len(images)] = images
    return _mosaic(cells, side, (0,), gap=0)


def _mosaic(tiles: Array, columns: int, ground: Colour, gap: int = _GAP) -> Array:
    """uint8 ``[N,H,W]`` or ``[N,H,W,3]``, row by row on a ground; one row at least."""
    count, height, width, *channels = tiles.shape
    rows = max(-(-count // columns), 1)
    cells = np.full((rows * columns, height + gap, width + gap, *channels), ground, np.uint8)
    cells[:count, gap:, gap:] = tiles
    in_rows = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    picture = in_rows.reshape(rows * (height + gap), columns * (width + gap), *channels)
    framed = cv2.copyMakeBorder(picture, 0, gap, 0, gap, cv2.BORDER_CONSTANT, value=ground)
    return np.asarray(framed)


def _write(canvas: Array, text: str, centre: Tuple[int, int], colour: Colour, size: float) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, size, 1)
    origin = (centre[0] - width // 2, centre[1] + height // 2)
    cv2.putText(canvas, text, origin, font, size, colour, 1, cv2.LINE_AA)
