"""Having a data set to train on: made of the official files, or the one to fall back to."""

import os
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator, Optional, Sequence, Tuple

from filelock import FileLock, Timeout

from mnist.base.errors import Failure, InputError, failing_as, nearest
from mnist.base.files import PathLike, find_input
from mnist.base.notes import warn
from mnist.config.classes import DIGITS, Classes, are_digits
from mnist.data import course_json, dataset, idx
from mnist.data.digits import SPLIT_NAMES, Samples

if TYPE_CHECKING:  # ``prepare`` needs neither, and both take long to import.
    from mnist.checkpoints.records import Checkpoint
    from mnist.config.schema import DataConfig

BUNDLED_DIGITS = "data/digits.json.gz"
MADE = "mnist.json.gz"

# Splits, and the names of their classes.
Found = Tuple[Sequence[Samples], Classes]

say = partial(print, flush=True)


def obtain(config: "DataConfig") -> dataset.Dataset:
    """The data set a config names, or its fallback, which then says why it is that.

    A missing ``mnist.json.gz`` is made first if the config says so. Only where it stays missing is
    the config's fallback used, with a warning; without a fallback that is an error (InputError, or
    Failure where the download failed). A file that is there but damaged is always an InputError.
    """
    path = find_input(config.path)
    reason = None if os.path.lexists(path) else _make(config, path)
    if reason is None:
        return dataset.load(config.path, config.cache)
    if config.fallback is None:
        raise InputError(
            f"data.path: {config.path} {reason}; or set data.fallback={BUNDLED_DIGITS} to train"
            " on the bundled digits"
        )
    warn(f"NOT TRAINING ON {config.path}, which {reason}, BUT ON {config.fallback} (data.fallback)")
    found = dataset.load(config.fallback, config.cache)
    return replace(found, fallback=f"{config.path} {reason}")


def data_set_of(source: "Checkpoint", path: Optional[PathLike]) -> dataset.Dataset:
    """The data set named, or the one a checkpoint was trained on; warns if that has changed.

    Raises InputError where none is named and the checkpoint does not tell, or for a bad file.
    """
    chosen = path or (source.state.data_path if source.state else None)
    if chosen is None:
        raise InputError(f"{source.path}: does not say what it was trained on; name --data FILE")
    data = dataset.load(chosen)
    if tuple(data.classes) != tuple(source.classes):
        names = (", ".join(classes) for classes in (data.classes, source.classes))
        raise InputError("{}: has the classes {}; the model tells apart {}".format(chosen, *names))
    if path is None and has_changed(source, data):
        warn(has_changed(source, data))
    return data


def has_changed(source: "Checkpoint", data: dataset.Dataset) -> str:
    """What to warn of where a checkpoint was trained on other data; empty as far as it was not."""
    if source.state is None or source.state.data_sha256 == data.sha256:
        return ""
    return f"{data.source} has changed since {source.path} was trained on it"


def _make(config: "DataConfig", path: Path) -> Optional[str]:
    """Try to make the data file; why there is none all the same."""
    # Under another name, be it mistyped or that of another data set, MNIST would be a lie.
    if path.name != MADE:
        names = [MADE, *(file.name for file in path.parent.glob("*.json.gz"))]
        return "does not exist" + nearest(path.name, {name: path.parent / name for name in names})
    if not config.prepare:
        return "does not exist (python -m mnist.prepare makes it)"
    try:
        prepare(path)
    except Failure as error:
        if config.fallback is None:
            raise
        return f"does not exist and cannot be made ({error})"
    return None


