"""Sheets as they lie, hang and are lit: desks, edges, shadows, papers, forms, boards."""

import cv2
import numpy as np

from tests.material.scenes import canvas as c
from tests.material.scenes.registry import kind

SURROUNDED = "surroundings"
PAPERS = "papers and boards"
LIGHT = "light and camera"

SHAPE = (420, 420)


def note_with(digit, shape, rng, colour=None, height=(0.3, 0.6), pens=(0.06, 0.13)) -> np.ndarray:
    sheet = c.paper(shape, rng, colour)
    ink = c.some_digit(digit, rng.uniform(*height) * min(shape), rng, *pens)
    return c.soaked(sheet, c.layer(shape, ink, *c.middle(shape, ink, rng, 0.12)), c.some_pen(rng))


# --- what is around the sheet ----------------------------------------------------------


@kind("desk", SURROUNDED)
def desk(digit, rng):
    shape = [(330, 440), (440, 330), (400, 400)][rng.randint(3)]
    sheet_shape = [(300, 380), (380, 270), (330, 330)][rng.randint(3)]
    sheet = note_with(digit, sheet_shape, rng, height=(0.3, 0.62))
    return c.taken(c.lay(c.desk(shape, rng), sheet, rng, rng.uniform(0.55, 0.95)), rng)


@kind("note", SURROUNDED)
def note(digit, rng):
    """A small sheet, often coloured, on a desk that is most of the picture."""
    colours = [(250, 232, 120), (255, 250, 240), (190, 225, 160), (250, 180, 190), (170, 212, 240)]
    colour = np.array(colours[rng.randint(len(colours))]) * rng.uniform(0.88, 1)
    sheet = note_with(digit, (220, 220), rng, colour, (0.45, 0.72), (0.07, 0.15))
    ground = c.desk((390, 520), rng)
    return c.taken(c.lay(ground, sheet, rng, rng.uniform(0.4, 0.6)), rng, blur=(0.3, 0.9))


@kind("page's edge", SURROUNDED)
def page_edge(digit, rng):
    """The sheet fills the picture but for a corner or a side, where the desk is seen."""
    big = note_with(digit, SHAPE, rng, height=(0.25, 0.5))
    ground = c.desk(SHAPE, rng)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    angle = rng.randint(4) * np.pi / 2 + rng.uniform(-0.15, 0.15)
    across = np.cos(angle) * (x - SHAPE[1] / 2) + np.sin(angle) * (y - SHAPE[0] / 2)
    edge = SHAPE[0] * rng.uniform(0.33, 0.44)
    off = np.clip(across - edge + 0.5, 0, 1)
    shadow = np.clip(1 - (across - edge) / rng.uniform(4, 14), 0, 1) * off
    ground = c.cast(ground, shadow, rng.uniform(0.25, 0.6), rng)
    return c.taken(big * (1 - off[..., None]) + ground * off[..., None], rng)


@kind("table's edge", SURROUNDED)
def table_edge(digit, rng):
    """A sheet on a table, and behind the table's edge a darker or lighter room."""
    height, width = 400, 520
    room = (
        c.plain((height, width), rng.uniform(15, 120, 3))
        + 12 * c.noise((height, width), rng, 90)[..., None]
    )
    room = c.blurred(room, 5)
    table = c.desk((height, width), rng)
    edge = int(height * rng.uniform(0.12, 0.3))
    slope = rng.uniform(-0.08, 0.08)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    top = np.clip(y - edge - slope * (x - width / 2), 0, 1)[..., None]
    scene = room * (1 - top) + table * top
    band = np.clip(1 - np.abs(y - edge - 4 - slope * (x - width / 2)) / 5, 0, 1)
    scene = c.cast(scene, band, 0.5, rng)
    sheet = note_with(digit, (300, 360), rng)
    lower = c.lay(scene[edge + 20 :], sheet, rng, rng.uniform(0.7, 0.95))
    return c.taken(np.concatenate([scene[: edge + 20], lower]), rng)


def lit_sheet(digit, rng, height=(0.3, 0.6)):
    return note_with(digit, SHAPE, rng, height=height)


@kind("sharp shadow", SURROUNDED)
def sharp_shadow(digit, rng):
    """The straight edge of a shadow runs across the digit."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * (x - SHAPE[1] / 2) + np.sin(angle) * (y - SHAPE[0] / 2)
    shadow = np.clip((across - rng.uniform(-70, 70)) / rng.uniform(1, 6), 0, 1)
    return c.taken(c.cast(lit_sheet(digit, rng), shadow, rng.uniform(0.35, 0.68), rng), rng)


@kind("hand's shadow", SURROUNDED)
def hand_shadow(digit, rng):
    """The shadow of the hand that holds the telephone, or the telephone's own."""
    shape = SHAPE
    hand = np.zeros(shape, np.uint8)
    wrist = rng.uniform([150, 180], [330, 330])
    toward = rng.uniform(-0.5, 0.5) - np.pi / 2
    palm = rng.uniform(50, 75)
    cv2.ellipse(hand, tuple(map(int, wrist)), (int(palm), int(palm * 1.2)), 0, 0, 360, 255, -1)
    for finger, spread in enumerate(np.linspace(-0.75, 0.75, 5)):
        along = toward + spread
        reach = palm * (1.9 + 0.5 * np.cos(spread * 2) - 0.5 * (finger in (0, 4)))
        tip = wrist + reach * np.array([np.cos(along), np.sin(along)])
        cv2.line(hand, tuple(map(int, wrist)), tuple(map(int, tip)), 255, int(palm * 0.36))
    arm = wrist - 500 * np.array([np.cos(toward), np.sin(toward)])
    cv2.line(hand, tuple(map(int, wrist)), tuple(map(int, arm)), 255, int(palm * 1.4))
    turn = cv2.getRotationMatrix2D((210, 210), rng.uniform(0, 360), rng.uniform(0.8, 1.2))
    shadow = cv2.warpAffine(hand, turn, shape).astype(np.float32) / 255
    soft = c.blurred(shadow, rng.uniform(0.8, 5))
    return c.taken(c.cast(lit_sheet(digit, rng), soft, rng.uniform(0.3, 0.62), rng), rng)


