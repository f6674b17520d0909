"""Sheets with many digits on them: each with the true box and label of every digit.

A box is left, top, width and height in the picture's pixels, tight around the ink.
"""

from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from tests.material.scenes import around
from tests.material.scenes import canvas as c
from tests.material.scenes.canvas import Digit
from tests.material.scenes.registry import stream

Box = Tuple[int, int, int, int]


class Sheet(NamedTuple):
    """A picture's file and the digits on it, in no order."""

    file: bytes
    boxes: List[Box]
    labels: List[int]


class _Page:
    """A sheet being written on."""

    def __init__(self, picture: np.ndarray, digits: Sequence[Digit], rng) -> None:
        self.picture = picture
        self.rng = rng
        self.pen = c.some_pen(rng)
        self.width = rng.uniform(0.07, 0.12)
        self.ink = np.zeros(picture.shape[:2], np.float32)
        self.boxes: List[Box] = []
        self.labels: List[int] = []
        self._digits = iter(digits)

    def write(self, left: float, top: float, height: float, touching: bool = False) -> int:
        """The next digit, standing there; returns its right end, or -1 if there is no room.

        One that is ``touching`` moves a little left, until its ink meets other ink.
        """
        digit = next(self._digits, None)
        if digit is None:
            return -1
        ink = c.turned(c.written(digit, height, self.width), self.rng.uniform(-6, 6))
        tall, wide = ink.shape
        x, y = int(left), int(top + (height - tall) / 2)
        if x < 2 or y < 2 or x + wide > self.ink.shape[1] - 2 or y + tall > self.ink.shape[0] - 2:
            return -1
        if touching:
            x = self._met(ink, x, y)
        window = self.ink[y : y + tall, x : x + wide]
        np.maximum(window, ink, out=window)
        self.boxes.append((x + 2, y + 2, wide - 4, tall - 4))
        self.labels.append(digit.label)
        return x + wide

    def _met(self, ink: np.ndarray, x: int, y: int) -> int:
        tall, wide = ink.shape
        nearest = max(2, x - int(0.14 * tall))
        for left in range(x, nearest, -1):
            both = (self.ink[y : y + tall, left : left + wide] > 0.5) & (ink > 0.5)
            if np.count_nonzero(both) > 0.02 * wide * tall * self.width:
                return left
        return nearest

    def number(self, left: float, top: float, height: float, count: int, gap=(0.12, 0.3)) -> float:
        """So many digits side by side."""
        for _ in range(count):
            size = height * self.rng.uniform(0.88, 1.05)
            right = self.write(left, top + self.rng.uniform(-0.06, 0.06) * height, size)
            if right < 0:
                break
            left = right + height * self.rng.uniform(*gap)
        return left

    def done(self, photographed: bool) -> Sheet:
        picture = c.soaked(self.picture, self.ink, self.pen)
        file = (
            c.taken(picture, self.rng, light=0.3) if photographed else c.scanned(picture, self.rng)
        )
        return Sheet(file, self.boxes, self.labels)


Draw = Callable[[Sequence[Digit], np.random.RandomState], Sheet]
SHEETS: Dict[str, Draw] = {}
DIGITS_EACH = 60
"""So many digits a sheet may want at the most."""


def _sheet(name: str) -> Callable[[Draw], Draw]:
    def keep(draw: Draw) -> Draw:
        SHEETS[name] = draw
        return draw

    return keep


def sheet(name: str, digits: Sequence[Digit], number: int) -> Sheet:
    """The sheet of a kind with this number, with some of these digits."""
    return SHEETS[name](digits, stream("sheet", name, number))


@_sheet("lines")
def lines(digits, rng):
    """Numbers of several digits, line by line, on plain or ruled paper."""
    shape = (620, 860)
    step = int(rng.uniform(95, 135))
    paper = c.paper(shape, rng)
    if rng.rand() < 0.5:
        paper = c.rules(paper, step, (175, 195, 225), 2, 30 + 0.82 * step)
    page = _Page(paper, digits, rng)
    for top in range(30, shape[0] - step, step):
        left = rng.uniform(25, 80)
        for _ in range(rng.randint(1, 4)):
            left = page.number(left, top, 0.68 * step, rng.randint(2, 5)) + 0.6 * step
    return page.done(rng.rand() < 0.6)


@_sheet("columns")
def columns(digits, rng):
    """A sum: numbers below each other, flush right, perhaps with a line beneath."""
    shape = (700, 640)
    page = _Page(c.paper(shape, rng), digits, rng)
    height = rng.uniform(60, 85)
    for left in (40, 350):
        rows = rng.randint(3, 6)
        places = rng.randint(2, 4)
        for row in range(rows):
            count = rng.randint(1, places + 1)
            for place in range(count):
                x = left + (places - 1 - place) * 1.0 * height + rng.uniform(0, 6)
                page.write(x, 40 + row * 1.45 * height, height)
        y = 40 + rows * 1.45 * height
        if rng.rand() < 0.6:
            line = c.line(shape, (left - 20, y), (left + places * height + 20, y), 4, rng)
            page.picture = c.soaked(page.picture, line, page.pen)
    return page.done(rng.rand() < 0.6)


