"""Digits written in other ways: outlined, dotted, dry, brushed, stencilled, on displays."""

import cv2
import numpy as np

from tests.material.scenes import canvas as c
from tests.material.scenes.registry import kind

STYLED = "styles"
PENS = "pens"
SHAPE = (420, 420)


def _on_paper(ink, rng, colour=None, take=True):
    sheet = c.soaked(
        c.paper(SHAPE, rng),
        c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng)),
        c.some_pen(rng) if colour is None else colour,
    )
    return c.taken(sheet, rng) if take and rng.rand() < 0.6 else c.scanned(sheet, rng)


@kind("outlined", STYLED)
def outlined(digit, rng):
    """Hollow: only the edge of wide strokes is drawn."""
    height = rng.uniform(190, 300)
    wide = np.pad(c.written(digit, height, rng.uniform(0.15, 0.2)), 10)
    mask = (wide > 0.5).astype(np.uint8)
    edge = cv2.distanceTransform(mask, cv2.DIST_L2, 5) + cv2.distanceTransform(
        1 - mask, cv2.DIST_L2, 5
    )
    width = rng.uniform(1.5, 3.5)
    return _on_paper(c.cut_tightly(np.clip(width + 0.5 - edge, 0, 1)), rng)


# Which of the segments a (top), b, c (right), d (bottom), e, f (left), g (middle) are lit.
SEGMENTS = ["abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg"]


def seven_segments(label, height, thick, gap, lean) -> np.ndarray:
    """The ink of a seven-segment display: float32, ``height`` pixels high."""
    width, half = height * 0.52, thick / 2
    top, centre, low = half, height / 2, height - half
    left, right = half, width - half
    lines = {
        "a": ((left, top), (right, top)), "b": ((right, top), (right, centre)),
        "c": ((right, centre), (right, low)), "d": ((left, low), (right, low)),
        "e": ((left, centre), (left, low)), "f": ((left, top), (left, centre)),
        "g": ((left, centre), (right, centre)),
    }  # fmt: skip
    ink = np.zeros((int(height) + 4, int(width + lean * height) + 8), np.uint8)
    for name in SEGMENTS[label]:
        ends = np.array(lines[name], np.float64)
        toward = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
        across = np.array([-toward[1], toward[0]]) * half
        start, end = ends[0] + toward * gap, ends[1] - toward * gap
        shape = [start, start + across + toward * half, end + across - toward * half,
                 end, end - across - toward * half, start - across + toward * half]  # fmt: skip
        points = np.array(shape)
        points[:, 0] += lean * (height - points[:, 1]) + 3
        cv2.fillPoly(
            ink, [np.rint((points + np.array([0, 2])) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4
        )
    return c.cut_tightly(ink.astype(np.float32) / 255)


def _segments(digit, rng):
    height = rng.uniform(150, 260)
    thick = height * rng.uniform(0.1, 0.16)
    lean = rng.choice([0, 0, 0.1, 0.17])
    return seven_segments(digit.label, height, thick, rng.uniform(0.5, 3), lean)


@kind("seven segments", STYLED)
def led(digit, rng):
    """Lit segments of a clock or a scale in the dark; they glow a little."""
    base = rng.uniform(4, 30) + rng.uniform(-3, 3, 3)
    view = c.plain(SHAPE, np.clip(base, 0, 255)) + 1.5 * c.noise(SHAPE, rng, 30)[..., None]
    ink = _segments(digit, rng)
    where = c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng))
    colour = [(255, 60, 40), (90, 240, 120), (90, 190, 255), (255, 170, 50), (235, 240, 255)][
        rng.randint(5)
    ]
    glow = 0.3 * c.blurred(where, 9)
    view = c.painted(c.painted(view, glow, colour), where, colour)
    return c.taken(view, rng, light=0.15)


@kind("calculator", STYLED)
def calculator(digit, rng):
    """Dark segments on a grey-green display, their shadows behind them, within the case."""
    shape = (220, 300)
    view = c.plain(shape, np.array((176, 188, 160)) * rng.uniform(0.85, 1.05))
    ink = seven_segments(digit.label, rng.uniform(110, 160), 18, 2, rng.choice([0, 0.1]))
    where = c.layer(shape, ink, *c.middle(shape, ink, rng))
    view = c.cast(view, c.blurred(np.roll(where, (4, 4), (0, 1)), 2), 0.2, rng)
    view = c.painted(view, 0.92 * where, (40, 46, 44))
    case = (
        c.plain((340, 420), rng.uniform(25, 80) * np.ones(3))
        + 2 * c.noise((340, 420), rng)[..., None]
    )
    case[60:280, 60:360] = view
    return c.taken(c.seen(case, rng, 0.02), rng)


