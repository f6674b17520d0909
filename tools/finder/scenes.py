# ruff: noqa: D103, E501, RUF005
"""Scenes for training the finder: everyday pictures with digits, drawn by a program.

A scene is a surface (paper, desk, board, screen…), marks that are no digits, digits written with
some tool, light and shadow, and a camera. ``draw(source, seed, index)`` draws one of them; the
same arguments give the same scene. The digits are MNIST's (``Digits.of``; the training takes the
first 50,000 training images only) as they are or as strokes along their middle lines, digits of
the fonts that Matplotlib brings, and seven segments. Nothing of any test set is in them.

What the ink's mask holds is the digit that was meant: whole strokes where the pen ran dry or the
line is dotted, filled ones where only the outline is drawn, and a pen's width for a hairline.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[Any]
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
DIGIT_FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono"),
    *("DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("DejaVuSerif-BoldItalic", "DejaVuSans-BoldOblique", "STIXGeneral", "STIXGeneralBol"),
    *("STIXGeneralItalic", "STIXGeneralBolIta", "cmr10", "cmss10", "cmtt10", "cmb10"),
)
# Letters that nobody would take for a digit, wherever they stand alone.
LETTERS = "ACDEFHJKLMNPQRTUVWXYadefhkmnprtuvwxycÄÖÉÑßæδπλφψωΔΣΩΨΞЖДЮЯФЩЪИЛЦшю"
SYMBOLS = "!?#%&*+=@$€£<>~^§¶†‡•→←↑↓↗⇒✓✗✔✘★☆♥♦♣♠♪♫☺☎✂✈✉∞∑∫√≈≠≤≥±×÷∂∇∈∪∩⊂⊥∀∃{}[]-–—.,:;\"'…▲■◆●"
WORDS = (
    *("Name", "Datum", "Total", "Room", "No.", "page", "Seite", "Score", "Answer", "the", "and"),
    *("Please write", "in the box", "Summe", "EUR", "kg", "Tel.", "Street", "Klasse", "Exercise"),
    *("a)", "b)", "c)", "Ergebnis", "Edit", "View", "File", "Save", "Help", "milk", "bread"),
    *("notes", "to do", "call Anna", "monday", "Grade", "Punkte", "Signature", "x =", "y =", "Nr"),
)


# --- digits ----------------------------------------------------------------------------


class Digits(NamedTuple):
    """uint8 ``[N, 28, 28]``, int ``[N]``, and the middle lines of the first of them."""

    images: Array
    labels: Array
    strokes: List[List[Array]]

    @staticmethod
    def of(images: Array, labels: Array, traced: int = 6000) -> "Digits":
        return Digits(images, labels, [trace(lines) for lines in thinned(images[:traced])])


TRACE_SCALE = 3


def thinned(images: Array) -> Array:
    """The middle lines after Zhang and Suen 1984, of images made three times as large: bool."""
    side = 28 * TRACE_SCALE
    large = np.stack([cv2.resize(i, (side, side), interpolation=cv2.INTER_CUBIC) for i in images])
    mask = large > 110
    for _ in range(14):
        for second in (False, True):
            p = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
            shifts = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
            n = [p[:, dy : dy + side, dx : dx + side] for dy, dx in shifts]
            count = np.zeros(mask.shape, np.uint8)
            turns = np.zeros(mask.shape, np.uint8)
            for i in range(8):
                count += n[i]
                turns += ~n[i] & n[(i + 1) % 8]
            ends = (
                (n[0] & n[2] & n[6], n[0] & n[4] & n[6])
                if second
                else (n[0] & n[2] & n[4], n[2] & n[4] & n[6])
            )
            gone = mask & (count >= 2) & (count <= 6) & (turns == 1) & ~ends[0] & ~ends[1]
            mask = mask & ~gone
    return mask


def trace(lines: Array) -> List[Array]:
    """Middle lines → polylines in the units of 28 pixels: float32 ``[points, 2]``, x and y."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(lines))}
    near = [(-1, 0), (0, 1), (1, 0), (0, -1), (-1, -1), (-1, 1), (1, 1), (1, -1)]

    def around(p: Tuple[int, int]) -> List[Tuple[int, int]]:
        return [q for q in ((p[0] + dy, p[1] + dx) for dy, dx in near) if q in left]

    degree = {p: len(around(p)) for p in left}
    touching = set(left)
    found = []
    while left:
        ends = [p for p in left if degree[p] == 1]
        path = [min(ends) if ends else min(left)]
        left.discard(path[0])
        while True:
            following = around(path[-1])
            if not following:
                break
            if len(path) > 3:  # as straight on as can be
                way = np.subtract(path[-1], path[-4])
                following.sort(key=lambda q: -float(np.dot(np.subtract(q, path[-1]), way)))
            path.append(following[0])
            left.discard(path[-1])
        for end, reverse in ((path[0], True), (path[-1], False)):
            joins = [
                q
                for q in ((end[0] + dy, end[1] + dx) for dy, dx in near)
                if q in touching and q not in path[:4] + path[-4:]
            ]
            if joins:
                path = [joins[0], *path] if reverse else [*path, joins[0]]
        if len(path) >= 5 or not found:
            points = np.array(path, np.float32)[:, ::-1]
            smooth = points.copy()
            for _ in range(3):
                smooth[1:-1] = (smooth[:-2] + smooth[2:] + 2 * smooth[1:-1]) / 4
            keep = np.unique(np.r_[np.arange(0, len(smooth), 2), len(smooth) - 1])
            found.append((smooth[keep] + 0.5) / TRACE_SCALE - 0.5)
    return found


SEGMENTS = {  # which of the seven are lit: top, upper right, lower right, bottom, lower left…
    0: "abcdef", 1: "bc", 2: "abdeg", 3: "abcdg", 4: "bcfg",
    5: "acdfg", 6: "acdefg", 7: "abc", 8: "abcdefg", 9: "abcdfg",
}  # fmt: skip
SEGMENT_ENDS = {
    "a": (0, 0, 1, 0), "b": (1, 0, 1, 1), "c": (1, 1, 1, 2), "d": (0, 2, 1, 2),
    "e": (0, 1, 0, 2), "f": (0, 0, 0, 1), "g": (0, 1, 1, 1),
}  # fmt: skip


@lru_cache(maxsize=512)
def font(name: str, size: int) -> Any:
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), size)


@lru_cache(maxsize=4096)
def glyph(name: str, text: str, size: int = 96) -> Array:
    """A text's own pixels in a font: uint8, cut to the ink; empty if the font has none."""
    face = font(name, size)
    left, top, right, bottom = face.getbbox(text)
    if right <= left or bottom <= top:
        return np.zeros((0, 0), np.uint8)
    picture = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(picture).text((2 - left, 2 - top), text, fill=255, font=face)
    return np.array(picture)


# --- noise and textures ------------------------------------------------------------------


def clouds(r: np.random.Generator, side: int, octaves: Tuple[int, ...]) -> Array:
    """Smooth noise of several grain sizes, about 0 ± 1: float32 ``[side, side]``."""
    total = np.zeros((side, side), np.float32)
    for cells in octaves:
        grid = r.standard_normal((cells, cells), dtype=np.float32)
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return total / np.float32(total.std() + 1e-6)


@lru_cache(maxsize=1)
def textures() -> Dict[str, List[Array]]:
    """Noise to cut from, the same in every process: float32 ``[640, 640]``, about 0 ± 1."""
    r = np.random.default_rng(20)
    side = 640
    grain = [r.standard_normal((side, side), dtype=np.float32) for _ in range(3)]
    wood = []
    for _ in range(4):
        rows = clouds(r, side, (6, 40, 200)).mean(1, keepdims=True) * 6
        bend = clouds(r, side, (3, 5)) * 8
        stretched = cv2.resize(r.standard_normal((300, 12), dtype=np.float32), (side, side))
        rings = np.sin(np.linspace(0, 60, side, dtype=np.float32)[:, None] + bend * 0.4 + rows)
        wood.append((rings * 0.5 + stretched).astype(np.float32))
    smears = []
    for _ in range(4):
        noise = r.standard_normal((side, side), dtype=np.float32)
        kernel = np.zeros((61, 61), np.float32)
        angle = r.uniform(0, np.pi)
        way = np.array([np.cos(angle), np.sin(angle)]) * 30
        cv2.line(kernel, tuple(int(v) for v in 30 - way), tuple(int(v) for v in 30 + way), 1.0)
        smear = cv2.filter2D(noise, -1, kernel)
        smears.append(smear / smear.std() + clouds(r, side, (6, 12)))
    crumple = []
    for _ in range(3):
        folds = np.zeros((side, side), np.float32)
        for _ in range(25):
            angle, offset = r.uniform(0, 2 * np.pi), r.uniform(-300, 300)
            y, x = np.mgrid[:side, :side].astype(np.float32) - side / 2
            d = x * np.cos(angle) + y * np.sin(angle) - offset + clouds(r, side, (4, 7)) * 6
            folds += r.uniform(-1, 1) * np.tanh(d / r.uniform(2, 20)).astype(np.float32)
        crumple.append(folds / folds.std())
    return {
        "grain": grain,
        "fibre": [soft(g, s) * s * 3 for g, s in zip(grain, (0.8, 1.3, 2))],
        "clouds": [clouds(r, side, o) for o in ((4, 8, 16), (10, 20, 40), (3, 5), (20, 60, 160))],
        "wood": wood,
        "smear": smears,
        "crumple": crumple,
    }


# --- the canvas --------------------------------------------------------------------------


@dataclass
class Scene:
    """``picture`` uint8 RGB ``[H, W, 3]``; ``ink``, ``marks`` and ``known`` uint8 ``[H, W]``.

    ``known`` is 0 where nobody can say whether it is a digit's ink. ``ids`` uint8 ``[H, W]`` has
    the number of the digit from 1, ``labels`` their digits, ``boxes`` left, top, width, height.
    """

    picture: Array
    ink: Array
    marks: Array
    known: Array
    ids: Array
    labels: List[int]
    boxes: List[Tuple[int, int, int, int]]
    kind: str
    symbol: str = ""


@dataclass
class Canvas:
    """A picture being painted, float32 in 0–255, and what was painted on it."""

    r: np.random.Generator
    h: int
    w: int
    kind: str = ""
    img: Array = field(init=False)
    ink: Array = field(init=False)
    marks: Array = field(init=False)
    known: Array = field(init=False)
    ids: Array = field(init=False)
    labels: List[int] = field(default_factory=list)
    dark: bool = False
    mild: bool = False
    area: Tuple[float, float, float, float] = (0, 0, 0, 0)
    symbol: str = ""

    def __post_init__(self) -> None:
        self.img = np.full((self.h, self.w, 3), 255, np.float32)
        self.ink = np.zeros((self.h, self.w), np.uint8)
        self.marks = np.zeros((self.h, self.w), np.uint8)
        self.known = np.full((self.h, self.w), 255, np.uint8)
        self.ids = np.zeros((self.h, self.w), np.uint8)
        self.area = (0, 0, self.w, self.h)

    # chances
    def p(self, chance: float) -> bool:
        return bool(self.r.random() < chance)

    def u(self, low: float, high: float) -> float:
        return float(self.r.uniform(low, high))

    def log(self, low: float, high: float) -> float:
        return float(np.exp(self.r.uniform(np.log(low), np.log(high))))

    def n(self, low: int, high: int) -> int:
        return int(self.r.integers(low, high + 1))

    def pick(self, things: Any) -> Any:
        return things[int(self.r.integers(len(things)))]

    @property
    def unit(self) -> float:
        return min(self.h, self.w) / 100

    def texture(self, name: str, zoom: float = 1.0) -> Array:
        """A piece of a texture with the canvas's size: float32 ``[H, W]``."""
        whole = self.pick(textures()[name])
        h, w = (min(640, max(4, int(side / zoom))) for side in (self.h, self.w))
        top, left = self.n(0, 640 - h), self.n(0, 640 - w)
        piece = whole[top : top + h, left : left + w]
        if self.p(0.5):
            piece = piece[::-1]
        if self.p(0.5):
            piece = piece[:, ::-1]
        return cv2.resize(piece, (self.w, self.h), interpolation=cv2.INTER_LINEAR)

    def paint(self, alpha: Array, colour: Array, strength: float = 1.0) -> None:
        """A colour over the picture where ``alpha`` (uint8 or float in 0–1) says so."""
        part = alpha.astype(np.float32) * (strength / 255 if alpha.dtype == np.uint8 else strength)
        rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
        if len(rows) == 0:
            return
        where = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        a = part[where][..., None]
        self.img[where] += a * (np.asarray(colour, np.float32) - self.img[where])

    def mark(self, alpha: Array, colour: Array, strength: float = 1.0, told: bool = True) -> None:
        """Paint something that is no digit."""
        self.paint(alpha, colour, strength)
        if told:
            np.maximum(self.marks, alpha, out=self.marks)

    def blank(self) -> Array:
        return np.zeros((self.h, self.w), np.uint8)