@kind("screenshot", SURROUNDED)
def screenshot(digit, rng):
    """A drawing program's window: menu, tools, colours, canvas, status line."""
    height, width = [(480, 640), (540, 720), (600, 600)][rng.randint(3)]
    night = rng.rand() < 0.3
    face = (48, 48, 52) if night else (236 + rng.uniform(-12, 8),) * 3
    text = (200, 200, 205) if night else (50, 50, 55)
    view = c.plain((height, width), face)
    view[:26] = (32, 34, 40) if night else (70, 110, 180) if rng.rand() < 0.5 else (250, 250, 250)
    words = ["File", "Edit", "View", "Image", "Colours", "Help"]
    for number, word in enumerate(words):
        cv2.putText(
            view, word, (10 + 62 * number, 44), cv2.FONT_HERSHEY_SIMPLEX, 0.42, text, 1, cv2.LINE_AA
        )
    for number in range(14):
        top, left = 60 + 30 * (number // 2), 6 + 28 * (number % 2)
        cv2.rectangle(view, (left, top), (left + 24, top + 24), text, 1)
        ends = rng.randint(4, 21, 4)
        cv2.line(view, (left + ends[0], top + ends[1]), (left + ends[2], top + ends[3]), text, 2)
    for number in range(16):
        left = 80 + 22 * number
        colour = tuple(map(int, rng.randint(0, 256, 3)))
        cv2.rectangle(view, (left, height - 46), (left + 18, height - 30), colour, -1)
        cv2.rectangle(view, (left, height - 46), (left + 18, height - 30), text, 1)
    status = f"{rng.randint(999)}, {rng.randint(999)} px    100%"
    cv2.putText(view, status, (10, height - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.4, text, 1, cv2.LINE_AA)
    area = (height - 60 - 56, width - 72 - 10)
    drawn = c.plain(area, (255, 255, 255))
    ink = c.written(digit, rng.uniform(0.35, 0.75) * area[0], rng.uniform(0.04, 0.12))
    if rng.rand() < 0.5:
        ink = (ink > 0.5).astype(np.float32)
    colour = [(0, 0, 0), (0, 0, 0), (237, 28, 36), (63, 72, 204), (34, 177, 76)][rng.randint(5)]
    drawn = c.painted(drawn, c.layer(area, ink, *c.middle(area, ink, rng, 0.12)), colour)
    view[60 : 60 + area[0], 72 : 72 + area[1]] = drawn
    return c.encoded(c.pixels(view))


def grid(shape, rng, width=(2, 4)) -> np.ndarray:
    sheet = c.paper(shape, rng)
    step = rng.uniform(18, 34)
    ink = [(120, 150, 205), (150, 165, 200), (130, 185, 150), (160, 160, 165)][rng.randint(4)]
    thick = int(rng.randint(*width))
    for vertical in (False, True):
        sheet = c.rules(sheet, step, ink, thick, rng.uniform(step), vertical)
    return sheet


@kind("squared paper", SURROUNDED)
def squared_paper(digit, rng):
    ink = c.some_digit(digit, rng.uniform(110, 260), rng, 0.07, 0.14)
    sheet = grid(SHAPE, rng)
    sheet = c.soaked(sheet, c.layer(SHAPE, ink, *c.anywhere(SHAPE, ink, rng)), c.some_pen(rng))
    return c.taken(c.seen(sheet, rng, 0.03), rng, blur=(0.3, 0.9))


@kind("form", SURROUNDED)
def form(digit, rng):
    """A cell of a form's comb; the neighbouring cells are cut by the picture's edge."""
    side = int(rng.randint(170, 260))
    shape = (int(side * rng.uniform(1.1, 1.35)), int(side * rng.uniform(1.25, 1.6)))
    sheet = c.paper(shape, rng, rng.uniform(238, 252) * np.array([1, 1, rng.uniform(0.95, 1)]))
    dark = [(30, 30, 34), (190, 60, 60), (60, 120, 170), (110, 110, 112)][rng.randint(4)]
    thick = int(rng.randint(2, 6))
    comb = np.zeros(shape, np.float32)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    comb[top : top + thick] = comb[top + side - thick : top + side] = 1
    whole = rng.rand() < 0.6
    upper = top if whole else top + side // 2
    for place in (left - side, left, left + side, left + 2 * side):
        if 0 <= place < shape[1]:
            comb[upper : top + side, place : place + thick] = 1
    if rng.rand() < 0.3:
        comb[top : top + thick] = 0
    sheet = c.soaked(sheet, comb, dark)
    ink = c.some_digit(digit, rng.uniform(0.5, 0.78) * side, rng, 0.08, 0.16)
    sheet = c.soaked(sheet, c.layer(shape, ink, *c.middle(shape, ink, rng, 0.03)), c.some_pen(rng))
    return c.scanned(sheet, rng) if rng.rand() < 0.5 else c.taken(sheet, rng, light=0.25)


def as_high_as(height, digit, rng, widest):
    """A digit of a height on plain paper; its strokes are up to so wide a part of that."""
    ink = c.some_digit(digit, height, rng, 0.07, widest)
    sheet = c.paper(SHAPE, rng)
    where = c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng))
    return c.soaked(sheet, where, c.some_pen(rng))


