"""Pictures that no digit is on: letters, shapes, clothes, halves, several digits, and nothing."""

import gzip
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from tests.material import fonts
from tests.material.scenes import around, printed
from tests.material.scenes import canvas as c
from tests.material.scenes.registry import NO_DIGITS
from tests.material.scenes.registry import kind as any_kind

LETTERS, THINGS, SEVERAL, BLANK = "letters", "things", "several", "blank"
FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
SHAPE = (280, 280)
SHEET = (420, 420)


def kind(name, group):
    return any_kind(name, group, NO_DIGITS)


def _dressed(ink, rng) -> bytes:
    """Drawn by a program or by hand: plain, scanned or photographed."""
    shape = tuple(np.maximum(SHAPE, np.array(ink.shape) + 70))
    where = c.layer(shape, ink, *c.middle(shape, ink, rng))
    if rng.rand() < 0.5:
        return c.encoded(c.pixels(255 - 255 * where))
    sheet = c.soaked(c.paper(shape, rng), where, c.some_pen(rng))
    return c.scanned(sheet, rng) if rng.rand() < 0.5 else c.taken(sheet, rng)


# --- letters and signs -----------------------------------------------------------------

# Without those that look like digits in some hand or font: a b B d D g G h i I j J l o O q Q s S
# T u U y Y z Z.
PLAIN_LETTERS = "ACEFHKMNPRVWXefkmnrtvwx"
SIGNS = '?!&%@#*+=;:"§€$~«{'
SCRIPTS = (
    "dkg.ttf",
    "SteveHand.ttf",
    "DancingScript-Regular.otf",
    "KaushanScript-Regular.otf",
    "Humor-Sans.ttf",
)

if fonts.installed():

    @kind("printed letters", LETTERS)
    def printed_letters(digit, rng):
        letter = PLAIN_LETTERS[rng.randint(len(PLAIN_LETTERS))]
        return printed.print_of(printed.some_font(letter, rng), letter, rng)

    @kind("punctuation", THINGS)
    def punctuation(digit, rng):
        sign = SIGNS[rng.randint(len(SIGNS))]
        return _dressed(printed.some_print(sign, rng.uniform(100, 180), rng), rng)


if [font for font in fonts.installed() if font.file in SCRIPTS]:

    @kind("handwritten letters", LETTERS)
    def script_letters(digit, rng):
        found = [font for font in fonts.installed() if font.file in SCRIPTS]
        letter = "AEFHKMNRWXkmnrwx"[rng.randint(16)]
        ink = fonts.ink(found[rng.randint(len(found))], letter, int(rng.uniform(100, 180)))
        return _dressed(c.turned(ink, rng.uniform(-8, 8)), rng)


# Common ones, without those that look like digits (一 乙 了 己 口 日 三 …).
CHARACTERS = (
    "的是我有他这大来上国和地到时要出会可你对生能而那得着下过家学多都然没起看好"
    "小水火木山田中文字年月天手心车马鸟鱼"
)

if fonts.installed(fonts.CHINESE):

    @kind("Chinese characters", THINGS)
    def chinese(digit, rng):
        found = fonts.installed(fonts.CHINESE)
        sign = CHARACTERS[rng.randint(len(CHARACTERS))]
        ink = fonts.ink(found[rng.randint(len(found))], sign, int(rng.uniform(110, 190)))
        return _dressed(ink, rng)


# --- things ----------------------------------------------------------------------------

if FASHION.exists():

    @lru_cache(maxsize=1)
    def _clothes():
        data = gzip.decompress(FASHION.read_bytes())
        return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)

    @kind("Fashion-MNIST", "Fashion-MNIST")
    def fashion(digit, rng):
        """A garment as its data set holds it, or black on white, 28 pixels or enlarged."""
        garment = _clothes()[rng.randint(len(_clothes()))]
        if rng.rand() < 0.5:
            garment = cv2.resize(garment, (140, 140), interpolation=cv2.INTER_LINEAR)
        return c.encoded(garment if rng.rand() < 0.5 else 255 - garment)


def _polygon(corners, start=0.0, inner=1.0):
    """A polygon around the middle, or a star whose inner corners lie so far inward."""
    angles = start + np.linspace(0, 2 * np.pi, 2 * corners + 1)
    reach = np.where(np.arange(len(angles)) % 2, inner * np.cos(np.pi / corners), 1.0)
    return [np.stack([0.5 + 0.5 * reach * np.cos(angles), 0.5 + 0.5 * reach * np.sin(angles)], 1)]


