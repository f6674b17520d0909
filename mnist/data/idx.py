"""The official MNIST files: IDX, gzipped or not.

IDX (http://yann.lecun.com/exdb/mnist/): big-endian 32-bit words, first the magic number
0x0000_08_dd (unsigned bytes in dd dimensions), then the size of each dimension, then
the values row by row.
"""

import hashlib
import math
import os
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, NamedTuple, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from mnist.base.errors import InputError
from mnist.base.files import PathLike, open_input
from mnist.data.digits import CLASSES, MAX_IMAGES, PIXELS, SIDE
from mnist.data.gunzip import GunzipReader

_BLOCK = 1 << 20
_MAX_BYTES = 16 + MAX_IMAGES * PIXELS

_Source = Union[GunzipReader, BinaryIO]


class IdxFile(NamedTuple):
    """A file by its name without ``.gz``; SHA-256 and size in bytes are uncompressed."""

    name: str
    sha256: str
    size: int


TRAIN_IMAGES = IdxFile(
    "train-images-idx3-ubyte",
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    47_040_016,
)
TRAIN_LABELS = IdxFile(
    "train-labels-idx1-ubyte",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    60_008,
)
TEST_IMAGES = IdxFile(
    "t10k-images-idx3-ubyte",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    7_840_016,
)
TEST_LABELS = IdxFile(
    "t10k-labels-idx1-ubyte",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    10_008,
)
OFFICIAL_FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


class Images(NamedTuple):
    """uint8 ``[N, 28, 28]``, and the SHA-256 of the uncompressed file."""

    array: NDArray[np.uint8]
    sha256: str


class Labels(NamedTuple):
    """int64 ``[N]``, and the SHA-256 of the uncompressed file."""

    array: NDArray[np.int64]
    sha256: str


def find(folder: PathLike, name: str) -> Path:
    """The file ``train-images-idx3-ubyte`` (say) in ``folder``, gzipped or not.

    Also found under the name that some programs unpack it to, ``train-images.idx3-ubyte``.
    Raises InputError where there is none.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder")
    other_name = name.replace("-idx", ".idx")
    for candidate in (name, f"{name}.gz", other_name, f"{other_name}.gz"):
        path = Path(folder) / candidate
        if os.path.exists(path):
            return path
    raise InputError(f"{folder}: holds neither {name} nor {name}.gz")


def read_images(path: PathLike) -> Images:
    """Read images of 28×28 pixels; InputError for anything else."""
    values, sha256 = _read(path, (SIDE, SIDE))
    return Images(values.reshape(-1, SIDE, SIDE), sha256)


def read_labels(path: PathLike) -> Labels:
    """Read labels 0–9; InputError for anything else."""
    values, sha256 = _read(path, ())
    wrong = np.flatnonzero(values >= CLASSES)
    if len(wrong):
        raise InputError(f"{path}: label {wrong[0]} is {values[wrong[0]]}, not one of 0 to 9")
    return Labels(values.astype(np.int64), sha256)


def payload_sha256(path: PathLike, max_bytes: int = _MAX_BYTES) -> str:
    """The SHA-256 of a file's uncompressed bytes; InputError if gzip is damaged."""
    digest = hashlib.sha256()
    with _open(path, max_bytes) as source:
        for block in iter(lambda: source.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def _read(path: PathLike, item: Tuple[int, ...]) -> Tuple[NDArray[np.uint8], str]:
    """Read the bytes of a file of items of the given shape, and its SHA-256."""
    with _open(path, _MAX_BYTES) as source:
        header, length = _read_header(path, source, item)
        values = _read_bytes(source, length)
        if len(values) < length:
            raise InputError(f"{path}: {len(values):,} bytes of values instead of {length:,}")
        if source.read(1):
            raise InputError(f"{path}: more than the {length:,} bytes of values it announces")
    digest = hashlib.sha256(header)
    digest.update(values)
    return np.frombuffer(values, np.uint8), digest.hexdigest()


def _read_header(path: PathLike, source: _Source, item: Tuple[int, ...]) -> Tuple[bytes, int]:
    """The header's bytes, and how many bytes of values it announces."""
    dimensions = 1 + len(item)
    header = bytes(_read_bytes(source, 4 + 4 * dimensions))
    magic = bytes([0, 0, 8, dimensions])
    if header[:4] != magic:
        kind = "images" if item else "labels"
        raise InputError(
            f"{path}: not an IDX file of {kind} (begins with {header[:4].hex() or 'nothing'} "
            f"instead of {magic.hex()})"
        )
    if len(header) < 4 + 4 * dimensions:
        raise InputError(f"{path}: ends inside its header")
    sizes = struct.unpack(f">{dimensions}I", header[4:])
    if sizes[1:] != item:
        raise InputError(f"{path}: images of {sizes[1]}x{sizes[2]} pixels, not {SIDE}x{SIDE}")
    if not 0 < sizes[0] <= MAX_IMAGES:
        raise InputError(f"{path}: announces {sizes[0]:,} items, not 1 to {MAX_IMAGES:,}")
    return header, math.prod(sizes)


def _read_bytes(source: _Source, length: int) -> bytearray:
    """``length`` bytes, or fewer where the file ends.

    Memory is taken for bytes that are there, not for those announced.
    """
    values = bytearray()
    while len(values) < length:
        block = source.read(min(_BLOCK, length - len(values)))
        if not block:
            break
        values += block
    return values


@contextmanager
def _open(path: PathLike, max_bytes: int) -> Iterator[_Source]:
    """Open a file to read its uncompressed bytes."""
    with open_input(path) as file:
        try:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield GunzipReader(path, file, max_bytes) if gzipped else file
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
