"""Files that appear whole or not at all, and paths that mean what the user wrote."""

import fcntl
import glob
import hashlib
import os
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Iterator, Tuple, Union

from mnist.base.errors import InputError, failing_as

PathLike = Union[str, "os.PathLike[str]"]

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def find_input(path: PathLike) -> Path:
    """Where an input named by the user or a config lies.

    A relative path means the working directory, as everywhere; a file that is not
    there is looked for in the project's own folder, so that the configs and the
    bundled data are found from any working directory. The result may not exist.
    """
    given = Path(os.path.expanduser(path))
    if given.is_absolute() or os.path.lexists(given):
        return given
    in_project = PROJECT_ROOT / given
    return in_project if os.path.exists(in_project) else given


def open_input(path: PathLike) -> BinaryIO:
    """Open a regular file for reading.

    Raises InputError (naming ``path``) where there is none, where it may not be read,
    and for a folder, a pipe or a device, none of which is waited for.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason})") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise InputError(f"{path}: cannot be read (it is {kind})")
    return os.fdopen(descriptor, "rb")


def may_be_written(path: PathLike, mark: str) -> bool:
    """Whether nothing is there, or a file of ours, which has ``mark`` near its beginning."""
    if not os.path.lexists(path):
        return True
    with open_input(path) as file:
        return mark.encode() in file.read(256)


def read_input(path: PathLike, max_bytes: int) -> bytes:
    """The whole content of a regular file; raises as ``open_input``, and for a larger file."""
    with failing_as(f"{path}: cannot be read", InputError), open_input(path) as file:
        size = os.fstat(file.fileno()).st_size
        # Room is taken for all that is asked for; and a file of /proc has no size.
        content = b"" if size > max_bytes else file.read(max(size, 1 << 16) + 1)
    if max(size, len(content)) > max_bytes:
        raise InputError(f"{path}: is too large (more than {max_bytes:,} bytes)")
    return content


@contextmanager
def atomic_write(path: PathLike, make_parents: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces ``path`` only when all of it is on disk.

    The bytes go to a file in a hidden folder beside ``path``, which is fsynced and renamed at the
    end of the ``with`` block; after an exception ``path`` is as it was. What killed processes left
    of such folders is removed, too. Raises Failure (naming ``path``) for what the disk refuses,
    and without ``make_parents`` for a folder that is not there.
    """
    with _staging(path, make_parents) as (staged, target):
        with open(staged, "xb") as file:
            yield file
        fsync(staged)
        os.replace(staged, target)


@contextmanager
def staged_folder(
    path: PathLike, replace: bool = False, make_parents: bool = True
) -> Iterator[Path]:
    """Make a folder that is there as ``path`` only when all of it is on disk.

    The same for the folder yielded and what is written into it. A folder with files in it that is
    there already is an error unless ``replace``; then it is moved out of the way and removed when
    the new one is in place.
    """
    with _staging(path, make_parents) as (staged, target):
        staged.mkdir()
        yield staged
        for parent, _, names in os.walk(staged):
            for name in (*names, os.curdir):
                fsync(Path(parent, name))
        old = _hidden(target, "replaced")  # It outlives what may end this between two lines.
        if replace and target.exists():
            target.rename(old)
        staged.rename(target)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _staging(path: PathLike, make_parents: bool) -> Iterator[Tuple[Path, Path]]:
    """Where to make what will be at ``path``, in a folder that is locked meanwhile; ``path``."""
    target = Path(os.path.abspath(path))
    folder = _hidden(target, "tmp")
    with failing_as(f"{path}: cannot be written"):
        if make_parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        folder.mkdir()
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            with suppress(OSError):  # Not every disk has locks.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder / "staged", target
            fsync(target.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def _remove_leftovers(target: Path) -> None:
    """Remove the hidden folders of writers of ``target`` that were killed: nobody locks them."""
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with suppress(OSError):
            descriptor = os.open(leftover, os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)
            finally:
                os.close(descriptor)


def remove_folder(folder: Path) -> None:
    """Remove a folder; a kill leaves the whole of it, or what has a hidden name."""
    hidden = _hidden(folder, "removed")
    folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _hidden(target: Path, ending: str) -> Path:
    unique = f"{os.getpid()}.{secrets.token_hex(4)}"
    return target.parent / f".{target.name}.{unique}.{ending}"


def fsync(path: Path) -> None:
    """Make what a file holds, or the renames and removals in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: PathLike) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits; raises as open_input does."""
    digest = hashlib.sha256()
    with failing_as(f"{path}: cannot be read", InputError), open_input(path) as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