Colour = Tuple[float, float, float]


def soft(values: Array, sigma: float) -> Array:
    """A Gaussian blur; a wide one on fewer pixels, which is far quicker and looks the same."""
    if sigma < 5 or min(values.shape[:2]) < 40:
        return cv2.GaussianBlur(values, (0, 0), sigma)
    size = values.shape[1::-1]
    few = cv2.resize(values, (size[0] // 4, size[1] // 4), interpolation=cv2.INTER_AREA)
    return cv2.resize(
        cv2.GaussianBlur(few, (0, 0), sigma / 4), size, interpolation=cv2.INTER_LINEAR
    )


def brightness(colour: Any) -> float:
    return float(np.dot(np.asarray(colour), (0.299, 0.587, 0.114)))


def lines(c: Canvas, paths: List[Array], width: float, hard: bool = False) -> Array:
    """Polylines in pixels (x, y) with a round pen: uint8 ``[H, W]``."""
    mask = c.blank()
    kind = cv2.LINE_8 if hard else cv2.LINE_AA
    if hard or width >= 1:
        whole = max(1, round(width))
        points = [np.rint(path * 16).astype(np.int32).reshape(-1, 1, 2) for path in paths]
        cv2.polylines(mask, points, False, 255, whole, kind, 4)
        return mask
    points = [np.rint(path * 16).astype(np.int32).reshape(-1, 1, 2) for path in paths]
    cv2.polylines(mask, points, False, max(60, int(255 * width)), 1, kind, 4)
    return mask


def polygon(c: Canvas, points: Any) -> Array:
    mask = c.blank()
    whole = np.rint(np.asarray(points, np.float64) * 16).astype(np.int32)
    cv2.fillPoly(mask, [whole.reshape(-1, 1, 2)], 255, cv2.LINE_AA, 4)
    return mask


def ellipse(c: Canvas, x: float, y: float, a: float, b: float, turn: float = 0, arc: float = 360,
            start: float = 0) -> Array:  # fmt: skip
    t = np.radians(np.linspace(start, start + arc, 48))
    px, py = a * np.cos(t), b * np.sin(t)
    s, k = np.sin(turn), np.cos(turn)
    return np.stack([x + px * k - py * s, y + px * s + py * k], 1).astype(np.float32)


def quad(c: Canvas, x: float, y: float, w: float, h: float, turn: float = 0) -> Array:
    corners = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    s, k = np.sin(turn), np.cos(turn)
    return (corners @ np.array([[k, s], [-s, k]]) + (x, y)).astype(np.float32)


def closed(points: Array) -> Array:
    return np.concatenate([points, points[:1]])


def wobbly(c: Canvas, path: Array, amount: float) -> Array:
    """A path as a hand draws it."""
    if len(path) < 12:
        steps = np.linspace(0, len(path) - 1, 24)
        index = np.arange(len(path))
        path = np.stack([np.interp(steps, index, path[:, i]) for i in (0, 1)], 1)
    noise = c.r.standard_normal((6, 2)) * amount
    at = np.linspace(0, 5, len(path))
    return (path + np.stack([np.interp(at, np.arange(6), noise[:, i]) for i in (0, 1)], 1)).astype(
        np.float32
    )


# --- surfaces ----------------------------------------------------------------------------


def any_colour(c: Canvas, low: float = 0, high: float = 255) -> Array:
    return c.r.uniform(low, high, 3)


def near_white(c: Canvas) -> Array:
    return np.clip(c.u(200, 255) + c.r.normal(0, 6, 3) + c.u(0, 1) * np.array([4, 0, -12]), 0, 255)


def paper_colour(c: Canvas) -> Array:
    if c.p(0.7):
        return near_white(c)
    return np.array(c.pick([
        (250, 240, 150), (255, 200, 210), (190, 230, 190), (180, 215, 245), (235, 205, 150),
        (200, 170, 130), (255, 225, 130), (220, 220, 220), (245, 235, 215), (255, 170, 90),
        (170, 240, 120), (240, 130, 170), (215, 200, 240), (160, 160, 160),
    ]), float) + c.r.normal(0, 8, 3)  # fmt: skip


def flat(c: Canvas) -> None:
    if c.p(0.55):
        c.img[:] = 255
    elif c.p(0.3):
        c.img[:] = near_white(c)
    elif c.p(0.5):
        c.img[:] = any_colour(c)
    else:
        c.img[:] = any_colour(c, 0, 50) if c.p(0.6) else 0


def black(c: Canvas) -> None:
    c.img[:] = 0 if c.p(0.7) else any_colour(c, 0, 45)


def paper(c: Canvas, colour: Optional[Array] = None) -> None:
    c.img[:] = paper_colour(c) if colour is None else colour
    if c.p(0.7):
        c.img += c.texture("fibre", c.log(0.7, 2))[..., None] * c.u(0.3, 5)
    if c.p(0.4):
        c.img += c.texture("clouds")[..., None] * c.u(0.5, 6)
    if c.p(0.25):
        c.img += c.texture("crumple", c.log(0.6, 2))[..., None] * c.u(2, 14)
    if c.p(0.1):
        show_through(c)


def show_through(c: Canvas) -> None:
    """Writing of the other side of the sheet."""
    for _ in range(c.n(2, 6)):
        text_line(c, c.u(0, c.w * 0.5), c.u(0, c.h), c.u(4, 14) * c.unit,
                  c.img.mean((0, 1)) - c.u(8, 25), mirrored=True)  # fmt: skip


def rulings(c: Canvas) -> None:
    """Lines across the paper: ruled, squared, dotted, staves, with a margin, bold or pale."""
    base = c.img.mean((0, 1))
    colour = np.array(c.pick([(120, 150, 210), (150, 150, 150), (190, 120, 120), (110, 180, 150),
                              (90, 90, 90), (60, 80, 150), (30, 30, 30)]), float)  # fmt: skip
    strength = c.u(0.15, 1.0)
    step = c.log(5, 60) * c.unit
    width = c.log(0.5, 2.6) * max(0.6, c.unit) if c.p(0.8) else c.u(1, 2)
    turn = c.r.normal(0, 0.03) if c.p(0.7) else 0
    style = c.pick(
        ["ruled", "ruled", "squared", "squared", "squared", "dots", "staff", "millimetre"]
    )
    mask = c.blank()
    span = 1.5 * max(c.h, c.w)
    middle = np.array([c.w / 2, c.h / 2])

    def across(angle: float, offset: float) -> Array:
        way = np.array([np.cos(angle), np.sin(angle)])
        start = middle + offset * np.array([-way[1], way[0]])
        return np.stack([start - way * span, start + way * span]).astype(np.float32)

    start = c.u(0, step)
    offsets = np.arange(-span / 2, span / 2, step) + start
    if style == "staff":
        offsets = np.concatenate([offsets[::2] + i * step / 5 for i in range(5)])
    if style == "millimetre":
        fine = np.arange(-span / 2, span / 2, max(step / 5, 3)) + start
        faint = lines(c, [across(a, o) for a in (turn, turn + np.pi / 2) for o in fine], 0.5)
        c.mark(faint, colour, strength * 0.6)
    paths = [across(turn, o) for o in offsets]
    if style in ("squared", "millimetre", "dots"):
        other = [across(turn + np.pi / 2, o + c.u(0, step)) for o in offsets[:1]]
        shift = c.u(0, step)
        other = [across(turn + np.pi / 2, o + shift) for o in offsets]
        if style == "dots":
            radius = max(1.0, width)
            a, b = lines(c, paths, radius), lines(c, other, radius)
            mask = np.minimum(a, b)
        else:
            paths += other
    if style != "dots":
        mask = lines(c, paths, width)
    c.mark(mask, colour if brightness(base) > 90 else 255 - colour, strength)
    if c.p(0.3):
        x = c.u(0.05, 0.3) * c.w * (1 if c.p(0.7) else -1)
        margin = lines(c, [across(turn + np.pi / 2, c.w / 2 - abs(x) if x > 0 else x)], width)
        c.mark(
            margin, np.array(c.pick([(220, 80, 90), (200, 60, 140), (80, 80, 200)])), c.u(0.4, 1)
        )
    if c.p(0.15):
        holes(c)


def holes(c: Canvas) -> None:
    x, radius = c.u(0.03, 0.1) * c.w, c.u(1.5, 4) * c.unit
    colour = any_colour(c, 0, 120)
    for y in np.arange(c.u(0, 0.2), 1, c.pick([0.08, 0.12, 0.3, 0.5])) * c.h:
        c.mark(polygon(c, ellipse(c, x, y, radius, radius)), colour)


def sheet_on(c: Canvas) -> None:
    """A sheet or a note on a table, with a shadow under its edge, or several."""
    table(c)
    for i in range(c.pick([1, 1, 1, 2])):
        w, h = (c.u(0.45, 1.1) * side for side in (c.w, c.h))
        x, y = c.u(0.3, 0.7) * c.w, c.u(0.3, 0.7) * c.h
        corners = quad(c, x, y, w, h, c.r.normal(0, 0.15)) + c.r.normal(0, 1.5, (4, 2)) * c.unit
        shadow = polygon(c, corners + c.r.normal(0, 1.5, 2) * c.unit)
        blurred = soft(shadow, c.u(0.5, 4) * max(c.unit, 0.6))
        c.paint(blurred, c.img.mean((0, 1)) * 0.3, c.u(0.2, 0.8))
        sheet = polygon(c, corners)
        under = Canvas(c.r, c.h, c.w)
        paper(under)
        if c.p(0.35):
            rulings(under)
        alpha = sheet.astype(np.float32)[..., None] / 255
        c.img += alpha * (under.img - c.img)
        c.marks = np.maximum((c.marks * (1 - alpha[..., 0])).astype(np.uint8),
                             (under.marks * alpha[..., 0]).astype(np.uint8))  # fmt: skip
        if i == 0 or c.p(0.5):
            left, top = np.maximum(corners.min(0), 0)
            right, bottom = np.minimum(corners.max(0), (c.w, c.h))
            mx, my = 0.16 * (right - left), 0.16 * (bottom - top)
            c.area = (left + mx, top + my, right - left - 2 * mx, bottom - top - 2 * my)


def edge_of_page(c: Canvas) -> None:
    """A half of the picture is another surface: a table's or a page's edge, a book's fold."""
    paper(c)
    if c.p(0.3):
        rulings(c)
    other = Canvas(c.r, c.h, c.w)
    (table if c.p(0.7) else paper)(other)
    angle, offset = c.u(0, 2 * np.pi), c.u(0.15, 0.42) * min(c.h, c.w)
    way = np.array([np.cos(angle), np.sin(angle)])
    side = np.array([-way[1], way[0]]) * 3 * max(c.h, c.w)
    start = np.array([c.w, c.h]) / 2 + way * offset
    corners = [start - side, start + side, start + side + way * 999, start - side + way * 999]
    mask = polygon(c, corners)
    if c.p(0.6):
        shadow = soft(mask, c.u(1, 8) * max(c.unit, 0.6))
        c.paint(shadow, c.img.mean((0, 1)) * 0.4, c.u(0.1, 0.8))
    alpha = mask.astype(np.float32)[..., None] / 255
    c.img += alpha * (other.img - c.img)
    c.marks = (c.marks * (1 - alpha[..., 0])).astype(np.uint8)
    middle = np.array([c.w, c.h]) / 2 - way * 0.25 * min(c.h, c.w)
    room = 0.55 * min(c.h, c.w)
    c.area = (middle[0] - room / 2, middle[1] - room / 2, room, room)


def table(c: Canvas) -> None:
    kind = c.pick(["wood", "wood", "smear", "clouds", "plain", "tiles", "cloth"])
    colour = np.array(c.pick([(150, 100, 60), (90, 60, 40), (190, 150, 110), (60, 60, 65),
                              (120, 120, 120), (210, 200, 185), (40, 35, 30), (100, 30, 30),
                              (70, 90, 110), (50, 90, 60)]), float) + c.r.normal(0, 12, 3)  # fmt: skip
    c.img[:] = colour
    if kind in ("wood", "smear", "clouds"):
        texture = c.texture(kind, c.log(0.5, 3))
        if c.p(0.5) and c.h == c.w:
            texture = texture.T
        c.img += texture[..., None] * c.u(3, 25)
    elif kind == "tiles":
        rulings(c)
        c.marks[:] = 0
    elif kind == "cloth":
        x = np.sin(np.arange(c.w) * c.u(0.5, 3)).astype(np.float32)
        y = np.sin(np.arange(c.h) * c.u(0.5, 3)).astype(np.float32)
        c.img += (x[None] * y[:, None])[..., None] * c.u(4, 20)
    if c.p(0.25):
        for _ in range(c.n(1, 4)):
            blob = quad(c, c.u(0, c.w), c.u(0, c.h), c.u(8, 60) * c.unit, c.u(3, 40) * c.unit,
                        c.u(0, 3))  # fmt: skip
            c.paint(polygon(c, blob), any_colour(c))


def chalkboard(c: Canvas) -> None:
    c.img[:] = np.array(c.pick([(30, 70, 50), (40, 45, 45), (25, 25, 28), (50, 80, 65), (35, 55, 75),
                                (20, 50, 35), (80, 95, 85)]), float) + c.r.normal(0, 6, 3)  # fmt: skip
    c.img += c.texture("grain")[..., None] * c.u(0, 5)
    if c.p(0.8):
        smear = np.clip(c.texture("smear", c.log(0.5, 3)) * c.u(0.2, 1) + c.u(-0.5, 0.5), 0, 2.5)
        c.img += smear[..., None] * c.u(4, 32)
    if c.p(0.5):
        old_chalk(c)
    c.dark = True


def old_chalk(c: Canvas) -> None:
    """Wiped writing that can still be seen: no digit."""
    mask = c.blank()
    for _ in range(c.n(1, 5)):
        if c.p(0.5):
            scribble(c, mask, c.u(2, 5) * max(c.unit, 0.5))
        else:
            stamp(c, mask, glyph(c.pick(DIGIT_FONTS), c.pick("0123456789abcxyz+=")),
                  c.u(0, c.w), c.u(0, c.h), c.u(20, 70) * c.unit, c.r.normal(0, 0.2))  # fmt: skip
    softened = soft(mask, c.u(0.8, 3) * max(c.unit, 0.5))
    worn = softened * np.clip(0.6 + 0.5 * c.texture("smear"), 0, 1)
    c.mark(worn.astype(np.uint8), np.array((225, 225, 220)), c.u(0.1, 0.33))


def whiteboard(c: Canvas) -> None:
    c.img[:] = near_white(c)
    if c.p(0.7):
        c.img += c.texture("clouds")[..., None] * c.u(1, 8)
    if c.p(0.5):
        mask = c.blank()
        scribble(c, mask, c.u(2, 6) * max(c.unit, 0.5))
        softened = soft(mask, c.u(0.5, 3))
        c.mark(softened, any_colour(c, 0, 150), c.u(0.05, 0.3))
    if c.p(0.3):
        frame = c.u(1, 8) * c.unit
        c.mark(
            lines(c, [closed(quad(c, c.w / 2, c.h / 2, c.w, c.h))], frame), any_colour(c, 60, 210)
        )


def screen(c: Canvas) -> None:
    """A drawing program or a telephone: bars, buttons, a canvas."""
    dark = c.p(0.35)
    bar = np.array(c.pick([(240, 240, 240), (225, 228, 235), (200, 210, 230), (255, 255, 255)]))
    bar = np.array(c.pick([(45, 45, 48), (30, 30, 35), (60, 63, 65)])) if dark else bar
    c.img[:] = bar
    u = c.unit
    top, bottom, left, right = c.u(6, 24) * u, c.u(0, 14) * u, 0.0, 0.0
    if c.p(0.5):
        left = c.u(4, 20) * u
    if c.p(0.3):
        right = c.u(4, 25) * u
    x0, y0, x1, y1 = left, top, c.w - right, c.h - bottom
    page = np.array((255, 255, 255)) if c.p(0.75) else any_colour(c)
    if dark and c.p(0.5):
        page = any_colour(c, 0, 40)
    if c.p(0.3):  # a page within the window
        back = polygon(c, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        c.paint(back, any_colour(c, 100, 200))
        m = c.u(2, 10) * u
        x0, y0, x1, y1 = x0 + m, y0 + m, x1 - m, y1 - m
    whole = np.rint((x0, y0, x1, y1)).astype(int)
    c.img[whole[1] : whole[3], whole[0] : whole[2]] = page
    if c.p(0.6):
        border = lines(c, [closed(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32))], 1,
                       True)  # fmt: skip
        c.mark(border, any_colour(c, 60, 200))
    for _ in range(c.n(2, 10)):  # buttons
        s = c.u(3, 8) * u
        strip = c.pick(["top", "top", "left", "bottom", "right"])
        x, y = c.u(0, c.w), c.u(s / 2, max(top - s / 2, s))
        if strip == "left" and left:
            x, y = left / 2, c.u(0, c.h)
        elif strip == "right" and right:
            x, y = c.w - right / 2, c.u(0, c.h)
        elif strip == "bottom":
            y = c.h - bottom / 2
        if y > top and x0 < x < x1 and y < c.h - bottom:
            continue
        colour = any_colour(c)
        if c.p(0.5):
            button = quad(c, x, y, s * c.u(0.8, 3), s)
            c.mark(polygon(c, button), colour)
        elif c.p(0.5):
            c.mark(polygon(c, ellipse(c, x, y, s / 2, s / 2)), colour)
        else:
            text_line(c, x, y, s, bar - 150 if not dark else bar + 150, words=1)
    if c.p(0.35):
        palette(c, left, top, bottom)
    if c.p(0.35):  # a bar of text and numbers: a title, a status, a ruler
        text = c.pick(["100%", "280 x 280", "1920 × 1080 px", "Untitled - Paint", "0 50 100 150 200 250",
                       "File Edit View Image Help", "x: 118 y: 64", "Layer 1", "drawing.png"])  # fmt: skip
        size = c.u(2, 5) * u
        shape = glyph(c.pick(DIGIT_FONTS[:4]), text, 32)
        y = c.h - bottom / 2 if bottom > size and c.p(0.5) else c.u(0.3, 0.7) * top
        x = shape.shape[1] * size / shape.shape[0] * c.u(0.55, 1.5)
        stamp_mark(c, shape, x, y, size, 0, bar + 170 if dark else bar - 170)
    if c.p(0.35):  # a clock, as a telephone has it
        stamp_mark(c, glyph("DejaVuSans", f"{c.n(0, 23)}:{c.n(0, 59):02}"), c.u(0.1, 0.9) * c.w,
                   top * 0.3, c.u(2.5, 5) * u, 0, bar + 150 if dark else bar - 150)  # fmt: skip
    if c.p(0.3):  # a pointer
        x, y, s = c.u(x0, x1), c.u(y0, y1), c.u(2, 5) * u
        arrow = np.array([(0, 0), (0, 1), (0.25, 0.78), (0.42, 1.12), (0.55, 1.06), (0.4, 0.73),
                          (0.7, 0.7)]) * s * 1.4 + (x, y)  # fmt: skip
        c.mark(polygon(c, arrow), (0, 0, 0) if c.p(0.6) else (255, 255, 255))
    if c.p(0.15):
        c.mark(lines(c, [np.array([[c.u(x0, x1), c.u(y0, y1)]] * 2, np.float32)], c.u(1, 3) * u),
               any_colour(c))  # fmt: skip
    c.area = (x0, y0, x1 - x0, y1 - y0)


def palette(c: Canvas, left: float, top: float, bottom: float) -> None:
    """Rows of colours or of tools along an edge of a drawing program."""
    size = c.u(2.5, 6) * c.unit
    pitch = size * c.u(1.05, 1.6)
    upright = left > size and c.p(0.6)
    grey = c.p(0.4)
    round_one = c.p(0.3)
    start = c.u(0.5, 3) * pitch
    rows = 2 if c.p(0.4) else 1
    across = left / 2 if upright else (c.h - bottom / 2 if bottom > size else top * 0.6)
    for i in range(c.n(4, 20)):
        for j in range(rows):
            along, aside = start + i * pitch, across + (j - (rows - 1) / 2) * pitch
            x, y = (aside, along + top) if upright else (along, aside)
            edge = ellipse(c, x, y, size / 2, size / 2) if round_one else quad(c, x, y, size, size)
            if grey:  # a tool's sign
                sign = glyph("DejaVuSans", c.pick(SYMBOLS + "ATBIUO"), 32)
                stamp_mark(c, sign, x, y, size * 0.8, 0, any_colour(c, 30, 120))
            else:
                c.mark(polygon(c, edge), any_colour(c))
                if c.p(0.5):
                    c.mark(lines(c, [closed(edge)], 1), any_colour(c, 60, 140))


def form(c: Canvas) -> None:
    """Boxes to write in, with labels: one, a comb of several, or a table."""
    paper(c, near_white(c) if c.p(0.8) else None)
    colour = any_colour(c, 0, 130) if c.p(0.6) else np.zeros(3)
    width = c.log(0.6, 3) * max(c.unit, 0.6)
    style = c.pick(["box", "box", "comb", "table", "line", "corners"])
    s = c.u(25, 70) * c.unit
    x, y = c.u(0.3, 0.7) * c.w, c.u(0.3, 0.7) * c.h
    ratio = c.u(0.7, 1.6)
    turn = c.r.normal(0, 0.03)
    paths = []
    if style == "box":
        paths = [closed(quad(c, x, y, s * ratio, s, turn))]
        if c.p(0.3):
            paths.append(closed(quad(c, x, y, s * ratio + 4 * width, s + 4 * width, turn)))
    elif style == "comb":
        count = c.n(2, 6)
        whole = quad(c, 0, 0, s * ratio, s)
        first = c.n(0, count - 1)
        for i in range(count):
            paths.append(closed(whole + ((i - first) * s * ratio + x, y)))
    elif style == "table":
        paths = [np.array([(0, y + (i - 0.5) * s), (c.w, y + (i - 0.5) * s)], np.float32)
                 for i in range(-4, 5)]  # fmt: skip
        paths += [np.array([(x + (i - 0.5) * s * ratio, 0), (x + (i - 0.5) * s * ratio, c.h)],
                           np.float32) for i in range(-4, 5)]  # fmt: skip
    elif style == "line":
        paths = [np.array([(x - s * 2, y + s * 0.55), (x + s * 2, y + s * 0.55)], np.float32)]
    else:
        corners = quad(c, x, y, s * ratio, s, turn)
        for i in range(4):
            a, b, d = corners[i], corners[(i + 1) % 4], corners[i - 1]
            paths.append(np.stack([a + (b - a) * 0.2, a, a + (d - a) * 0.2]))
    mask = lines(c, paths, width, c.p(0.2))
    if c.p(0.12):  # dashed
        mask[:: max(2, int(4 * c.unit))] = 0
    c.mark(mask, colour, c.u(0.4, 1))
    for _ in range(c.n(0, 5)):
        tx, ty = c.u(0, 0.7) * c.w, c.u(0, 1) * c.h
        if abs(ty - y) > s * 0.7 or tx > x + s * 0.8:
            text_line(c, tx, ty, c.log(3, 9) * c.unit, colour)
        else:
            text_line(c, c.u(-0.1, 0.2) * c.w, y - s * 0.75, c.log(3, 9) * c.unit, colour)
    c.area = (x - s * ratio / 2, y - s / 2, s * ratio, s)


def printed_page(c: Canvas) -> None:
    """A receipt, a letter, a newspaper: lines of print with room for a digit."""
    paper(c, near_white(c) if c.p(0.7) else None)
    size = c.log(3, 9) * c.unit
    colour = any_colour(c, 0, 90)
    room = c.u(0.35, 0.6)
    top = c.u(0, 1 - room)
    for y in np.arange(size, c.h, size * c.u(1.3, 2)):
        if not top * c.h < y < (top + room) * c.h:
            text_line(c, c.u(0, 0.1) * c.w, y, size, colour, words=c.n(1, 9))
    c.area = (0.1 * c.w, (top + 0.04) * c.h, 0.8 * c.w, (room - 0.08) * c.h)


def clutter(c: Canvas) -> None:
    """Anything: a wall, stone, cloth, a shelf out of focus."""
    c.img[:] = any_colour(c)
    for _ in range(c.n(0, 6)):
        shape = quad(
            c, c.u(0, c.w), c.u(0, c.h), c.u(10, 90) * c.unit, c.u(10, 90) * c.unit, c.u(0, 3)
        )
        c.paint(polygon(c, shape), any_colour(c), c.u(0.2, 1))
    c.img = soft(c.img, c.log(1, 20))
    c.img += c.texture(c.pick(["clouds", "grain", "fibre", "crumple", "smear"]))[..., None] * c.u(
        1, 18
    )
    calm = c.img.mean((0, 1))
    c.img = calm + (c.img - calm) * c.u(0.2, 0.8)


def plate(c: Canvas) -> None:
    """A sign: a house's number, a shirt's, a button, a key of a keyboard."""
    clutter(c)
    s = c.u(50, 85) * c.unit
    x, y = c.u(0.4, 0.6) * c.w, c.u(0.4, 0.6) * c.h
    colour, rim = any_colour(c), any_colour(c)
    round_one = c.p(0.4)
    shape = ellipse(c, x, y, s / 2, s / 2) if round_one else quad(c, x, y, s * c.u(0.7, 1.5), s)
    c.paint(polygon(c, shape), colour)
    if c.p(0.7):
        inner = (shape - (x, y)) * c.u(0.86, 1) + (x, y)
        c.mark(lines(c, [closed(inner.astype(np.float32))], c.log(0.7, 5) * c.unit), rim)
    if c.p(0.2):
        for sx in (-0.4, 0.4):
            c.mark(polygon(c, ellipse(c, x + sx * s, y, 1.5 * c.unit, 1.5 * c.unit)), rim * 0.5)
    room = s * 0.62
    c.area = (x - room / 2, y - room / 2, room, room)


SURFACES: Dict[str, Tuple[Callable[[Canvas], None], float]] = {
    "flat": (flat, 5), "black": (black, 2.5), "paper": (paper, 4),
    "ruled": (lambda c: (paper(c), rulings(c))[0], 6), "sheet": (sheet_on, 5),
    "edge": (edge_of_page, 3), "table": (table, 1.5), "chalkboard": (chalkboard, 3),
    "whiteboard": (whiteboard, 1.5), "screen": (screen, 4), "form": (form, 5),
    "printed": (printed_page, 2), "clutter": (clutter, 2), "plate": (plate, 1.5),
}  # fmt: skip


# --- marks -------------------------------------------------------------------------------


def stamp(c: Canvas, mask: Array, shape: Array, x: float, y: float, height: float, turn: float,
          stretch: float = 1.0) -> Optional[Array]:  # fmt: skip
    """A glyph's pixels put on a mask, its middle at x, y; returns its corners."""
    if not shape.size or height < 2:
        return None
    gh, gw = shape.shape
    f = height / gh
    s, k = np.sin(turn) * f, np.cos(turn) * f
    matrix = np.array([[k * stretch, -s, 0], [s * stretch, k, 0]])
    matrix[:, 2] = (x, y) - matrix[:, :2] @ (gw / 2, gh / 2)
    source = shape
    if f < 0.5:  # averaged first, or thin strokes vanish
        small = (max(1, round(gw * f * 2)), max(1, round(gh * f * 2)))
        source = cv2.resize(shape, small, interpolation=cv2.INTER_AREA)
        matrix[:, 0] *= gw / small[0]
        matrix[:, 1] *= gh / small[1]
    drawn = cv2.warpAffine(source, matrix, (c.w, c.h), flags=cv2.INTER_LINEAR)
    np.maximum(mask, drawn, out=mask)
    return matrix


def stamp_mark(c: Canvas, shape: Array, x: float, y: float, height: float, turn: float,
               colour: Any, strength: float = 1.0) -> None:  # fmt: skip
    mask = c.blank()
    stamp(c, mask, shape, x, y, height, turn)
    c.mark(mask, np.clip(colour, 0, 255), strength)


def text_line(c: Canvas, x: float, y: float, size: float, colour: Any, words: int = 0,
              mirrored: bool = False, strength: float = 1.0) -> None:  # fmt: skip
    """Words in print from x, their middle at y."""
    text = " ".join(c.pick(WORDS) for _ in range(words or c.n(1, 3)))
    if c.p(0.15):
        text += f" {c.n(0, 9999)}"
    shape = glyph(c.pick(DIGIT_FONTS[:14]), text, 32)
    if not shape.size:
        return
    width = shape.shape[1] * size / shape.shape[0]
    stamp_mark(c, shape[:, ::-1] if mirrored else shape, x + width / 2, y, size,
               0.0 if c.p(0.7) else c.r.normal(0, 0.03), colour, strength)  # fmt: skip


def scribble(c: Canvas, mask: Array, width: float, size: Optional[float] = None,
             at: Optional[Tuple[float, float]] = None) -> None:  # fmt: skip
    """A hand's words that nobody can read, or a doodle."""
    s = size or c.u(10, 40) * c.unit
    x, y = at or (c.u(0, c.w), c.u(0, c.h))
    t = np.linspace(0, c.u(1, 5), 60)
    px = x + s * (t * c.u(0, 0.8) + 0.3 * np.sin(t * c.u(4, 12) + c.u(0, 6)))
    py = y + s * 0.4 * np.sin(t * c.u(4, 12)) + 0.2 * s * np.sin(t * c.u(1, 20))
    np.maximum(mask, lines(c, [np.stack([px, py], 1).astype(np.float32)], width), out=mask)


class Box(NamedTuple):
    """A digit's place on the canvas: its middle and its sides in pixels."""

    x: float
    y: float
    w: float
    h: float


def around_digit(c: Canvas, box: Box, colour: Any, width: float, which: str) -> None:
    """A mark that people make about a digit."""
    s = max(box.w, box.h)
    x, y = box.x, box.y
    mask = c.blank()
    gap = c.u(0.06, 0.35) * s

    def hand(path: Array) -> Array:
        return wobbly(c, np.asarray(path, np.float32), 0.02 * s)

    if which == "ring":
        a, b = box.w / 2 + gap + c.u(0, 0.15) * s, box.h / 2 + gap
        if c.p(0.5):
            a = b = max(a, b)
        paths = [hand(ellipse(c, x, y, a, b, c.r.normal(0, 0.2), c.u(320, 410), c.u(0, 360)))]
        if c.p(0.15):
            paths.append(hand(ellipse(c, x, y, a * 1.1, b * 1.08, 0, c.u(320, 380), c.u(0, 360))))
    elif which == "box":
        paths = [hand(closed(quad(c, x, y, box.w + 2 * gap, box.h + 2 * gap, c.r.normal(0, 0.05))))]
    elif which == "underline":
        w = c.u(0.5, 1.3) * s
        under = y + box.h / 2 + gap
        paths = [hand([(x - w, under), (x + w, under + c.r.normal(0, 0.04) * s)])
                 + (0, i * (width * 2 + 0.05 * s)) for i in range(c.pick([1, 1, 2]))]  # fmt: skip
        if c.p(0.15):
            paths.append(hand([(x - w, y - box.h / 2 - gap), (x + w, y - box.h / 2 - gap)]))
    elif which == "brackets":
        high, far = box.h / 2 + gap * 0.7, box.w / 2 + gap
        if c.p(0.5):
            paths = [hand(ellipse(c, x + d * (far - 0.15 * s), y, 0.2 * s, high, 0, 140,
                                  110 if d < 0 else -70)) for d in (-1, 1)]  # fmt: skip
        else:
            n = 0.15 * s
            paths = [np.array([(x + d * (far - n), y - high), (x + d * far, y - high),
                               (x + d * far, y + high), (x + d * (far - n), y + high)])
                     for d in (-1, 1)]  # fmt: skip
        if c.p(0.3):
            paths = paths[:1] if c.p(0.5) else paths[1:]
    elif which == "tick":
        px, py = x + c.pick([-1, 1]) * (box.w / 2 + gap + 0.35 * s), y + c.u(-0.4, 0.4) * s
        k = c.u(0.2, 0.5) * s
        paths = [
            hand([(px - 0.5 * k, py), (px - 0.15 * k, py + 0.4 * k), (px + 0.6 * k, py - 0.6 * k)])
        ]
    elif which == "cross":
        px, py = x + c.pick([-1, 1]) * (box.w / 2 + gap + 0.4 * s), y + c.u(-0.4, 0.4) * s
        k = c.u(0.1, 0.25) * s
        paths = [
            hand([(px - k, py - k), (px + k, py + k)]),
            hand([(px - k, py + k), (px + k, py - k)]),
        ]
    elif which == "arrow":
        px = x - c.pick([-1, 1]) * (box.w / 2 + gap + 0.1 * s)
        far = px + np.sign(px - x) * c.u(0.3, 0.9) * s
        y2, k = y + c.r.normal(0, 0.3) * s, 0.12 * s * np.sign(far - px)
        paths = [
            hand([(far, y2), (px, y)]),
            np.array([(px + k, y - abs(k)), (px, y), (px + k, y + abs(k))]),
        ]
    elif which == "dot":
        paths = [np.array([(x + box.w / 2 + gap, y + box.h / 2)] * 2)]
    elif which == "text":
        size = c.u(0.1, 0.35) * s
        dx, dy = c.pick([(-1, 0), (1, 0), (0, -1), (0, 1)])
        length = c.u(1, 3)
        tx = x + dx * (box.w / 2 + gap) - (size * 2 * length if dx <= 0 else 0)
        text_line(c, tx, y + dy * (box.h / 2 + gap + size), size, colour, words=1)
        return
    elif which == "words":
        scribble(c, mask, width, c.u(0.2, 0.4) * s,
                 (x + box.w / 2 + gap + 0.2 * s, y) if c.p(0.5) else (x - s, y - box.h / 2 - gap - 0.3 * s))  # fmt: skip
        paths = []
    elif which == "sign":
        text = c.pick(
            ["+", "=", "-", "€", "%", "kg", "cm", "#", "No", ":", "°", "x", "A)", "(", "/"]
        )
        dx = c.pick([-1, 1]) * (box.w / 2 + gap + 0.3 * s)
        stamp(c, mask, glyph(c.pick(DIGIT_FONTS), text), x + dx, y, c.u(0.15, 0.5) * s, 0)
        paths = []
    else:
        raise ValueError(which)
    if paths:
        mask = np.maximum(mask, lines(c, [np.asarray(p, np.float32) for p in paths], width))
    c.mark(mask, colour)


AROUND = ("ring", "ring", "box", "underline", "underline", "brackets", "tick", "cross", "arrow",
          "dot", "text", "text", "words", "sign")  # fmt: skip


def thing(c: Canvas, which: str) -> None:
    """What lies or has been left on a surface."""
    u = c.unit
    x, y = c.u(0, 1) * c.w, c.u(0, 1) * c.h
    if which == "coffee":
        a = c.u(15, 45) * u
        ring = lines(c, [ellipse(c, x, y, a, a * c.u(0.9, 1), 0, c.u(200, 400), c.u(0, 360))],
                     c.u(1, 5) * u)  # fmt: skip
        alpha = soft(ring, c.u(0.4, 1.5) * u) / 255.0
        alpha = alpha * np.clip(0.7 + 0.4 * c.texture("clouds"), 0, 1)
        if c.p(0.4):
            alpha = np.maximum(alpha, polygon(c, ellipse(c, x, y, a, a)) / 255.0 * c.u(0.05, 0.3))
        c.mark(
            (alpha * 255).astype(np.uint8),
            np.array((110, 70, 30)) + c.r.normal(0, 15, 3),
            c.u(0.2, 0.8),
        )
    elif which == "finger":
        skin = np.array(
            c.pick([(225, 180, 155), (200, 150, 120), (150, 100, 75), (90, 60, 45)]), float
        )
        edge = c.pick([(0, c.u(0, c.h)), (c.w, c.u(0, c.h)), (c.u(0, c.w), 0), (c.u(0, c.w), c.h)])
        inwards = np.array([c.w / 2, c.h / 2]) - edge
        inwards = inwards / np.linalg.norm(inwards)
        tip = np.array(edge) + inwards * c.u(8, 28) * u
        body = lines(
            c,
            [np.stack([np.array(edge) - inwards * 40 * u, tip]).astype(np.float32)],
            c.u(10, 22) * u,
        )
        shadow = soft(np.roll(body, (int(2 * u), int(3 * u)), (0, 1)), 2 * u + 0.5)
        c.paint(shadow, c.img.mean((0, 1)) * 0.4, 0.5)
        shade = soft(body, 3 * u + 0.5)[..., None] / 255.0
        alpha = body[..., None] / 255.0
        c.img += alpha * (skin * (0.55 + 0.45 * shade) - c.img)
        if c.p(0.5):
            nail = polygon(
                c,
                ellipse(
                    c,
                    *(tip - inwards * 1 * u),
                    3.5 * u,
                    5 * u,
                    float(np.arctan2(*inwards[::-1])) + 1.57,
                ),
            )
            c.paint(nail, skin * 1.15, 0.6)
        np.maximum(c.marks, body, out=c.marks)
    elif which == "pen":
        end = (x + c.r.normal(0, 60) * u, y + c.r.normal(0, 60) * u)
        path = [np.array([(x, y), end], np.float32)]
        width = c.u(3, 8) * u
        body = lines(c, path, width)
        c.paint(soft(np.roll(body, int(2 * u), 0), 1.5 * u + 0.4), (30, 30, 30), 0.4)
        c.mark(body, any_colour(c))
        c.mark(lines(c, path, width * 0.3), any_colour(c))
    elif which == "clip":
        turn, k = c.u(0, 3), c.u(0.7, 1.5)
        loops = [
            ellipse(c, x, y, a * k * u, b * k * u, turn, 320) for a, b in ((3.4, 11), (2, 7.5))
        ]
        c.mark(lines(c, loops, max(1, 0.9 * u)), any_colour(c, 60, 200))
    elif which == "staple":
        path = np.array([(x, y), (x + c.r.normal(0, 6) * u, y + c.r.normal(0, 3) * u)], np.float32)
        c.mark(lines(c, [path], max(1, u)), any_colour(c, 60, 160))
    elif which == "tape":
        shape = quad(c, x, y, c.u(15, 40) * u, c.u(6, 14) * u, c.u(0, 3))
        c.paint(polygon(c, shape), any_colour(c, 120, 255), c.u(0.2, 0.8))
    elif which == "fold":
        angle = c.u(0, np.pi)
        way = np.array([np.cos(angle), np.sin(angle)]) * 2 * max(c.h, c.w)
        mask = lines(
            c,
            [np.stack([(x, y) - way, (x, y) + way]).astype(np.float32)],
            c.u(0.6, 2) * max(u, 0.6),
        )
        mask = soft(mask, c.u(0.4, 1.6))
        c.mark(mask, c.img.mean((0, 1)) * c.pick([0.6, 0.8, 1.2]), c.u(0.2, 0.8))
    elif which == "specks":
        for _ in range(c.n(2, 25)):
            dot = np.array([(c.u(0, c.w), c.u(0, c.h))] * 2, np.float32)
            dot[1] += c.r.normal(0, 0.6, 2) * u
            c.mark(lines(c, [dot], c.log(0.6, 2.2) * max(u, 0.6)), any_colour(c), c.u(0.3, 1))
    elif which == "hair":
        path = ellipse(c, x, y, c.u(5, 40) * u, c.u(5, 40) * u, 0, c.u(40, 160), c.u(0, 360))
        c.mark(lines(c, [path], 0.8), any_colour(c, 0, 120), c.u(0.4, 1))
    elif which == "stain":
        blob = np.clip(c.texture("clouds") + c.u(-2, -0.6), 0, 1)
        c.paint(blob, any_colour(c, 60, 200), c.u(0.1, 0.5))
    elif which == "text":
        for _ in range(c.n(1, 4)):
            text_line(c, c.u(-0.1, 0.7) * c.w, c.pick([c.u(0, 0.12), c.u(0.88, 1)]) * c.h,
                      c.log(3, 9) * u, any_colour(c, 0, 120) if not c.dark else (220, 220, 220))  # fmt: skip
    elif which == "highlighter":
        shape = quad(
            c,
            c.w * c.u(0.3, 0.7),
            c.h * c.u(0.3, 0.7),
            c.u(30, 90) * u,
            c.u(20, 70) * u,
            c.r.normal(0, 0.1),
        )
        mask = polygon(c, shape)[..., None] / 255.0
        tint = (
            np.array(c.pick([(255, 250, 90), (150, 255, 140), (255, 160, 210), (140, 220, 255)]))
            / 255
        )
        c.img *= 1 - mask * (1 - tint) * c.u(0.5, 1)
    elif which == "frame":
        inset = c.u(0, 10) * u
        style = closed(quad(c, c.w / 2, c.h / 2, c.w - 2 * inset, c.h - 2 * inset))
        c.mark(lines(c, [style], c.log(0.8, 6) * max(u, 0.6)), any_colour(c))
    elif which == "border":
        side = c.n(0, 3)
        t = c.u(0.02, 0.16)
        mask = c.blank()
        if side < 2:
            k = int(t * c.h) + 1
            mask[:k] = 255 if side == 0 else 0
            mask[-k:] = np.maximum(mask[-k:], 255 if side == 1 else 0)
        else:
            k = int(t * c.w) + 1
            mask[:, :k] = 255 if side == 2 else 0
            mask[:, -k:] = np.maximum(mask[:, -k:], 255 if side == 3 else 0)
        c.mark(mask, any_colour(c))
    else:
        raise ValueError(which)


THINGS = ("coffee", "finger", "finger", "pen", "clip", "staple", "tape", "fold", "specks", "specks",
          "hair", "stain", "text", "text", "highlighter", "frame", "border")  # fmt: skip


# --- tools: how a digit is written ---------------------------------------------------------


@dataclass
class Tool:
    """How a digit is written: what is seen, and the ink that was meant (uint8 both)."""

    seen: Array
    meant: Array


def affine(c: Canvas, box: Box, turn: float, shear: float) -> Array:
    """From MNIST's pixels to the canvas: its 20-pixel box becomes ``box``."""
    fx, fy = box.w / 20, box.h / 20
    s, k = np.sin(turn), np.cos(turn)
    matrix = np.array([[k, -s], [s, k]]) @ np.array([[fx, shear * fy], [0, fy]])
    shift = np.array([box.x, box.y]) - matrix @ (13.5, 13.5)
    return np.concatenate([matrix, shift[:, None]], 1)


def of_few_pixels(c: Canvas, image: Array) -> Array:
    """A digit as a scanner of 8×8 pixels would see it, enlarged: uint8 ``[28, 28]``."""
    few = cv2.resize(image[4:24, 4:24], (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32)
    method = c.pick([cv2.INTER_CUBIC, cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_NEAREST])
    large = cv2.resize(few * (255 / max(1.0, float(few.max()))), (20, 20), interpolation=method)
    return np.pad(np.clip(large, 0, 255), 4).astype(np.uint8)


def raster(c: Canvas, image: Array, matrix: Array, unit: float, hard: bool = False,
           soft_share: float = 0.15) -> Tool:  # fmt: skip
    """MNIST's own pixels, enlarged, with an edge as sharp as a pen's."""
    values = cv2.warpAffine(image, matrix, (c.w, c.h), flags=cv2.INTER_CUBIC).astype(np.float32)
    if hard:
        seen = (values > c.u(90, 140)).astype(np.uint8) * 255
        return Tool(seen, seen)
    gain = max(1.0, unit * c.u(0.4, 1.3))
    threshold = c.u(90, 150)
    meant = np.clip((values - threshold) * gain + 127, 0, 255).astype(np.uint8)
    if c.p(soft_share):
        return Tool(np.clip(values, 0, 255).astype(np.uint8), meant)
    return Tool(meant, meant)


def path_points(c: Canvas, strokes: List[Array], matrix: Array, shake: float) -> List[Array]:
    found = []
    for stroke in strokes:
        points = stroke + c.r.standard_normal(2) * shake * 0.5
        if shake:
            points = wobbly(c, points, shake)
        found.append((points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32))
    return found


def at_least(c: Canvas, paths: List[Array], width: float, side: float) -> Array:
    """The ink that was meant by a thin line: at least as wide as a pen for that size."""
    return lines(c, paths, max(width, 0.085 * side))


def dotted(c: Canvas, paths: List[Array], width: float, gap: float, dash: float) -> Array:
    """Dots or dashes along paths."""
    pieces: List[Array] = []
    for path in paths:
        length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))]
        at = np.arange(0, length[-1] + 1e-3, gap + dash)
        starts, ends = at, np.minimum(at + dash, length[-1])
        for a, b in zip(starts, ends):
            t = np.array([a, (a + b) / 2, b])
            pieces.append(
                np.stack([np.interp(t, length, path[:, i]) for i in (0, 1)], 1).astype(np.float32)
            )
    return lines(c, pieces, width)


