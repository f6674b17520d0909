"""The course's ``mnist.json.gz``: read as a stream into ``uint8``, and written.

The file is gzip JSON ``[[images, labels], [images, labels], [images, labels]]`` for the splits
train, valid and eval. An image is a flat list of 784 numbers, row by row: floats 0–1 (k/255, or
k/256 as in Nielsen's ``mnist.pkl.gz``) or integers 0–255. A label is a whole number 0–9; of a data
set of other classes a fourth element lists their names, by label.

``json.load(gzip.open(path))``, as in the course, makes 55 million Python floats of it.
Here the text passes through a window of a few hundred KiB: all whole images in the
window are parsed by simdjson (https://simdjson.org) at once and stored as bytes.
"""

import gzip
import io
import json
import re
from typing import Any, BinaryIO, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import simdjson

from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.base.files import PathLike, atomic_write, open_input
from mnist.config import classes as naming
from mnist.config.classes import DIGITS, Classes
from mnist.data.digits import MAX_IMAGES, PIXELS, SIDE, SPLIT_NAMES, Samples
from mnist.data.gunzip import GunzipReader

# The text of MAX_IMAGES images in each split at 5 KB an image, which is generous.
_MAX_TEXT = 3 * MAX_IMAGES * 5_000
# An image takes 2 to 20 KB of text, a label 2 to 20 bytes.
_MAX_IMAGE_TEXT = 256 << 10
_MAX_LABEL_TEXT = 64
_MAX_NAMES_TEXT = 64 << 10
# The fastest of 64 KiB … 2 MiB, by a little: simdjson works in 14 times as much memory,
# which should stay in the processor's cache.
_BLOCK_SIZE = 512 << 10

# The scales that turn a pixel's number into its level k = 0 to 255, and how far off that may be.
# float32 and eight decimals are off by 0.00002 at most; k/255 and k/256 differ by 0.0039 at least,
# so a number (except 0 and 1) never fits both.
_TOLERANCES = {1: 0.0, 255: 0.001, 256: 0.001}

# What is said of a number that does not fit (None: no scale is known yet).
_UNFIT = {
    None: "neither a whole number 0 to 255 nor k/255 nor k/256",
    1: "not a whole number 0 to 255 like the others",
    255: "not k/255 (k = 0 to 255) like the others",
    256: "not k/256 (k = 0 to 255) like the others",
}

_SPACE = re.compile(rb"[ \t\r\n]*")
_END_OF_LISTS = re.compile(rb"\][ \t\r\n]*\]")


class _Fault(Exception):
    """What is wrong with the file; ``read`` puts its name before it."""


class Content(NamedTuple):
    """What a file holds: the splits train, valid, eval, its bytes' SHA-256, what labels mean."""

    splits: Tuple[Samples, Samples, Samples]
    sha256: str
    classes: Classes = DIGITS


def read(
    path: PathLike, block_size: int = _BLOCK_SIZE, classes: Optional[Classes] = None
) -> Content:
    """Read and validate a file in the course's format.

    The SHA-256 is that of the very bytes that were parsed. ``block_size`` is how many bytes of text
    are looked at at a time; it does not change the result. Whether the numbers are floats or
    integers is told from the first one that is neither 0 nor 1; a file without any holds floats.
    ``classes`` are what the labels are called, whatever the file says.

    Raises InputError, naming the file, the fault and mostly the image.
    """
    with open_input(path) as file:
        source = GunzipReader(path, file, _MAX_TEXT)
        window = _Window(io.BufferedReader(source, block_size), block_size)
        try:
            splits, names = _Parser(window).document(classes)
            return Content(splits, source.sha256(), names)
        except _Fault as fault:
            raise InputError(f"{path}: {fault}") from fault