@kind("focus", SURROUNDED)
def focus(digit, rng):
    """Out of focus by 2 to 10% of the digit's height, in light that falls off."""
    height = rng.uniform(140, 250)
    sheet = as_high_as(height, digit, rng, 0.15)
    radius = height * rng.uniform(0.02, 0.1)
    soft = c.disc_blurred(sheet, radius) if rng.rand() < 0.5 else c.blurred(sheet, 0.6 * radius)
    return c.taken(soft, rng, blur=(0.2, 0.5), light=0.6)


# --- papers and boards -----------------------------------------------------------------


def on_sheet(sheet, digit, rng, height=(0.28, 0.62), colour=None, pens=(0.06, 0.13), wander=0.15):
    shape = sheet.shape[:2]
    ink = c.some_digit(digit, rng.uniform(*height) * min(shape), rng, *pens)
    where = c.layer(shape, ink, *c.middle(shape, ink, rng, wander))
    return c.soaked(sheet, where, c.some_pen(rng) if colour is None else colour)


@kind("notebook page", PAPERS)
def notebook(digit, rng):
    """Ruled, with a margin and holes."""
    return c.taken(c.seen(on_sheet(notebook_page(rng), digit, rng, (0.2, 0.45)), rng, 0.03), rng)


def notebook_page(rng, shape=(480, 400)):
    sheet = c.rules(
        c.paper(shape, rng), rng.uniform(24, 40), (165, 190, 225), 2, rng.uniform(20, 60)
    )
    margin = int(rng.uniform(0.1, 0.2) * shape[1])
    sheet = c.rules(sheet, 10_000, (225, 120, 125), 2, margin, vertical=True)
    if rng.rand() < 0.6:
        for top in (0.12, 0.5, 0.88):
            cv2.circle(
                sheet, (margin // 2, int(top * shape[0])), int(rng.uniform(6, 9)), (60, 55, 52), -1
            )
    return sheet


@kind("sticky note", PAPERS)
def sticky(digit, rng):
    """Seen from near: yellow, its lower corner curls, its glue strip lies flat."""
    colours = [(252, 234, 110), (250, 170, 190), (168, 222, 150), (255, 190, 100)]
    sheet = c.paper(SHAPE, rng, np.array(colours[rng.randint(4)]) * rng.uniform(0.9, 1))
    sheet = on_sheet(sheet, digit, rng, pens=(0.05, 0.14))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32) / SHAPE[0]
    corner = y + (x if rng.rand() < 0.5 else 1 - x)
    curl = 1 + rng.uniform(-0.25, 0.25) * np.clip(corner - 1.4, 0, 1)
    return c.taken(sheet * curl[..., None], rng)


@kind("receipt", PAPERS)
def receipt(digit, rng):
    """A number written upon the foot of a till's receipt, below its last lines."""
    shape = (460, 300)
    sheet = c.paper(shape, rng, (244, 243, 240))
    lines = int(rng.randint(2, 5))
    for number in range(lines):
        words = " ".join("ABCDEFGHKLMNPRSTUVWX"[i] for i in rng.randint(0, 20, 9)).replace(
            " ", "", 6
        )
        cv2.putText(
            sheet,
            words,
            (20, 28 + 22 * number),
            cv2.FONT_HERSHEY_PLAIN,
            1.0,
            (110, 110, 118),
            1,
            cv2.LINE_AA,
        )
    ink = c.some_digit(digit, rng.uniform(150, 250), rng, 0.06, 0.12)
    top = int(28 + 22 * lines + rng.uniform(10, 60))
    where = c.layer(shape, ink, top, int((300 - ink.shape[1]) / 2))
    return c.taken(
        c.lay(c.desk((480, 380), rng), c.soaked(sheet, where, c.some_pen(rng)), rng, 1.15), rng
    )


@kind("queue ticket", PAPERS)
def queue_ticket(digit, rng):
    """A digit written large on a ticket with a rounded edge, on a hand's colour."""
    shape = (300, 240)
    sheet = on_sheet(c.paper(shape, rng, (250, 248, 238)), digit, rng, (0.5, 0.75))
    skin = c.plain((400, 400), (205, 158, 132)) + 5 * c.noise((400, 400), rng, 40)[..., None]
    return c.taken(c.lay(skin, sheet, rng, rng.uniform(0.7, 0.9)), rng)


