"""Training images, each a little distorted, so that no epoch shows the same ones.

One smooth map a sample says where in the image each pixel's value comes from: an affine part
(shift, rotation, scaling, shear) and an elastic one, after Simard, Steinkraus and Platt 2003,
"Best practices for convolutional neural networks applied to visual document analysis". Where
they convolve random fields with a Gaussian, here a coarse grid of random displacements is
spread by Gaussian weights, which is one matrix product for a whole batch.
"""

from functools import lru_cache
from typing import Tuple

import cv2
import numpy as np

from mnist.base.arrays import Array
from mnist.config.schema import AugmentationConfig
from mnist.data.digits import PIXELS, SIDE

_CENTRE = (SIDE - 1) / 2
# Blank rows that keep one image's values out of its neighbour's when a batch is one tall image.
_GAP = 8
# OpenCV's remap takes images of fewer than 32,768 rows.
_MOST_AT_ONCE = 32_767 // (SIDE + _GAP)
# OpenCV interpolates at these parts of a pixel.
_FRACTIONS = np.float32(32)
# Width of the Gaussian that spreads a displacement, in steps of the grid.
_SPREAD = 0.6

Maps = Tuple[Array, Array]


def distort(images: Array, maps: Maps) -> Array:
    """Sample ``images``, uint8 ``[N,28,28]``, at ``maps`` (x and y); uint8 again.

    Bilinear; outside an image is blank paper.
    """
    parts = [
        _remap(images[i : i + _MOST_AT_ONCE], *(axis[i : i + _MOST_AT_ONCE] for axis in maps))
        for i in range(0, len(images), _MOST_AT_ONCE)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _remap(images: Array, x: Array, y: Array) -> Array:
    count, height = len(images), SIDE + _GAP
    tall = np.zeros((count, height, SIDE), np.uint8)
    tall[:, _GAP // 2 : -_GAP // 2] = images
    rows = np.clip(y, -_GAP // 2, SIDE - 1 + _GAP // 2) + np.float32(_GAP // 2)
    # To the fraction of a pixel that remap knows, or else an image's last bits would depend on
    # how far down in the tall one it stands.
    rows = np.rint(rows * _FRACTIONS) / _FRACTIONS
    rows += (np.arange(count, dtype=np.float32) * height)[:, np.newaxis]
    sampled = cv2.remap(
        tall.reshape(-1, SIDE), x.reshape(-1, SIDE), rows.reshape(-1, SIDE), cv2.INTER_LINEAR
    )
    return np.asarray(sampled, np.uint8).reshape(count, SIDE, SIDE)


def random_maps(count: int, config: AugmentationConfig, source: np.random.Generator) -> Maps:
    """Where the pixels of ``count`` images come from: x and y, float32 ``[count, 784]`` each.

    Every strength in ``config`` is the most that is drawn (uniformly), but ``elastic``, which
    is the standard deviation of the grid's displacements; all in pixels, degrees or parts.
    """
    x, y = affine_maps(*_random_affine(count, config, source))
    if config.elastic:
        points = source.standard_normal((2 * count, config.elastic_grid**2), dtype=np.float32)
        moved = (points * np.float32(config.elastic)) @ _spread(config.elastic_grid)
        x += moved[:count]
        y += moved[count:]
    return x, y


def affine_maps(matrices: Array, shifts: Array) -> Maps:
    """Maps of ``[N,2,2]`` about the centre (``[1,2,2]``: one for all) and then ``[N,2]`` pixels.

    Both are x first and lead from a pixel to where its value comes from.
    """
    matrices, offsets = matrices.astype(np.float32), (shifts + _CENTRE).astype(np.float32)
    columns, rows = _grid()
    x = matrices[:, 0, 0, None] * columns + matrices[:, 0, 1, None] * rows + offsets[:, 0, None]
    y = matrices[:, 1, 0, None] * columns + matrices[:, 1, 1, None] * rows + offsets[:, 1, None]
    return x, y


def _random_affine(count: int, config: AugmentationConfig, source: np.random.Generator) -> Maps:
    """What ``affine_maps`` takes, drawn for ``count`` images."""
    angle = np.deg2rad(source.uniform(-config.rotation, config.rotation, count))
    width, height = np.exp(source.uniform(-config.scaling, config.scaling, (2, count)))
    slant = source.uniform(-config.shear, config.shear, count)
    shift = source.uniform(-config.shift, config.shift, (count, 2))
    cosine, sine = np.cos(angle), np.sin(angle)
    matrices = np.array([[width * cosine, slant - width * sine], [height * sine, height * cosine]])
    return matrices.transpose(2, 0, 1), shift


@lru_cache(maxsize=None)
def _grid() -> Maps:
    """Columns and rows of the pixels, from the centre: float32 ``[784]`` each."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) - np.float32(_CENTRE)
    return columns.reshape(PIXELS), rows.reshape(PIXELS)


@lru_cache(maxsize=None)
def _spread(grid: int) -> Array:
    """How much each point of the grid moves each pixel: float32 ``[grid², 784]``."""
    pixels = np.linspace(0, grid - 1, SIDE)[:, np.newaxis]
    weights = np.exp(-0.5 * np.square((pixels - np.arange(grid)) / _SPREAD))
    weights /= weights.sum(axis=1, keepdims=True)
    both = np.einsum("yi,xj->ijyx", weights, weights)
    return np.asarray(both.reshape(grid * grid, PIXELS), np.float32)