class _Window:
    """The part of the JSON text that is in memory, and a place in it."""

    def __init__(self, source: BinaryIO, block_size: int) -> None:
        self._source = source
        self._block_size = block_size
        self._text = b""
        self._position = 0
        self._before = 0

    def peek(self) -> bytes:
        """The next character that is not white space, empty at the end of the text."""
        while True:
            match = _SPACE.match(self._text, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._text) or not self._fill():
                return self._text[self._position : self._position + 1]

    def require(self, character: bytes, what: str) -> None:
        """Make sure that ``character`` comes next, with which ``what`` begins or goes on."""
        found = self.peek()
        if found != character:
            instead = ascii(found.decode("latin-1")) if found else "the end of the text"
            raise self.fault(f"expected {character.decode()!r} ({what}), found {instead}")

    def expect(self, character: bytes, what: str) -> None:
        """Step over ``character``."""
        self.require(character, what)
        self._position += 1

    def whole_lists(self, limit: int, what: str) -> bytes:
        """What is in memory of a list of lists, whole ones, with ``[`` and ``]`` around it."""
        self._fill_until_bracket(limit, what)
        both = _END_OF_LISTS.search(self._text, self._position)
        end = 1 + (both.start() if both else self._text.rfind(b"]"))
        return b"[%b]" % memoryview(self._text)[self._position : end]

    def take_list(self, limit: int, what: str) -> bytes:
        """Take the text up to the next ``]``."""
        start = self._fill_until_bracket(limit, what)
        self._position = self._text.find(b"]", start) + 1
        return self._text[start : self._position]

    def advance(self, length: int) -> None:
        self._position += length

    def fault(self, what: str) -> _Fault:
        """A fault at the present place."""
        return _Fault(f"{what}, at byte {self._before + self._position:,} of the text")

    def _fill_until_bracket(self, limit: int, what: str) -> int:
        """Have a ``]`` in memory, at most ``limit`` bytes or so away; the present position."""
        while self._text.find(b"]", self._position) < 0:
            if len(self._text) - self._position > limit:
                raise self.fault(f"{what} does not end within {limit:,} bytes")
            if not self._fill():
                raise self.fault(f"the text ends in the middle of {what}")
        return self._position

    def _fill(self) -> bool:
        block = self._source.read(self._block_size)
        self._before += self._position
        self._text = self._text[self._position :] + block
        self._position = 0
        return bool(block)


class _Parser:
    """The structure of the document, and the checks of what it holds."""

    def __init__(self, window: _Window) -> None:
        self._window = window
        self._json = simdjson.Parser()
        self._pixels = _PixelStore()

    def document(
        self, classes: Optional[Classes]
    ) -> Tuple[Tuple[Samples, Samples, Samples], Classes]:
        """The splits, and what their labels are called."""
        window = self._window
        window.expect(b"[", "a list of three [images, labels] pairs")
        values = []
        for index, split in enumerate(SPLIT_NAMES):
            if window.peek() == b"]":
                raise window.fault(f"{index} splits instead of 3 (train, valid, eval)")
            if index:
                window.expect(b",", f"between two splits, before {split}")
            values.append(self._split(split))
        named = self._names() if window.peek() == b"," else DIGITS
        window.expect(b"]", "the end of the list of splits")
        if window.peek():
            raise window.fault("more text after the end of the JSON")
        names = classes or named
        labels = (_as_labels(*each, names) for each in zip(SPLIT_NAMES, values))
        train, valid, evaluation = zip(self._pixels.finished(), labels)
        return (train, valid, evaluation), names

    def _names(self) -> Classes:
        """The names of the classes, behind the splits."""
        window = self._window
        window.expect(b",", "before the names of the classes")
        window.require(b"[", "the list of the classes' names")
        text = window.take_list(_MAX_NAMES_TEXT, "the list of the classes' names")
        try:
            return naming.check(json.loads(text))
        except (ValueError, RecursionError) as error:
            reason = "more than 3 splits (train, valid, eval), and no names of classes behind them"
            raise window.fault(f"{reason}: {error}") from error

    def _split(self, split: str) -> Array:
        window = self._window
        window.expect(b"[", f"{split} as a pair [images, labels]")
        count = self._images(split)
        if window.peek() == b"]":
            raise window.fault(f"{split} has images but no labels")
        window.expect(b",", f"between the images and the labels of {split}")
        labels = self._labels(split, count)
        if window.peek() == b",":
            raise window.fault(f"{split} has more than images and labels")
        window.expect(b"]", f"the end of {split}")
        return labels

    def _images(self, split: str) -> int:
        window = self._window
        window.expect(b"[", f"the list of {split} images")
        if window.peek() == b"]":
            raise window.fault(f"{split} has no images")
        self._pixels.start(split)
        count = 0
        while True:
            window.require(b"[", f"{split} image {count}, a list of {PIXELS} numbers")
            count = self._pixels.add(self._take_images(split, count))
            if count > MAX_IMAGES:
                raise window.fault(f"{split} has more than {MAX_IMAGES:,} images")
            if window.peek() == b"]":
                window.expect(b"]", f"the end of the {split} images")
                return count
            window.expect(b",", f"between two {split} images")

    def _take_images(self, split: str, first: int) -> Array:
        """Take at least one ``[…]``, and as many as are in memory: float64 ``[images * 784]``."""
        text = self._window.whole_lists(_MAX_IMAGE_TEXT, f"{split} image {first}")
        try:
            images: Any = self._json.parse(text)
            lengths = list(map(len, images))
            values = np.frombuffer(images.as_buffer(of_type="d"), np.float64)
        except (TypeError, ValueError) as error:
            raise self._broken_images(split, first, text) from error
        # as_buffer flattens a list inside an image without a word.
        if text.count(b"[") != 1 + len(lengths) or lengths.count(PIXELS) != len(lengths):
            raise self._broken_images(split, first, text)
        self._window.advance(len(text) - len(b"[]"))
        return values

    def _broken_images(self, split: str, first: int, text: bytes) -> _Fault:
        """Look at the images of a chunk with a fault in it one by one."""
        pieces = text[1:-1].split(b"]")[:-1]
        for index, piece in enumerate(pieces, first):
            image = piece.lstrip(b" \t\r\n,") + b"]"
            fault = _fault_of_list(image)
            if fault:
                return _Fault(f"{split} image {index} {fault}")
            length = len(_parse_list(image))
            if length != PIXELS:
                return _Fault(f"{split} image {index} has {length} numbers, not {PIXELS}")
        last = first + len(pieces) - 1
        return _Fault(f"broken JSON between the {split} images {first} and {last}")

    def _labels(self, split: str, count: int) -> Array:
        window = self._window
        window.require(b"[", f"the list of {split} labels")
        limit = max(_MAX_IMAGE_TEXT, _MAX_LABEL_TEXT * count)
        text = window.take_list(limit, f"the list of {split} labels")
        fault = _fault_of_list(text)
        if fault:
            raise _Fault(f"the list of {split} labels {fault}")
        values = np.frombuffer(_parse_list(text).as_buffer(of_type="d"), np.float64)
        if len(values) != count:
            raise _Fault(f"{split} has {count} images but {len(values)} labels")
        return values