def chalked(picture, ink, rng, colour):
    """Chalk, crayon: the ground shows through in grains."""
    grains = c.noise(ink.shape, rng, 1.6)
    return c.painted(picture, ink * np.clip(0.85 + 0.35 * grains, 0.25, 1), colour)


def board(rng, shape=SHAPE):
    bases = [(38, 66, 52), (34, 36, 40), (48, 58, 62), (30, 52, 74)]
    smears = 6 * c.noise(shape, rng, 70) + 4 * c.noise(shape, rng, 12)
    return c.plain(shape, bases[rng.randint(4)]) + np.clip(smears, -8, 20)[..., None]


@kind("blackboard", PAPERS)
def blackboard(digit, rng):
    ink = c.some_digit(digit, rng.uniform(120, 270), rng, 0.05, 0.11)
    chalk = [(235, 235, 225), (240, 235, 160), (235, 180, 185)][rng.randint(3)]
    where = c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng, 0.12))
    return c.taken(chalked(board(rng), where, rng, chalk), rng)


@kind("blackboard with its frame", PAPERS)
def framed_board(digit, rng):
    shape = (360, 480)
    ink = c.some_digit(digit, rng.uniform(110, 210), rng, 0.06, 0.11)
    drawn = chalked(
        board(rng, shape), c.layer(shape, ink, *c.middle(shape, ink, rng)), rng, (232, 232, 224)
    )
    wall = c.plain((460, 580), rng.uniform(170, 230, 3))
    frame = c.wood((400, 520), rng)
    frame[20:380, 20:500] = drawn
    wall[30:430, 30:550] = frame
    return c.taken(c.seen(wall, rng, 0.02), rng)


@kind("whiteboard", PAPERS)
def whiteboard(digit, rng):
    """A marker's streaky strokes, remnants of what was wiped off, a lamp's reflection."""
    sheet = c.plain(SHAPE, (232, 235, 238))
    for _ in range(rng.randint(2, 6)):
        ends = rng.uniform(20, 400, (2, 2))
        smear = c.blurred(c.line(SHAPE, ends[0], ends[1], rng.uniform(8, 30), rng, 12), 6)
        sheet = c.soaked(sheet, 0.12 * smear, c.some_pen(rng))
    ink = c.some_digit(digit, rng.uniform(140, 280), rng, 0.06, 0.1)
    streaks = np.clip(0.9 + 0.12 * c.noise(ink.shape, rng, 3), 0.4, 1)
    sheet = c.soaked(
        sheet, c.layer(SHAPE, ink * streaks, *c.middle(SHAPE, ink, rng)), c.some_pen(rng)
    )
    glare = c.layer(SHAPE, np.ones((40, 110), np.float32), *rng.randint([0, 0], [380, 310]))
    return c.taken(sheet + 22 * c.blurred(glare, 22)[..., None], rng)


@kind("brown envelope", PAPERS)
def envelope(digit, rng):
    sheet = c.paper(SHAPE, rng, np.array((196, 160, 112)) * rng.uniform(0.85, 1.08))
    sheet = sheet + (5 * c.noise(SHAPE, rng, 2) + 5 * c.noise(SHAPE, rng, 6))[..., None]
    return c.taken(on_sheet(sheet, digit, rng, colour=(36, 32, 40)), rng)


@kind("cardboard box", PAPERS)
def cardboard(digit, rng):
    """A thick marker on corrugated board."""
    sheet = c.plain(SHAPE, np.array((178, 140, 98)) * rng.uniform(0.85, 1.1))
    waves = np.sin(np.arange(SHAPE[1]) / rng.uniform(1.8, 3.5))
    sheet = sheet + (3 * waves[None, :] + 4 * c.noise(SHAPE, rng, 3))[..., None]
    if rng.rand() < 0.4:
        fold = int(rng.choice([rng.uniform(15, 50), rng.uniform(370, 400)]))
        sheet[fold : fold + 4] *= 0.72
    return c.taken(on_sheet(sheet, digit, rng, colour=(28, 26, 30), pens=(0.09, 0.16)), rng)


@kind("crumpled paper", PAPERS)
def crumpled(digit, rng):
    """Facets, each with a light of its own."""
    centres = rng.uniform(0, SHAPE[0], (24, 2)).astype(np.float32)
    tilt = rng.uniform(-1, 1, (24, 2)).astype(np.float32)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    y, x = y + 10 * c.noise(SHAPE, rng, 60), x + 10 * c.noise(SHAPE, rng, 60)
    near = np.argmin([(y - cy) ** 2 + (x - cx) ** 2 for cy, cx in centres], 0)
    slope = tilt[near]
    height = slope[..., 0] * (y - centres[near, 0]) + slope[..., 1] * (x - centres[near, 1])
    shade = 1 + 0.09 * slope.sum(-1) + 0.0006 * height
    sheet = on_sheet(c.paper(SHAPE, rng), digit, rng, (0.35, 0.65))
    return c.taken(sheet * c.blurred(shade.astype(np.float32), 2.5)[..., None], rng)


