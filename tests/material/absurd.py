"""Pictures on which there is no digit, and that somebody will try: uint8 ``[H, W]``.

``ABSURD`` maps a kind to a function of a random stream. Each was made to be no digit to a person,
whatever the stream. Letters are kept apart in ``letter``: several of them are digits to anybody.
"""

from typing import Callable, Dict

import cv2
import numpy as np

Maker = Callable[[np.random.RandomState], np.ndarray]

SIDE = 240
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
WORDS = "paper reads little when everybody writes about handwriting in a hurry".split()


def white() -> np.ndarray:
    return np.full((SIDE, SIDE), 255, np.uint8)


def level(rng):
    return np.full((SIDE, SIDE), rng.randint(256), np.uint8)


def blank_paper(rng):
    """Grain and sensor noise."""
    return _picture(rng.uniform(120, 240) + rng.normal(0, rng.uniform(0.5, 8), (SIDE, SIDE)))


def blank_in_uneven_light(rng):
    return _picture(230 * light(rng) + rng.normal(0, rng.uniform(0, 4), (SIDE, SIDE)))


def blank_in_a_shadow(rng):
    """The straight and rather sharp edge of a shadow across blank paper."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * x + np.sin(angle) * y - rng.uniform(-0.3, 0.3)
    shadow = 1 - rng.uniform(0.2, 0.7) / (1 + np.exp(-across * rng.uniform(8, 60)))
    return _picture(225 * shadow * light(rng) + rng.normal(0, 2, (SIDE, SIDE)))


def lamp(rng):
    """A lamp's spot of light on blank paper, or a dark corner."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    middle = rng.uniform(-0.2, 1.2, 2)
    away = np.hypot(x - middle[0], y - middle[1])
    return _picture(255 * np.exp(-((away / rng.uniform(0.4, 1.2)) ** 2)))