DOTS = {
    0: "01110 10001 10011 10101 11001 10001 01110", 1: "00100 01100 00100 00100 00100 00100 01110",
    2: "01110 10001 00001 00010 00100 01000 11111", 3: "11111 00010 00100 00010 00001 10001 01110",
    4: "00010 00110 01010 10010 11111 00010 00010", 5: "11111 10000 11110 00001 00001 10001 01110",
    6: "00110 01000 10000 11110 10001 10001 01110", 7: "11111 00001 00010 00100 01000 01000 01000",
    8: "01110 10001 10001 01110 10001 10001 01110", 9: "01110 10001 10001 01111 00001 00010 01100",
}  # fmt: skip


@kind("dot matrix", STYLED)
def dot_matrix(digit, rng):
    """The 5×7 lamps of a bus's or a station's display, the dark ones faintly seen."""
    pitch = rng.uniform(24, 36)
    radius = pitch * rng.uniform(0.36, 0.46)
    rows = DOTS[digit.label].split()
    lit, dark = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    top, left = rng.uniform(50, 400 - 7 * pitch), rng.uniform(60, 390 - 5 * pitch)
    for row in range(-3, 13):
        for column in range(-4, 12):
            at = (int(16 * (left + column * pitch)), int(16 * (top + row * pitch)))
            on = 0 <= row < 7 and 0 <= column < 5 and rows[row][column] == "1"
            cv2.circle(lit if on else dark, at, int(16 * radius), 255, -1, cv2.LINE_AA, 4)
    view = c.plain(SHAPE, (14, 14, 16))
    colour = np.array([(255, 180, 40), (255, 90, 50), (240, 240, 240)][rng.randint(3)])
    view = c.painted(view, dark.astype(np.float32) / 255, colour * 0.06 + 12)
    shine = lit.astype(np.float32) / 255
    return c.taken(
        c.painted(c.painted(view, 0.25 * c.blurred(shine, 8), colour), shine, colour),
        rng,
        light=0.15,
    )


@kind("dry pen", STYLED)
def dry_pen(digit, rng):
    """A felt pen that runs out: streaks, gaps, a weak start or end."""
    ink = c.some_digit(digit, rng.uniform(150, 260), rng, 0.08, 0.15)
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]].astype(np.float32)
    across = (np.cos(angle) * x + np.sin(angle) * y) / rng.uniform(1.5, 3)
    streaks = np.sin(across + 2 * c.noise(ink.shape, rng, 30))
    flow = np.clip(
        0.62
        + 0.32 * streaks
        + 0.35 * c.noise(ink.shape, rng, 2)
        + 0.15 * c.noise(ink.shape, rng, 40),
        0,
        1,
    )
    return _on_paper(ink * flow, rng)


@kind("dotted", STYLED)
def dotted(digit, rng):
    """As children trace it: the line is a row of dots."""
    height = rng.uniform(190, 290)
    places = c.middle_line(digit, height)
    step = height * rng.uniform(0.06, 0.11)
    size = step * rng.uniform(0.26, 0.38)
    ink = np.zeros(np.ceil(places.max(0)[::-1] + 24).astype(int), np.uint8)
    away, at = np.full(len(places), np.inf), places[0]
    while True:
        cv2.circle(
            ink,
            tuple(np.rint((at + 12) * 16).astype(int).tolist()),
            int(size * 16),
            255,
            -1,
            cv2.LINE_AA,
            4,
        )
        away = np.minimum(away, np.hypot(*(places - at).T))
        free = np.flatnonzero(away >= step)
        if len(free) == 0:
            return _on_paper(c.cut_tightly(ink.astype(np.float32) / 255), rng)
        at = places[free[np.argmin(away[free])]]