def _as_labels(split: str, values: Array, names: Classes) -> Array:
    """Float64 ``[N]`` as int64; a fault unless each is the label of a class."""
    labels = values.clip(-1, len(names)).astype(np.int64)
    wrong = np.flatnonzero((labels != values) | (labels < 0) | (labels >= len(names)))
    if len(wrong):
        value = f"{values[wrong[0]]:.9g}, not one of 0 to {len(names) - 1}"
        others = " (prepare --classes names others than digits)" if naming.are_digits(names) else ""
        raise _Fault(f"{split} label {wrong[0]} is {value}{others}")
    return labels


class _PixelStore:
    """Numbers in, ``uint8`` pixels out, once it is known what the numbers mean."""

    def __init__(self) -> None:
        # A pixel's number times the scale is its level 0–255; None: only 0 and 1 so far.
        self._scale: Optional[int] = None
        self._levels: Dict[str, bytearray] = {}
        self._split = ""

    def start(self, split: str) -> None:
        """Begin the next split."""
        self._split = split
        self._levels[split] = bytearray()

    def add(self, values: Array) -> int:
        """Store float64 ``[images * 784]``; how many images the split has now."""
        if self._scale is None:
            telling = np.flatnonzero((values != 0) & (values != 1))
            if len(telling):
                self._decide(values, int(telling[0]))
        store = self._levels[self._split]
        store += self._to_levels(values).tobytes()
        return len(store) // PIXELS

    def finished(self) -> List[Array]:
        """The images of all splits, uint8 ``[N, 28, 28]`` each."""
        if self._scale is None:
            self._set_scale(255)
        flat = (np.frombuffer(store, np.uint8) for store in self._levels.values())
        return [levels.reshape(-1, SIDE, SIDE) for levels in flat]

    def _to_levels(self, values: Array) -> Array:
        if self._scale is None:
            return values.astype(np.uint8)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = values * self._scale
            levels: Array = np.rint(scaled)
            is_near = np.abs(scaled - levels) <= _TOLERANCES[self._scale]
        wrong = (levels < 0) | (levels > 255) | ~is_near
        if wrong.any():
            raise self._unfit(values, int(np.argmax(wrong)))
        return levels.astype(np.uint8)

    def _decide(self, values: Array, index: int) -> None:
        """Learn the scale from a number that is neither 0 nor 1."""
        for scale, tolerance in _TOLERANCES.items():
            level = float(values[index]) * scale
            if 0 <= level <= 255 and abs(level - round(level)) <= tolerance:
                return self._set_scale(scale)
        raise self._unfit(values, index)

    def _set_scale(self, scale: int) -> None:
        """Make levels of the zeros and ones stored so far."""
        self._scale = scale
        for split, store in self._levels.items():
            levels = np.frombuffer(store, np.uint8)
            if scale == 256 and levels.any():
                image = int(np.argmax(levels)) // PIXELS
                raise _Fault(f"{split} image {image} holds 1, {_UNFIT[256]}")
            levels *= min(scale, 255)

    def _unfit(self, values: Array, index: int) -> _Fault:
        image = (len(self._levels[self._split]) + index) // PIXELS
        value = f"{values[index]:.9g}"
        return _Fault(f"{self._split} image {image} holds {value}, {_UNFIT[self._scale]}")


