"""The course's ``mnist.json.gz``: read as a stream into ``uint8``, and written.

The file is gzip JSON ``[[images, labels], [images, labels], [images, labels]]`` for the splits
train, valid and eval. An image is a flat list of 784 numbers, row by row: floats 0–1 (k/255, or
k/256 as in Nielsen's ``mnist.pkl.gz``) or integers 0–255. A label is a whole number 0–9; of a data
set of other classes a fourth element lists their names, by label.

``json.load(gzip.open(path))``, as in the course, makes 55 million Python floats of it.
Here all whole lists in a block of a few hundred KiB are parsed by simdjson
(https://simdjson.org) at once and stored as bytes, and what stands between the lists tells which
are images and which labels.
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
# An image takes 2 to 20 KB of text, a label 2 to 20 bytes, the names of classes 48 KB at most.
_MAX_IMAGE_TEXT = 256 << 10
_MAX_LABEL_TEXT = 64
_MAX_NAMES_TEXT = 2 << 20
# The fastest of 64 KiB … 2 MiB, by a little: simdjson works in 14 times as much memory,
# which should stay in the processor's cache.
_BLOCK_SIZE = 512 << 10

# The scales that turn a pixel's number into its level k = 0 to 255: how far off that may be, and
# what is said of a number that does not fit. float32 and eight decimals are off by 0.00002 at most;
# k/255 and k/256 differ by 0.0039 at least, so a number (except 0 and 1) never fits both.
_SCALES = {
    1: (0.0, "not a whole number 0 to 255 like the others"),
    255: (0.001, "not k/255 (k = 0 to 255) like the others"),
    256: (0.001, "not k/256 (k = 0 to 255) like the others"),
}
_UNFIT = "neither a whole number 0 to 255 nor k/255 nor k/256"

_FORM = (
    "the file should be [[images, labels], [images, labels], [images, labels]],"
    f" an image a list of {PIXELS} numbers"
)
# What stands before a split's first image, but for the image's own bracket.
_OPENINGS = dict(zip(SPLIT_NAMES, (b"[[[", b"],[[", b"],[[")))
_SPACE = b" \t\r\n"
_LIST = re.compile(rb"\[[^][]*\]")
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
        text = _Text(io.BufferedReader(source, block_size), block_size)
        pixels = _Pixels()
        try:
            values = [_read_split(text, split, pixels) for split in SPLIT_NAMES]
            named = _names(text.rest(_MAX_NAMES_TEXT))
            names = classes or named
            labels = (_as_labels(*each, names) for each in zip(SPLIT_NAMES, values))
            train, valid, evaluation = zip(pixels.finished(), labels)
        except _Fault as fault:
            raise InputError(f"{path}: {fault}") from fault
    return Content((train, valid, evaluation), source.digest.hexdigest(), names)


class _Text:
    """The JSON text, of which one block or little more is in memory."""

    def __init__(self, source: BinaryIO, block_size: int) -> None:
        self._source = source
        self._block_size = block_size
        self._text = b""
        self._json = simdjson.Parser()

    def take_lists(self, limit: int, what: str) -> Tuple[bytes, bytes]:
        """Take the next list without lists in it, ``what``, and those beside it that are in memory.

        Returns what stands before them, without white space, and the lists. A fault unless the
        list ends within ``limit`` bytes, or a block.
        """
        found = _LIST.search(self._text)
        while not found:
            block = self._source.read(self._block_size)
            self._text += block
            found = _LIST.search(self._text) if b"]" in block else None
            if not block:
                raise _Fault(f"the text ends before the end of {what}; {_FORM}")
            if not found and len(self._text) > limit:
                raise _Fault(f"{what} does not end within {limit:,} bytes")
        start, text = found.start(), self._text
        both = _END_OF_LISTS.search(text, found.end() - 1)
        end = 1 + (both.start() if both else text.rfind(b"]"))
        self._text = text[end:]
        return text[:start].translate(None, _SPACE), text[start:end]

    def rest(self, limit: int) -> bytes:
        """What is left of the text, if that is no more than ``limit`` bytes; else more of it."""
        return self._text + self._source.read(limit + 1)

    def numbers(self, lists: bytes, what: str, first: int) -> Tuple[Array, List[int]]:
        """All numbers of lists, float64, and the lists' lengths; a fault for anything else.

        ``what`` with its braces filled, from ``first`` on, is what each list is.
        """
        try:
            parsed: Any = self._json.parse(b"[%b]" % lists)
            lengths = list(map(len, parsed))
            # as_buffer flattens a list inside a list without a word.
            if lists.count(b"[") == len(lengths):
                return np.frombuffer(parsed.as_buffer(of_type="d"), np.float64), lengths
        except (TypeError, ValueError):
            pass
        raise _fault_in(lists, what, first)


def _fault_in(lists: bytes, what: str, first: int) -> _Fault:
    """Look at lists with a fault among them one by one."""
    for index, piece in enumerate(lists.split(b"]")[:-1], first):
        try:
            numbers = json.loads(piece.lstrip(_SPACE + b",") + b"]")
        except (ValueError, RecursionError) as error:
            return _Fault(f"{what.format(index)} is no list of numbers ({error})")
        for number in numbers:
            if type(number) not in (int, float) or not abs(number) < 2**63:
                value = f"{json.dumps(number):.40}"
                return _Fault(f"{what.format(index)} holds {value}, not a finite number")
    return _Fault(f"broken JSON between {what.format(first)} and {what.format(index)}")


def _read_split(text: _Text, split: str, pixels: "_Pixels") -> Array:
    """Read the images of a split into ``pixels``, and its labels: float64 ``[N]``."""
    count, what, expected = 0, f"{split} image 0", _OPENINGS[split]
    while True:
        limit = max(_MAX_IMAGE_TEXT, _MAX_LABEL_TEXT * count)
        before, lists = text.take_lists(limit, what)
        if before == b"]," and count:
            break
        if before != expected:
            wanted = "',' or '],'" if count else f"'{expected.decode()}'"
            found = ascii(before[:60].decode("latin-1"))
            raise _Fault(f"before {what}: expected {wanted}, found {found}; {_FORM}")
        values, lengths = text.numbers(lists, f"{split} image {{}}", count)
        for index, length in enumerate(lengths, count):
            if length != PIXELS:
                raise _Fault(f"{split} image {index} has {length} numbers, not {PIXELS}")
        pixels.add(split, values)
        count += len(lengths)
        if count > MAX_IMAGES:
            raise _Fault(f"{split} has more than {MAX_IMAGES:,} images")
        what, expected = f"{split} image {count} or the {split} labels", b","
    values, lengths = text.numbers(lists, f"the list of {split} labels", 0)
    if lengths != [count]:
        raise _Fault(f"{split} has {count} images but {' + '.join(map(str, lengths))} labels")
    return values


def _names(rest: bytes) -> Classes:
    """The names of the classes, told by all that stands behind the labels of eval."""
    try:
        if len(rest) > _MAX_NAMES_TEXT:
            raise ValueError("the text goes on")
        end, *named = json.loads(b"[[" + rest)
        if end or len(named) > 1:
            raise ValueError("more text")
        return naming.check(named[0]) if named else DIGITS
    except (ValueError, TypeError, RecursionError) as error:
        what = f"after the eval labels: expected ']]' or the names of classes ({error})"
        raise _Fault(f"{what}; {_FORM}") from error


def _as_labels(split: str, values: Array, names: Classes) -> Array:
    """Float64 ``[N]`` as int64; a fault unless each is the label of a class."""
    labels = values.clip(-1, len(names)).astype(np.int64)
    wrong = np.flatnonzero((labels != values) | (labels < 0) | (labels >= len(names)))
    if len(wrong):
        value = f"{values[wrong[0]]:.9g}, not one of 0 to {len(names) - 1}"
        others = " (prepare --classes names others than digits)" if naming.are_digits(names) else ""
        raise _Fault(f"{split} label {wrong[0]} is {value}{others}")
    return labels


class _Pixels:
    """Numbers in, ``uint8`` pixels out, once it is known what the numbers mean."""

    def __init__(self) -> None:
        # A pixel's number times the scale is its level 0–255; None: only 0 and 1 so far.
        self._scale: Optional[int] = None
        self._stores: Dict[str, bytearray] = {}

    def add(self, split: str, values: Array) -> None:
        """Store float64 ``[images * 784]``."""
        store = self._stores.setdefault(split, bytearray())
        if self._scale is None:
            telling = values[(values != 0) & (values != 1)][:1]
            fitting = (scale for scale in _SCALES if not _levels(telling, scale)[1].any())
            if len(telling):
                self._set_scale(next(fitting, None))
        levels, wrong = _levels(values, self._scale or 1)
        if wrong.any():
            index = int(np.argmax(wrong))
            image, value = (len(store) + index) // PIXELS, f"{values[index]:.9g}"
            unfit = _SCALES[self._scale][1] if self._scale else _UNFIT
            raise _Fault(f"{split} image {image} holds {value}, {unfit}")
        store += levels.tobytes()

    def finished(self) -> List[Array]:
        """The images of all splits, uint8 ``[N, 28, 28]`` each."""
        if self._scale is None:
            self._set_scale(255)
        flat = (np.frombuffer(store, np.uint8) for store in self._stores.values())
        return [levels.reshape(-1, SIDE, SIDE) for levels in flat]

    def _set_scale(self, scale: Optional[int]) -> None:
        """Make levels of the zeros and ones stored so far."""
        self._scale = scale
        for split, store in self._stores.items():
            levels = np.frombuffer(store, np.uint8)
            if scale == 256 and levels.any():
                image = int(np.argmax(levels)) // PIXELS
                raise _Fault(f"{split} image {image} holds 1, {_SCALES[256][1]}")
            levels *= min(scale or 1, 255)


def _levels(values: Array, scale: int) -> Tuple[Array, Array]:
    """The levels 0–255 of numbers, uint8, and which of them have none."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values * scale
        levels: Array = np.rint(scaled)
        is_near = np.abs(scaled - levels) <= _SCALES[scale][0]
        return levels.astype(np.uint8), (levels < 0) | (levels > 255) | ~is_near