@kind("dashed", STYLED)
def dashed(digit, rng):
    """Strokes with small gaps, as a stencil or a plotter leaves them."""
    height = rng.uniform(180, 280)
    ink = c.written(digit, height, rng.uniform(0.08, 0.13))
    gaps = np.zeros(ink.shape, np.float32)
    for _ in range(rng.randint(2, 5)):
        at = rng.uniform(0.1, 0.9, 2) * ink.shape[::-1]
        turn = rng.uniform(0, np.pi)
        toward = 0.16 * height * np.array([np.cos(turn), np.sin(turn)])
        gaps = np.maximum(
            gaps, c.stroke(ink.shape, np.float32([at - toward, at + toward]), 0.03 * height)
        )
    return _on_paper(ink * (1 - gaps), rng)


@kind("pencil", PENS)
def pencil(digit, rng):
    ink = c.some_digit(digit, rng.uniform(130, 250), rng, 0.035, 0.08)
    ink = ink * np.clip(0.7 + 0.3 * c.noise(ink.shape, rng, 1.2), 0.15, 1)
    return _on_paper(ink, rng, np.array((112, 112, 116)) + rng.uniform(-20, 35))


@kind("ball pen", PENS)
def ball_pen(digit, rng):
    """A thin line on a large sheet."""
    return _on_paper(c.some_digit(digit, rng.uniform(110, 260), rng, 0.02, 0.04), rng)


@kind("fountain pen", PENS)
def fountain_pen(digit, rng):
    """Broad downward, fine sideways; the ink pools."""
    thin = c.written(digit, 220, 0.03)
    nib = c.stroke((25, 25), np.float32([(6, 18), (18, 6)]), rng.uniform(2, 5))
    broad = cv2.dilate(np.pad(thin, 14), (nib > 0.5).astype(np.uint8))
    pools = np.clip(0.85 + 0.2 * c.noise(broad.shape, rng, 25), 0.5, 1)
    return _on_paper(c.cut_tightly(c.blurred(broad, 0.8) * pools), rng, (30, 40, 110))


@kind("brush", PENS)
def brush(digit, rng):
    """Ink and brush: thick, swelling, frayed edges."""
    wide = np.pad(c.written(digit, rng.uniform(200, 290), rng.uniform(0.13, 0.19)), 8)
    frayed = c.blurred(wide, 3) + 0.13 * c.noise(wide.shape, rng, 5) * (wide > 0.02)
    return _on_paper(c.cut_tightly(np.clip((frayed - 0.5) * 5 + 0.5, 0, 1)), rng, (26, 24, 26))


@kind("wax crayon", PENS)
def crayon(digit, rng):
    ink = c.some_digit(digit, rng.uniform(180, 290), rng, 0.09, 0.15)
    grains = np.clip(0.7 + 0.6 * c.noise(ink.shape, rng, 2.2), 0, 1)
    colour = [(200, 40, 40), (40, 90, 180), (30, 130, 60), (230, 120, 30), (110, 60, 140)][
        rng.randint(5)
    ]
    return _on_paper(ink * grains, rng, colour)


@kind("highlighter", PENS)
def highlighter(digit, rng):
    """Light ink: yellow, pink, green."""
    ink = c.some_digit(digit, rng.uniform(180, 290), rng, 0.1, 0.16)
    colour = [(250, 235, 60), (255, 140, 190), (130, 240, 120), (255, 190, 70)][rng.randint(4)]
    return _on_paper(ink, rng, colour)


@kind("traced twice", PENS)
def traced_twice(digit, rng):
    """Written over a second time, a little beside the first."""
    ink = np.pad(c.written(digit, rng.uniform(170, 260), rng.uniform(0.03, 0.05)), 12)
    offset = rng.uniform(-0.022, 0.022, 2) * ink.shape[0]
    move = np.float32([[1, 0, offset[0]], [0, 1, offset[1]]])
    second = cv2.warpAffine(ink, move, ink.shape[::-1])
    return _on_paper(c.cut_tightly(np.maximum(ink, second)), rng)


@kind("bled ink", PENS)
def bled(digit, rng):
    """On blotting paper or a napkin: the ink runs along fibres."""
    wide = np.pad(c.written(digit, rng.uniform(180, 270), rng.uniform(0.07, 0.11)), 16)
    soft = c.blurred(wide, rng.uniform(2.5, 4.5))
    run = np.clip((soft + 0.12 * c.noise(wide.shape, rng, 4) * (soft > 0.05) - 0.3) * 2.6, 0, 1)
    return _on_paper(c.cut_tightly(run), rng)