def light(rng: np.random.RandomState) -> np.ndarray:
    """Strongly uneven light, 0–1."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0.3, 0.95) * (np.cos(angle) * x + np.sin(angle) * y)
    return np.clip(0.6 - slope + rng.uniform(-0.3, 0.3) * x * y, 0.05, 1)


def noise(rng):
    return rng.randint(0, 256, (SIDE, SIDE)).astype(np.uint8)


def coarse_noise(rng):
    cells = int(rng.randint(6, 40))
    small = rng.randint(0, 256, (cells, cells)).astype(np.uint8)
    return cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)


def salt_and_pepper(rng):
    picture = white()
    picture[rng.rand(SIDE, SIDE) < rng.uniform(0.02, 0.4)] = 0
    return picture


def noise_of_mnists_size(rng):
    return rng.randint(0, 256, (28, 28)).astype(np.uint8)


def clouds(rng):
    """A photo of nothing: sky, skin, a blurred room."""
    octaves = sum(
        cv2.resize(rng.normal(0, 1, (n, n)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) / n
        for n in (3, 5, 9, 17)
    )
    return _picture(128 + rng.uniform(60, 300) * octaves)


def checkerboard(rng):
    cells = int(rng.randint(4, 17))
    board = np.indices((cells, cells)).sum(0) % 2 * 255
    return cv2.resize(board.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)


def stripes(rng):
    width = int(rng.randint(4, 30))
    bands = np.tile(np.arange(SIDE) // width % 2 * 255, (SIDE, 1)).astype(np.uint8)
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), float(rng.uniform(0, 180)), 1.5)
    return cv2.warpAffine(bands, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)


def squared_paper(rng):
    picture, step = white(), int(rng.randint(12, 40))
    picture[::step] = picture[:, ::step] = 120
    return picture


def filled_page(rng):
    """A page painted over, with a rough edge."""
    picture = white()
    inset = rng.randint(5, 40, 4)
    picture[inset[0] : -inset[1], inset[2] : -inset[3]] = 30
    return _picture(cv2.GaussianBlur(picture, (0, 0), 1.5) + rng.normal(0, 5, picture.shape))


def blot(rng):
    """A filled shape: a disc, a triangle, a star."""
    picture, corners = white(), int(rng.choice([3, 5, 8, 40]))
    angles = np.arange(corners) * 2 * np.pi / corners + rng.uniform(0, 6)
    radii = np.where(np.arange(corners) % 2 == 0, 90, rng.uniform(40, 90))
    points = SIDE / 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    return cv2.fillPoly(picture, [np.rint(points).astype(np.int32)], 20, cv2.LINE_AA)


def paragraph(rng):
    picture, font = white(), int(rng.choice(FONTS))
    size = rng.uniform(0.4, 0.8)
    for y in np.arange(25, SIDE - 10, 38 * size):
        words = " ".join(rng.choice(WORDS, 6))
        cv2.putText(picture, words, (8, int(y)), font, size, 20, 1, cv2.LINE_AA)
    return picture


def word(rng):
    picture, font = white(), int(rng.choice(FONTS))
    chosen = str(rng.choice(WORDS[:5]))
    return cv2.putText(picture, chosen, (15, 130), font, 1.3, 20, 2, cv2.LINE_AA)


def scribble(rng):
    """A pen that went over the paper again and again."""
    points = rng.uniform(0.1, 0.9, (int(rng.randint(14, 30)), 2)) * SIDE
    return cv2.polylines(white(), [np.rint(points).astype(np.int32)], False, 20, 6, cv2.LINE_AA)


def crossing_out(rng):
    picture = white()
    for _ in range(int(rng.randint(6, 12))):
        ends = rng.uniform(0.1, 0.9, (2, 2)) * SIDE
        (x0, y0), (x1, y1) = np.rint(ends).astype(int).tolist()
        cv2.line(picture, (x0, y0), (x1, y1), 20, 8, cv2.LINE_AA)
    return picture


def face(rng):
    picture, middle = white(), SIDE // 2
    cv2.circle(picture, (middle, middle), 90, 20, 7, cv2.LINE_AA)
    for x in (-32, 32):
        cv2.circle(picture, (middle + x, middle - 25), int(rng.randint(8, 14)), 20, -1, cv2.LINE_AA)
    cv2.ellipse(picture, (middle, middle + 15), (45, 35), 0, 20, 160, 20, 7, cv2.LINE_AA)
    return picture


def barcode(rng):
    bars = np.repeat(rng.randint(0, 2, 60), 3)
    picture = white()
    picture[60:180, 30 : 30 + len(bars)] = np.where(bars, 20, 255)
    return picture


def code_of_squares(rng):
    cells = int(rng.randint(15, 26))
    code = rng.randint(0, 2, (cells, cells)).astype(np.uint8) * 255
    inner = cv2.resize(code, (SIDE - 40, SIDE - 40), interpolation=cv2.INTER_NEAREST)
    return np.pad(inner, 20, constant_values=255)


def letter(rng):
    picture, font = white(), int(rng.choice(FONTS))
    chosen = str(rng.choice(list("AEFHKMNPRWXaehkmnrwx")))
    return cv2.putText(picture, chosen, (60, 180), font, 5, 20, 12, cv2.LINE_AA)


def _picture(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


BLANK: Dict[str, Maker] = {
    "one level": level,
    "blank paper": blank_paper,
    "blank, uneven light": blank_in_uneven_light,
    "blank, a shadow": blank_in_a_shadow,
    "blank, a lamp": lamp,
}

ABSURD: Dict[str, Maker] = {
    **BLANK,
    "noise": noise,
    "coarse noise": coarse_noise,
    "salt and pepper": salt_and_pepper,
    "noise of 28×28": noise_of_mnists_size,
    "clouds": clouds,
    "checkerboard": checkerboard,
    "stripes": stripes,
    "squared paper": squared_paper,
    "filled page": filled_page,
    "blot": blot,
    "paragraph": paragraph,
    "word": word,
    "scribble": scribble,
    "crossing out": crossing_out,
    "face": face,
    "barcode": barcode,
    "code of squares": code_of_squares,
}
