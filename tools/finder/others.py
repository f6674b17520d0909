# ruff: noqa: D103
"""What is no digit, drawn for ``train_refusal.py``: signs, shapes, scribbles, spoilt digits.

Letters and signs come from the fonts that Matplotlib brings and, as strokes for a pen, from
A. V. Hershey's (the package Hershey-Fonts); the rest is made up. What happens to look like a digit
(``Digitlike``) is left out, but for digits that were crossed out.
"""

import unicodedata
from functools import lru_cache
from typing import Callable, Dict, List, Optional, Tuple

import cv2
import numpy as np
import scenes
from HersheyFonts import HersheyFonts
from matplotlib.ft2font import FT2Font

from mnist.base.arrays import Array

SIDE = 112
# What many write as they write a digit, or print so.
LOOK_ALIKES = set("OoQDIiljJ|SsZzBbGgqyTtУуЗзОоЧчбБэІіΟοΙιΣσθΘΦφδςζβξ")
GLYPH_FONTS = (*scenes.DIGIT_FONTS, "STIXSizOneSymReg", "cmmi10", "cmsy10", "cmex10")
HERSHEY = tuple(sorted({
    "futural", "cursive", "cyrilc_1", "cyrillic", "gothgbt", "gothiceng", "gothicger", "gothicita",
    "greek", "greekc", "greeks", "japanese", "markers", "mathlow", "mathupp", "meteorology",
    "music", "rowmans", "scriptc", "scripts", "symbolic", "timesi", "timesr", "astrology",
}))  # fmt: skip
# In these every glyph lies at a letter's place, whatever it shows.
SIGNS = {"japanese", "markers", "mathlow", "mathupp", "meteorology", "music", "symbolic",
         "astrology"}  # fmt: skip
Paths = List[Array]


class Digitlike:
    """Says what lies nearer to a training digit than digits do to each other."""

    def __init__(self, images: Array, part: float = 0.3) -> None:
        self._known = self._reduced(images[:16_000])
        near = self._nearest(images[16_000:18_000])
        self._limit = float(np.quantile(near, part))

    @staticmethod
    def _reduced(images: Array) -> Array:
        small = images.reshape(-1, 14, 2, 14, 2).mean((2, 4), dtype=np.float32)
        soft = np.stack([cv2.GaussianBlur(i, (0, 0), 0.7) for i in small]).reshape(len(small), -1)
        return np.asarray(soft / np.linalg.norm(soft, axis=1, keepdims=True).clip(1e-6))

    def _nearest(self, images: Array) -> Array:
        return np.asarray((self._reduced(images) @ self._known.T).max(1))

    def __call__(self, images: Array) -> Array:
        """uint8 ``[N, 28, 28]`` → bool ``[N]``."""
        return np.asarray(self._nearest(images) > self._limit)


# --- letters and signs ---------------------------------------------------------------------


def is_letter_or_sign(code: int) -> bool:
    """Neither a number, nor a mark on something else, nor what looks like a digit."""
    text = chr(code)
    base = unicodedata.normalize("NFKD", text)[:1]
    return unicodedata.category(text)[0] in "LPS" and not (
        base in LOOK_ALIKES or any(unicodedata.category(t)[0] == "N" for t in base)
    )


@lru_cache(maxsize=None)
def letters_of(name: str) -> Dict[str, Tuple[str, ...]]:
    """A font's letters and signs: Latin ones, other letters, other signs."""
    codes = FT2Font(str(scenes.FONTS / f"{name}.ttf")).get_charmap()
    texts = [chr(code) for code in sorted(codes) if is_letter_or_sign(code)]
    groups: Dict[str, Tuple[str, ...]] = {
        "latin": tuple(t for t in texts if t.isascii() and t.isalpha()),
        "other": tuple(t for t in texts if not t.isascii() and t.isalpha()),
        "sign": tuple(t for t in texts if not t.isalpha()),
    }
    return groups


def font_glyph(c: scenes.Canvas, group: str) -> Array:
    for _ in range(20):
        name = c.pick(GLYPH_FONTS if c.p(0.7) else GLYPH_FONTS[:10])
        texts = letters_of(name)[group]
        if texts:
            shape = scenes.glyph(name, c.pick(texts))
            if min(shape.shape) > 8 and max(shape.shape) < 250:
                return shape
    return scenes.glyph("DejaVuSans", "K")


