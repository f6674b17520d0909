"""A data set as the rest of the house sees it: validated arrays, and a quick way to them.

Reading ``mnist.json.gz`` takes seconds, so the arrays are also kept in ``.cache`` beside
it. A cache is only ever used for the very bytes it was made from (their SHA-256 is in
it), and it may be deleted at any time.
"""

import json
import logging
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Optional

import numpy as np

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

    ``classes`` are the names of the labels 0, 1, …: those of the digits, or others. ``fallback``
    says why it is not the data set that a config names first, if it is not.
    """

    train: Split
    valid: Split
    eval: Split
    source: Path
    sha256: str
    classes: Classes = DIGITS
    fallback: Optional[str] = None

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
    if not os.path.lexists(source):
        hint = "python -m mnist.prepare makes data/mnist.json.gz"
        raise InputError(f"{source}: no such file ({hint})")
    cache_path = cache_path_of(source)
    content = _read_cache(cache_path, source) if cache else None
    if content is None:
        content = course_json.read(source)
        if cache:
            _write_cache(cache_path, content)
    for array in chain.from_iterable(content.splits):
        array.flags.writeable = False
    train, valid, evaluation = (Split(*arrays) for arrays in content.splits)
    return Dataset(train, valid, evaluation, source, content.sha256, tuple(content.classes))


def cache_path_of(source: Path) -> Path:
    """Where the cache of a data file lies."""
    return source.parent / ".cache" / f"{source.name}.npz"


def _stamp(content: Content) -> str:
    """What a cache says of itself: its layout, what it was made from, the classes."""
    return f"mnist-cache-3 {content.sha256} {json.dumps(list(content.classes))}"


def _write_cache(path: Path, content: Content) -> None:
    arrays = {"stamp": np.array(_stamp(content))}
    for split, (images, labels) in zip(SPLIT_NAMES, content.splits):
        arrays.update({f"{split}_images": images, f"{split}_labels": labels})
    try:
        # As numpy.savez does, which leaves a traceback behind where the disk is full.
        with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
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
            size = os.fstat(file.fileno()).st_size
            archive = np.load(file, allow_pickle=False)
            # Before any memory is taken for it.
            if size > _MAX_CACHE_BYTES or any(i.compress_type for i in archive.zip.infolist()):
                raise ValueError("packed or too large")
            stamp = str(archive["stamp"])
            classes = naming.check(json.loads(stamp.split(" ", 2)[2]))
            train, valid, evaluation = (
                _checked(archive[f"{split}_images"], archive[f"{split}_labels"], len(classes))
                for split in SPLIT_NAMES
            )
            content = Content((train, valid, evaluation), sha256.result(), classes)
            if stamp != _stamp(content):
                raise ValueError("made from other data, or by another version")
            return content
    except Exception as error:
        # A damaged zip or npy file raises nearly anything, and none of it matters.
        _log.debug("%s is not used: %s: %s", path, type(error).__name__, error)
        return None


def _checked(images: Array, labels: Array, classes: int) -> Samples:
    """The arrays of a split as they are; ValueError for others than ``Samples`` are."""
    is_right = images.dtype == np.uint8 and labels.dtype == np.int64 and images.flags.c_contiguous
    if not is_right or images.shape != (len(labels), SIDE, SIDE) or labels.ndim != 1:
        raise ValueError("these are no images and labels")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError("the labels are wrong")
    return images, labels