def write(
    path: PathLike, splits: Sequence[Samples], pixels: str = "floats", classes: Classes = DIGITS
) -> None:
    """Write the splits train, valid, eval in the course's format, whole or not at all.

    ``classes`` are the names of the labels, which are written if they are no digits.
    ``pixels`` is "floats" (0–1, equal to k/255 in float32) or "integers" (0–255). The same
    splits always give the same bytes. Raises InputError for images of nothing but 0 and 1 as
    integers, which read back as floats, and Failure for what the disk refuses.
    """
    if pixels not in ("floats", "integers"):
        raise InputError(f"pixels: {pixels!r} must be floats or integers")
    # NumPy writes a float32 with the fewest digits that give it back.
    levels = np.arange(256) if pixels == "integers" else (np.arange(256) / 255).astype(np.float32)
    texts = [str(level).encode() for level in levels]
    if pixels == "integers" and max(int(images.max()) for images, _ in splits) == 1:
        raise InputError("images of only 0 and 1 cannot be told from floats; use pixels=floats")
    # Neither a name nor a time goes into the gzip header. Level 5 makes a file 3% larger
    # than the default 6 in two thirds of the time.
    with atomic_write(path) as file, gzip.GzipFile("", "wb", 5, file, mtime=0) as out:
        for index, (images, labels) in enumerate(splits):
            before = b",[[" if index else b"[[["
            for image in images:
                out.write(b"%b[%b]" % (before, b",".join([texts[k] for k in image.tobytes()])))
                before = b","
            out.write(f"],[{','.join(map(str, labels.tolist()))}]]".encode())
        if not naming.are_digits(classes):
            out.write(f",{json.dumps(list(classes))}".encode())
        out.write(b"]")
