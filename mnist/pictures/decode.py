"""A picture's file → its pixels, upright: uint8 grey or RGB.

Decoding is Pillow's, for formats that people's pictures have and whose decoders need no outside
program.
"""

import io
import math
import os
import warnings
from contextlib import suppress
from typing import Any, NamedTuple, Tuple, Union

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, TiffImagePlugin

from mnist.base import notes
from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.base.files import PathLike, read_input
from mnist.pictures.normalize import Grey

MAX_FILE_BYTES = 64 << 20
MAX_PIXELS = 50_000_000
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", TiffImagePlugin.TiffImageFile.format, "WEBP")
"""What Pillow may decode here."""

# A JPEG is decoded to a half, a quarter or an eighth of its sides as long as that leaves so many
# pixels of the longer one; it may then have so many times the pixels of other pictures.
JPEG_SIDE, JPEG_TIMES = 2000, 4
# Pixels are counted below, before any is decoded.
Image.MAX_IMAGE_PIXELS = None
# Of an animation so many frames are looked at, evenly spread.
MOST_FRAMES = 50
ANIMATIONS = ("GIF", "PNG", "WEBP")

# What people send that none of the decoders reads: where its mark is, the mark, its name.
OTHERS = (
    (0, b"%PDF", "a PDF; save the page as PNG"),
    (4, b"ftypavif", "AVIF; save it as PNG or JPEG"),
    (4, b"ftyp", "HEIC, as telephones take photos, or a film; save it as JPEG"),
    (0, b"<svg", "SVG; save it as PNG"),
)


# A picture's file, its bytes, or its pixels: uint8 [H,W] or RGB [H,W,3].
Source = Union[PathLike, bytes, Array]


class TooLarge(InputError):
    """A picture has more pixels than are decoded."""


class Pixels(NamedTuple):
    """uint8 ``[H, W]`` grey or RGB ``[H, W, 3]``, so many times smaller than the file has it."""

    values: Grey
    reduced: int


def name_of(source: Source) -> str:
    """What a picture is called in a message."""
    return "picture" if isinstance(source, (bytes, np.ndarray)) else os.fspath(source)


def load_pixels(source: Source, max_pixels: int = MAX_PIXELS) -> Pixels:
    """A picture, upright; pixels are taken as they are.

    Transparent parts become paper. Of an animation the frame with most ink is taken, and said.
    Raises InputError, naming the path, for whatever cannot be decoded, or is larger than 64 MiB
    or ``max_pixels`` (at the most 50 million), which is seen before anything is decoded.
    """
    if isinstance(source, np.ndarray):
        is_grey_or_rgb = source.ndim >= 2 and source.shape[2:] in ((), (3,))
        if source.dtype != np.uint8 or not is_grey_or_rgb or not source.size:
            given = f"{source.dtype} {list(source.shape)}"
            raise InputError(f"a picture must be uint8 [H,W] or [H,W,3], not {given}")
        return Pixels(source, 1)
    name = name_of(source)
    data = source if isinstance(source, bytes) else read_input(source, MAX_FILE_BYTES)
    if not data:
        raise InputError(f"{name}: the file is empty")
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB, too large for a picture")
    try:
        with warnings.catch_warnings():
            # Of damage that Pillow can live with it says so on lines of its own.
            warnings.simplefilter("ignore")
            return _decode(name, data, min(max_pixels, MAX_PIXELS))
    except InputError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:
        # Decoders raise nearly anything on a damaged file: OSError, SyntaxError, ValueError,
        # struct.error, KeyError, zlib.error, MemoryError…
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{name}: a damaged picture ({detail})") from error


def _decode(name: str, data: bytes, max_pixels: int) -> Pixels:
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError:
        found = (f"it is {what}" for at, mark, what in OTHERS if data[at:].startswith(mark))
        why = next(found, f"known are {', '.join(FORMATS)}")
        raise InputError(f"not a picture that can be read ({why})") from None
    with picture:
        width = picture.size[0]
        _reduce(picture, max_pixels)
        number, frames = _fullest_frame(picture, max_pixels)
        picture.seek(number)
        picture.load()
        reduced = round(width / picture.size[0])
        # A broken EXIF block says nothing about how the camera was held.
        with suppress(Exception):
            ImageOps.exif_transpose(picture, in_place=True)
        pixels = _as_array(picture)
    if frames > 1:
        notes.warn(f"{name}: has {frames} frames or pages; number {number + 1} is read")
    return Pixels(pixels, reduced)