def _heart():
    t = np.linspace(0, 2 * np.pi, 60)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([0.5 + x / 34, 0.45 - y / 34], 1)]


def _spiral():
    t = np.linspace(0, 6 * np.pi, 140)
    return [np.stack([0.5 + t / 40 * np.cos(t), 0.5 + t / 40 * np.sin(t)], 1)]


def _smiley():
    t = np.linspace(0, 2 * np.pi, 60)
    face = np.stack([0.5 + 0.5 * np.cos(t), 0.5 + 0.5 * np.sin(t)], 1)
    mouth = np.stack([0.5 + 0.28 * np.cos(t[3:28]), 0.55 + 0.25 * np.sin(t[3:28])], 1)
    return [
        face,
        mouth,
        np.array([(0.33, 0.33), (0.34, 0.38)]),
        np.array([(0.67, 0.33), (0.66, 0.38)]),
    ]


SHAPES = [
    _polygon(4, np.pi / 4), _polygon(4), _polygon(3, -np.pi / 2), _polygon(5, -np.pi / 2, 0.45),
    _heart(), _spiral(), _smiley(),
    [np.array([(0, 0.5), (1, 0.5)]), np.array([(0.5, 0), (0.5, 1)])],
    [np.array([(0, 0), (1, 1)]), np.array([(1, 0), (0, 1)])],
    [np.array([(0, 1), (0, 0.4), (0.5, 0), (1, 0.4), (1, 1), (0, 1)]),
     np.array([(0, 0.4), (1, 0.4)])],
    [np.array([(0.3, 0), (0.3, 1)]), np.array([(0.7, 0), (0.7, 1)]),
     np.array([(0, 0.3), (1, 0.3)]), np.array([(0, 0.7), (1, 0.7)])],
]  # fmt: skip
ARROW = [np.array([(0, 0.5), (1, 0.5)]), np.array([(0.68, 0.22), (1, 0.5), (0.68, 0.78)])]
TICK = [np.array([(0, 0.55), (0.32, 0.95), (1, 0.05)])]


def _by_hand(lines, rng, size=(110, 190), degrees=12.0):
    """Lines in the unit square as a hand draws them."""
    scale = rng.uniform(*size)
    shape = (int(scale) + 60,) * 2
    width = scale * rng.uniform(0.04, 0.11)
    parts = [
        c.stroke(shape, c.shaky(points * scale + 30, rng, 0.02 * scale / 2), width)
        for points in lines
    ]
    return c.turned(c.cut_tightly(np.max(parts, 0)), rng.uniform(-degrees, degrees))


@kind("shapes", THINGS)
def shapes(digit, rng):
    return _dressed(_by_hand(SHAPES[rng.randint(len(SHAPES))], rng), rng)


@kind("ticks", THINGS)
def ticks(digit, rng):
    return _dressed(_by_hand(TICK, rng), rng)


@kind("arrows", THINGS)
def arrows(digit, rng):
    """Left, right, up, down, with an open head."""
    ink = _by_hand(ARROW, rng)
    return _dressed(np.ascontiguousarray(np.rot90(ink, rng.randint(4))), rng)


@kind("scribbles", THINGS)
def scribbles(digit, rng):
    scale = rng.uniform(130, 200)
    points = rng.uniform(0, scale, (rng.randint(12, 26), 2)) + 30
    ink = c.stroke((int(scale) + 60,) * 2, c.shaky(points, rng, 3), scale * rng.uniform(0.02, 0.06))
    return _dressed(c.cut_tightly(ink), rng)


# Halves that do not look like another digit, as the upper half of an 8 does.
HALVES = {0: ("top", "bottom", "left"), 4: ("top",), 5: ("top",), 8: ("left",), 2: ("bottom",)}