def prepare(
    output: PathLike,
    source: Optional[PathLike] = None,
    pixels: str = "floats",
    force: bool = False,
    mirrors: Optional[Sequence[str]] = None,
) -> None:
    """Make the data file ``output`` and its cache.

    The first five sixths of the training images (50,000 of MNIST's 60,000) become
    train, the rest valid, and the test images eval. They come from the folder
    ``source``, or are downloaded. ``pixels`` is "floats" or "integers".

    A whole data set that is there already is kept unless ``force``. Raises InputError
    for bad source files and for an ``output`` that is something else, and Failure
    where a download or the disk fails; ``output`` is then as it was.
    """
    target = Path(output)
    if source is not None:
        make(target, partial(_read_idx, Path(source)), pixels, force)
        return
    if _is_there(target, force):
        return
    # Imported here, as requests takes long to import and is seldom needed.
    from mnist.data import download

    folder = target.parent / ".download"
    with _only_one(folder):
        if _is_there(target, force):
            return
        download.fetch(folder, mirrors or download.default_mirrors(), say=say)
        make(target, partial(_read_idx, folder), pixels, force)
        for file in idx.OFFICIAL_FILES:
            (folder / f"{file.name}.gz").unlink()


def _is_there(target: Path, force: bool) -> bool:
    """Whether to keep what is there; InputError if it is no data set of ours."""
    if force or not os.path.lexists(target):
        return False
    try:
        data = dataset.load(os.path.abspath(target))
    except InputError as error:
        raise InputError(f"{error}; --force replaces the file") from error
    say(f"{target} is there already, whole, with {_sizes(data)} images; --force makes it anew")
    return True


def make(target: Path, read: Callable[[], Found], pixels: str, force: bool) -> None:
    """Make a data file of what ``read`` finds, the splits and their classes, as ``prepare`` does.

    A whole data set that is there already is kept unless ``force``.
    """
    if _is_there(target, force):
        return
    started = time.monotonic()
    splits, classes = read()
    say(f"writing {target}")
    course_json.write(target, splits, pixels, classes)
    # Reads the file back, which is a check, and leaves the cache for the first training.
    data = dataset.load(target)
    size, seconds = target.stat().st_size, time.monotonic() - started
    named = "" if are_digits(classes) else f" of {len(classes)} classes ({', '.join(classes)})"
    say(f"wrote {target}: {_sizes(data)} images{named}, {size / 1e6:.1f} MB, in {seconds:.1f} s")


def _read_idx(folder: Path) -> Found:
    say(f"reading the IDX files in {folder}")
    images, labels = _read_pair(folder, idx.TRAIN_IMAGES, idx.TRAIN_LABELS)
    count = len(images) * 5 // 6
    if not count:
        raise InputError(f"{folder}: one training image cannot be split into train and valid")
    splits = (
        (images[:count], labels[:count]),
        (images[count:], labels[count:]),
        _read_pair(folder, idx.TEST_IMAGES, idx.TEST_LABELS),
    )
    return splits, DIGITS


def _read_pair(folder: Path, images: idx.IdxFile, labels: idx.IdxFile) -> Samples:
    image_path, label_path = idx.find(folder, images.name), idx.find(folder, labels.name)
    pixels, pixels_sha256 = idx.read_images(image_path)
    classes, classes_sha256 = idx.read_labels(label_path)
    if len(pixels) != len(classes):
        raise InputError(
            f"{image_path}: {len(pixels):,} images, but {len(classes):,} labels in {label_path}"
        )
    if pixels_sha256 != images.sha256:
        warn(f"{image_path}: these are not the official MNIST images")
    if classes_sha256 != labels.sha256:
        warn(f"{label_path}: these are not the official MNIST labels")
    return pixels, classes


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Wait until no other process downloads into ``folder``, and keep others out."""
    lock = FileLock(str(folder / "lock"))
    with failing_as(f"{folder}: cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"waiting for another process that is downloading into {folder}")
            lock.acquire()
    try:
        yield
    finally:
        if os.listdir(folder) == ["lock"]:  # Nothing to resume.
            (folder / "lock").unlink()
            folder.rmdir()
        lock.release()


def _sizes(data: dataset.Dataset) -> str:
    return ", ".join(f"{len(data.split(name)):,} {name}" for name in SPLIT_NAMES)