def broad_nib(c: Canvas, paths: List[Array], width: float) -> Array:
    """A pen whose width follows its direction or pressure."""
    mask = c.blank()
    angle = c.u(0, np.pi)
    for path in paths:
        way = np.diff(path, axis=0)
        turn = np.abs(np.sin(np.arctan2(way[:, 1], way[:, 0]) - angle))
        widths = width * (0.5 + turn)
        for a, b, t in zip(path, path[1:], widths):
            cv2.line(mask, tuple(int(v) for v in np.rint(a * 16)), tuple(int(v) for v in np.rint(b * 16)),
                     255, max(1, round(float(t))), cv2.LINE_AA, 4)  # fmt: skip
    return mask


def worn(c: Canvas, seen: Array, kind: str, amount: float) -> Array:
    """Ink with gaps: chalk, a dry pen, a pencil on rough paper."""
    if kind == "chalk":
        grain = c.texture("grain", c.log(1, 2.5)) + 0.4 * c.texture("clouds")
        return (seen * np.clip(1.1 + grain * 0.6 - amount, 0, 1)).astype(np.uint8)
    if kind == "dry":
        smear = c.texture(c.pick(["smear", "clouds", "fibre"]), c.log(0.5, 2))
        return (
            seen * np.clip((smear + c.u(0.6, 1.8) - amount) * c.u(1, 4), c.u(0, 0.3), 1)
        ).astype(np.uint8)
    grain = c.texture("fibre", c.log(0.6, 1.5))
    return (seen * np.clip(0.8 + grain * 0.25 - 0.5 * amount, 0.1, 1)).astype(np.uint8)


