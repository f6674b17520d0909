"""Digits with nothing about them: as MNIST holds them, on white, on screens, in every file type."""

import io

import cv2
import numpy as np
from PIL import Image

from tests.material.scenes import canvas as c
from tests.material.scenes.registry import kind

PLAIN = "plain"
SCREENS = "screens"
FILES = "files"


@kind("as MNIST has it", PLAIN)
def as_it_is(digit, rng):
    return c.encoded(digit.image)


@kind("black on white, 28 pixels", PLAIN)
def inverted(digit, rng):
    return c.encoded(255 - digit.image)


@kind("black on white, enlarged", PLAIN)
def enlarged(digit, rng):
    """The 28×28 scaled to some size by some filter, on a white sheet."""
    way = [cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC][rng.randint(3)]
    side = int(rng.choice([56, 84, 100, 140, 200, 280]))
    return c.encoded(255 - cv2.resize(digit.image, (side, side), interpolation=way))


@kind("black on white, tilted", PLAIN)
def tilted(digit, rng):
    side = 140
    large = cv2.resize(digit.image, (side, side), interpolation=cv2.INTER_CUBIC)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-15, 15), 0.9)
    return c.encoded(255 - cv2.warpAffine(large, matrix, (side, side)))


@kind("small in a corner", PLAIN)
def in_a_corner(digit, rng):
    sheet = np.full((200, 200), 255, np.uint8)
    side = int(rng.randint(36, 60))
    small = 255 - cv2.resize(digit.image, (side, side), interpolation=cv2.INTER_AREA)
    top, left = (int(rng.choice([2, 198 - side])) for _ in range(2))
    sheet[top : top + side, left : left + side] = small
    return c.encoded(sheet)


def _drawn(digit, rng, shape=(280, 280), height=(0.4, 0.8), pen=(0.05, 0.12), wander=0.1):
    ink = c.written(digit, rng.uniform(*height) * min(shape), rng.uniform(*pen))
    return c.layer(shape, ink, *c.middle(shape, ink, rng, wander))


def _plain(digit, rng, **how):
    return c.pixels(
        c.painted(
            c.plain(how.get("shape", (280, 280)), (255,) * 3), _drawn(digit, rng, **how), (0,) * 3
        )
    )


@kind("a wide picture", PLAIN)
def wide(digit, rng):
    """A strip six times as wide as high, the digit somewhere in it."""
    strip = _plain(digit, rng, shape=(130, 780), height=(0.5, 0.8), wander=0.4)
    return c.encoded(strip)


@kind("a tiny picture", PLAIN)
def tiny(digit, rng):
    large = _plain(digit, rng, height=(0.6, 0.85), pen=(0.09, 0.14))
    side = int(rng.randint(24, 40))
    return c.encoded(cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA))


@kind("JPEG of quality 8", PLAIN)
def poor_jpeg(digit, rng):
    return c.jpeg(_plain(digit, rng), int(rng.randint(6, 14)))


# --- screens ---------------------------------------------------------------------------


