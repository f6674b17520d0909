# ruff: noqa: D103
"""Digits in disturbances of every sort, so that a classifier learns what does not matter.

None imitates one that a benchmark asks about. They are of the general kinds that make a network
look at shapes: random convolutions (Xu et al. 2021, "Robust and generalizable visual
representation learning via random convolutions"), erased pieces (Zhong et al. 2020), elastic
distortion (Simard et al. 2003) on a small scale, morphology, textures, shapes over and under a
digit, smooth backgrounds, other tones, fewer pixels. Pictures are float32 ``[28, 28]`` in 0–1.
"""

from typing import Any

import cv2
import numpy as np
import scenes

SIDE = 28


def disturbed(r: np.random.Generator, image: Any) -> Any:
    """A digit, uint8 ``[28, 28]``, in one or more disturbances at once."""
    c = scenes.Canvas(r, SIDE, SIDE)
    values = image.astype(np.float32) / 255
    for _ in range(c.pick((1, 1, 1, 2, 2, 3))):
        values = np.clip(c.pick(KINDS)(c, values), 0, 1)
    return np.rint(values * 255).astype(np.uint8)


def over(below: Any, mask: Any, above: Any) -> Any:
    return below + mask * (above - below)


def stretched(values: Any) -> Any:
    low, high = values.min(), values.max()
    return (values - low) / max(high - low, 1e-3)


def field(c: scenes.Canvas) -> Any:
    """A smooth change of light across the picture, 0–1."""
    rough = c.texture("clouds", c.log(0.05, 0.4))
    rough = rough + c.u(0, 1) * c.texture("clouds", c.log(0.05, 0.4))
    return stretched(cv2.GaussianBlur(rough, (0, 0), c.u(1.8, 4)))


def patches(c: scenes.Canvas, share: float) -> Any:
    """A mask of a few large spots with more or less sharp rims, over a share of the picture."""
    levels = field(c)
    return 1 / (1 + np.exp((np.quantile(levels, 1 - share) - levels) * c.log(8, 80)))


def texture(c: scenes.Canvas) -> Any:
    """A piece of a texture, no finer than two pixels, 0–1."""
    name = c.pick(("fibre", "wood", "smear", "crumple", "grain"))
    zoom = c.log(2, 5) if name == "grain" else c.log(0.5, 3)
    return np.clip(0.5 + c.u(0.15, 0.4) * c.texture(name, zoom), 0, 1)


def convolution(c: scenes.Canvas, values: Any) -> Any:
    """A random filter's answer, mixed with the picture or not."""
    size = c.pick((1, 3, 3, 5, 7))
    kernel = c.r.standard_normal((size, size)).astype(np.float32)
    answer = stretched(cv2.filter2D(values, -1, kernel, borderType=cv2.BORDER_REPLICATE))
    return over(values, c.u(0.3, 1), answer)


def background(c: scenes.Canvas, values: Any) -> Any:
    """Light or a haze of uneven thickness; or shade."""
    light, amount = field(c) if c.p(0.7) else texture(c), c.u(0.2, 0.75)
    if c.p(0.2):
        return values * (1 - amount * light)
    if c.p(0.4):
        return 1 - (1 - values) * (1 - amount * light)
    return over(values, amount, light)


def tones(c: scenes.Canvas, values: Any) -> Any:
    """Another curve of grey, or less contrast on any grey."""
    contrast = c.u(0.3, 1)
    return values ** c.log(0.35, 3) * contrast + c.u(0, 1) * (1 - contrast)


def partly_negative(c: scenes.Canvas, values: Any) -> Any:
    return over(values, patches(c, c.u(0.1, 0.9)), c.u(0.6, 1) - values)


def erased(c: scenes.Canvas, values: Any) -> Any:
    """Small rectangles in any grey."""
    values = values.copy()
    for _ in range(c.n(1, 4)):
        top, left, height, width = c.n(0, 24), c.n(0, 24), c.n(2, 9), c.n(2, 9)
        values[top : top + height, left : left + width] = c.u(0, 1)
    return values