@kind("folded paper", PAPERS)
def folded(digit, rng):
    """Two folds cross near the digit; each quarter has a light of its own."""
    sheet = on_sheet(c.paper(SHAPE, rng), digit, rng, (0.3, 0.6))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    for place, slope in ((y, x), (x, y)):
        at = rng.uniform(0.3, 0.7) * SHAPE[0] + rng.uniform(-0.03, 0.03) * slope
        side = np.clip((place - at) / 4 + 0.5, 0, 1)
        crease = np.exp(-(((place - at) / 1.6) ** 2))
        sheet = (
            sheet
            * (1 + rng.uniform(-0.1, 0.1) * side - rng.uniform(0.05, 0.22) * crease)[..., None]
        )
    return c.taken(sheet, rng)


@kind("watermark", PAPERS)
def watermark(digit, rng):
    """Grey letters lie large and faint behind the digit."""
    sheet = c.paper(SHAPE, rng, (250, 250, 250))
    faint = np.zeros(SHAPE, np.uint8)
    word = ["DRAFT", "COPY", "SAMPLE", "VOID"][rng.randint(4)]
    cv2.putText(faint, word, (20, 240), cv2.FONT_HERSHEY_DUPLEX, 3.1, 255, 16, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((210, 210), rng.uniform(20, 45), 1)
    ink = cv2.warpAffine(faint, turn, SHAPE).astype(np.float32) / 255
    return c.scanned(
        on_sheet(c.soaked(sheet, ink * rng.uniform(0.06, 0.14), (0, 0, 0)), digit, rng), rng
    )


@kind("cheque", PAPERS)
def cheque(digit, rng):
    """Security print: fine waves in two pale colours."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    sheet = c.paper(SHAPE, rng, (246, 247, 242))
    for colour in ((150, 190, 220), (220, 180, 190)):
        phase = y + rng.uniform(8, 16) * np.sin(x / rng.uniform(15, 40) + rng.uniform(6))
        waves = np.clip(np.sin(phase / rng.uniform(1.4, 2.6)) * 2 - 0.6, 0, 1)
        sheet = c.soaked(sheet, 0.6 * waves.astype(np.float32), colour)
    return c.scanned(on_sheet(sheet, digit, rng, (0.3, 0.55)), rng)


@kind("fax", PAPERS)
def fax(digit, rng):
    """Black and white only, specks, a dropped line, the sender's line at the top."""
    shape = (380, 360)
    ink = c.some_digit(digit, rng.uniform(120, 230), rng, 0.06, 0.13)
    where = c.layer(shape, ink, *c.middle(shape, ink, rng, 0.1))
    grey = 1 - 0.95 * where + 0.16 * c.noise(shape, rng)
    low = cv2.resize(grey, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    bits = np.where(low > 0.55, 255, 0).astype(np.uint8)
    bits[rng.rand(*bits.shape) < 0.0015] = 0
    bits[rng.randint(len(bits))] = 255
    page = cv2.resize(bits, shape[::-1], interpolation=cv2.INTER_NEAREST)
    cv2.putText(
        page,
        f"FROM {rng.choice(list('ABCDE'))}. MEYER  PAGE",
        (12, 18),
        cv2.FONT_HERSHEY_PLAIN,
        0.9,
        0,
        1,
    )
    return c.encoded(page)


@kind("photocopy", PAPERS)
def photocopy(digit, rng):
    """A copy of a copy: hard contrast, specks, the dark bar of an open lid."""
    shape = (440, 400)
    sheet = on_sheet(c.paper(shape, rng), digit, rng)[..., 1]
    hard = np.clip((sheet - 128) * 2.2 + 150 + 14 * c.noise(shape, rng, 2), 0, 255)
    hard[rng.rand(*shape) < 0.001] = 20
    bar = int(rng.uniform(4, 22))
    hard[:, :bar] = 25 + 12 * c.noise((shape[0], bar), rng)
    return c.encoded(c.pixels(hard))


@kind("scan with a dark border", PAPERS)
def scan_border(digit, rng):
    """A sheet smaller than the scanner's glass, its lid open."""
    sheet = on_sheet(c.paper((360, 300), rng), digit, rng)
    glass = (
        c.plain((440, 400), rng.uniform(8, 60) * np.ones(3))
        + 3 * c.noise((440, 400), rng)[..., None]
    )
    return c.scanned(c.lay(glass, sheet, rng, rng.uniform(0.8, 0.98), 0), rng)


@kind("other side shows through", PAPERS)
def shows_through(digit, rng):
    sheet = c.paper(SHAPE, rng)
    back = np.zeros(SHAPE, np.uint8)
    for number in range(9):
        text = "".join("abcdefghiklmnoprstuvw "[i] for i in rng.randint(0, 22, 22))
        cv2.putText(
            back, text, (8, 40 + 44 * number), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 2, cv2.LINE_AA
        )
    mirrored = c.blurred(back[:, ::-1].astype(np.float32) / 255, 1.2)
    sheet = c.soaked(sheet, rng.uniform(0.08, 0.18) * mirrored, (20, 20, 40))
    return c.scanned(on_sheet(sheet, digit, rng, (0.4, 0.65)), rng)


@kind("newspaper's margin", PAPERS)
def newspaper(digit, rng):
    """Grey pulp; at one side the ends of printed lines."""
    shape = (420, 400)
    sheet = c.paper(shape, rng, (205, 200, 188)) + 5 * c.noise(shape, rng, 2)[..., None]
    column = int(rng.uniform(0.1, 0.2) * shape[1])
    for top in range(8, shape[0] - 8, 15):
        text = "".join("abcdefghiklmnoprstuvw"[i] for i in rng.randint(0, 21, 14))
        wide = cv2.getTextSize(text, cv2.FONT_HERSHEY_COMPLEX, 0.42, 1)[0][0]
        cv2.putText(
            sheet,
            text,
            (column - wide, top + 8),
            cv2.FONT_HERSHEY_COMPLEX,
            0.42,
            (60, 58, 56),
            1,
            cv2.LINE_AA,
        )
    ink = c.some_digit(digit, rng.uniform(150, 250), rng, 0.06, 0.12)
    left = column + 40 + int(rng.uniform(0, max(1, shape[1] - column - 60 - ink.shape[1])))
    top = int(rng.uniform(20, shape[0] - ink.shape[0] - 20))
    return c.taken(c.soaked(sheet, c.layer(shape, ink, top, left), c.some_pen(rng)), rng)


@kind("torn paper", PAPERS)
def torn(digit, rng):
    """A scrap with ragged edges on something dark."""
    side = 360
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    reach = 150 + 14 * c.noise((1, 180), rng, 20)[0] + 3 * c.noise((1, 180), rng, 2)[0]
    square = np.minimum(
        1 / np.maximum(np.abs(np.cos(angles)), 1e-3), 1 / np.maximum(np.abs(np.sin(angles)), 1e-3)
    )
    reach = reach * np.minimum(square, 1.25) / 1.05
    outline = np.stack([side / 2 + reach * np.cos(angles), side / 2 + reach * np.sin(angles)], 1)
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 255, cv2.LINE_AA)
    share = mask.astype(np.float32)[..., None] / 255
    ground = (
        c.plain((side, side), rng.uniform(20, 110, 3))
        + 5 * c.noise((side, side), rng, 4)[..., None]
    )
    sheet = on_sheet(c.paper((side, side), rng), digit, rng, (0.35, 0.5), wander=0.04)
    return c.taken(ground * (1 - share) + sheet * share, rng)


@kind("graph tablet", PAPERS)
def tablet(digit, rng):
    """White strokes on a dark grid, as a tablet's note program shows them."""
    view = c.plain(SHAPE, (26, 28, 34))
    view = (
        c.painted(view, _dots(SHAPE, rng), (70, 74, 84))
        if rng.rand() < 0.5
        else _faint_grid(view, rng)
    )
    ink = c.some_digit(digit, rng.uniform(120, 280), rng, 0.04, 0.1)
    colour = [(255, 255, 255), (120, 220, 255), (255, 214, 90)][rng.randint(3)]
    return c.encoded(
        c.pixels(c.painted(view, c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng)), colour))
    )