@kind("carbon copy", PENS)
def carbon(digit, rng):
    """Blue, fuzzy, smudged."""
    ink = c.some_digit(digit, rng.uniform(150, 250), rng, 0.05, 0.09)
    soft = c.blurred(np.pad(ink, 8), 2) * np.clip(
        0.75 + 0.25 * c.noise(np.add(ink.shape, 16), rng, 3), 0, 1
    )
    return _on_paper(soft, rng, (90, 105, 170))


@kind("rubber stamp", PENS)
def rubber_stamp(digit, rng):
    """Unevenly inked, paler in the middle of the strokes."""
    ink = c.written(digit, rng.uniform(170, 270), rng.uniform(0.1, 0.16))
    worn = np.clip(
        0.72 + 0.3 * c.noise(ink.shape, rng, 14) + 0.25 * c.noise(ink.shape, rng, 2), 0.1, 1
    )
    return _on_paper(ink * worn, rng, [(160, 40, 60), (60, 60, 150), (40, 40, 46)][rng.randint(3)])


@kind("painted with a finger", PENS)
def finger_paint(digit, rng):
    """Very wide, with ridges."""
    ink = np.pad(c.written(digit, rng.uniform(220, 310), rng.uniform(0.16, 0.21)), 6)
    ridges = np.clip(0.92 + 0.09 * c.noise(ink.shape, rng, 6), 0.6, 1)
    colour = [(200, 50, 40), (40, 80, 170), (30, 120, 70), (90, 50, 130)][rng.randint(4)]
    return _on_paper(c.cut_tightly(ink * ridges), rng, colour)


@kind("neon", STYLED)
def neon(digit, rng):
    """A glowing tube in the dark, its light on the wall."""
    shape = SHAPE
    wall = c.bricks(shape, rng) * 0.1
    ink = c.written(digit, rng.uniform(200, 290), rng.uniform(0.05, 0.08))
    where = c.layer(shape, ink, *c.middle(shape, ink, rng, 0.05))
    colour = np.array(
        [(255, 70, 90), (80, 200, 255), (120, 255, 150), (255, 180, 70)][rng.randint(4)]
    )
    glow = 0.6 * c.blurred(where, 14)[..., None] + 0.3 * c.blurred(where, 40)[..., None]
    view = wall + glow * colour
    return c.taken(c.painted(view, where, 0.5 * colour + 127), rng, light=0.1, grain=(2, 5))


@kind("engraved", STYLED)
def engraved(digit, rng):
    """Cut into metal: dark grooves with a bright edge on brushed steel."""
    streaks = cv2.resize(rng.standard_normal((420, 8)).astype(np.float32), (420, 420))
    metal = c.plain(SHAPE, (168, 170, 174)) + (6 * streaks + 3 * c.noise(SHAPE, rng))[..., None]
    ink = c.written(digit, rng.uniform(200, 290), rng.uniform(0.06, 0.1))
    where = c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng, 0.06))
    edge = np.clip(np.roll(where, (3, 3), (0, 1)) - where, 0, 1)
    return c.taken(metal * (1 - 0.62 * where + 0.3 * edge)[..., None], rng)


@kind("jersey", STYLED)
def jersey(digit, rng):
    """A number on a shirt: broad strokes with a seam of another colour, on cloth in folds."""
    pairs = [((190, 30, 40), (245, 245, 245)), ((30, 50, 130), (245, 210, 60)),
             ((240, 240, 240), (30, 30, 36)), ((30, 110, 60), (245, 245, 245))]  # fmt: skip
    base, colour = pairs[rng.randint(4)]
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    folds = 1 + 0.08 * np.sin(x / rng.uniform(30, 60) + 1.5 * c.noise(SHAPE, rng, 120))
    shirt = c.plain(SHAPE, base) + (4 * np.sin(x * 1.6) * np.sin(y * 1.6))[..., None]
    ink = c.written(digit, rng.uniform(220, 300), rng.uniform(0.13, 0.17))
    where = c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng, 0.05))
    return c.taken(c.painted(shirt, where, colour) * folds[..., None], rng)