def _reduce(picture: Any, max_pixels: int) -> None:
    """Have a large JPEG decoded at a part of its size, and refuse what is larger than allowed."""
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        _check_pixels(picture.size, max_pixels, JPEG_TIMES)
        factor = JPEG_SIDE / max(picture.size)
        picture.draft(None, tuple(max(1, int(factor * side)) for side in picture.size))
    _check_pixels(picture.size, max_pixels)


def _check_pixels(size: Tuple[int, int], max_pixels: int, times: int = 1) -> None:
    width, height = size
    if width * height > times * max_pixels:
        limit = max_pixels // 1_000_000
        raise TooLarge(
            f"too many pixels ({width}×{height}): the limit is {limit} million; make it smaller"
        )
    if width < 1 or height < 1:
        raise InputError(f"a picture without pixels ({width}×{height})")


def _fullest_frame(picture: Any, max_pixels: int) -> Tuple[int, int]:
    """Which frame of an animation has most ink, and how many there are; else the first.

    A drawing that was recorded begins with blank paper. How many are decoded is bounded.
    """
    # A telephone's JPEG may have others within it: what the eye sees comes first.
    is_jpeg = isinstance(picture, JpegImagePlugin.JpegImageFile)
    frames = 1 if is_jpeg else getattr(picture, "n_frames", 1)
    if frames == 1 or picture.format not in ANIMATIONS:
        return 0, frames
    last = min(frames, max(1, 4 * max_pixels // math.prod(picture.size))) - 1
    numbers = np.unique(np.linspace(0, last, MOST_FRAMES).astype(int)).tolist()
    ink = {number: _contrast_of(picture, number) for number in numbers}
    return max(numbers, key=lambda number: (ink[number], number)), frames


def _contrast_of(picture: Any, number: int) -> float:
    picture.seek(number)
    return float(_as_array(picture).std())


def _as_array(picture: Any) -> Grey:
    """Any mode as uint8: ``[H, W]`` grey, or ``[H, W, 3]`` RGB."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _stretched(np.asarray(picture))
    if "transparency" in picture.info or picture.mode[-1] in "Aa":
        return np.asarray(_on_paper(picture.convert("RGBA")))
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))


def _stretched(values: Array) -> Grey:
    """16-bit, 32-bit and float pixels with their own range spread over 0–255."""
    finite = np.nan_to_num(values.astype(np.float32), nan=0, posinf=0, neginf=0)
    # Two steps, so that the range of the largest floats does not overflow.
    finite /= max(float(np.abs(finite).max()), 1e-30)
    low, high = float(finite.min()), float(finite.max())
    finite = (finite - low) * (255 / max(high - low, 1e-30))
    return np.asarray(np.rint(finite), np.uint8)


def _on_paper(picture: Any) -> Any:
    """RGBA over a paper on which what is opaque can be seen: RGB.

    If that is of one kind it is the ink, and the paper is white under dark ink and black under
    light; if dark and light are both there, paper is among them and is the most of them.
    """
    alpha = np.asarray(picture.getchannel("A"))
    if alpha.min() == 255:
        return picture.convert("RGB")
    seen = np.asarray(picture)[alpha > alpha.max() // 2, :3]
    brightness = seen[:: len(seen) // 100_000 + 1].mean(1)
    paper = (255, 255, 255) if not len(seen) or brightness.mean() < 128 else (0, 0, 0)
    if len(seen) and float(np.subtract(*np.percentile(brightness, (97, 3)))) > 100:
        paper = tuple(np.median(seen, 0).astype(int).tolist())
    sheet = Image.new("RGBA", picture.size, (*paper, 255))
    return Image.alpha_composite(sheet, picture).convert("RGB")