@kind("half digits", THINGS)
def halves(digit, rng):
    """A digit of which one half was wiped out or lies beyond the picture's edge."""
    one = next((one for one in (digit, *digit.others) if one.label in HALVES), digit)
    sides = HALVES.get(one.label, ("top",))
    ink = c.written(one, rng.uniform(140, 210), rng.uniform(0.07, 0.13))
    half = {
        "top": np.s_[: int(0.52 * len(ink))], "bottom": np.s_[int(0.62 * len(ink)) :],
        "left": np.s_[:, : ink.shape[1] // 2],
    }[sides[rng.randint(len(sides))]]  # fmt: skip
    return _dressed(c.cut_tightly(ink[half]), rng)


@kind("crossed-out digits", THINGS)
def crossed_out(digit, rng):
    """Struck through twice or more, by a cross or by a zigzag."""
    ink = np.pad(c.written(digit, rng.uniform(130, 190), rng.uniform(0.06, 0.11)), 30)
    height, width = ink.shape
    pen = rng.uniform(4, 10)
    way = rng.randint(3)
    if way == 0:
        lines = [[(12, 12), (width - 12, height - 12)], [(width - 12, 12), (12, height - 12)]]
    elif way == 1:
        lines = [
            [(8, height * y), (width - 8, height * y + rng.uniform(-14, 14))]
            for y in (0.4, 0.5, 0.6)
        ]
    else:
        steps = np.linspace(0.2, 0.8, 8) * height
        lines = [[((14, width - 14)[i % 2], y) for i, y in enumerate(steps)]]
    for points in lines:
        ink = np.maximum(ink, c.stroke(ink.shape, c.shaky(points, rng, 2), pen))
    return _dressed(c.cut_tightly(ink), rng)


@kind("textures", THINGS)
def textures(digit, rng):
    """Wood, cloth, bricks, stone, clouds."""
    way = rng.randint(5)
    if way == 4:
        clouds = (
            c.plain(SHEET, (120, 160, 215)) + 60 * np.clip(c.noise(SHEET, rng, 90), 0, 2)[..., None]
        )
        return c.taken(clouds, rng)
    return c.taken((c.wood, c.cloth, c.bricks, c.stone)[way](SHEET, rng), rng)


# --- several digits --------------------------------------------------------------------


def _row(digits, rng, gap, height=(120, 180)):
    """Digits side by side: their ink, with gaps in parts of the height."""
    tall = rng.uniform(*height)
    pen = rng.uniform(0.07, 0.13)
    inks = [c.written(one, tall * rng.uniform(0.88, 1.0), pen) for one in digits]
    spaces = [int(tall * rng.uniform(*gap)) for _ in inks]
    page = np.zeros(
        (int(tall * 1.25) + 8, sum(i.shape[1] for i in inks) + sum(spaces) + 8), np.float32
    )
    left = 2
    for one, space in zip(inks, spaces):
        top = int(rng.uniform(0, page.shape[0] - one.shape[0]))
        page[top : top + one.shape[0], left : left + one.shape[1]] = one
        left += one.shape[1] + space
    return c.cut_tightly(page)


def _other(digit, rng):
    """One of the digits that may stand beside this one; itself, if there is none."""
    return digit.others[rng.randint(len(digit.others))] if digit.others else digit


@kind("two digits", SEVERAL)
def two_digits(digit, rng):
    return _dressed(_row([digit, _other(digit, rng)], rng, (0.12, 0.6)), rng)


@kind("two digits far apart", SEVERAL)
def far_apart(digit, rng):
    """In two corners of a large sheet."""
    sheet = np.zeros((420, 560), np.float32)
    for at, one in ((40, digit), (330, _other(digit, rng))):
        ink = c.some_digit(one, rng.uniform(110, 170), rng)
        top = int(rng.uniform(10, 400 - ink.shape[0]))
        sheet[top : top + ink.shape[0], at : at + ink.shape[1]] = ink
    return c.taken(c.soaked(c.paper((420, 560), rng), sheet, c.some_pen(rng)), rng)


@kind("a number of three to five digits", SEVERAL)
def number(digit, rng):
    more = [_other(digit, rng) for _ in range(rng.randint(2, 5))]
    return _dressed(_row([digit, *more], rng, (0.08, 0.3), (90, 130)), rng)


# --- nothing at all --------------------------------------------------------------------


@kind("blank paper", BLANK)
def blank_paper(digit, rng):
    return c.taken(
        c.paper(SHEET, rng, rng.uniform(150, 250, 3) if rng.rand() < 0.3 else None), rng, light=0.6
    )


@kind("blank box", BLANK)
def blank_box(digit, rng):
    """An empty frame, drawn by a program, printed or by hand."""
    side = int(rng.uniform(180, 320))
    view = c.paper((side + 60,) * 2, rng, (250, 250, 248))
    inset = int(rng.uniform(8, 55))
    dark = tuple(float(v) for v in np.array(c.some_pen(rng)))
    far = side + 59 - inset
    if rng.rand() < 0.6:
        cv2.rectangle(view, (inset, inset), (far, far), dark, int(rng.randint(2, 8)))
    else:
        corners = [(inset, inset), (far, inset), (far, far), (inset, far), (inset, inset)]
        view = c.soaked(
            view, c.stroke(view.shape[:2], c.shaky(corners, rng, 2), rng.uniform(3, 7)), dark
        )
    return c.scanned(view, rng)


@kind("blank comb", BLANK)
def blank_comb(digit, rng):
    """A form's row of cells, none filled in."""
    shape = (200, 520)
    view = c.paper(shape, rng)
    cell, thick = int(rng.uniform(60, 110)), int(rng.randint(2, 5))
    dark = [(30, 30, 34), (190, 60, 60), (60, 120, 170)][rng.randint(3)]
    top, bottom = 100 - cell // 2, 100 + cell // 2
    for number in range(520 // cell + 1):
        cv2.rectangle(
            view, (cell * number - 20, top), (cell * (number + 1) - 20, bottom), dark, thick
        )
    return c.scanned(view, rng) if rng.rand() < 0.5 else c.taken(view, rng)


@kind("blank exercise cell", BLANK)
def blank_cell(digit, rng):
    """One cell of a form, cut out: its rim at the picture's edge, the neighbours' beginning."""
    side = int(rng.uniform(120, 240))
    view = c.paper((side + 40, side + 50), rng)
    ink = [(30, 30, 34), (150, 150, 155), (70, 120, 180), (80, 150, 90)][rng.randint(4)]
    thick = int(rng.randint(2, 6))
    for x in (20, side + 20):
        cv2.line(view, (x, 0), (x, side + 40), ink, thick)
    for y in (18, side + 18):
        cv2.line(view, (0, y), (side + 50, y), ink, thick)
    if rng.rand() < 0.4:
        cv2.line(view, (20, side // 2 + 18), (side + 20, side // 2 + 18), (190, 200, 215), 1)
        cv2.line(view, (side // 2 + 20, 18), (side // 2 + 20, side + 18), (190, 200, 215), 1)
    return c.scanned(view, rng) if rng.rand() < 0.5 else c.taken(view, rng)


@kind("blank notebook page", BLANK)
def blank_page(digit, rng):
    shape = (700, 600) if rng.rand() < 0.3 else (480, 400)
    return c.taken(c.seen(around.notebook_page(rng, shape), rng, 0.03), rng)


@kind("blank squared paper", BLANK)
def blank_squares(digit, rng):
    return c.taken(c.seen(around.grid(SHEET, rng), rng, 0.03), rng)


@kind("blank board", BLANK)
def blank_board(digit, rng):
    """A dark board, wiped, evenly or unevenly lit."""
    return c.taken(around.board(rng), rng, light=0.7)


@kind("blank whiteboard", BLANK)
def blank_whiteboard(digit, rng):
    """Under a lamp that falls off, with a reflection."""
    y, x = np.mgrid[: SHEET[0], : SHEET[1]].astype(np.float32)
    at, size = rng.uniform(60, 360, 2), rng.uniform(30, 90)
    spot = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * size**2))
    return c.taken(c.plain(SHEET, (205, 208, 212)) + 40 * spot[..., None], rng, light=0.7)


@kind("blank paper in shadow", BLANK)
def blank_shadow(digit, rng):
    """A shadow's edge, sharp or soft, is no writing."""
    y, x = np.mgrid[: SHEET[0], : SHEET[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    edge = np.cos(angle) * (x - 210) + np.sin(angle) * (y - 210) - rng.uniform(-120, 120)
    shadow = np.clip(edge / rng.uniform(2, 40), 0, 1)
    return c.taken(c.cast(c.paper(SHEET, rng), shadow, rng.uniform(0.3, 0.65), rng), rng)


@kind("blank sheet on a desk", BLANK)
def blank_on_desk(digit, rng):
    ground = c.desk((360, 480), rng)
    return c.taken(c.lay(ground, c.paper((300, 240), rng), rng, rng.uniform(0.6, 0.95)), rng)


@kind("blank crumpled paper", BLANK)
def blank_crumpled(digit, rng):
    shade = 1 + 0.07 * c.noise(SHEET, rng, 60) + 0.03 * c.noise(SHEET, rng, 25)
    return c.taken(c.paper(SHEET, rng) * shade[..., None], rng)


@kind("blank in one colour", BLANK)
def one_colour(digit, rng):
    """Not a pixel differs: white, black, grey, coloured, as a program makes it."""
    colours = [(255,) * 3, (0,) * 3, (128,) * 3, tuple(rng.randint(0, 256, 3))]
    side = int(rng.choice([28, 64, 280]))
    return c.encoded(c.pixels(c.plain((side, side), colours[rng.randint(4)])))


@kind("blank in the dark", BLANK)
def blank_dark(digit, rng):
    """The lens was covered: black, and the sensor's noise."""
    return c.taken(c.plain(SHEET, rng.uniform(3, 30, 3)), rng, grain=(3, 9), light=0.5)