@kind("dark mode", SCREENS)
def dark_mode(digit, rng):
    """A note program at night: light strokes on dark grey, a bar above."""
    shape = (440, 400)
    view = c.plain(shape, (30, 30, 32))
    view[:36] = (44, 44, 48)
    cv2.putText(
        view, "< Notes", (12, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (240, 190, 60), 1, cv2.LINE_AA
    )
    ink = _drawn(digit, rng, (404, 400), (0.35, 0.7))
    view[36:] = c.painted(
        view[36:], ink, [(245, 245, 245), (255, 214, 80), (110, 180, 255)][rng.randint(3)]
    )
    return c.encoded(c.pixels(view))


@kind("telephone's screenshot", SCREENS)
def telephone(digit, rng):
    """Tall, with the clock and battery above and a row of buttons below."""
    shape = (640, 320)
    view = c.plain(shape, (255, 255, 255))
    cv2.putText(
        view,
        "12:4" + str(rng.randint(10)),
        (14, 20),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.45,
        (20, 20, 20),
        1,
        cv2.LINE_AA,
    )
    cv2.rectangle(view, (282, 9), (304, 20), (20, 20, 20), 1)
    view[580:] = (240, 240, 244)
    for number in range(5):
        cv2.circle(
            view,
            (32 + 64 * number, 610),
            11,
            tuple(map(int, rng.randint(0, 200, 3))),
            -1,
            cv2.LINE_AA,
        )
    ink = _drawn(digit, rng, (540, 320), (0.4, 0.75))
    view[36:576] = c.painted(
        view[36:576], ink, [(0, 0, 0), (30, 80, 220), (220, 40, 40)][rng.randint(3)]
    )
    return c.encoded(c.pixels(view))


@kind("drawn with a mouse", SCREENS)
def mouse(digit, rng):
    """Unsmoothed pixels of an old drawing program."""
    ink = (_drawn(digit, rng, (240, 240), pen=(0.02, 0.08)) > 0.5).astype(np.uint8)
    return c.encoded(255 - 255 * ink)


@kind("gradient behind", SCREENS)
def gradient(digit, rng):
    """A coloured gradient, white strokes, as on a slide."""
    shape = (300, 400)
    ends = rng.uniform(20, 130, (2, 3))
    share = np.linspace(0, 1, shape[1])[None, :, None]
    view = np.broadcast_to(ends[0] * (1 - share) + ends[1] * share, (*shape, 3))
    return c.encoded(
        c.pixels(c.painted(view, _drawn(digit, rng, shape, (0.5, 0.8)), (255, 255, 255)))
    )


# --- files -----------------------------------------------------------------------------


def _upright(digit, rng):
    return Image.fromarray(_plain(digit, rng, shape=(300, 240), height=(0.5, 0.8)))


# How pixels are to be stored for each of EXIF's orientations to show them upright.
STORED = {
    3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270,
    2: Image.Transpose.FLIP_LEFT_RIGHT, 5: Image.Transpose.TRANSPOSE, 7: Image.Transpose.TRANSVERSE,
}  # fmt: skip


def _turned_file(digit, rng, form, **options):
    orientation = list(STORED)[rng.choice(6, p=[0.25, 0.35, 0.25, 0.05, 0.05, 0.05])]
    picture = _upright(digit, rng).transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    picture.save(data, form, exif=exif.tobytes(), **options)
    return data.getvalue()


@kind("JPEG turned by EXIF", FILES)
def exif_jpeg(digit, rng):
    return _turned_file(digit, rng, "JPEG", quality=85)


@kind("TIFF turned by its tag", FILES)
def exif_tiff(digit, rng):
    return _turned_file(digit, rng, "TIFF", compression="tiff_lzw")


@kind("WebP turned by EXIF", FILES)
def exif_webp(digit, rng):
    return _turned_file(digit, rng, "WEBP", quality=80)


@kind("transparent PNG", FILES)
def transparent(digit, rng):
    """Ink and nothing else: the paper is transparent."""
    ink = _drawn(digit, rng)
    colour = np.broadcast_to(np.float32(rng.randint(0, 90, 3)), (*ink.shape, 3))
    return c.encoded(c.pixels(np.dstack([colour, 255 * ink])))


@kind("16-bit PNG", FILES)
def deep(digit, rng):
    grey = 60_000 - 52_000 * _drawn(digit, rng) + 400 * c.noise((280, 280), rng)
    return c.encoded(np.clip(grey, 0, 65_535).astype(np.uint16))


@kind("GIF of four colours", FILES)
def gif(digit, rng):
    data = io.BytesIO()
    _upright(digit, rng).quantize(4).save(data, "GIF")
    return data.getvalue()


@kind("bitmap (PBM)", FILES)
def bitmap(digit, rng):
    data = io.BytesIO()
    _upright(digit, rng).convert("1").save(data, "PPM")
    return data.getvalue()