@lru_cache(maxsize=None)
def hershey(name: str) -> List[Paths]:
    """A font's letters and signs as polylines, in a box of 1 about 0."""
    fonts = HersheyFonts()
    fonts.load_default_font(name)
    found = []
    for text, glyph in sorted(fonts.all_glyphs.items()):
        paths = [np.array(stroke, np.float32) for stroke in glyph.strokes if len(stroke) > 1]
        usual = text.isdigit() or text in LOOK_ALIKES
        if not paths or (usual and name not in SIGNS) or (text.isdigit() and name != "japanese"):
            continue
        points = np.concatenate(paths)
        low, span = points.min(0), np.ptp(points, axis=0)
        if span.max() > 4:
            found.append([(path - low - span / 2) / span.max() for path in paths])
    return found


def hershey_glyph(c: scenes.Canvas) -> Paths:
    return c.pick(hershey(c.pick(HERSHEY if c.p(0.75) else ("japanese", "cursive", "scripts"))))


# --- made up -------------------------------------------------------------------------------


def curve(c: scenes.Canvas, points: Array) -> Array:
    """A smooth line near some points."""
    t = np.linspace(0, len(points) - 1, 40)
    at = np.arange(len(points))
    line = np.stack([np.interp(t, at, points[:, i]) for i in (0, 1)], 1)
    return cv2.GaussianBlur(line.astype(np.float32), (1, 15), c.u(1, 4))


def arc(c: scenes.Canvas) -> Array:
    a, b = c.u(0.12, 0.5), c.u(0.12, 0.5)
    x, y = c.u(-0.3, 0.3), c.u(-0.3, 0.3)
    return scenes.ellipse(c, x, y, a, b, c.u(0, 3), c.u(60, 360), c.u(0, 360))


def pseudo_glyph(c: scenes.Canvas) -> Paths:
    """A sign of no script: a few lines, arcs and loops, mostly joined."""
    anchors = [np.array((x, y)) for x in (-0.4, 0, 0.4) for y in (-0.5, -0.17, 0.17, 0.5)]
    paths: Paths = []
    end = c.pick(anchors)
    for _ in range(c.pick([2, 2, 3, 3, 4, 5])):
        start = end if c.p(0.55) else c.pick(anchors)
        if paths and c.p(0.2):  # from somewhere on what is there
            there = c.pick(paths)
            start = there[c.n(0, len(there) - 1)]
        others = [start, *(c.pick(anchors) + c.r.normal(0, 0.06, 2) for _ in range(c.n(1, 3)))]
        if c.p(0.3):
            line = arc(c)
        elif c.p(0.5):
            line = np.array(others[:2], np.float32)
        else:
            line = curve(c, np.array(others, np.float32))
        paths.append(line)
        end = line[-1]
    return paths


def like_chinese(c: scenes.Canvas) -> Paths:
    """Parts beside or above each other, each of straight strokes, boxes and sweeps."""
    paths: Paths = []
    count = c.pick([1, 2, 2, 2, 3])
    across = c.p(0.5)
    edges = np.concatenate([[0], np.sort(c.r.uniform(0.25, 0.75, count - 1)), [1]]) - 0.5
    for low, high in zip(edges[:-1], edges[1:]):
        span = max(0.12, (high - low) * 0.85)
        middle, size = (low + high) / 2, np.array((span, c.u(0.7, 1)))
        at = np.array((middle, 0.0))
        if not across:
            at, size = at[::-1], size[::-1]
        for _ in range(c.n(2, 5)):
            paths += [at + stroke * size for stroke in chinese_strokes(c)]
    return paths


