"""A digit that is ringed, underlined, bracketed; words, stains, fingers and plates beside it."""

import cv2
import numpy as np

from tests.material.scenes import canvas as c
from tests.material.scenes.around import on_sheet
from tests.material.scenes.registry import kind

MARKED = "marks"
SHAPE = (420, 420)


def _start(digit, rng, height=(120, 220), shape=SHAPE, pens=(0.06, 0.13), wander=0.07):
    """A sheet with the digit's ink, its colour and the box around it."""
    ink = c.some_digit(digit, rng.uniform(*height), rng, *pens)
    top, left = c.middle(shape, ink, rng, wander)
    return (
        c.paper(shape, rng),
        c.layer(shape, ink, top, left),
        c.some_pen(rng),
        c.box_of(ink, top, left),
    )


def _finish(sheet, rng):
    return c.taken(sheet, rng) if rng.rand() < 0.6 else c.scanned(sheet, rng)


def _mark_pen(pen, rng):
    """Marks come from the same pen or from a teacher's red one."""
    return pen if rng.rand() < 0.5 else np.array((200, 40, 45)) + rng.uniform(-15, 15, 3)


@kind("ringed", MARKED)
def ringed(digit, rng):
    sheet, ink, pen, (left, top, right, bottom) = _start(digit, rng)
    reach = 0.5 * np.hypot(right - left, bottom - top) * rng.uniform(1.15, 1.5)
    radii = np.maximum([reach * rng.uniform(0.85, 1.1), reach], 40)
    loop = c.ring(SHAPE, ((left + right) / 2, (top + bottom) / 2), radii, rng.uniform(3, 9), rng)
    return _finish(c.soaked(c.soaked(sheet, ink, pen), loop, _mark_pen(pen, rng)), rng)


@kind("underlined", MARKED)
def underlined(digit, rng):
    sheet, ink, pen, (left, top, right, bottom) = _start(digit, rng)
    marks = np.zeros(SHAPE, np.float32)
    at = bottom + rng.uniform(0.08, 0.25) * (bottom - top)
    for number in range(1 + int(rng.rand() < 0.35)):
        y = at + number * rng.uniform(10, 18)
        ends = (left - rng.uniform(5, 50), y), (right + rng.uniform(5, 50), y + rng.uniform(-8, 8))
        marks = np.maximum(marks, c.line(SHAPE, *ends, rng.uniform(3, 10), rng))
    return _finish(c.soaked(c.soaked(sheet, ink, pen), marks, _mark_pen(pen, rng)), rng)


@kind("bracketed", MARKED)
def bracketed(digit, rng):
    """(4) [4] 4) — as tasks are numbered."""
    sheet, ink, pen, (left, top, right, bottom) = _start(digit, rng)
    tall = (bottom - top) * rng.uniform(0.55, 0.7)
    middle = (top + bottom) / 2
    width, bulge = rng.uniform(4, 10), tall * rng.uniform(0.3, 0.5)
    square = rng.rand() < 0.35
    marks = np.zeros(SHAPE, np.float32)
    for side, edge in ((-1, left), (1, right)):
        if side < 0 and rng.rand() < 0.25:
            continue
        x = edge + side * rng.uniform(22, 40)
        if square:
            points = [(x, middle - tall), (x + side * bulge, middle - tall),
                      (x + side * bulge, middle + tall), (x, middle + tall)]  # fmt: skip
        else:
            bend = np.linspace(-1, 1, 12)
            points = np.stack([x + side * bulge * (1 - bend**2), middle + tall * bend], 1)
        marks = np.maximum(marks, c.stroke(SHAPE, c.shaky(points, rng, 0.8), width))
    return _finish(c.soaked(c.soaked(sheet, ink, pen), marks, pen), rng)


WORDS = ["Name", "Class", "No.", "Total", "Task", "Points", "page", "room", "Mon", "sum", "date"]