@_sheet("forms")
def forms(digits, rng):
    """Rows of cells, a digit in most of them, a printed word before each row."""
    shape = (520, 860)
    paper = c.paper(shape, rng)
    cell = int(rng.uniform(64, 86))
    dark = [(60, 60, 64), (200, 90, 90), (90, 150, 195)][rng.randint(3)]
    words = ["Date", "Number", "Amount", "Code", "Room", "Class"]
    rows = []
    for top in range(40, shape[0] - cell - 20, cell + 36):
        word = words[rng.randint(len(words))]
        cv2.putText(
            paper,
            word,
            (20, top + cell // 2),
            cv2.FONT_HERSHEY_DUPLEX,
            0.8,
            (50, 50, 54),
            1,
            cv2.LINE_AA,
        )
        count = int(rng.randint(4, 9))
        for number in range(count):
            left = 165 + number * cell
            cv2.rectangle(paper, (left, top), (left + cell, top + cell), dark, 2)
            rows.append((left, top))
    page = _Page(paper, digits, rng)
    for left, top in rows:
        if rng.rand() < 0.8:
            height = cell * rng.uniform(0.55, 0.72)
            page.write(left + cell * rng.uniform(0.22, 0.32), top + (cell - height) / 2, height)
    return page.done(rng.rand() < 0.5)


@_sheet("mixed sizes")
def mixed(digits, rng):
    """From 40 to 160 pixels high, anywhere, none over another."""
    shape = (720, 720)
    page = _Page(c.paper(shape, rng), digits, rng)
    taken: List[Box] = []
    for height in sorted(rng.choice([40, 50, 60, 80, 110, 160], 22), reverse=True):
        for _ in range(20):
            x, y = rng.uniform(10, shape[1] - height - 10), rng.uniform(10, shape[0] - height - 10)
            space = (x - 12, y - 12, x + 1.05 * height + 12, y + height + 12)
            if all(
                space[2] < o[0] or o[2] < space[0] or space[3] < o[1] or o[3] < space[1]
                for o in taken
            ):
                taken.append(space)
                page.write(x, y, height)
                break
    return page.done(rng.rand() < 0.6)


@_sheet("touching")
def touching(digits, rng):
    """Numbers whose digits touch their neighbours or overlap a little."""
    page = _Page(c.paper((460, 760), rng), digits, rng)
    for top in range(25, 340, 140):
        left = rng.uniform(30, 80)
        for _ in range(2):
            for place in range(rng.randint(2, 4)):
                size = 100 * rng.uniform(0.88, 1.05)
                left = page.write(left, top + rng.uniform(-6, 6), size, touching=place > 0)
            left += 90
    return page.done(rng.rand() < 0.5)


@_sheet("text around")
def text_around(digits, rng):
    """Handwritten numbers between printed lines of text."""
    shape = (680, 820)
    paper = c.paper(shape, rng)
    page = _Page(paper, digits, rng)
    top = 30.0
    while top < shape[0] - 130:
        for _ in range(rng.randint(1, 4)):
            text = " ".join(
                "".join("abcdefhkmnprtuvwxyz"[i] for i in rng.randint(0, 19, rng.randint(2, 9)))
                for _ in range(9)
            )
            cv2.putText(
                page.picture,
                text,
                (30, int(top)),
                cv2.FONT_HERSHEY_DUPLEX,
                0.6,
                (55, 55, 60),
                1,
                cv2.LINE_AA,
            )
            top += 26
        page.number(rng.uniform(40, 300), top, 80, rng.randint(2, 6))
        top += 80 + 40
    return page.done(rng.rand() < 0.6)


@_sheet("squared exercise book")
def squared(digits, rng):
    page = _Page(around.grid((560, 760), rng), digits, rng)
    for top in range(40, 460, 120):
        page.number(rng.uniform(40, 160), top, 84, rng.randint(3, 7))
    return page.done(True)


@_sheet("shadow and slope")
def shadowed(digits, rng):
    """Lines that rise, and a shadow's edge across the sheet."""
    shape = (560, 760)
    page = _Page(c.paper(shape, rng), digits, rng)
    slope = rng.uniform(-0.1, 0.1)
    for top in range(70, 440, 120):
        left = rng.uniform(40, 100)
        for _ in range(rng.randint(3, 8)):
            right = page.write(left, top + slope * (left - 380), 80 * rng.uniform(0.9, 1.05))
            if right < 0:
                break
            left = right + rng.uniform(12, 26)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * (x - 380) + np.sin(angle) * (y - 280)
    shadow = np.clip((across - rng.uniform(-150, 150)) / rng.uniform(2, 20), 0, 1)
    page.picture = c.cast(page.picture, shadow, rng.uniform(0.3, 0.55), rng)
    return page.done(True)