TOOLS = ("pen", "pen", "pen", "raster", "raster", "raster", "marker", "hairline", "hairline", "nib",
         "chalk", "dry", "dry", "pencil", "pencil", "dotted", "outline", "outline", "hard", "brush",
         "thick", "double", "coarse")  # fmt: skip


EVERYDAY = (
    "pen",
    "pen",
    "raster",
    "raster",
    "raster",
    "marker",
    "nib",
    "pencil",
    "brush",
    "coarse",
)


def write(
    c: Canvas, digits: Digits, box: Box, tool: str, turn: float, shear: float
) -> Tuple[Tool, int]:
    """One digit in a box: what is seen of it and what was meant, and which digit it is."""
    side = max(box.w, box.h)
    if tool in ("font", "segments"):
        return printed(c, box, tool, turn)
    by_strokes = tool in ("hairline", "dotted", "nib", "double") or (
        tool not in ("raster", "coarse") and c.p(0.5)
    )
    index = c.n(0, len(digits.strokes) - 1 if by_strokes else len(digits.images) - 1)
    matrix = affine(c, box, turn, shear)
    label = int(digits.labels[index])
    if by_strokes:
        shake = c.pick([0, 0, 0.25, 0.5])
        paths = path_points(c, digits.strokes[index], matrix, shake)
        made = by_pen(c, paths, tool, side)
    else:
        image = digits.images[index]
        if tool == "coarse":
            image = of_few_pixels(c, image)
        made = raster(
            c, image, matrix, side / 20, tool == "hard", 0.5 if tool == "coarse" else 0.15
        )
        if tool == "thick":
            size = max(1, int(side * c.u(0.02, 0.07))) * 2 + 1
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
            thick = cv2.dilate(made.seen, kernel)
            made = Tool(thick, thick)
    if tool == "outline":
        made = outlined(c, made, side)
    elif tool in ("chalk", "dry", "pencil"):
        amount = c.u(0, 0.9) if tool != "dry" else c.u(0.2, 1.2)
        made = Tool(worn(c, made.seen, tool, amount), made.meant)
    return made, label


