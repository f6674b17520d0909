"""A data set of classes of your own: pictures in a folder per class, or a file of the course's."""

from pathlib import Path
from typing import List, Optional

import numpy as np

from mnist.base import seeding
from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.config import classes as naming
from mnist.config.classes import Classes
from mnist.data import course_json, obtain
from mnist.data.digits import SPLIT_NAMES
from mnist.data.obtain import Found
from mnist.pictures import files, plain


def is_own(source: Path) -> bool:
    """Whether a source is no folder of IDX files: it is a file, or has folders of pictures."""
    official = source.is_dir() and any(source.glob("*-ubyte*"))
    return source.is_file() or (bool(_folders_in(source)) and not official)


def read(source: Path, classes: Optional[Classes]) -> Found:
    """The splits of a source, and the names of its classes, which ``classes`` may state.

    Raises InputError for whatever is wrong with it, the first picture that cannot be read included.
    """
    try:
        names = naming.check(list(classes)) if classes else None
        if source.is_file():
            obtain.say(f"reading {source}")
            content = course_json.read(source, classes=names)
            return content.splits, content.classes
        return _read_folders(source, names)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error


def _folders_in(folder: Path) -> List[str]:
    return sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())


def _read_folders(source: Path, names: Optional[Classes]) -> Found:
    """``source/CLASS/…`` divided into splits here, or ``source/SPLIT/CLASS/…`` as it is."""
    divided = set(_folders_in(source)) == set(SPLIT_NAMES)
    classes = names or naming.check(_folders_in(source / "train" if divided else source))
    obtain.say(f"reading pictures of {', '.join(classes)} in {source}")
    if divided:
        parts = [[_read_class(source / split / name) for split in SPLIT_NAMES] for name in classes]
    else:
        parts = [_divide(_read_class(source / name), source / name) for name in classes]
    splits = []
    for by_class in zip(*parts):
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), list(map(len, by_class)))
        splits.append((np.concatenate(by_class), labels))
    return splits, classes


def _read_class(folder: Path) -> Array:
    """All pictures of a folder, uint8 ``[N,28,28]``."""
    names = files.find([str(folder)]) if folder.is_dir() else []
    if names in ([], [str(folder)]):
        raise InputError(f"{folder}: no pictures are there ({', '.join(files.SUFFIXES)})")
    images = []
    with files.reading(names, plain.read) as results:
        for _, found in results:
            if isinstance(found, InputError):
                raise found
            images.append(found)
    return np.stack(images)


def _divide(images: Array, folder: Path) -> List[Array]:
    """A class's pictures as train, valid and eval: 8 : 1 : 1, the same each time."""
    if len(images) < len(SPLIT_NAMES):
        raise InputError(f"{folder}: has {len(images)} picture(s); each of 3 splits needs one")
    tenth = max(1, len(images) // 10)
    mixed = images[seeding.stream(0, "splits").permutation(len(images))]
    return np.split(mixed, [len(images) - 2 * tenth, len(images) - tenth])