def chinese_strokes(c: scenes.Canvas) -> Paths:
    which = c.pick(["h", "h", "h", "v", "v", "box", "left", "right", "dot", "hook"])
    x, y = c.u(-0.35, 0.35), c.u(-0.45, 0.45)
    half = c.u(0.25, 0.5)
    if which == "h":
        return [np.array([(-half, y), (half, y - 0.04)])]
    if which == "v":
        return [np.array([(x * c.pick([0, 1]), -half), (x * c.pick([0, 1]), half)])]
    if which == "box":
        w, h = c.u(0.2, 0.45), c.u(0.15, 0.45)
        box = np.array([(-w, -h), (w, -h), (w, h), (-w, h), (-w, -h)])
        return [box, *([np.array([(-w, 0), (w, 0)])] if c.p(0.4) else [])]
    if which == "hook":
        return [np.array([(-half, y), (half * 0.7, y), (half * 0.6, 0.45), (half * 0.3, 0.38)])]
    if which == "dot":
        return [np.array([(x, y), (x + c.u(-0.1, 0.15), y + 0.15)])]
    way = -1 if which == "left" else 1
    return [curve(c, np.array([(0, y - 0.2), (way * 0.15, y + 0.1), (way * half, y + 0.5)]))]


def arrow(c: scenes.Canvas) -> Paths:
    bend = c.u(-0.5, 0.5) if c.p(0.35) else 0.0
    t = np.linspace(-0.5, 0.5, 20)
    shaft = np.stack([t, bend * (0.25 - t**2) * 2], 1)
    open_, long = c.u(0.35, 1.1), c.u(0.15, 0.45)
    head = np.array([(-long * np.cos(open_), -long * np.sin(open_)), (0, 0),
                     (-long * np.cos(open_), long * np.sin(open_))])  # fmt: skip
    slope = np.arctan2(*(shaft[-1] - shaft[-3])[::-1])
    paths = [shaft, turned(head, slope) + shaft[-1]]
    if c.p(0.2):
        paths.append(turned(head * (-1, 1), -slope) + shaft[0])
    if c.p(0.2):
        paths[1] = np.concatenate([paths[1], paths[1][:1]])
    if c.p(0.15):
        paths.append(np.array([(-0.5, c.u(0.05, 0.15)), (0.4, c.u(0.05, 0.15))]))
    spin = c.pick([0, 0, np.pi / 2, np.pi, -np.pi / 2, c.u(0, 2 * np.pi)]) + c.r.normal(0, 0.15)
    return [turned(path, spin) for path in paths]


def tick(c: scenes.Canvas) -> Paths:
    low = (c.u(-0.35, 0), c.u(0.3, 0.5))
    start = (c.u(-0.5, low[0] - 0.05), c.u(-0.25, 0.25))
    points = np.array([start, low, (c.u(0.3, 0.55), c.u(-0.55, -0.2))])
    return [points if c.p(0.5) else curve(c, np.repeat(points, 2, 0))]


def star(c: scenes.Canvas) -> Paths:
    k = c.n(4, 8)
    angle = np.arange(2 * k + 1) * np.pi / k + c.u(0, 1)
    radius = np.where(np.arange(2 * k + 1) % 2, c.u(0.15, 0.38), 0.5)
    return [np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]]


