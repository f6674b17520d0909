"""Printed digits and letters in fonts that no training has seen.

They are those of Debian packages, found where they are installed (or unpacked beneath
``~/.local/share/fonts``); the training's fonts are none of these. A font that is not there is
left out, and ``missing()`` says which.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path.home() / ".local/share/fonts",
)


class Font(NamedTuple):
    """A font's file, and the Debian package that holds it."""

    file: str
    package: str


FONTS = [
    Font("AccanthisADFStd-Regular.otf", "fonts-adf-accanthis"),
    Font("BaskervaldADFStd-Bold.otf", "fonts-adf-baskervald"),
    Font("GilliusADF-Regular.otf", "fonts-adf-gillius"),
    Font("RomandeADFStd-Italic.otf", "fonts-adf-romande"),
    Font("Cantarell-Regular.otf", "fonts-cantarell"),
    Font("Cantarell-Thin.otf", "fonts-cantarell"),
    Font("Comfortaa-Bold.ttf", "fonts-comfortaa"),
    Font("ComicNeue-Regular.otf", "fonts-comic-neue"),
    Font("Courier Prime.otf", "fonts-courier-prime"),
    Font("Carlito-Bold.ttf", "fonts-crosextra-carlito"),
    Font("Caladea-Italic.ttf", "fonts-crosextra-caladea"),
    Font("GFSDidot.otf", "fonts-gfs-didot"),
    Font("GFSNeohellenic.otf", "fonts-gfs-neohellenic"),
    Font("BebasNeue-Regular.otf", "fonts-bebas-neue"),
    Font("Dosis-ExtraLight.otf", "fonts-dosis"),
    Font("Inconsolata.otf", "fonts-inconsolata"),
    Font("JunicodeTwoBeta-Regular.otf", "fonts-junicode"),
    Font("Jura-Regular.otf", "fonts-jura"),
    Font("Karla-Medium.otf", "fonts-karla"),
    Font("Lato-Black.ttf", "fonts-lato"),
    Font("Lato-LightItalic.ttf", "fonts-lato"),
    Font("LeagueSpartan-Bold.otf", "fonts-league-spartan"),
    Font("LinLibertine_R.otf", "fonts-linuxlibertine"),
    Font("lobster.otf", "fonts-lobster"),
    Font("OpenSans-Regular.ttf", "fonts-open-sans"),
    Font("OCRA.ttf", "fonts-ocr-a"),
    Font("OCRB.otf", "fonts-ocr-b"),
    Font("OldStandard-Regular.ttf", "fonts-oldstandard"),
    Font("Play-Regular.ttf", "fonts-play"),
    Font("Quattrocento-Regular.otf", "fonts-quattrocento"),
    Font("Quicksand-Medium.ttf", "fonts-quicksand"),
    Font("RobotoSlab-Regular.otf", "fonts-roboto-slab"),
    Font("Andika-Regular.ttf", "fonts-sil-andika"),
    Font("GenBkBasR.ttf", "fonts-sil-gentium-basic"),
    Font("Tuffy_Bold.ttf", "fonts-tuffy"),
    Font("YanoneKaffeesatz-Regular.otf", "fonts-yanone-kaffeesatz"),
    Font("NimbusSans-Bold.otf", "fonts-urw-base35"),
    Font("C059-Roman.otf", "fonts-urw-base35"),
    Font("URWGothic-Book.otf", "fonts-urw-base35"),
    Font("LiberationSans-Regular.ttf", "fonts-liberation"),
    Font("LiberationSerif-Bold.ttf", "fonts-liberation"),
    Font("GNUTypewriter.ttf", "fonts-gnutypewriter"),
    Font("Humor-Sans.ttf", "fonts-humor-sans"),
    Font("dkg.ttf", "fonts-dkg-handwriting"),
    Font("DancingScript-Regular.otf", "fonts-dancingscript"),
    Font("KaushanScript-Regular.otf", "fonts-kaushanscript"),
    Font("B612-Regular.otf", "fonts-b612"),
    Font("Go-Bold.ttf", "fonts-go"),
    Font("Cabin-Regular.otf", "fonts-cabin"),
    Font("GFSBodoniClassic.otf", "fonts-gfs-bodoni-classic"),
    Font("FantasqueSansMono-Regular.ttf", "fonts-fantasque-sans"),
    Font("RG2014D.ttf", "fonts-roadgeek"),
    Font("SteveHand.ttf", "fonts-sjfonts"),
]
CHINESE = [Font("ukai.ttc", "fonts-arphic-ukai"), Font("uming.ttc", "fonts-arphic-uming")]


@lru_cache(maxsize=None)
def _files() -> Dict[str, str]:
    """Every font file of this machine by its name."""
    found = {}
    for folder in FOLDERS:
        for parent, _, names in os.walk(folder):
            found.update((name, os.path.join(parent, name)) for name in names)
    return found


def installed(fonts: List[Font] = FONTS) -> List[Font]:
    return [font for font in fonts if font.file in _files()]


def missing(fonts: List[Font] = FONTS) -> List[str]:
    """The packages that would have to be installed."""
    return sorted({font.package for font in fonts if font.file not in _files()})


@lru_cache(maxsize=None)
def holds(font: Font, sign: str) -> bool:
    """Whether the font has a glyph for the sign, and not an empty box."""
    face = _loaded(font.file, 60)
    glyph = face.getmask(sign)
    return glyph.getbbox() is not None and bytes(glyph) != bytes(face.getmask("\uffff"))


@lru_cache(maxsize=64)
def _loaded(file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_files()[file], size)


def ink(font: Font, text: str, height: int) -> np.ndarray:
    """The text's ink, cut tightly and about ``height`` pixels high: float32 0–1."""
    face = _loaded(font.file, int(height * 1.4))
    left, top, right, bottom = face.getbbox(text)
    page = Image.new("L", (right - left + 8, bottom - top + 8))
    ImageDraw.Draw(page).text((4 - left, 4 - top), text, 255, font=face)
    drawn = np.asarray(page, np.float32) / 255
    rows, columns = (np.flatnonzero((drawn > 0.1).any(axis)) for axis in (1, 0))
    return np.pad(drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 2)