def by_pen(c: Canvas, paths: List[Array], tool: str, side: float) -> Tool:
    width = c.log(0.05, 0.14) * side
    if tool == "hairline":
        width = c.pick([0.7, 1, 1, 1, 1.5, 2, c.log(0.008, 0.04) * side])
    elif tool in ("marker", "thick"):
        width = c.u(0.12, 0.24) * side
    elif tool == "outline":
        width = c.u(0.12, 0.22) * side
    hard = tool == "hard" or c.p(0.15)
    if tool == "dotted":
        width = c.log(0.02, 0.11) * side
        gap = width + c.u(0.02, 0.08) * side
        dash = 0.0 if c.p(0.5) else c.u(0.03, 0.15) * side
        if dash:
            gap = width + c.u(0.015, 0.06) * side
        return Tool(dotted(c, paths, max(1, width), gap, dash), at_least(c, paths, width, side))
    if tool == "nib":
        seen = broad_nib(c, paths, width)
        return Tool(seen, np.maximum(seen, at_least(c, paths, 0, side * 0.7)))
    if tool == "double":
        shift = c.r.normal(0, 0.02 * side, 2)
        both = paths + [(p + shift).astype(np.float32) for p in paths]
        seen = lines(c, both, max(1, width * 0.4))
        return Tool(seen, np.maximum(seen, at_least(c, paths, width * 0.4, side)))
    if tool == "brush":
        seen = lines(c, paths, width, True)
        return Tool(soft(seen, c.u(0.02, 0.04) * side + 0.3), seen)
    return Tool(lines(c, paths, width, hard), at_least(c, paths, width, side))