def polygon(c: scenes.Canvas) -> Paths:
    k = c.n(3, 7)
    angle = np.arange(k) * 2 * np.pi / k + c.u(0, 6) + c.r.normal(0, 0.6 / k, k)
    radius = c.r.uniform(0.7, 1, k) * 0.5 if c.p(0.5) else np.full(k, 0.5)
    points = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    paths = [scenes.closed(points * (1, c.u(0.5, 1)))]
    if c.p(0.2):
        paths.append(paths[0][[0, k // 2]])
    return paths


def closed_curve(c: scenes.Canvas) -> Paths:
    """Any outline: a cloud, a leaf, a heart, a stain."""
    t = np.linspace(0, 2 * np.pi, 80)
    radius = np.ones(80)
    for k in range(2, c.n(4, 9)):
        radius += c.r.normal(0, 0.5 / k) * np.cos(k * t + c.u(0, 6))
    points = np.stack([np.cos(t), np.sin(t)], 1) * np.clip(radius, 0.15, 3)[:, None]
    return [points * 0.5 / np.abs(points).max()]


def mirrored(c: scenes.Canvas) -> Paths:
    """Something with an axis, as many drawn things have one: a face, a tree, a vase, a letter."""
    half = pseudo_glyph(c)
    half = [path * (0.5, 1) + (c.pick([-0.25, -0.2, -0.3]), 0) for path in half]
    paths = half + [path * (-1, 1) for path in half]
    if c.p(0.3):
        paths.append(arc(c))
    return paths if c.p(0.7) else [path[:, ::-1] for path in paths]


def rays(c: scenes.Canvas) -> Paths:
    """Lines from a middle, perhaps around a circle: a sun, an asterisk, a flower, a cross."""
    k = c.n(3, 12)
    inner = c.pick([0, 0, c.u(0.15, 0.35)])
    angle = np.arange(k) * 2 * np.pi / k + c.u(0, 1)
    ways = np.stack([np.cos(angle), np.sin(angle)], 1)
    paths = [np.stack([way * inner * c.u(0.9, 1.3), way * 0.5]) for way in ways]
    return [*paths, scenes.ellipse(c, 0, 0, inner, inner)] if inner else paths


def grid(c: scenes.Canvas) -> Paths:
    """Hash, table, ladder, fence, hatching."""
    paths: Paths = []
    for vertical, count in ((0, c.n(1, 5)), (1, c.n(0, 4))):
        for at in np.linspace(-0.4, 0.4, count) if count > 1 else [0.0]:
            line = np.array([(-0.5, at), (0.5, at)]) + c.r.normal(0, 0.03, (2, 2))
            paths.append(line[:, ::-1] if vertical else line)
    turn = c.pick([0, 0, c.u(-0.8, 0.8)])
    return [turned(path, turn) for path in paths]


def winding(c: scenes.Canvas) -> Paths:
    """A spiral, a coil, a wave, a zigzag."""
    t = np.linspace(0, 1, 90)
    which, k = c.n(0, 3), c.u(2, 7)
    if which == 0:
        angle = 2 * np.pi * c.u(1.6, 4) * t
        return [np.stack([np.cos(angle), np.sin(angle)], 1) * t[:, None] * 0.5]
    if which == 1:
        angle = 2 * np.pi * k * t
        return [np.stack([t - 0.5 + 0.15 * np.cos(angle), c.u(0.1, 0.4) * np.sin(angle)], 1)]
    saw = np.sin(2 * np.pi * k * t)
    if which == 3:
        saw = np.arcsin(saw) / 1.57
    return [turned(np.stack([t - 0.5, c.u(0.1, 0.45) * saw], 1), c.pick([0, 0, c.u(0, 3)]))]


def scribbled(c: scenes.Canvas) -> Paths:
    """A pen that wanders."""
    points = np.cumsum(c.r.standard_normal((c.n(6, 40), 2)), 0)
    points -= points.mean(0)
    smooth = cv2.resize(points.astype(np.float32), (2, 150), interpolation=cv2.INTER_CUBIC)
    return [smooth * 0.5 / np.abs(smooth).max()]


def bits(c: scenes.Canvas) -> Paths:
    """Dots, dashes, commas: punctuation, and what a pen leaves."""
    paths: Paths = []
    for _ in range(c.n(1, 4)):
        at, way = c.r.uniform(-0.45, 0.45, 2), c.r.normal(0, c.pick([0.01, 0.08, 0.25]), 2)
        paths.append(curve(c, np.stack([at, at + way, at + way + c.r.normal(0, 0.04, 2)])))
    return paths


def turned(points: Array, angle: float) -> Array:
    s, k = np.sin(angle), np.cos(angle)
    return np.asarray(points @ np.array([[k, s], [-s, k]]))


def by_pen(c: scenes.Canvas, paths: Paths, box: scenes.Box, width: Optional[float] = None) -> Array:
    """Paths in a box of 1 about 0, drawn by a hand: a mask."""
    s = box.h
    shake = c.pick([0, 0.01, 0.02, 0.035]) * s
    bend = np.array([[c.u(0.75, 1.25), c.r.normal(0, 0.12)], [0, 1]])
    turn = c.r.normal(0, 0.1)
    placed = []
    for path in paths:
        points = turned(path @ bend.T, turn) * s + (box.x, box.y)
        placed.append(scenes.wobbly(c, points, shake) if shake else points.astype(np.float32))
    width = width or c.log(0.035, 0.17) * s
    if c.p(0.2):
        return scenes.broad_nib(c, placed, width)
    return scenes.lines(c, placed, width, c.p(0.1))


STROKES: Dict[Callable[[scenes.Canvas], Paths], float] = {
    hershey_glyph: 6, pseudo_glyph: 6, like_chinese: 4, arrow: 3, tick: 2.5, star: 1,
    polygon: 2, closed_curve: 2, mirrored: 2.5, rays: 1, grid: 1.5, winding: 1.5, scribbled: 2,
    bits: 1.5,
}  # fmt: skip
FILLED = (star, polygon, closed_curve, mirrored)


def drawn_sign(c: scenes.Canvas, digits: scenes.Digits, box: scenes.Box) -> Array:
    shares = np.array(list(STROKES.values()))
    make = list(STROKES)[int(c.r.choice(len(shares), p=shares / shares.sum()))]
    paths = make(c)
    if make in FILLED and c.p(0.3):
        return scenes.polygon(c, np.concatenate(paths) * box.h * (c.u(0.6, 1), 1) + (box.x, box.y))
    width = c.log(0.03, 0.08) * box.h if make is like_chinese else None
    return by_pen(c, paths, box, width)


def printed_sign(c: scenes.Canvas, digits: scenes.Digits, box: scenes.Box) -> Array:
    shape = font_glyph(c, c.pick(["latin", "latin", "latin", "other", "other", "sign"]))
    if c.p(0.5):
        shape = scenes.as_by_hand(c, shape)
    mask = c.blank()
    scenes.stamp(c, mask, shape, box.x, box.y, box.h, c.r.normal(0, 0.12), c.u(0.75, 1.3))
    return mask


def composed(c: scenes.Canvas, digits: scenes.Digits, box: scenes.Box) -> Array:
    """A few shapes put together, some of them filled: icons, faces, tools, road signs."""
    mask, s = c.blank(), box.h
    width = c.log(0.035, 0.12) * s
    around = c.pick([ring, rectangle, polygon, None])
    inner = 0.6 if around else 1.0
    parts = [around(c)] if around else []
    for _ in range(c.n(1 if around else 2, 4)):
        make = c.pick([ring, rectangle, polygon, line, line, lambda c: [arc(c)]])
        at, size = c.r.normal(0, 0.2, 2) * inner, c.u(0.15, 0.7) * inner
        parts.append([path * size + at for path in make(c)])
    for paths in parts:
        if c.p(0.2):
            middle = (box.x, box.y)
            shape = scenes.polygon(c, np.concatenate(paths) * s + middle)
            # What is filled before is cut into.
            mask = np.where(shape > 127, 255 - mask, mask) if c.p(0.5) else np.maximum(mask, shape)
        else:
            placed = [(path * s + (box.x, box.y)).astype(np.float32) for path in paths]
            np.maximum(mask, scenes.lines(c, placed, width), out=mask)
    return mask


def ring(c: scenes.Canvas) -> Paths:
    return [scenes.ellipse(c, 0, 0, 0.5, 0.5 * c.pick([1, 1, c.u(0.4, 1)]))]


def rectangle(c: scenes.Canvas) -> Paths:
    w, h = c.u(0.25, 0.5), c.u(0.25, 0.5)
    return [np.array([(-w, -h), (w, -h), (w, h), (-w, h), (-w, -h)])]


def line(c: scenes.Canvas) -> Paths:
    return [turned(np.array([(-0.5, 0), (0.5, 0)]), c.pick([0, np.pi / 2, np.pi / 4, c.u(0, 3)]))]


# --- spoilt digits -------------------------------------------------------------------------


def one_digit(c: scenes.Canvas, digits: scenes.Digits, box: scenes.Box) -> Tuple[Array, int]:
    tool = c.pick((*scenes.EVERYDAY, "font"))
    box = scenes.Box(box.x, box.y, box.h * c.u(0.75, 1.1), box.h)
    made, label = scenes.write(c, digits, box, tool, c.r.normal(0, 0.12), c.r.normal(0, 0.12))
    return made.meant, label


def part_of_digit(c: scenes.Canvas, digits: scenes.Digits, box: scenes.Box) -> Array:
    """Half a digit, one with a piece missing, or the upper part of one on the lower of another."""
    mask, _ = one_digit(c, digits, box)
    turn = c.pick([0, np.pi / 2, np.pi, -np.pi / 2]) + c.r.normal(0, 0.25)
    y, x = np.mgrid[: c.h, : c.w].astype(np.float32)
    across = (x - box.x) * np.cos(turn) + (y - box.y) * np.sin(turn)
    away = across > c.r.normal(0, 0.07) * box.h
    if c.p(0.25):
        other, _ = one_digit(c, digits, box)
        return np.where(away, other, mask)
    if c.p(0.2):
        middle = np.array((box.x, box.y)) + c.r.normal(0, 0.25, 2) * box.h
        away = np.hypot(x - middle[0], y - middle[1]) < c.u(0.2, 0.35) * box.h
    return np.where(away, 0, mask).astype(np.uint8)


def wrong_way(c: scenes.Canvas, digits: scenes.Digits, box: scenes.Box) -> Array:
    """A digit in a mirror, upside down or lying, where that is none."""
    mask, label = one_digit(c, digits, box)
    if c.p(0.45) and label in (2, 3, 4, 5, 6, 7, 9):
        return np.ascontiguousarray(mask[:, ::-1])
    angle = 180 if c.p(0.3) else c.pick([90, 270])
    if label not in ((3, 4, 7) if angle == 180 else (2, 3, 4, 5, 6, 7, 9)):
        return mask * 0
    return cv2.warpAffine(mask, cv2.getRotationMatrix2D((box.x, box.y), angle, 1), (c.w, c.h))


def crossed_out(c: scenes.Canvas, digits: scenes.Digits, box: scenes.Box) -> Array:
    mask, label = one_digit(c, digits, box)
    width = c.log(0.03, 0.13) * box.h
    where = scenes.Box(box.x + c.r.normal(0, 0.05) * box.h, box.y + c.r.normal(0, 0.05) * box.h,
                       box.w, box.h * c.u(0.8, 1.15))  # fmt: skip
    for _ in range(5):  # till it can be seen
        crossed = np.maximum(mask, by_pen(c, strikes(c, label), where, width))
        if crossed.sum(dtype=float) > 1.2 * mask.sum(dtype=float):
            return crossed
    return mask * 0


def strikes(c: scenes.Canvas, label: int) -> Paths:
    """One line or more through a digit; of one that is written with a bar, more than one."""
    angle = c.pick([0, 0.6, -0.6, 0.9, -0.9, 1.3]) + c.r.normal(0, 0.15)
    way = turned(np.array([(-0.5, 0), (0.5, 0)]) * c.u(0.8, 1.3), angle)
    if label not in (0, 1, 7) and c.p(0.35):
        return [way]
    which = c.n(0, 3)
    if which == 0:
        return [way, turned(way, c.u(0.9, 2.2))]
    if which == 1:
        return winding(c) if c.p(0.5) else scribbled(c)
    normal = turned(way, np.pi / 2)[1] / np.linalg.norm(way[1])
    return [way + normal * o for o in np.linspace(-0.2, 0.2, c.n(2, 5)) * c.u(0.4, 1.4)]


# --- what fills the picture ----------------------------------------------------------------


def width_by_height(c: scenes.Canvas, k: int) -> Array:
    return np.interp(np.linspace(0, 1, 28), np.linspace(0, 1, k), c.r.uniform(0.15, 1, k))


def thing(c: scenes.Canvas) -> Array:
    """A thing on black, grey, with its light and its pattern, and mostly the same on both sides."""
    y, x = np.mgrid[:28, :28].astype(np.float32)
    y, x = (y - 13.5) / 13.5, (x - 13.5) / 13.5
    side = width_by_height(c, c.n(2, 6))[:, None] * c.u(0.4, 1.1)
    right = side if c.p(0.7) else width_by_height(c, c.n(2, 6))[:, None] * c.u(0.4, 1.1)
    shape = (x < right) & (x > -side)
    if c.p(0.35):  # sleeves, a handle, wings
        shape |= (np.abs(x) < c.u(0.6, 1)) & (
            np.abs(y - c.u(-0.7, 0.3) - c.u(0, 1) * np.abs(x)) < c.u(0.1, 0.4)
        )
    if c.p(0.3):  # legs, or a hollow
        shape &= ~((np.abs(x) < c.u(0.05, 0.35)) & (y > c.u(-0.6, 0.5)))
    if c.p(0.3):  # a neck
        shape &= ~((np.abs(x) < c.u(0.1, 0.4)) & (y < c.u(-1, -0.6)))
    long = c.u(0.3, 1) if c.p(0.5) else 1.0
    shape &= np.abs(y) < long
    if c.p(0.4):  # one that lies: shoes, bags
        shape = np.rot90(shape, c.pick([1, 3]))
    return patterned(c, shape.astype(np.float32))


def patterned(c: scenes.Canvas, shape: Array) -> Array:
    y, x = np.mgrid[:28, :28].astype(np.float32)
    grey = np.full((28, 28), c.u(30, 255), np.float32)
    angle = c.pick([0, np.pi / 2, c.u(0, 3)])
    if c.p(0.3):
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * c.u(0.3, 3) + c.u(0, 6))
        grey *= 1 + c.u(0.1, 0.9) * (wave if c.p(0.5) else np.sign(wave))
    if c.p(0.6):
        names = ("clouds", "wood", "smear", "crumple", "fibre", "grain")
        texture = cv2.resize(
            c.texture(c.pick(names), c.log(0.3, 3)), (28, 28), interpolation=cv2.INTER_AREA
        )
        grey += texture * c.u(5, 70)
    if c.p(0.5):
        grey *= 1 + c.u(-0.6, 0.6) * (x if c.p(0.5) else y) / 28
    if c.p(0.4):  # the light on its edges
        inner = cv2.GaussianBlur(shape, (0, 0), c.u(1, 4))
        grey *= inner if c.p(0.5) else 1.6 - inner
    soft = cv2.GaussianBlur(shape, (0, 0), c.u(0.3, 0.9))
    return np.clip(grey * soft, 0, 255).astype(np.uint8)


def leaves(c: scenes.Canvas) -> Array:
    """Things before things, as photographs show them (the dead leaves of Matheron 1968)."""
    image = np.full((56, 56), c.u(0, 255), np.float32)
    for _ in range(c.n(3, 40)):
        at, size = tuple(c.n(-5, 60) for _ in range(2)), tuple(int(c.log(2, 30)) for _ in range(2))
        if c.p(0.6):
            cv2.ellipse(image, at, size, c.u(0, 180), 0, 360, c.u(0, 255), -1, cv2.LINE_AA)
        else:
            corners = cv2.boxPoints((at, size, c.u(0, 180))).astype(np.int32)
            cv2.fillPoly(image, [corners], c.u(0, 255))
    small = cv2.resize(
        cv2.GaussianBlur(image, (0, 0), c.u(0.4, 3)), (28, 28), interpolation=cv2.INTER_AREA
    )
    small += c.r.normal(0, c.pick([0, 5, 15]), (28, 28))
    return np.clip(small, 0, 255).astype(np.uint8)


def texture(c: scenes.Canvas) -> Array:
    """Anything grey of 28 pixels: blots, stripes, noise."""
    image = patterned(c, np.ones((28, 28), np.float32))
    if c.p(0.5):
        y, x = np.mgrid[:28, :28]
        image = image * (np.hypot((x - 14) / c.u(5, 13), (y - 14) / c.u(5, 13)) < 1)
    return image.astype(np.uint8)


FIGURES = {printed_sign: 6, drawn_sign: 9, part_of_digit: 2.5, wrong_way: 1.5, crossed_out: 4,
           scenes.figure: 4}  # fmt: skip
GREY = (thing, thing, thing, leaves, texture)


def figure(c: scenes.Canvas, digits: scenes.Digits, box: scenes.Box) -> Array:
    """A mask of what is no digit; ``c.symbol`` says which kind."""
    shares = np.array(list(FIGURES.values()))
    make = list(FIGURES)[int(c.r.choice(len(shares), p=shares / shares.sum()))]
    mask = make(c, digits, box)
    c.symbol = make.__name__
    return mask
