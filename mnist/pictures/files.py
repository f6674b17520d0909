"""Which pictures are meant, and reading many of them on all processors.

Finding the digit on a picture takes several times as long as predicting it: worker processes do
that while the model predicts. They are started before Paddle is imported.
"""

import glob
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, Callable, Deque, Iterator, List, Sequence, Tuple, Union

from mnist.base import processors
from mnist.base.errors import InputError, failing_as
from mnist.pictures.decode import MAX_FILE_BYTES

STDIN = "-"
SUFFIXES = tuple(
    ".bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()
)
# So many pictures are handed to a worker at a time; for fewer than FEW workers do not pay.
CHUNK = 32
FEW = 4 * CHUNK

Source = Union[str, bytes]
Read = Tuple[str, Union[Any, InputError]]
Reader = Callable[[Source], Any]


def find(paths: Sequence[str], recursive: bool = False) -> List[str]:
    """The files that paths mean, by name: themselves, a folder's pictures, a pattern's matches.

    ``-`` is standard input and stays. A pattern that the shell left as it is (``'scans/*.png'``)
    is matched here, ``**`` through all folders; ``recursive`` looks into a folder's folders.
    Raises InputError for a pattern that matches nothing, and for a folder without pictures.
    """
    return [file for path in paths for file in _find(path, recursive)]


def _find(path: str, recursive: bool) -> List[str]:
    if path == STDIN or "\0" in path:
        return [path]
    if os.path.isdir(path):
        return _pictures_in(Path(path), recursive)
    if os.path.lexists(path) or not glob.has_magic(path):
        return [path]
    found = sorted(name for name in glob.glob(path, recursive=True) if not os.path.isdir(name))
    if not found:
        raise InputError(f"{path}: no file has such a name")
    return found


def _pictures_in(folder: Path, recursive: bool) -> List[str]:
    """The pictures of a folder, without hidden ones: macOS puts a ``._x.jpg`` beside an x.jpg."""
    with failing_as(f"{folder}: cannot be read", InputError):
        inside = list(folder.rglob("*") if recursive else folder.iterdir())
    seen = [path for path in inside if "/." not in f"/{path.relative_to(folder)}"]
    found = sorted(str(path) for path in seen if path.suffix.lower() in SUFFIXES)
    if not found:
        folders = sum(path.is_dir() for path in seen)
        hint = f"; {folders} folders (--recursive looks into them)" if folders else ""
        raise InputError(f"{folder}: no pictures in it{'' if recursive else hint}")
    return found


@contextmanager
def reading(names: Sequence[str], read: Reader) -> Iterator[Iterator[Read]]:
    """Read all files with ``read``, in order: yields each name with what came of it.

    ``read`` takes a path, or the bytes of standard input, and may raise InputError, which is then
    the result. It must be a function of a module. With many files, workers begin at once.
    """
    if len(names) < FEW or STDIN in names:
        yield ((name, _read_one(name, read)) for name in names)
        return
    workers = processors.count()
    # Here and not in the workers: after a fork OpenCV waits for ever for threads that it had.
    processors.keep_opencv_to_one()
    executor = _make_executor(workers)
    chunks = (list(names[i : i + CHUNK]) for i in range(0, len(names), CHUNK))
    waiting: Deque[Tuple[List[str], Future[List[Any]]]] = deque()

    def submit_next() -> None:
        chunk = next(chunks, None)
        if chunk is not None:
            waiting.append((chunk, executor.submit(_read_chunk, chunk, read)))

    def results() -> Iterator[Read]:
        while waiting:
            chunk, future = waiting.popleft()
            found = future.result()
            submit_next()
            yield from zip(chunk, found)

    try:
        for _ in range(4 * workers):
            submit_next()
        yield results()
    finally:
        for _, future in waiting:
            future.cancel()
        executor.shutdown()


def _make_executor(workers: int) -> Executor:
    """Processes, or threads where there is no shared memory for the processes' locks.

    A small container has no /dev/shm, or one that is full.
    """
    try:
        return ProcessPoolExecutor(workers, initializer=_begin_worker)
    except OSError:
        return ThreadPoolExecutor(workers)


def _read_chunk(names: List[str], read: Reader) -> List[Any]:
    return [_read_one(name, read) for name in names]


def _read_one(name: str, read: Reader) -> Any:
    try:
        # One byte more than is allowed, so that the reader can tell.
        return read(sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if name == STDIN else name)
    except InputError as error:
        return error


def _begin_worker() -> None:
    """Leave signals to the parent, and end when it does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
