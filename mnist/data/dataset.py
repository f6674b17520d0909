"""A data set as the rest of the house sees it: validated arrays, and a quick way to them.

Reading ``mnist.json.gz`` takes seconds, so the arrays are also kept in ``.cache`` beside
it. A cache is only ever used for the very bytes it was made from (their SHA-256 is in
it), and it may be deleted at any time.
"""

import io
import json
import logging
import math
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Optional, Tuple

import numpy as np
from numpy.lib import format as npy

from mnist.base.arrays import Array
from mnist.base.errors import Failure, InputError, nearest
from mnist.base.files import PathLike, atomic_write, find_input, open_input, sha256_of
from mnist.base.notes import warn
from mnist.config import classes as naming
from mnist.config.classes import DIGITS, Classes
from mnist.data import course_json
from mnist.data.course_json import Content
from mnist.data.digits import MAX_IMAGES, PIXELS, SIDE, SPLIT_NAMES, Samples

_log = logging.getLogger("mnist")

_MAX_CACHE_BYTES = len(SPLIT_NAMES) * MAX_IMAGES * (PIXELS + 8) + (1 << 20)


@dataclass(frozen=True)
class Split:
    """One split: read-only uint8 images ``[N, 28, 28]`` and int64 labels ``[N]``."""

    images: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Dataset:
    """The splits train, valid and eval, and the file and content they came from.

    ``classes`` are the names of the labels 0, 1, …: those of the digits, or others.
    """

    train: Split
    valid: Split
    eval: Split
    source: Path
    sha256: str
    classes: Classes = DIGITS

    def split(self, mode: str) -> Split:
        """The split called ``mode``; InputError for any other name."""
        if mode not in SPLIT_NAMES:
            hint = nearest(str(mode), SPLIT_NAMES)
            raise InputError(f"mode {mode!r} must be train, valid or eval{hint}")
        split: Split = getattr(self, mode)
        return split


def load(path: PathLike, cache: bool = True) -> Dataset:
    """Read a file in the course's format, from its cache where that is up to date.

    Without ``cache`` none is read or written. A cache that cannot be written is a warning. Raises
    InputError for a file that is missing or not a whole and valid data set.
    """
    source = find_input(path)
    cache_path = cache_path_of(source)
    content = _read_cache(cache_path, source) if cache else None
    if content is None:
        content = _read_source(source)
        if cache:
            _write_cache(cache_path, content)
    for array in chain.from_iterable(content.splits):
        array.flags.writeable = False
    train, valid, evaluation = (Split(*arrays) for arrays in content.splits)
    return Dataset(train, valid, evaluation, source, content.sha256, tuple(content.classes))


def cache_path_of(source: Path) -> Path:
    """Where the cache of a data file lies."""
    return source.parent / ".cache" / f"{source.name}.npz"


def _read_source(source: Path) -> Content:
    try:
        return course_json.read(source)
    except InputError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        hint = "python -m mnist.prepare makes data/mnist.json.gz"
        raise InputError(f"{source}: no such file ({hint})") from error


def _stamp(content: Content) -> bytes:
    """The comment of a cache's zip archive: its layout, what it was made from, the classes."""
    return f"mnist-cache-2 {content.sha256} {json.dumps(list(content.classes))}".encode()


def _write_cache(path: Path, content: Content) -> None:
    try:
        with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
            archive.comment = _stamp(content)
            names = (f"{split}_{what}" for split in SPLIT_NAMES for what in ("images", "labels"))
            for name, array in zip(names, chain.from_iterable(content.splits)):
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.save(member, array, allow_pickle=False)
    except Failure as error:
        warn(f"no cache, reading the data will be slow again next time: {error}")


def _read_cache(path: Path, source: Path) -> Optional[Content]:
    """What the cache holds, or None if it is not a whole cache of ``source``."""
    try:
        with open_input(path) as file, ThreadPoolExecutor(1) as pool:
            # Hashed in a thread while the cache is read, which takes as long.
            sha256 = pool.submit(sha256_of, source)
            if os.fstat(file.fileno()).st_size > _MAX_CACHE_BYTES:
                raise ValueError("too large")
            with zipfile.ZipFile(file) as archive:
                classes = naming.check(json.loads(archive.comment.split(b" ", 2)[2]))
                train, valid, evaluation = (
                    _read_split(archive, split, len(classes)) for split in SPLIT_NAMES
                )
                content = Content((train, valid, evaluation), sha256.result(), classes)
                if archive.comment != _stamp(content):
                    raise ValueError("made from other data, or by another version")
            return content
    except Exception as error:
        # A damaged zip or npy file raises nearly anything, and none of it matters.
        _log.debug("%s is not used: %s: %s", path, type(error).__name__, error)
        return None


def _read_split(archive: zipfile.ZipFile, split: str, classes: int) -> Samples:
    images = _read_member(archive, f"{split}_images", np.uint8, (SIDE, SIDE))
    labels = _read_member(archive, f"{split}_labels", np.int64, ())
    if len(images) != len(labels) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"the labels of {split} are wrong")
    return images, labels


def _read_member(archive: zipfile.ZipFile, name: str, dtype: Any, item: Tuple[int, ...]) -> Array:
    """An array of items of the given shape; the zip format's CRC-32 is checked.

    It is a view of the member's bytes. numpy.load would copy them, and takes twice as long.
    """
    info = archive.getinfo(f"{name}.npy")
    # Before any memory is taken for it.
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size > _MAX_CACHE_BYTES:
        raise ValueError(f"{name} is packed or too large")
    content = archive.read(info)
    stream = io.BytesIO(content)
    if npy.read_magic(stream) != (1, 0):  # type: ignore[no-untyped-call]
        raise ValueError(f"{name} is in another version of npy")
    shape, fortran, found = npy.read_array_header_1_0(stream)  # type: ignore[no-untyped-call]
    if found != dtype or shape[1:] != item or fortran or not math.prod(shape):
        raise ValueError(f"{name} is not the expected array")
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)