def outlined(c: Canvas, made: Tool, side: float) -> Tool:
    """Only the edge of the strokes, or these pale with a dark edge."""
    width = max(1, round(c.log(0.01, 0.045) * side))
    contours, _ = cv2.findContours(
        (made.meant > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    seen = c.blank()
    cv2.drawContours(seen, contours, -1, 255, width, cv2.LINE_AA if c.p(0.7) else cv2.LINE_8)
    meant = np.maximum(made.meant, seen)
    if c.p(0.25):
        seen = np.maximum(seen, (made.meant * c.u(0.1, 0.4)).astype(np.uint8))
    return Tool(seen, meant)


def printed(c: Canvas, box: Box, tool: str, turn: float) -> Tuple[Tool, int]:
    label = c.n(0, 9)
    mask = c.blank()
    if tool == "font":
        stamp(
            c,
            mask,
            glyph(c.pick(DIGIT_FONTS), str(label)),
            box.x,
            box.y,
            box.h,
            turn,
            c.u(0.8, 1.25),
        )
        if c.p(0.15):
            return outlined(c, Tool(mask, mask), box.h), label
        return Tool(mask, mask), label
    w, h = box.h * c.u(0.45, 0.6), box.h
    slant, t, gap = c.pick([0, 0, 0.1, 0.17]), c.u(0.08, 0.17) * h, c.u(0, 0.05) * h
    s, k = np.sin(turn), np.cos(turn)
    spin = np.array([[k, s], [-s, k]])
    whole = c.blank()
    off = c.blank()
    for name, ends in SEGMENT_ENDS.items():
        a, b = np.array(ends[:2], float), np.array(ends[2:], float)
        a, b = ((p - (0.5, 1)) * (w - t, (h - t) / 2) for p in (a, b))
        way = (b - a) / np.linalg.norm(b - a)
        normal = np.array([-way[1], way[0]])
        inner_a, inner_b = a + way * (gap + t * 0.1), b - way * (gap + t * 0.1)
        corner = t / 2
        points = np.array([inner_a, inner_a + way * corner + normal * t / 2, inner_b - way * corner + normal * t / 2,
                           inner_b, inner_b - way * corner - normal * t / 2, inner_a + way * corner - normal * t / 2])  # fmt: skip
        if gap > 0.03 * h and t < 0.1 * h:
            points = np.array(
                [
                    inner_a + normal * t / 2,
                    inner_b + normal * t / 2,
                    inner_b - normal * t / 2,
                    inner_a - normal * t / 2,
                ]
            )
        points[:, 0] -= points[:, 1] * slant
        points = points @ spin + (box.x, box.y)
        if name in SEGMENTS[label]:
            np.maximum(mask, polygon(c, points), out=mask)
            middle = np.stack([a, b])
            middle[:, 0] -= middle[:, 1] * slant
            np.maximum(
                whole,
                lines(c, [(middle @ spin + (box.x, box.y)).astype(np.float32)], t * 0.8),
                out=whole,
            )
        else:
            np.maximum(off, polygon(c, points), out=off)
    if c.p(0.3):
        c.paint(off, any_colour(c), c.u(0.02, 0.12))
    return Tool(mask, np.maximum(mask, whole)), label


INKS = ((20, 20, 30), (20, 30, 110), (30, 50, 160), (170, 25, 30), (20, 110, 50), (90, 40, 130),
        (60, 60, 60), (90, 60, 30), (0, 0, 0), (0, 0, 0), (10, 10, 60), (210, 90, 20), (0, 130, 170),
        (220, 30, 130))  # fmt: skip


def ink_colour(c: Canvas, at: Box, tool: str) -> Tuple[Array, float]:
    """A colour that can be seen where it is written, and its strength."""
    x0, x1 = int(max(0, at.x - at.w / 2)), int(min(c.w, at.x + at.w / 2 + 1))
    y0, y1 = int(max(0, at.y - at.h / 2)), int(min(c.h, at.y + at.h / 2 + 1))
    ground = (
        np.median(c.img[y0:y1:2, x0:x1:2].reshape(-1, 3), 0)
        if x1 > x0 and y1 > y0
        else np.full(3, 255.0)
    )
    level = brightness(ground)
    if tool == "pencil":
        return np.array([70, 70, 75.0]), c.u(0.25, 0.9)
    if c.dark or level < 70:
        colours = [(255, 255, 255), (240, 240, 230), (255, 255, 255), (250, 220, 120), (250, 170, 170),
                   (150, 220, 255), (140, 255, 140), (255, 60, 40)]  # fmt: skip
        colour = np.array(c.pick(colours), float)
    else:
        colour = np.array(c.pick(INKS), float) + c.r.normal(0, 12, 3)
    if c.p(0.12):
        colour = any_colour(c)
    strength = c.u(0.75, 1) if c.p(0.85) else c.u(0.35, 0.75)
    for _ in range(8):
        if (
            np.abs(colour - ground).max() * strength > 60
            and abs(brightness(colour) - level) * strength > 22
        ):
            return np.clip(colour, 0, 255), strength
        colour = any_colour(c)
        strength = max(strength, 0.7)
    return (np.zeros(3) if level > 110 else np.full(3, 255.0)), 1.0


def put(c: Canvas, digits: Digits, box: Box, tool: str, colour: Array, strength: float,
        turn: float, shear: float) -> bool:  # fmt: skip
    """Write a digit on the canvas; False if hardly anything of it came to lie on it."""
    made, label = write(c, digits, box, tool, turn, shear)
    if tool == "worn out" or not made.meant.any():
        return False
    c.paint(made.seen, colour, strength)
    np.maximum(c.ink, made.meant, out=c.ink)
    if len(c.labels) < 250:
        c.labels.append(label)
        c.ids[made.meant > 100] = len(c.labels)
    return True


# --- light and camera --------------------------------------------------------------------


def shade(c: Canvas, which: str) -> Array:
    """What the light is multiplied with: float32 ``[H, W]`` in 0–1."""
    h, w = c.h, c.w
    depth = c.u(0.25, 0.8)
    if which == "gradient":
        grid = c.r.uniform(1 - depth, 1, (c.n(2, 4), c.n(2, 4))).astype(np.float32)
        return cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)
    if which == "lamp":
        y, x = np.ogrid[:h, :w]
        d = np.hypot((x - c.u(-0.2, 1.2) * w) / w, (y - c.u(-0.2, 1.2) * h) / h)
        return (1 - depth + depth * np.exp(-((d / c.u(0.3, 1)) ** 2))).astype(np.float32)
    mask = c.blank()
    blur = c.log(0.3, 2.5) if which == "sharp" or c.p(0.5) else c.log(2, 12)
    if which == "hand":
        edge = c.pick([(c.u(0, w), h * 1.1), (w * 1.1, c.u(0, h)), (-0.1 * w, c.u(0, h))])
        middle = np.array([c.u(0.2, 0.8) * w, c.u(0.2, 0.8) * h])
        inwards = (middle - edge) / np.linalg.norm(middle - edge)
        side = np.array([-inwards[1], inwards[0]])
        palm = np.array(edge) + inwards * c.u(5, 35) * c.unit
        width = c.u(7, 15) * c.unit
        paths = []
        for i in range(c.n(1, 5)):
            root = palm + side * (i - 2) * width * 1.15
            tip = root + (inwards + side * (i - 2) * c.u(0, 0.15)) * c.u(20, 60) * c.unit
            paths.append(np.stack([root - inwards * 30 * c.unit, tip]).astype(np.float32))
        mask = lines(c, paths, width)
        np.maximum(
            mask,
            polygon(c, ellipse(c, *palm, width * 2.4, width * 2, float(np.arctan2(*side[::-1])))),
            out=mask,
        )
    elif which == "blinds":
        step = c.u(10, 40) * c.unit
        angle = c.u(0, np.pi)
        way, normal = (
            np.array([np.cos(angle), np.sin(angle)]),
            np.array([-np.sin(angle), np.cos(angle)]),
        )
        paths = [np.stack([np.array([w, h]) / 2 + normal * o - way * 999, np.array([w, h]) / 2 + normal * o + way * 999])
                 for o in np.arange(-w - h, w + h, step)]  # fmt: skip
        mask = lines(c, [p.astype(np.float32) for p in paths], step * c.u(0.3, 0.6))
    elif c.p(0.5):  # a straight edge
        angle, offset = c.u(0, 2 * np.pi), c.u(-0.35, 0.35) * min(h, w)
        way = np.array([np.cos(angle), np.sin(angle)])
        side = np.array([-way[1], way[0]]) * 999
        start = np.array([w, h]) / 2 + way * offset
        mask = polygon(
            c, [start - side, start + side, start + side + way * 1999, start - side + way * 1999]
        )
    else:  # any outline: a head, a telephone, leaves
        for _ in range(c.n(1, 3)):
            k = c.n(3, 9)
            t = np.sort(c.r.uniform(0, 2 * np.pi, k))
            radius = c.u(20, 60) * c.unit * c.r.uniform(0.5, 1, k)
            centre = (c.u(0, w), c.u(0, h))
            np.maximum(
                mask,
                polygon(c, np.stack([np.cos(t), np.sin(t)], 1) * radius[:, None] + centre),
                out=mask,
            )
    softened = soft(mask, blur * max(c.unit, 0.5)).astype(np.float32)
    return 1 - softened * (depth / 255)


SHADES = ("gradient", "gradient", "lamp", "sharp", "soft", "hand", "hand", "blinds")


def lighten(c: Canvas, chosen: Tuple[str, ...]) -> None:
    for which in chosen:
        map_ = np.clip(shade(c, which), 0.08, 1.1)
        tint = (
            1 - (1 - map_[..., None]) * (1 + c.r.normal(0, 0.06, 3))
            if c.p(0.5)
            else map_[..., None]
        )
        c.img *= tint.astype(np.float32)
    if c.p(0.06):
        glare = soft(polygon(c, ellipse(c, c.u(0, c.w), c.u(0, c.h), c.u(5, 20) * c.unit,
                                                   c.u(5, 20) * c.unit)), 4 * c.unit + 1)  # fmt: skip
        c.img += glare[..., None].astype(np.float32) * c.u(0.2, 0.6)


def tilt(c: Canvas) -> None:
    """The picture from askew."""
    corners = np.array([(0, 0), (c.w, 0), (c.w, c.h), (0, c.h)], np.float32)
    reach = c.u(0.02, 0.12)
    moved = corners + c.r.normal(0, reach, (4, 2)).astype(np.float32) * (c.w, c.h)
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    size = (c.w, c.h)
    border = (
        {"borderMode": cv2.BORDER_REPLICATE}
        if c.p(0.6)
        else {"borderValue": any_colour(c).tolist()}
    )
    c.img = cv2.warpPerspective(c.img, matrix, size, flags=cv2.INTER_LINEAR, **border)
    for name in ("ink", "marks"):
        setattr(
            c, name, cv2.warpPerspective(getattr(c, name), matrix, size, flags=cv2.INTER_LINEAR)
        )
    c.known = cv2.warpPerspective(c.known, matrix, size, flags=cv2.INTER_NEAREST, borderValue=255)
    c.ids = cv2.warpPerspective(c.ids, matrix, size, flags=cv2.INTER_NEAREST)


def camera(c: Canvas, blur: float, noise: float, quality: int) -> Array:
    """Focus, exposure, noise and compression: uint8 RGB."""
    img = c.img
    if blur > 0.2:
        if c.p(0.35):
            k = max(3, int(blur * 2.5) | 1)
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (k, k)).astype(np.float32)
            img = cv2.filter2D(img, -1, disc / disc.sum())
        else:
            img = soft(img, blur)
    if c.p(0.3):
        contrast, level = c.u(0.5, 1.15), c.u(-30, 20)
        img = (img - 128) * contrast + 128 + level
    if c.p(0.2):
        img = 255 * np.power(np.clip(img, 0, 255) / 255, c.log(0.6, 1.6))
    if c.p(0.15):
        img = img * (1 + c.r.normal(0, 0.12, 3))
    if c.p(0.04):
        img = 255 - img
    if noise > 0:
        if c.p(0.5):
            img = img + c.texture("grain", c.pick([1, 1, 1.6]))[..., None] * noise
        else:
            img = img + np.stack([c.texture("grain") for _ in range(3)], -1) * noise
    picture = np.clip(np.rint(img), 0, 255).astype(np.uint8)
    if c.p(0.2):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        picture = np.repeat(grey[..., None], 3, 2)
    if quality:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return picture