@kind("text beside it", MARKED)
def text_beside(digit, rng):
    """Printed words above, below or left of the digit, clearly smaller."""
    shape = (420, 520)
    sheet, ink, pen, (left, top, _, bottom) = _start(digit, rng, (170, 250), shape)
    size = rng.uniform(0.5, 0.85)
    where = rng.randint(3)
    for number in range(rng.randint(1, 4)):
        word = " ".join(WORDS[i] for i in rng.randint(0, len(WORDS), 2 if where == 2 else 4))
        wide, tall = cv2.getTextSize(word, cv2.FONT_HERSHEY_DUPLEX, size, 1)[0]
        down = number * int(1.9 * tall)
        y = [top - 26 - down, bottom + 40 + down, (top + bottom) // 2 + down][where]
        x = max(8, left - wide - 30) if where == 2 else int(rng.uniform(10, max(11, 510 - wide)))
        if where == 2 and x + wide > left - 10:
            continue
        cv2.putText(
            sheet, word, (x, int(y)), cv2.FONT_HERSHEY_DUPLEX, size, (50, 50, 55), 1, cv2.LINE_AA
        )
    return _finish(c.soaked(sheet, ink, pen), rng)


@kind("marks beside it", MARKED)
def marks_beside(digit, rng):
    """A tick, a cross, a dash, an arrow, dots: small, at a distance."""
    sheet, ink, pen, (left, top, right, bottom) = _start(digit, rng, (150, 240), wander=0.02)
    marks = np.zeros(SHAPE, np.float32)
    for _ in range(rng.randint(1, 4)):
        size = rng.uniform(0.12, 0.28) * (bottom - top)
        x = (
            rng.uniform(18, left - size - 22)
            if rng.rand() < 0.5
            else rng.uniform(right + 22, 400 - size)
        )
        y = rng.uniform(25, 390 - size)
        if not (18 <= x <= 402 - size):
            continue
        marks = np.maximum(marks, _small_mark(rng, x, y, size))
    return _finish(c.soaked(c.soaked(sheet, ink, pen), marks, _mark_pen(pen, rng)), rng)


def _small_mark(rng, x, y, size):
    width = rng.uniform(3, 7)
    unit = [
        [[(0, 0.6), (0.35, 1), (1, 0)]],
        [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
        [[(0, 0.5), (1, 0.45)]],
        [[(0, 0.5), (1, 0.5)], [(0.6, 0.2), (1, 0.5), (0.6, 0.8)]],
        [[(0.5, 0.5), (0.52, 0.53)]],
    ][rng.randint(5)]
    lines = [c.shaky(np.array(part) * size + (x, y), rng, 0.8) for part in unit]
    return np.max([c.stroke(SHAPE, points, width) for points in lines], 0)


@kind("coffee ring", MARKED)
def coffee_ring(digit, rng):
    """A cup's brown ring, stronger at its edge, across the sheet and maybe the digit."""
    sheet, ink, pen, _ = _start(digit, rng, (150, 250))
    centre = rng.uniform(40, 380, 2)
    radius = rng.uniform(100, 170)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    away = np.hypot(x - centre[0], y - centre[1]) + 2.5 * c.noise(SHAPE, rng, 30)
    rim = np.exp(-(((away - radius) / rng.uniform(2.5, 6)) ** 2)) * np.clip(
        0.75 + 0.35 * c.noise(SHAPE, rng, 45), 0.1, 1
    )
    stain = np.clip(rng.uniform(0.45, 0.8) * rim + 0.08 * (away < radius), 0, 1)
    return c.taken(c.soaked(c.soaked(sheet, ink, pen), stain, (150, 95, 45)), rng)


@kind("finger", MARKED)
def finger(digit, rng):
    """A finger or thumb that holds the sheet, from one of the picture's sides."""
    sheet, ink, pen, _ = _start(digit, rng, (120, 200), wander=0.04)
    sheet = c.soaked(sheet, ink, pen)
    skin = np.array(
        [(222, 170, 140), (170, 116, 84), (110, 72, 52), (235, 192, 165)][rng.randint(4)]
    )
    thick = rng.uniform(62, 100)
    side = rng.randint(4)
    along, reach = rng.uniform(60, 360), rng.uniform(30, 70)
    tip = {0: (along, 420 - reach), 1: (reach, along), 2: (along, reach), 3: (420 - reach, along)}[
        side
    ]
    base = {
        0: (along + 40, 520),
        1: (-100, along + 40),
        2: (along - 40, -100),
        3: (520, along - 40),
    }[side]
    shape = np.zeros(SHAPE, np.uint8)
    cv2.line(shape, tuple(map(int, base)), tuple(map(int, tip)), 255, int(thick), cv2.LINE_AA)
    mask = c.blurred(shape.astype(np.float32) / 255, 1)
    nail = np.zeros(SHAPE, np.uint8)
    toward = np.subtract(tip, base) / np.linalg.norm(np.subtract(tip, base))
    at = np.array(tip) + toward * thick * 0.12
    turn = float(np.degrees(np.arctan2(toward[1], toward[0])))
    cv2.ellipse(
        nail,
        tuple(map(int, at)),
        (int(thick * 0.3), int(thick * 0.24)),
        turn,
        0,
        360,
        255,
        -1,
        cv2.LINE_AA,
    )
    depth = cv2.distanceTransform(shape, cv2.DIST_L2, 5) / (thick / 2)
    flesh = skin * (0.62 + 0.42 * np.sqrt(np.clip(depth, 0, 1)))[..., None]
    flesh = flesh + (nail.astype(np.float32)[..., None] / 255) * (22, 14, 14)
    sheet = c.cast(sheet, c.blurred(np.roll(mask, 5, 0), 6), 0.35, rng)
    return c.taken(sheet * (1 - mask[..., None]) + flesh * mask[..., None], rng)


@kind("pen beside it", MARKED)
def pen_beside(digit, rng):
    """The pen lies on the sheet, at the digit's side."""
    sheet, ink, pen, (left, _, right, _) = _start(digit, rng, (150, 230), wander=0.02)
    sheet = c.soaked(sheet, ink, pen)
    x = (
        rng.uniform(25, max(26, left - 45))
        if rng.rand() < 0.5
        else rng.uniform(min(394, right + 45), 395)
    )
    lean = rng.uniform(-18, 18)
    body = np.zeros(SHAPE, np.uint8)
    thick = int(rng.uniform(18, 28))
    cv2.line(body, (int(x - lean), 40), (int(x + lean), 350), 255, thick, cv2.LINE_AA)
    point = np.array(
        [(x + lean - thick / 2, 350), (x + lean + thick / 2, 350), (x + 1.2 * lean, 398)]
    )
    cv2.fillPoly(body, [np.rint(point).astype(np.int32)], 255, cv2.LINE_AA)
    mask = body.astype(np.float32) / 255
    round_ = cv2.distanceTransform(body, cv2.DIST_L2, 5)[..., None] / (thick / 2)
    colour = [(40, 60, 150), (30, 30, 34), (200, 60, 40), (230, 190, 60)][rng.randint(4)]
    sheet = c.cast(sheet, c.blurred(np.roll(mask, (4, 6), (0, 1)), 4), 0.4, rng)
    return c.taken(
        sheet * (1 - mask[..., None]) + np.array(colour) * (0.6 + 0.6 * round_) * mask[..., None],
        rng,
    )


@kind("ruler beside it", MARKED)
def ruler_beside(digit, rng):
    sheet, ink, pen, _ = _start(digit, rng, (140, 220), wander=0.02)
    sheet = c.soaked(sheet, ink, pen)
    strip = c.plain((46, 520), [(240, 215, 120), (215, 225, 232), (205, 160, 105)][rng.randint(3)])
    for number in range(52):
        tall = 20 if number % 10 == 0 else 14 if number % 5 == 0 else 9
        strip[:tall, 10 * number : 10 * number + 2] = 40
    at = int(rng.uniform(8, 24))
    sheet[-46 - at : -at] = strip[:, 30:450]
    shadow = np.zeros(SHAPE, np.float32)
    shadow[-52 - at : -46 - at] = 1
    return c.taken(c.cast(sheet, c.blurred(shadow, 2), 0.3, rng), rng)


@kind("plate", MARKED)
def plate(digit, rng):
    """A plate with a rim and screws on a wall, its digit painted by hand."""
    shape = (300, 260)
    bases = [((245, 245, 240), (25, 25, 30)), ((30, 60, 130), (245, 245, 240)),
             ((40, 90, 60), (240, 238, 225)), ((235, 200, 60), (25, 25, 28))]  # fmt: skip
    base, colour = bases[rng.randint(4)]
    sign = c.plain(shape, base) + 3 * c.noise(shape, rng, 30)[..., None]
    inset = int(rng.uniform(6, 16))
    if rng.rand() < 0.75:
        cv2.rectangle(
            sign,
            (inset, inset),
            (260 - inset, 300 - inset),
            colour,
            int(rng.randint(3, 7)),
            cv2.LINE_AA,
        )
    ink = c.written(digit, rng.uniform(150, 200), rng.uniform(0.1, 0.16))
    sign = c.painted(sign, c.layer(shape, ink, *c.middle(shape, ink, rng, 0.02)), colour)
    if rng.rand() < 0.5:
        for x in (26, 234):
            cv2.circle(sign, (x, 150), 5, (150, 150, 150), -1, cv2.LINE_AA)
    grounds = (c.bricks, c.wood, c.stone)
    ground = grounds[rng.randint(3)]((420, 400), rng)
    return c.taken(c.lay(ground, sign, rng, rng.uniform(0.6, 0.85)), rng)


@kind("boxed by hand", MARKED)
def boxed(digit, rng):
    sheet, ink, pen, (left, top, right, bottom) = _start(digit, rng, (120, 210))
    gap = rng.uniform(20, 45, 4)
    x0, y0, x1, y1 = left - gap[0], top - gap[1], right + gap[2], bottom + gap[3]
    corners = [(x0, y0), (x1, y0 + 4), (x1 - 3, y1), (x0 + 2, y1 - 3), (x0, y0)]
    marks = c.stroke(SHAPE, c.shaky(corners, rng, 2), rng.uniform(3, 8))
    return _finish(c.soaked(c.soaked(sheet, ink, pen), marks, _mark_pen(pen, rng)), rng)


@kind("with a full stop", MARKED)
def full_stop(digit, rng):
    """ "4." or "4)": as an exercise is numbered."""
    sheet, ink, pen, (_, top, right, bottom) = _start(digit, rng, pens=(0.07, 0.11))
    at = np.array([right + 0.15 * (bottom - top) + 10, bottom - 6])
    dot = c.stroke(SHAPE, np.float32([at, at + 1]), 0.11 * (bottom - top))
    return _finish(c.soaked(c.soaked(sheet, ink, pen), dot, pen), rng)


@kind("blots and specks", MARKED)
def blots(digit, rng):
    """Drops of ink and dust of every size below a sixth of the digit's height."""
    sheet, ink, pen, (_, top, _, bottom) = _start(digit, rng)
    sheet = c.soaked(sheet, ink, pen)
    for _ in range(rng.randint(3, 14)):
        at = rng.uniform(10, 410, 2)
        size = rng.uniform(0.01, 0.08) * (bottom - top)
        drop = c.stroke(SHAPE, c.shaky([at, at + rng.uniform(-3, 3, 2)], rng, 1), 2 * size)
        sheet = c.soaked(sheet, drop, pen if rng.rand() < 0.6 else (110, 90, 60))
    return _finish(sheet, rng)


@kind("stamp's edge", MARKED)
def stamp(digit, rng):
    """An office's round stamp, cut by the picture's edge, in pale violet."""
    sheet, ink, pen, _ = _start(digit, rng, (170, 250))
    corner = np.array([(0, 0), (420, 0), (0, 420), (420, 420)][rng.randint(4)]) + rng.uniform(
        -25, 25, 2
    )
    marks = np.zeros(SHAPE, np.float32)
    for radius in (70, 92):
        marks = np.maximum(marks, c.ring(SHAPE, corner, (radius, radius), 4, rng, 0.005))
    worn = marks * np.clip(0.6 + 0.4 * c.noise(SHAPE, rng, 8), 0, 0.9)
    return c.scanned(c.soaked(c.soaked(sheet, worn, (110, 80, 170)), ink, pen), rng)


@kind("staples and tape", MARKED)
def taped(digit, rng):
    """A note held by tape; a staple in its corner."""
    sheet = on_sheet(c.paper((320, 320), rng), digit, rng, (0.4, 0.62), wander=0.04)
    cv2.line(sheet, (26, 40), (62, 26), (120, 122, 128), 4, cv2.LINE_AA)
    scene = c.lay(c.desk((420, 420), rng), sheet, rng, 0.82)
    tape = np.zeros(SHAPE, np.uint8)
    cv2.line(tape, (170, 0), (245, 62), 255, 58)
    share = c.blurred(tape.astype(np.float32) / 255, 0.7)[..., None] * 0.45
    return c.taken(scene * (1 - share) + np.array((232, 222, 190)) * share, rng)