def _dots(shape, rng):
    step = int(rng.randint(18, 30))
    ink = np.zeros(shape, np.float32)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        ink[10 + row :: step, 10 + column :: step] = 1
    return ink


def _faint_grid(view, rng):
    step = int(rng.randint(20, 36))
    view = view.copy()
    view[::step] = view[:, ::step] = (50, 54, 62)
    return view


@kind("dotted notebook", PAPERS)
def dotted_notebook(digit, rng):
    sheet = c.soaked(c.paper(SHAPE, rng), _dots(SHAPE, rng), (120, 125, 135))
    return c.taken(on_sheet(sheet, digit, rng), rng, blur=(0.3, 0.8))


@kind("millimetre paper", PAPERS)
def millimetre(digit, rng):
    sheet = c.paper(SHAPE, rng)
    colour = [(240, 190, 160), (170, 205, 240), (180, 225, 190)][rng.randint(3)]
    step = rng.uniform(7, 10)
    for vertical in (False, True):
        sheet = c.rules(sheet, step, np.array(colour) * 0.3 + 178, 1, 3, vertical)
        sheet = c.rules(sheet, 10 * step, np.array(colour) * 0.9, 2, 3, vertical)
    return c.taken(on_sheet(sheet, digit, rng), rng, blur=(0.3, 0.8))


@kind("wall", PAPERS)
def wall(digit, rng):
    """Sprayed or painted on bricks."""
    ink = c.written(digit, rng.uniform(200, 320), rng.uniform(0.1, 0.15))
    ink = np.clip(c.blurred(np.pad(ink, 8), rng.uniform(1, 3)) * 1.15, 0, 1)
    colour = [(245, 245, 245), (25, 25, 28), (250, 225, 60)][
        rng.randint(2 if rng.rand() < 0.8 else 3)
    ]
    return c.taken(
        c.painted(
            c.bricks(SHAPE, rng), c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng, 0.04)), colour
        ),
        rng,
    )