# --- scenes ------------------------------------------------------------------------------

# What a kind says wins over chance; see `draw`.
KINDS: Dict[str, Dict[str, Any]] = {
    "plain": {"surface": "flat", "clean": True},
    "mnist-like": {"surface": "black", "clean": True, "size": (28, 64), "tool": "raster", "fill": (0.6, 0.85)},
    "paper": {"surface": "paper"},
    "ruled": {"surface": "ruled"},
    "sheet": {"surface": "sheet"},
    "photo": {"surface": ("sheet", "edge", "ruled", "paper"), "camera": True},
    "edge": {"surface": "edge"},
    "chalkboard": {"surface": "chalkboard", "tool": "chalk"},
    "whiteboard": {"surface": "whiteboard", "tool": "marker"},
    "screen": {"surface": "screen"},
    "form": {"surface": "form"},
    "printed page": {"surface": "printed"},
    "clutter": {"surface": "clutter"},
    "plate": {"surface": "plate"},
    "hand's shadow": {"surface": "paper", "shades": ("hand",)},
    "sharp shadow": {"surface": "paper", "shades": ("sharp",)},
    "soft light": {"surface": "paper", "shades": ("gradient", "lamp")},
    "blinds": {"surface": "paper", "shades": ("blinds",)},
    "focus": {"surface": "paper", "blur": (0.03, 0.07)},
    "noise": {"surface": "paper", "noise": (15, 35)},
    "ring": {"surface": "paper", "around": ("ring",)},
    "underline": {"surface": "paper", "around": ("underline",)},
    "boxed": {"surface": "paper", "around": ("box",)},
    "brackets": {"surface": "paper", "around": ("brackets",)},
    "text beside": {"surface": "paper", "around": ("text",)},
    "tick": {"surface": "paper", "around": ("tick",)},
    "coffee": {"surface": "paper", "things": ("coffee",)},
    "finger": {"surface": "paper", "things": ("finger",)},
    "hairline": {"surface": "flat", "tool": "hairline", "clean": True},
    "pencil": {"surface": "paper", "tool": "pencil"},
    "dry": {"surface": "paper", "tool": "dry"},
    "dotted": {"surface": "paper", "tool": "dotted"},
    "outline": {"surface": "flat", "tool": "outline"},
    "thick": {"surface": "flat", "tool": "thick"},
    "coarse": {"surface": "flat", "tool": "coarse"},
    "segments": {"tool": "segments"},
    "font": {"tool": "font"},
    "small drawing": {"surface": "flat", "clean": True, "size": (26, 60)},
    "tiny": {"fill": (0.07, 0.16), "size": (320, 640)},
    "tight": {"fill": (0.9, 1.06), "tight": True},
    "several": {"layout": "several"},
    "touching": {"layout": "touching", "surface": "paper"},
    "blank": {"layout": "blank"},
    "symbol": {"layout": "symbol"},
}  # fmt: skip


# Kinds that are drawn more often than others: what is hard to tell from ink, and what all have.
OFTEN = {
    "plain": 4, "paper": 3, "coarse": 2, "photo": 4, "ruled": 2, "sheet": 2, "screen": 3, "form": 3, "ring": 4,
    "boxed": 3, "underline": 2, "brackets": 3, "text beside": 2, "tight": 3, "tiny": 3,
    "mnist-like": 2, "small drawing": 2, "hairline": 2, "outline": 2, "blank": 4, "several": 3,
    "touching": 3, "hand's shadow": 2, "sharp shadow": 2,
}  # fmt: skip


def draw(
    digits: Digits, seed: int, index: int, kind: str = "", shape: Optional[Tuple[int, int]] = None,
    easy: float = 0.45,
) -> Scene:  # fmt: skip
    """Scene number ``index`` of a seed; ``kind`` fixes what KINDS says of it, else anything goes.

    ``shape``: height and width that the picture's sides are to be in proportion of; ``easy``: the
    share of scenes of one of the kinds, in which there is one difficulty, not several.
    """
    r = np.random.default_rng([seed, index, len(kind)])
    fixed = KINDS[kind] if kind else {}
    mild = bool(kind)
    if not kind and r.random() < easy:
        often = np.array([OFTEN.get(name, 1) for name in KINDS], float)
        fixed = KINDS[list(KINDS)[int(r.choice(len(often), p=often / often.sum()))]]
        mild = True
    long = float(np.exp(r.uniform(np.log(120), np.log(320))))
    if shape:
        long *= max(shape) / 160
    if "size" in fixed:
        long = float(np.exp(r.uniform(*np.log(fixed["size"]))))
    elif r.random() < 0.06:
        long = float(r.uniform(28, 100))
    ratio = float(r.choice([1, 1, 1, 0.75, 0.75, 0.56, r.uniform(0.4, 1)]))
    short = max(20, round(long * ratio))
    h, w = (round(long), short) if r.random() < 0.5 else (short, round(long))
    if shape:
        h, w = (max(20, round(long * side / max(shape))) for side in shape)
    c = Canvas(r, h, w, kind)
    c.mild = mild
    chance = ("one", "several", "touching", "blank", "symbol")[
        int(r.choice(5, p=(0.64, 0.11, 0.08, 0.11, 0.06)))
    ]
    layout = fixed.get("layout") or ("one" if mild else chance)
    clean = fixed.get("clean", not mild and c.p(0.2))
    surface = fixed.get("surface") or weighted(c, layout)
    if isinstance(surface, tuple):
        surface = c.pick(surface)
    SURFACES[surface][0](c)
    c.dark = c.dark or brightness(c.img.mean((0, 1))) < 70
    if not clean:
        for which in fixed.get("things", ()):
            thing(c, which)
        if not mild or layout == "blank":
            while c.p(0.3):
                thing(c, c.pick(THINGS))
    side = LAYOUTS[layout](c, digits, fixed, surface)
    if not clean and layout != "blank" and c.p(0.25 if not mild else 0.05):
        thing(c, c.pick(["specks", "hair", "fold", "staple"]))
    finish(c, fixed, mild and "camera" not in fixed, clean, side, surface)
    quality = (
        0 if clean and c.p(0.5) else int(c.pick([0, 95, 90, 80, 60, c.n(20, 60), c.n(20, 95)]))
    )
    noise = (
        c.u(*fixed["noise"]) if "noise" in fixed else (0 if clean or c.p(0.5) else c.log(0.5, 18))
    )
    blur = (
        c.log(*fixed["blur"]) * side
        if "blur" in fixed
        else (0 if clean or c.p(0.55) else c.log(0.004, 0.045) * side)
    )
    return scene_of(c, camera(c, blur, noise, quality), kind)


def weighted(c: Canvas, layout: str) -> str:
    names = list(SURFACES)
    weights = np.array([SURFACES[name][1] for name in names])
    return str(c.r.choice(names, p=weights / weights.sum()))


def finish(
    c: Canvas, fixed: Dict[str, Any], mild: bool, clean: bool, side: float, surface: str
) -> None:
    """Light, and the camera's place."""
    if clean:
        return
    if "shades" in fixed:
        lighten(c, fixed["shades"])
    elif surface not in ("screen",) or c.p(0.2):
        lighten(
            c,
            tuple(
                c.pick(SHADES) for _ in range(c.pick([0, 0, 1, 1, 2] if not mild else [0, 0, 0, 1]))
            ),
        )
    if c.p(0.25):
        tilt(c)


def digit_box(c: Canvas, height: float, x: float, y: float, tool: str) -> Box:
    return Box(x, y, height * c.u(0.75, 1.1), height)


def one(c: Canvas, digits: Digits, fixed: Dict[str, Any], surface: str) -> float:
    """A single digit in the free area."""
    x0, y0, w, h = c.area
    room = min(w, h)
    whole = surface in (
        "flat",
        "black",
        "paper",
        "ruled",
        "chalkboard",
        "whiteboard",
        "clutter",
        "table",
        "screen",
    )
    fill = (
        c.u(*fixed["fill"])
        if "fill" in fixed
        else (c.u(0.25, 0.9) if whole or c.p(0.7) else c.u(0.5, 1.0))
    )
    if "fill" not in fixed and whole and c.p(0.12):
        fill = c.u(0.1, 0.25)
    around = fixed.get("around") or (
        () if fixed.get("clean") or not c.p(0.08 if c.mild else 0.4) else (c.pick(AROUND),)
    )
    if around and c.p(0.15):
        around = (*around, c.pick(AROUND))
    if around:
        fill = min(fill, 0.6)
    height = max(fill * room, 9.0)
    if fixed.get("tight"):
        x, y = c.w / 2 + c.r.normal(0, 1) * c.unit, c.h / 2 + c.r.normal(0, 1) * c.unit
        height = fill * min(c.w, c.h) if c.p(0.6) else fill * c.h
    else:
        half = height * 0.5
        x, y = (
            c.u(start + half, start + span - half) if span > height else start + span / 2
            for start, span in ((x0, w), (y0, h))
        )
    tool = fixed.get("tool") or tool_for(c, surface)
    box = digit_box(c, height, x, y, tool)
    if fixed.get("tight"):
        box = Box(x, y, fill * c.w if c.p(0.6) else box.w, height)
    colour, strength = ink_colour(c, box, tool)
    turn = c.r.normal(0, 0.12) if c.p(0.7) else c.u(-0.35, 0.35)
    put(c, digits, box, tool, colour, strength, turn, c.r.normal(0, 0.12))
    for which in around:
        other = colour if c.p(0.7) else np.array(c.pick(INKS), float)
        around_digit(c, box, other, c.log(0.025, 0.11) * height + 0.4, which)
    return height


def tool_for(c: Canvas, surface: str) -> str:
    if surface == "chalkboard" and c.p(0.8):
        return "chalk"
    if surface == "plate" and c.p(0.6):
        return "font"
    if c.p(0.08):
        return "font"
    if c.p(0.03):
        return "segments"
    return str(c.pick(EVERYDAY if c.mild and c.p(0.75) else TOOLS))


def several(c: Canvas, digits: Digits, fixed: Dict[str, Any], surface: str) -> float:
    """Numbers in lines, in columns, of mixed sizes, with signs between them."""
    tool = tool_for(c, surface)
    height = c.log(9, 45) * c.unit
    height = max(height, 10 * max(c.h, c.w) / 160)
    pitch_x, pitch_y = height * c.u(0.8, 1.8), height * c.u(1.25, 2.4)
    colour, strength = ink_colour(c, Box(c.w / 2, c.h / 2, c.w * 0.8, c.h * 0.8), tool)
    mixed = c.pick([0.05, 0.1, 0.3])
    slope = c.r.normal(0, 0.05)
    filled = c.u(0.3, 1)
    count = 0
    limit = c.n(2, 40)
    for y in np.arange(height * c.u(0.6, 1.5), c.h - height * 0.4, pitch_y):
        for x in np.arange(height * c.u(0.5, 2), c.w - height * 0.4, pitch_x):
            if not c.p(filled):
                continue
            here = y + slope * x + c.r.normal(0, 0.05) * height
            size = height * np.exp(c.r.normal(0, mixed))
            if count >= limit or not height * 0.4 < here < c.h - height * 0.4:
                continue
            if c.p(0.06):
                mask = c.blank()
                stamp(
                    c,
                    mask,
                    glyph(c.pick(DIGIT_FONTS), c.pick("+=-€.,:x")),
                    x,
                    here,
                    size * c.u(0.15, 0.6),
                    0,
                )
                c.mark(mask, colour, strength)
                continue
            box = digit_box(c, size, x, here, tool)
            count += put(
                c, digits, box, tool, colour, strength, c.r.normal(0, 0.1), c.r.normal(0, 0.1)
            )
            if c.p(0.03):
                around_digit(
                    c, box, colour, max(1, 0.05 * size), c.pick(("ring", "underline", "box"))
                )
    return height


def touching(c: Canvas, digits: Digits, fixed: Dict[str, Any], surface: str) -> float:
    """Two to five digits that touch or nearly do."""
    tool = c.pick(["pen", "raster", "marker", "raster", "thick", "chalk" if c.dark else "pen"])
    count = c.pick([2, 2, 2, 3, 4, 5])
    height = min(c.u(0.3, 0.85) * c.h, 0.95 * c.w / (0.72 * count))
    pitch = height * c.u(0.58, 0.9)
    if c.p(0.2):
        pitch *= 1.3
    start = c.w / 2 - pitch * (count - 1) / 2
    middle = c.h / 2 + c.r.normal(0, 0.05) * c.h
    colour, strength = ink_colour(c, Box(c.w / 2, c.h / 2, pitch * count, height), tool)
    for i in range(count):
        box = digit_box(
            c,
            height * c.u(0.85, 1.1),
            start + i * pitch,
            middle + c.r.normal(0, 0.05) * height,
            tool,
        )
        put(c, digits, box, tool, colour, strength, c.r.normal(0, 0.08), c.r.normal(0, 0.08))
    return height


