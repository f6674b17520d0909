"""Printed digits: one kind for each font that is installed, and prints in their surroundings."""

import cv2
import numpy as np

from tests.material import fonts
from tests.material.scenes import canvas as c
from tests.material.scenes.registry import kind

PRINTED = "fonts"
PRINTS = "prints"


def print_of(font, text, rng) -> bytes:
    """Black on white as drawn by a program, or printed and scanned, photographed, inverted."""
    ink = fonts.ink(font, text, int(rng.uniform(90, 200)))
    shape = (280, max(280, ink.shape[1] + 40))
    where = c.layer(shape, ink, *c.middle(shape, ink, rng))
    way = rng.rand()
    if way < 0.5:
        return c.encoded(c.pixels(255 - 255 * where))
    if way < 0.6:
        return c.encoded(c.pixels(12 + 235 * where))
    sheet = c.soaked(c.paper(shape, rng), where, (35, 34, 36))
    return c.scanned(sheet, rng) if way < 0.8 else c.taken(c.seen(sheet, rng, 0.04), rng)


def _of_font(font):
    return lambda digit, rng: print_of(font, str(digit.label), rng)


for _font in fonts.installed():
    kind(f"font {_font.file.rsplit('.')[0]}", PRINTED)(_of_font(_font))


def some_font(sign, rng):
    """Of the installed ones that have the sign; None where there is none."""
    found = [font for font in fonts.installed() if fonts.holds(font, sign)]
    return found[rng.randint(len(found))] if found else None


def some_print(text, height, rng) -> np.ndarray:
    font = some_font(text, rng)
    if font is not None:
        return fonts.ink(font, text, int(height))
    ink = np.zeros((int(2 * height), int(2 * height * len(text))), np.uint8)
    at = (int(0.2 * height), int(1.5 * height))
    cv2.putText(
        ink,
        text,
        at,
        cv2.FONT_HERSHEY_DUPLEX,
        height / 22,
        255,
        max(1, int(height / 12)),
        cv2.LINE_AA,
    )
    return c.cut_tightly(ink.astype(np.float32) / 255)


@kind("house number", PRINTS)
def house_number(digit, rng):
    """A printed digit on a plate on a wall."""
    shape = (300, 260)
    pairs = [
        ((240, 240, 236), (20, 20, 24)),
        ((25, 55, 130), (245, 245, 245)),
        ((30, 30, 34), (235, 200, 110)),
    ]
    base, colour = pairs[rng.randint(3)]
    sign = c.plain(shape, base) + 2 * c.noise(shape, rng, 30)[..., None]
    if rng.rand() < 0.7:
        cv2.rectangle(sign, (10, 10), (249, 289), colour, int(rng.randint(3, 6)), cv2.LINE_AA)
    ink = some_print(str(digit.label), rng.uniform(150, 200), rng)
    sign = c.painted(sign, c.layer(shape, ink, *c.middle(shape, ink, rng, 0.02)), colour)
    return c.taken(c.lay(c.bricks((420, 400), rng), sign, rng, rng.uniform(0.55, 0.85)), rng)


@kind("calendar leaf", PRINTS)
def calendar(digit, rng):
    """A large red or black date, the month's name small above it."""
    shape = (360, 300)
    sheet = c.paper(shape, rng, (250, 249, 245))
    month = ["MARCH", "JULY", "AUGUST", "MAY"][rng.randint(4)]
    cv2.putText(sheet, month, (95, 50), cv2.FONT_HERSHEY_DUPLEX, 0.8, (60, 60, 60), 1, cv2.LINE_AA)
    ink = some_print(str(digit.label), rng.uniform(150, 200), rng)
    where = c.layer(shape, ink, 105, int((300 - ink.shape[1]) / 2))
    return c.taken(c.soaked(sheet, where, [(190, 30, 35), (30, 30, 34)][rng.randint(2)]), rng)


@kind("a key of a keypad", PRINTS)
def key(digit, rng):
    """A light digit on a dark key with a rounded edge, others beside it cut off."""
    view = c.plain((360, 360), rng.uniform(120, 200) * np.ones(3))
    tone = rng.uniform(25, 70)
    for x in (-250, 50, 350):
        for y in (-250, 50, 350):
            cv2.rectangle(view, (x + 8, y + 8), (x + 252, y + 252), (tone,) * 3, -1, cv2.LINE_AA)
            cv2.rectangle(
                view, (x + 4, y + 4), (x + 256, y + 256), (tone + 18,) * 3, 6, cv2.LINE_AA
            )
    ink = some_print(str(digit.label), rng.uniform(90, 140), rng)
    where = c.layer((360, 360), ink, *c.middle((360, 360), ink, rng, 0.02))
    return c.taken(c.painted(view, where, (240, 240, 240)), rng)


@kind("a lift's button", PRINTS)
def button(digit, rng):
    """A lit ring, the digit engraved in steel."""
    metal = c.plain((360, 360), (150, 152, 156)) + 4 * c.noise((360, 360), rng)[..., None]
    glow = [(255, 150, 60), (90, 170, 255), (255, 80, 70)][rng.randint(3)]
    face = np.zeros((360, 360), np.uint8)
    cv2.circle(face, (180, 180), 135, 255, -1, cv2.LINE_AA)
    metal = c.painted(metal, face.astype(np.float32) / 255, (196, 198, 202))
    around = np.zeros((360, 360), np.uint8)
    cv2.circle(around, (180, 180), 140, 255, int(rng.randint(6, 14)), cv2.LINE_AA)
    metal = c.painted(metal, around.astype(np.float32) / 255, glow)
    ink = some_print(str(digit.label), rng.uniform(100, 140), rng)
    where = c.layer((360, 360), ink, *c.middle((360, 360), ink, rng, 0.01))
    return c.taken(c.painted(metal, where, (50, 50, 54)), rng)