@kind("window condensation", PAPERS)
def condensation(digit, rng):
    """Drawn with a finger on a fogged pane: through the strokes the dark outside is seen."""
    outside = c.blurred(c.plain(SHAPE, (44, 58, 70)) + 26 * c.noise(SHAPE, rng, 60)[..., None], 2)
    fog = (
        c.plain(SHAPE, (176, 186, 192))
        + (5 * c.noise(SHAPE, rng, 50) + 3 * c.noise(SHAPE, rng, 2))[..., None]
    )
    ink = c.written(digit, rng.uniform(180, 300), rng.uniform(0.08, 0.13))
    top, left = c.middle(SHAPE, ink, rng, 0.06)
    where = c.layer(SHAPE, ink, top, left)
    for _ in range(rng.randint(0, 3)):
        column = int(left + rng.uniform(0.2, 0.8) * ink.shape[1])
        below = np.flatnonzero(where[:, min(column, SHAPE[1] - 1)] > 0.5)
        if len(below):
            start = (column, below[-1])
            run = c.line(SHAPE, start, (column + 2, start[1] + rng.uniform(15, 60)), 3, rng, 0.6)
            where = np.maximum(where, 0.7 * run)
    clear = np.clip(where * rng.uniform(0.75, 0.95), 0, 1)[..., None]
    return c.taken(fog * (1 - clear) + outside * clear, rng)


@kind("sand", PAPERS)
def sand(digit, rng):
    """A furrow in sand under low light: one side bright, one dark."""
    depth = c.blurred(
        np.pad(c.written(digit, rng.uniform(210, 300), rng.uniform(0.09, 0.13)), 6), 2.2
    )
    where = c.layer(SHAPE, depth, *c.middle(SHAPE, depth, rng, 0.05))
    light = cv2.Sobel(where, cv2.CV_32F, 1, 1, ksize=3)
    ground = (
        c.plain(SHAPE, (198, 172, 132))
        + (7 * c.noise(SHAPE, rng) + 6 * c.noise(SHAPE, rng, 20))[..., None]
    )
    return c.taken(ground * (1 - 0.42 * where + 0.25 * light)[..., None], rng, light=0.25)


@kind("embroidered", PAPERS)
def embroidered(digit, rng):
    ground = c.cloth(SHAPE, rng) * 0.25 + 0.75 * c.plain(SHAPE, (225, 220, 208))
    ink = c.written(digit, rng.uniform(180, 290), rng.uniform(0.08, 0.13))
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    thread = np.clip(0.88 + 0.12 * np.sin((x + y) * 1.1), 0, 1) * ink
    return c.taken(
        c.painted(ground, c.layer(SHAPE, thread, *c.middle(SHAPE, ink, rng)), c.some_pen(rng)), rng
    )


@kind("on the back of a hand", PAPERS)
def on_skin(digit, rng):
    """Ball pen on skin, with its fine lines and veins."""
    tone = np.array([(222, 178, 150), (188, 138, 106), (122, 84, 62)][rng.randint(3)])
    skin = (
        c.plain(SHAPE, tone) + (4 * c.noise(SHAPE, rng, 2) + 5 * c.noise(SHAPE, rng, 50))[..., None]
    )
    for _ in range(2):
        start, end = rng.uniform(0, 420, 2), rng.uniform(0, 420, 2)
        vein = c.blurred(c.line(SHAPE, (start[0], 0), (end[0], 420), 14, rng, 6), 7)
        skin = c.soaked(skin, 0.1 * vein, (90, 120, 140))
    pen = [(30, 40, 120), (26, 26, 34)][rng.randint(2)]
    return c.taken(on_sheet(skin, digit, rng, colour=pen, pens=(0.04, 0.08)), rng)


@kind("chalk on asphalt", PAPERS)
def asphalt(digit, rng):
    """Coarse ground: the chalk stays on the grains' tops."""
    grains = c.noise(SHAPE, rng, 2.2)
    ground = c.plain(SHAPE, rng.uniform(80, 115) * np.ones(3)) + (13 * grains)[..., None]
    ink = c.written(digit, rng.uniform(200, 300), rng.uniform(0.08, 0.13))
    where = c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng, 0.06))
    chalk = where * np.clip(0.8 + 0.3 * grains, 0.25, 1)
    colour = [(235, 235, 230), (240, 220, 120), (235, 160, 190)][rng.randint(3)]
    return c.taken(c.painted(ground, chalk, colour), rng)


@kind("price tag", PAPERS)
def price_tag(digit, rng):
    """A tag with a hole and a string, on cloth."""
    shape = (260, 200)
    sheet = on_sheet(c.paper(shape, rng, (238, 226, 196)), digit, rng, (0.55, 0.75), wander=0.03)
    cv2.circle(sheet, (100, 22), 9, (70, 64, 58), -1, cv2.LINE_AA)
    return c.taken(c.lay(c.cloth((400, 400), rng), sheet, rng, rng.uniform(0.6, 0.85)), rng)


# --- light and camera ------------------------------------------------------------------


@kind("fogged photo", LIGHT)
def fogged(digit, rng):
    """A greasy lens: little contrast, a veil of light."""
    sheet = on_sheet(c.paper(SHAPE, rng), digit, rng)
    veil = c.plain(SHAPE, (215, 216, 220)) + 10 * c.noise(SHAPE, rng, 120)[..., None]
    share = rng.uniform(0.35, 0.65)
    return c.taken(c.blurred(sheet, rng.uniform(1, 2.5)) * (1 - share) + veil * share, rng)