def nothing(c: Canvas, digits: Digits, fixed: Dict[str, Any], surface: str) -> float:
    """No digit, but whatever else there may be."""
    if c.p(0.3):
        mask = c.blank()
        for _ in range(c.n(1, 4)):
            scribble(c, mask, c.log(1, 5) * max(c.unit, 0.5))
        colour, strength = ink_colour(c, Box(c.w / 2, c.h / 2, c.w, c.h), "pen")
        c.mark(mask, colour, strength)
    while c.p(0.35):
        thing(
            c,
            c.pick(
                (
                    "text",
                    "fold",
                    "specks",
                    "coffee",
                    "pen",
                    "staple",
                    "hair",
                    "finger",
                    "frame",
                    "clip",
                )
            ),
        )
    if c.p(0.3):
        height = c.u(20, 60) * c.unit
        box = Box(c.u(0.3, 0.7) * c.w, c.u(0.3, 0.7) * c.h, height * c.u(0.6, 1.2), height)
        colour, _ = ink_colour(c, box, "pen")
        which = c.pick(("box", "box", "underline", "text", "words"))
        around_digit(c, box, colour, c.log(0.02, 0.06) * height + 0.4, which)
    return 40 * c.unit


def symbol(c: Canvas, digits: Digits, fixed: Dict[str, Any], surface: str) -> float:
    """Something drawn that is no digit: nobody says whether the finder is to find it."""
    x0, y0, w, h = c.area
    height = c.u(0.4, 0.85) * min(w, h)
    box = Box(x0 + w / 2, y0 + h / 2, height, height)
    mask = figure(c, digits, box)
    colour, strength = ink_colour(c, box, "pen")
    c.paint(mask, colour, strength)
    size = max(3, int(0.12 * height)) | 1
    c.known[cv2.dilate(mask, np.ones((size, size), np.uint8)) > 30] = 0
    return height


def figure(c: Canvas, digits: Digits, box: Box) -> Array:
    """A letter, a sign, a shape, a scribble, part of a digit, a crossed-out digit: uint8."""
    mask = c.blank()
    s = box.h
    width = c.log(0.03, 0.16) * s
    which = c.pick(["letter"] * 8 + ["sign"] * 3 + ["shape"] * 3 + ["scribble"] * 2 + ["crossed"] * 2
                   + ["part", "part", "strokes", "strokes", "strokes", "blob"])  # fmt: skip
    c.symbol = which
    if which in ("letter", "sign"):
        names = (
            DIGIT_FONTS[:14]
            if which == "letter"
            else ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono")
        )
        text = c.pick(LETTERS if which == "letter" else SYMBOLS)
        c.symbol = f"{which} {text}"
        shape = glyph(c.pick(names), text)
        if which == "letter" and text.isascii() and c.p(0.4):
            shape = plotted(c, text)
        if which == "letter" and c.p(0.7):
            shape = as_by_hand(c, shape)
        stamp(c, mask, shape, box.x, box.y, s, c.r.normal(0, 0.15), c.u(0.75, 1.3))
    elif which == "shape":
        shape, paths = (
            c.pick(
                [
                    "triangle",
                    "square",
                    "star",
                    "heart",
                    "arrow",
                    "tick",
                    "cross",
                    "wave",
                    "house",
                    "spiral",
                    "plus",
                ]
            ),
            [],
        )
        c.symbol = shape
        t = np.linspace(0, 1, 40)
        turn = c.r.normal(0, 0.2)
        if shape in ("triangle", "square", "polygon"):
            k = {"triangle": 3, "square": 4}.get(shape, c.n(5, 7))
            a = np.arange(k + 1) * 2 * np.pi / k + (np.pi / 4 if k == 4 else -np.pi / 2) + turn
            paths = [np.stack([np.cos(a), np.sin(a)], 1) * 0.5]
        elif shape == "star":
            a = np.arange(11) * np.pi / 5 - np.pi / 2 + turn
            radius = np.where(np.arange(11) % 2, c.u(0.18, 0.3), 0.5)
            if c.p(0.5):
                a, radius = np.arange(6) * 4 * np.pi / 5 - np.pi / 2, np.full(6, 0.5)
            paths = [np.stack([np.cos(a), np.sin(a)], 1) * radius[:, None]]
        elif shape == "heart":
            a = t * 2 * np.pi
            paths = [
                np.stack(
                    [
                        np.sin(a) ** 3,
                        -(13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a)) / 16,
                    ],
                    1,
                )
                * 0.5
            ]
        elif shape == "arrow":
            paths = [
                np.array([(-0.5, 0), (0.5, 0)]),
                np.array([(0.2, -0.25), (0.5, 0), (0.2, 0.25)]),
            ]
        elif shape == "tick":
            paths = [np.array([(-0.4, 0.05), (-0.12, 0.4), (0.5, -0.45)])]
        elif shape == "cross":
            paths = [np.array([(-0.4, -0.4), (0.4, 0.4)]), np.array([(-0.4, 0.4), (0.4, -0.4)])]
        elif shape == "plus":
            paths = [np.array([(-0.45, 0), (0.45, 0)]), np.array([(0, 0.45), (0, -0.45)])]
        elif shape == "wave":
            paths = [np.stack([t - 0.5, 0.2 * np.sin(t * c.u(8, 18))], 1)]
        elif shape == "house":
            paths = [
                np.array(
                    [(-0.35, 0.5), (-0.35, 0), (0, -0.5), (0.35, 0), (0.35, 0.5), (-0.35, 0.5)]
                )
            ]
        else:
            a = t * c.u(12, 20)
            paths = [np.stack([np.cos(a), np.sin(a)], 1) * t[:, None] * 0.5]
        spin = c.pick([0, 0, 1.57, 3.14, -1.57]) if shape == "arrow" else turn
        rotation = np.array([[np.cos(spin), np.sin(spin)], [-np.sin(spin), np.cos(spin)]])
        placed = [
            wobbly(c, (p @ rotation) * s + (box.x, box.y), 0.015 * s)
            if len(p) > 9 or c.p(0.5)
            else ((p @ rotation) * s + (box.x, box.y)).astype(np.float32)
            for p in paths
        ]
        if c.p(0.2) and shape not in ("arrow", "tick", "cross", "plus", "wave", "spiral"):
            mask = polygon(c, placed[0])
        else:
            mask = lines(c, placed, width)
    elif which == "scribble":
        points = np.cumsum(c.r.standard_normal((c.n(8, 30), 2)), 0)
        points -= points.mean(0)
        points *= 0.5 * s / (np.abs(points).max() + 1e-6)
        smooth = cv2.resize(points.astype(np.float32), (2, 120), interpolation=cv2.INTER_CUBIC)
        mask = lines(c, [smooth + np.float32((box.x, box.y))], width * 0.7)
    elif which in ("crossed", "part"):
        index = c.n(0, len(digits.strokes) - 1)
        matrix = affine(c, Box(box.x, box.y, s * 0.9, s * 0.9), c.r.normal(0, 0.1), 0)
        paths = path_points(c, digits.strokes[index], matrix, 0.2)
        if which == "part":
            mask = lines(c, paths, width)
            cut = c.blank()
            half = c.pick([(slice(None), slice(0, int(box.x))), (slice(None), slice(int(box.x), None)),
                           (slice(0, int(box.y)), slice(None)), (slice(int(box.y), None), slice(None))])  # fmt: skip
            cut[half] = 255
            kept = np.minimum(mask, cut)
            mask = kept if int(digits.labels[index]) in (2, 4, 5, 6, 8, 9, 3) else mask * 0
        else:
            w = 0.55 * s
            count = c.pick([1, 2, 2, 3, 4])
            for i in range(count):
                angle = c.pick([0.6, -0.6, 0, 0.8, -0.8]) + c.r.normal(0, 0.15)
                way = np.array([np.cos(angle), np.sin(angle)]) * w
                middle = (
                    np.array([box.x, box.y])
                    + c.r.normal(0, 0.06, 2) * s
                    + ((0, (i - count / 2) * 0.12 * s) if abs(angle) < 0.3 else 0)
                )
                paths.append(wobbly(c, np.stack([middle - way, middle + way]), 0.02 * s))
            mask = lines(c, paths, width * 0.8)
    elif which == "strokes":  # as the signs of other scripts: many strokes, crossing
        paths = []
        for _ in range(c.n(3, 9)):
            a = c.r.uniform(-0.5, 0.5, 2)
            way = np.array(c.pick([(1, 0), (0, 1), (0.7, 0.7), (-0.7, 0.7), (1, 0), (0, 1)])) * c.u(
                0.25, 1
            )
            b = np.clip(a + way, -0.5, 0.5)
            paths.append(wobbly(c, np.stack([a, b]) * s + (box.x, box.y), 0.02 * s))
        mask = lines(c, paths, min(width, 0.09 * s))
    else:
        k = c.n(5, 12)
        t = np.sort(c.r.uniform(0, 2 * np.pi, k))
        points = np.stack([np.cos(t), np.sin(t)], 1) * c.r.uniform(0.25, 0.5, k)[:, None] * s + (
            box.x,
            box.y,
        )
        mask = polygon(c, points)
        if c.p(0.5):
            mask = (
                mask * np.clip(0.6 + 0.4 * c.texture(c.pick(["clouds", "grain"])), 0, 1)
            ).astype(np.uint8)
    return mask


def plotted(c: Canvas, text: str) -> Array:
    """A letter drawn with a pen by the plotter's fonts of A. V. Hershey that OpenCV has."""
    face = c.pick([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
                   cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_COMPLEX])  # fmt: skip
    face |= cv2.FONT_ITALIC if c.p(0.3) else 0
    whole = np.zeros((220, 220), np.uint8)
    cv2.putText(whole, text, (50, 150), face, 4, 255, c.n(3, 16), cv2.LINE_AA)
    left, top, width, height = cv2.boundingRect(whole)
    return whole[top : top + height, left : left + width]


def as_by_hand(c: Canvas, shape: Array) -> Array:
    """A printed letter's shape, bent and rounded, as a felt pen might draw it."""
    pad = 14
    big = np.pad(shape, pad)
    grid = c.r.normal(0, 5, (2, 4, 4)).astype(np.float32)
    dx, dy = (cv2.resize(g, big.shape[::-1], interpolation=cv2.INTER_CUBIC) for g in grid)
    y, x = np.mgrid[: big.shape[0], : big.shape[1]].astype(np.float32)
    bent = cv2.remap(big, x + dx, y + dy, cv2.INTER_LINEAR)
    distance = cv2.distanceTransform((bent > 127).astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((bent <= 127).astype(np.uint8), cv2.DIST_L2, 5)
    grown = np.clip((distance - outside + c.u(-1.5, 5)) * 127 + 127, 0, 255)
    return soft(grown, 1.2).astype(np.uint8)


LAYOUTS: Dict[str, Callable[[Canvas, Digits, Dict[str, Any], str], float]] = {
    "one": one,
    "several": several,
    "touching": touching,
    "blank": nothing,
    "symbol": symbol,
}


def scene_of(c: Canvas, picture: Array, kind: str) -> Scene:
    """The canvas as a scene; a digit of which hardly anything is left is unknown."""
    boxes, labels = [], []
    ids = np.zeros_like(c.ids)
    for number, label in enumerate(c.labels, 1):
        mine = c.ids == number
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        if len(rows) < 3:
            continue
        labels.append(label)
        boxes.append(
            (int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
        )
        ids[mine] = len(labels)
        if not visible(picture, mine, boxes[-1]):
            c.known[mine] = 0
    return Scene(picture, c.ink, c.marks, c.known, ids, labels, boxes, kind, c.symbol)


def visible(picture: Array, mine: Array, box: Tuple[int, int, int, int]) -> bool:
    """Whether anything of a digit differs from what is around it."""
    left, top, w, h = box
    m = 2 + max(w, h) // 8
    where = (slice(max(0, top - m), top + h + m), slice(max(0, left - m), left + w + m))
    inside, near = mine[where], picture[where].astype(np.int16)
    if inside.all():
        return True
    step = 1 + max(near.shape) // 50
    inside, near = inside[::step, ::step], near[::step, ::step]
    if inside.all() or not inside.any():
        return True
    differ = np.abs(near - np.median(near[~inside], 0).astype(np.int16)).max(-1)
    return bool(np.percentile(differ[inside], 85) > 14)