def shape(c: scenes.Canvas) -> Any:
    """The mask of a straight or bent stroke, a polygon or an ellipse."""
    x, y = c.u(0, SIDE), c.u(0, SIDE)
    if c.p(0.55):
        points = c.r.uniform(-4, SIDE + 4, (3, 2))
        t = np.linspace(0, 1, 2 if c.p(0.5) else 16)[:, None]
        bent = (1 - t) ** 2 * points[0] + 2 * t * (1 - t) * points[1] + t**2 * points[2]
        return scenes.lines(c, [bent.astype(np.float32)], c.log(0.7, 3.2)) / np.float32(255)
    if c.p(0.5):
        corners = np.array([x, y]) + c.r.uniform(-7, 7, (c.n(3, 5), 2))
        return scenes.polygon(c, corners) / np.float32(255)
    round_ = scenes.ellipse(c, x, y, c.u(1, 6), c.u(1, 6), c.u(0, 3))
    return scenes.polygon(c, round_) / np.float32(255)


def shapes(c: scenes.Canvas, values: Any) -> Any:
    """Shapes over the digit, or under it, in any grey."""
    below = c.p(0.5)
    result = np.zeros_like(values) if below else values
    for _ in range(c.n(1, 5)):
        result = over(result, shape(c), c.u(0, 1))
    return over(result, values, c.u(0.7, 1)) if below else result


def morphology(c: scenes.Canvas, values: Any) -> Any:
    """Thicker, thinner, or the difference between the two."""
    size = c.pick((2, 3, 3))
    kind = c.pick((cv2.MORPH_RECT, cv2.MORPH_CROSS, cv2.MORPH_ELLIPSE))
    pen = cv2.getStructuringElement(kind, (size, size))
    how = c.pick((cv2.MORPH_DILATE, cv2.MORPH_ERODE, cv2.MORPH_GRADIENT, cv2.MORPH_GRADIENT))
    return over(values, c.u(0.6, 1), cv2.morphologyEx(values, how, pen))


def crinkled(c: scenes.Canvas, values: Any) -> Any:
    """Strokes that tremble: a smooth displacement of small scale."""
    scale = c.u(0.9, 3)
    way = [cv2.GaussianBlur(c.r.standard_normal((SIDE, SIDE), np.float32), (0, 0), scale)
           for _ in range(2)]  # fmt: skip
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    reach = c.u(0.6, 1.9)
    across, along = (reach * w / w.std() for w in way)
    return cv2.remap(values, x + across, y + along, cv2.INTER_LINEAR)


def textured(c: scenes.Canvas, values: Any) -> Any:
    """A texture through the whole picture, in spots, or in the digit's ink alone."""
    amount = c.u(0.2, 0.6) if c.p(0.5) else patches(c, c.u(0.2, 0.7)) * c.u(0.3, 0.9)
    return values * (1 - amount * texture(c)) if c.p(0.3) else over(values, amount, texture(c))


def flecks(c: scenes.Canvas, values: Any) -> Any:
    """Many small spots of no less than two pixels in any grey."""
    levels = cv2.GaussianBlur(c.r.standard_normal((SIDE, SIDE), np.float32), (0, 0), c.u(0.9, 1.6))
    spots = np.clip((levels / levels.std() - c.u(0.7, 2)) * 4, 0, 1)
    return over(values, spots, c.u(0, 1) if c.p(0.6) else texture(c))


def few_pixels(c: scenes.Canvas, values: Any) -> Any:
    """Scaled down and up again, or seen through a screen's grid."""
    if c.p(0.3):
        step, shade = c.n(2, 4), c.u(0.2, 1)
        values = values.copy()
        values[c.n(0, 1) :: step] *= shade
        values[:, c.n(0, 1) :: step] *= shade
        return values
    side = c.n(10, 20)
    small = cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (SIDE, SIDE), interpolation=c.pick((0, 1, 2)))


KINDS = (
    convolution, convolution, background, background, tones, partly_negative, erased, shapes,
    shapes, morphology, crinkled, crinkled, textured, flecks, few_pixels,
)  # fmt: skip