@kind("in the dark", LIGHT)
def in_the_dark(digit, rng):
    """Hardly any light, and the noise that comes of it."""
    sheet = on_sheet(c.paper(SHAPE, rng), digit, rng, pens=(0.08, 0.14)) * rng.uniform(0.2, 0.4)
    return c.taken(sheet, rng, grain=(5, 10))


@kind("too much light", LIGHT)
def overexposed(digit, rng):
    sheet = on_sheet(c.paper(SHAPE, rng), digit, rng)
    bright = np.clip(sheet * rng.uniform(1.25, 1.6) + rng.uniform(10, 50), 0, 255)
    return c.taken(bright, rng, light=0.2)


@kind("a flash's reflection", LIGHT)
def flash(digit, rng):
    sheet = on_sheet(c.paper(SHAPE, rng, rng.uniform(190, 225, 3)), digit, rng)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    at, size = rng.uniform(60, 360, 2), rng.uniform(25, 60)
    spot = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * size**2))
    return c.taken(sheet + rng.uniform(40, 90) * spot[..., None], rng)


@kind("shaken", LIGHT)
def shaken(digit, rng):
    """The camera moved by 3 to 8% of the digit's height."""
    height = rng.uniform(150, 260)
    sheet = as_high_as(height, digit, rng, 0.14)
    length, angle = height * rng.uniform(0.03, 0.08), rng.uniform(0, np.pi)
    reach = int(length / 2) + 2
    toward = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    path = c.stroke((2 * reach + 1,) * 2, np.float32([reach - toward, reach + toward]), 1)
    return c.taken(cv2.filter2D(sheet, -1, path / path.sum(), borderType=cv2.BORDER_REFLECT), rng)


@kind("seen askew", LIGHT)
def askew(digit, rng):
    """The telephone was held low: strong perspective."""
    sheet = on_sheet(c.paper(SHAPE, rng), digit, rng, (0.35, 0.6))
    height, width = SHAPE
    narrow = rng.uniform(0.12, 0.24) * width
    ends = np.float32(
        [[narrow, 0.12 * height], [width - narrow, 0.12 * height], [width, height], [0, height]]
    )
    matrix = cv2.getPerspectiveTransform(
        np.float32([[0, 0], [width, 0], [width, height], [0, height]]), ends
    )
    tilted = cv2.warpPerspective(sheet, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return c.taken(tilted, rng)


@kind("coloured light", LIGHT)
def coloured_light(digit, rng):
    """A warm bulb, a neon tube, a screen's glow."""
    tint = [(1.0, 0.78, 0.5), (0.7, 0.85, 1.0), (0.8, 1.0, 0.82), (1.0, 0.7, 0.85)][rng.randint(4)]
    sheet = on_sheet(c.paper(SHAPE, rng), digit, rng) * np.array(tint, np.float32)
    return c.taken(sheet * rng.uniform(0.6, 1), rng)


@kind("blind's stripes", LIGHT)
def blinds(digit, rng):
    """Sunlight through a blind: soft bands of light and shade."""
    sheet = on_sheet(c.paper(SHAPE, rng), digit, rng)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(50, 110)
    bands = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)
    shadow = np.clip(bands * rng.uniform(2, 6) * 0.5 + 0.5, 0, 1)
    return c.taken(c.cast(sheet, shadow, rng.uniform(0.25, 0.5), rng), rng)


@kind("leaves' shadow", LIGHT)
def leaves(digit, rng):
    sheet = on_sheet(c.paper(SHAPE, rng), digit, rng)
    shadow = c.blurred(
        np.clip(c.noise(SHAPE, rng, rng.uniform(35, 70)) * 3, 0, 1), rng.uniform(2, 6)
    )
    return c.taken(c.cast(sheet, shadow, rng.uniform(0.25, 0.5), rng), rng)


@kind("a screen photographed", LIGHT)
def screen_photo(digit, rng):
    """A monitor's pixels against the sensor's: moiré."""
    view = c.plain(SHAPE, (235, 240, 250))
    ink = c.written(digit, rng.uniform(150, 280), rng.uniform(0.06, 0.12))
    view = c.painted(view, c.layer(SHAPE, ink, *c.middle(SHAPE, ink, rng)), (20, 22, 30))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    period, lean = rng.uniform(2.1, 3.6), rng.uniform(-0.06, 0.06)
    lattice = np.sin(2 * np.pi * (x + lean * y) / period) + np.sin(
        2 * np.pi * (y - lean * x) / period
    )
    return c.taken(view * (0.85 + 0.06 * lattice[..., None]), rng, blur=(0.3, 0.6))


@kind("a photo of three megapixels", LIGHT)
def large_photo(digit, rng):
    """A sheet of paper in the hand's distance, at a telephone's size; the digit is a part of it."""
    shape = (1500, 2000)
    ink = c.some_digit(digit, rng.uniform(260, 800), rng, 0.05, 0.1)
    coarse = c.lamp(c.paper((375, 500), rng), rng)
    sheet = cv2.resize(coarse, shape[::-1])
    sheet = c.soaked(sheet, c.layer(shape, ink, *c.anywhere(shape, ink, rng, 60)), c.some_pen(rng))
    return c.jpeg(c.blurred(sheet, rng.uniform(0.6, 2)), rng.randint(75, 92))
