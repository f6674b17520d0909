"""A picture with its digits in boxes, as a PNG file."""

from pathlib import Path
from typing import Any, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from mnist.base.files import atomic_write
from mnist.pictures.decode import Pixels
from mnist.pictures.normalize import FoundDigit

# Colours (RGB): sure, less sure, no digit.
SURE, UNSURE, NONE = (0, 140, 60), (214, 120, 0), (130, 130, 130)
SURE_FROM = 0.9
MAX_SIDE = 2000
# What was written here, and may be written over.
MARK = "mnist.predict --many"


def write(path: Path, pixels: Pixels, pairs: Sequence[Tuple[FoundDigit, Any]]) -> None:
    """Write a picture with a box and a label for each digit, which has its prediction.

    A very large picture is made smaller, to 2,000 pixels. The file appears whole or not at all.
    """
    picture = Image.fromarray(pixels.values).convert("RGB")
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    factor = picture.width / pixels.values.shape[1] / pixels.reduced
    usual = factor * float(np.median([digit.box[3] for digit, _ in pairs]))
    for digit, prediction in pairs:
        _draw(ImageDraw.Draw(picture), digit.on_larger(factor), prediction, usual)
    about = PngInfo()
    about.add_text("Software", MARK)
    with atomic_write(path) as file:
        picture.save(file, "PNG", pnginfo=about)


def _draw(draw: Any, digit: FoundDigit, prediction: Any, usual: float) -> None:
    """A box, and its label white on a tab above it, or within it at the picture's top."""
    left, top, width, height = digit.box
    colour, label = NONE, "?"
    if prediction.is_digit:
        colour = SURE if prediction.confidence >= SURE_FROM else UNSURE
        label = str(prediction.digit)
    thickness = max(1, round(usual / 40))
    margin, pad = 2 * thickness, 2 + thickness
    corner = (left - margin, top - margin)
    far = (left + width + margin, top + height + margin)
    draw.rectangle((*corner, *far), outline=colour, width=thickness)
    font: Any = ImageFont.load_default(float(np.clip(usual / 3, 10, 64)))
    _, _, right, bottom = font.getbbox(label)
    tab = (corner[0], max(0, corner[1] - bottom - 2 * pad))
    draw.rectangle((*tab, tab[0] + right + 2 * pad, tab[1] + bottom + 2 * pad), fill=colour)
    draw.text((tab[0] + pad, tab[1] + pad), label, "white", font)
