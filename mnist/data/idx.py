"""The official MNIST files: IDX, gzipped or not.

IDX (http://yann.lecun.com/exdb/mnist/): big-endian 32-bit words, first the magic number
0x0000_08_dd (unsigned bytes in dd dimensions), then the size of each dimension, then
the values row by row.
"""

import hashlib
import io
import math
import os
import struct
from pathlib import Path
from typing import NamedTuple, Tuple

import numpy as np

from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.base.files import PathLike, read_input
from mnist.data import gunzip
from mnist.data.digits import CLASSES, MAX_IMAGES, PIXELS, SIDE

_MAX_BYTES = 16 + MAX_IMAGES * PIXELS
# What does not pack becomes a little larger.
_GZIP_OVERHEAD = 1 << 20


class IdxFile(NamedTuple):
    """A file by its name without ``.gz``; SHA-256 and size in bytes are uncompressed."""

    name: str
    sha256: str
    size: int


TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = OFFICIAL_FILES = (
    IdxFile("train-images-idx3-ubyte",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47_040_016),
    IdxFile("train-labels-idx1-ubyte",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_008),
    IdxFile("t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7_840_016),
    IdxFile("t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_008),
)  # fmt: skip


# What a file holds, and the SHA-256 of its bytes, uncompressed.
Values = Tuple[Array, str]


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
    raise InputError(f"{folder}: holds neither {name} nor {name}.gz, nor folders of pictures")


def read_images(path: PathLike) -> Values:
    """Read images of 28×28 pixels, uint8 ``[N, 28, 28]``; InputError for anything else."""
    return _read(path, "images", (SIDE, SIDE))


def read_labels(path: PathLike) -> Values:
    """Read labels 0–9, int64 ``[N]``; InputError for anything else."""
    values, sha256 = _read(path, "labels", ())
    wrong = np.flatnonzero(values >= CLASSES)
    if len(wrong):
        raise InputError(f"{path}: label {wrong[0]} is {values[wrong[0]]}, not one of 0 to 9")
    return values.astype(np.int64), sha256


def payload(path: PathLike, max_bytes: int = _MAX_BYTES) -> bytes:
    """A file's uncompressed bytes; InputError if gzip is damaged, or for more than that."""
    content = read_input(path, max_bytes + _GZIP_OVERHEAD)
    if not content.startswith(gunzip.MAGIC):
        return content
    return gunzip.GunzipReader(path, io.BytesIO(content), max_bytes).read()


def _read(path: PathLike, kind: str, item: Tuple[int, ...]) -> Values:
    """Read a file of items of the given shape: uint8 ``[N, *item]``."""
    content = payload(path)
    magic, start = bytes([0, 0, 8, 1 + len(item)]), 8 + 4 * len(item)
    if content[:4] != magic:
        begins = f"begins with {content[:4].hex() or 'nothing'} instead of {magic.hex()}"
        raise InputError(f"{path}: not an IDX file of {kind} ({begins})")
    if len(content) < start:
        raise InputError(f"{path}: ends inside its header")
    count, *shape = struct.unpack(f">{1 + len(item)}I", content[4:start])
    if tuple(shape) != item:
        raise InputError(f"{path}: images of {shape[0]}x{shape[1]} pixels, not {SIDE}x{SIDE}")
    if not 0 < count <= MAX_IMAGES:
        raise InputError(f"{path}: announces {count:,} items, not 1 to {MAX_IMAGES:,}")
    length, found = int(count * math.prod(item)), len(content) - start
    if found != length:
        raise InputError(f"{path}: {found:,} bytes of values instead of {length:,}")
    array = np.frombuffer(content, np.uint8, offset=start).reshape(count, *item)
    return array, hashlib.sha256(content).hexdigest()
