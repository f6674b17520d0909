"""Any picture of a digit → 28×28 in MNIST's own form.

Decoding is Pillow's, for formats that people's pictures have and whose decoders need no outside
program.
"""

import io
import os
import warnings
from typing import Any, Optional, Tuple, Union

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.base.files import PathLike, read_input
from mnist.pictures.normalize import Grey, to_mnist

__all__ = ["grey_of", "load_image", "load_pixels", "read_digit", "to_mnist"]

MAX_FILE_BYTES = 64 << 20
MAX_PIXELS = 50_000_000
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", TiffImagePlugin.TiffImageFile.format, "WEBP")
"""What Pillow may decode here."""

# The EXIF tag that says how the camera was held, and what to do about each of its values.
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Rec. 601: how bright red, green and blue are.
LUMINANCE = np.array([0.299, 0.587, 0.114])


def read_digit(source: Union[PathLike, bytes]) -> Grey:
    """The digit on a picture (a file, or its bytes): uint8 ``[28, 28]``, light ink on black.

    Raises InputError, naming the path, for a file that cannot be read or has no ink on it.
    """
    grey = load_image(source)
    try:
        return to_mnist(grey)
    except InputError as error:
        if isinstance(source, bytes):
            raise
        raise type(error)(f"{os.fspath(source)}: {error}") from error


def load_image(source: Union[PathLike, bytes], max_pixels: int = MAX_PIXELS) -> Grey:
    """A picture (a file, or a file's bytes) in grey, upright, ink on paper: uint8 ``[H, W]``.

    ``load_pixels``, then ``grey_of``; raises what the former raises.
    """
    return grey_of(load_pixels(source, max_pixels))


def load_pixels(source: Union[PathLike, bytes], max_pixels: int = MAX_PIXELS) -> Grey:
    """A picture (a file, or a file's bytes), upright: uint8 ``[H, W]``, or RGB ``[H, W, 3]``.

    Transparent parts become paper. Of an animation the first frame is taken. Raises InputError,
    naming the path, for whatever cannot be decoded, or is larger than 64 MiB or ``max_pixels``
    (at the most 50 million), which is seen before anything is decoded.
    """
    if isinstance(source, bytes):
        name, data = "picture", source
    else:
        name, data = os.fspath(source), read_input(source, MAX_FILE_BYTES)
    if not data:
        raise InputError(f"{name}: the file is empty")
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{name}: larger than {MAX_FILE_BYTES >> 20} MiB, too large for a picture")
    try:
        with warnings.catch_warnings():
            # Of damage that Pillow can live with it says so on lines of its own.
            warnings.simplefilter("ignore")
            return _decode(data, min(max_pixels, MAX_PIXELS))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    except Exception as error:
        # Decoders raise nearly anything on a damaged file: OSError, SyntaxError, ValueError,
        # struct.error, KeyError, zlib.error, MemoryError, cv2.error…
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{name}: a damaged picture ({detail})") from error


def _decode(data: bytes, max_pixels: int) -> Grey:
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_many_pixels(max_pixels) from None
    except Image.UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise InputError(f"not a picture that can be read (known are {known})") from None
    with picture:
        _check_pixels(picture.size, max_pixels)
        turn = _turn(picture)
        upright = picture.transpose(turn) if turn is not None else picture
        return _plain(_as_array(upright))


def _check_pixels(size: Tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise _too_many_pixels(max_pixels, f" ({width}×{height})")
    if width < 1 or height < 1:
        raise InputError(f"a picture without pixels ({width}×{height})")


def _too_many_pixels(max_pixels: int, size: str = "") -> InputError:
    limit = max_pixels // 1_000_000
    return InputError(f"too many pixels{size}: the limit is {limit} million; make it smaller")


def _turn(picture: Any) -> Optional[Image.Transpose]:
    """How to turn the picture upright; a broken EXIF block says nothing about it."""
    try:
        return UPRIGHT.get(picture.getexif().get(ORIENTATION))
    except Exception:
        return None


def _as_array(picture: Any) -> Array:
    """Any mode as uint8 or deeper: ``[H, W]`` grey, or ``[H, W, 3 or 4]`` RGB(A)."""
    if picture.mode in ("1", "L") and "transparency" not in picture.info:
        return np.asarray(picture.convert("L"))
    if picture.mode == "F" or picture.mode.startswith("I"):
        return np.asarray(picture)
    transparent = "transparency" in picture.info or picture.mode[-1] in "Aa"
    return np.asarray(picture.convert("RGBA" if transparent else "RGB"))


def _stretched(values: Array) -> Grey:
    """16-bit, 32-bit and float pixels with their own range spread over 0–255."""
    finite = np.nan_to_num(values.astype(np.float32), nan=0, posinf=0, neginf=0)
    # Two steps, so that the range of the largest floats does not overflow.
    finite /= max(float(np.abs(finite).max()), 1e-30)
    low, high = float(finite.min()), float(finite.max())
    finite = (finite - low) * (255 / max(high - low, 1e-30))
    return np.asarray(np.rint(finite), np.uint8)


def _plain(picture: Array) -> Grey:
    """Pixels of any depth, with or without transparency, as uint8 grey or RGB."""
    if picture.dtype != np.uint8:
        picture = _stretched(picture)
    if picture.ndim == 3 and picture.shape[2] == 4:
        picture = _on_paper(picture)
    return picture


def grey_of(pixels: Grey) -> Grey:
    """Pixels in grey, uint8 ``[H, W]``: colours along the direction in which they differ most.

    So red ink on green paper is seen. What is grey already keeps its values.
    """
    return pixels if pixels.ndim == 2 else _along_contrast(pixels)


def _on_paper(picture: Array) -> Array:
    """RGBA over a paper on which what is opaque can be seen: RGB."""
    colours, alpha = np.ascontiguousarray(picture[..., :3]), picture[..., 3]
    if alpha.min() == 255:
        return colours
    seen = colours[alpha > alpha.max() // 2]
    paper = np.full_like(colours, _paper_for(seen[:: len(seen) // 100_000 + 1]))
    opaque = cv2.merge([alpha, alpha, alpha])
    clear = cv2.bitwise_not(opaque)
    own = cv2.multiply(colours, opaque, scale=1 / 255)
    behind = cv2.multiply(paper, clear, scale=1 / 255)
    return np.asarray(cv2.add(own, behind))


def _paper_for(seen: Array) -> Array:
    """The paper's colour for opaque pixels, RGB ``[N, 3]``.

    If they are of one kind they are the ink, and the paper is white under dark ink and black
    under light; if dark and light are both there, paper is among them and is the most of them.
    """
    if len(seen) == 0:
        return np.full(3, 255, np.uint8)
    brightness = seen @ LUMINANCE
    darkest, lightest = np.percentile(brightness, (3, 97))
    if lightest - darkest > 100:
        return np.asarray(np.median(seen, axis=0), np.uint8)
    return np.full(3, 255 if brightness.mean() < 128 else 0, np.uint8)


def _along_contrast(picture: Array) -> Grey:
    """RGB → grey along the first principal axis of its colours, light staying light."""
    sample = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA).reshape(-1, 3)
    values, axes = np.linalg.eigh(np.cov(sample.T.astype(float)))
    axis = axes[:, -1] if values[-1] > 1 else LUMINANCE
    axis = axis * np.sign(axis @ LUMINANCE or 1) / np.abs(axis).sum()
    offset = -255 * axis[axis < 0].sum()
    return np.asarray(cv2.transform(picture, np.array([[*axis, offset]])))