def _fault_of_list(text: bytes) -> str:
    """What is wrong with a list of numbers, empty if nothing is."""
    if b"NaN" in text or b"Infinity" in text:
        return "holds NaN or infinity"
    if text.count(b"[") > 1:
        return "holds a list where a number should be"
    try:
        _parse_list(text).as_buffer(of_type="d")
    except ValueError as error:
        return f"is broken JSON ({error})"
    except TypeError:
        return "holds something that is not a number"
    return ""


def _parse_list(text: bytes) -> simdjson.Array:
    """Parse a JSON list; ValueError for broken JSON, TypeError for anything else."""
    # A new parser each time, since one cannot be used again while anything that it made
    # (in a traceback, say) is alive.
    parsed = simdjson.Parser().parse(text)
    if not isinstance(parsed, simdjson.Array):
        raise TypeError("not a list")
    return parsed


def write(
    path: PathLike,
    splits: Sequence[Samples],
    pixels: str = "floats",
    classes: Classes = DIGITS,
) -> None:
    """Write what ``pack`` makes; the file appears whole or not at all (else Failure)."""
    content = pack(splits, pixels, classes)
    with atomic_write(path) as file:
        file.write(content)


def pack(splits: Sequence[Samples], pixels: str = "floats", classes: Classes = DIGITS) -> bytes:
    """The bytes of a file that holds the splits train, valid, eval in the course's format.

    ``classes`` are the names of the labels, which are written if they are no digits.
    ``pixels`` is "floats" (0–1, equal to k/255 in float32) or "integers" (0–255). The same
    splits always give the same bytes. Raises InputError for images of nothing but 0 and 1 as
    integers, which read back as floats.
    """
    tokens = _tokens(pixels)
    if pixels == "integers" and max(int(images.max()) for images, _ in splits) == 1:
        raise InputError("images of only 0 and 1 cannot be told from floats; use pixels=floats")
    packed = io.BytesIO()
    # Neither a name nor a time goes into the gzip header. Level 5 makes a file 3% larger
    # than the default 6 in two thirds of the time.
    with gzip.GzipFile("", "wb", fileobj=packed, compresslevel=5, mtime=0) as out:
        for index, (images, labels) in enumerate(splits):
            out.write(b",[[" if index else b"[[[")
            for start in range(0, len(images), 1000):
                out.write(b"," if start else b"")
                out.write(_text_of(images[start : start + 1000], tokens))
            out.write(f"],[{','.join(str(int(label)) for label in labels)}]]".encode())
        if not naming.are_digits(classes):
            out.write(f",{json.dumps(list(classes))}".encode())
        out.write(b"]")
    return packed.getvalue()


def _tokens(pixels: str) -> List[str]:
    """The text of each level 0–255."""
    if pixels == "integers":
        return [str(level) for level in range(256)]
    if pixels == "floats":
        # NumPy writes a float32 with the fewest digits that give it back.
        return [str(np.float32(level / 255)) for level in range(256)]
    raise InputError(f"pixels: {pixels!r} must be floats or integers")


def _text_of(images: Array, tokens: List[str]) -> bytes:
    rows = (image.tobytes() for image in images)
    return ",".join("[" + ",".join(map(tokens.__getitem__, row)) + "]" for row in rows).encode()
