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
from itertools import islice
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, Callable, Iterator, List, Sequence, Tuple, Union

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
    found: List[str] = []
    for path in paths:
        if path == STDIN or "\0" in path:
            found.append(path)
        elif os.path.isdir(path):
            found += _pictures_in(Path(path), recursive)
        elif os.path.lexists(path) or not glob.has_magic(path):
            found.append(path)
        else:
            named = [name for name in glob.glob(path, recursive=True) if not os.path.isdir(name)]
            if not named:
                raise InputError(f"{path}: no file has such a name")
            found += sorted(named)
    return found


def _pictures_in(folder: Path, recursive: bool) -> List[str]:
    """The pictures of a folder, without hidden ones: macOS puts a ``._x.jpg`` beside an x.jpg."""
    with failing_as(f"{folder}: cannot be read", InputError):
        inside = list(folder.rglob("*") if recursive else folder.iterdir())
    seen = [path for path in inside if "/." not in f"/{path.relative_to(folder)}"]
    found = sorted(str(path) for path in seen if path.suffix.lower() in SUFFIXES)
    if not found:
        folders = sum(path.is_dir() for path in seen)
        hint = f"; {folders} folder{'s' * (folders > 1)} (--recursive looks into them)"
        raise InputError(f"{folder}: no pictures in it{hint if folders and not recursive else ''}")
    return found


@contextmanager
def reading(names: Sequence[str], read: Reader) -> Iterator[Iterator[Read]]:
    """Read all files with ``read``, in order: yields each name with what came of it.

    ``read`` takes a path, or the bytes of standard input, and may raise InputError, which is then
    the result. It must be a function of a module. With many files, workers begin at once.
    """
    if len(names) < FEW or STDIN in names:
        yield (_read_one(read, name) for name in names)
        return
    workers = processors.count()
    # Here and not in the workers: after a fork OpenCV waits for ever for threads that it had.
    processors.keep_opencv_to_one()
    executor: Executor
    try:
        executor = ProcessPoolExecutor(workers, initializer=_begin_worker)
    except OSError:
        # A small container has no /dev/shm, or a full one, for the locks of processes.
        executor = ThreadPoolExecutor(workers)

    def submit(chunk: Sequence[str]) -> "Future[List[Read]]":
        return executor.submit(_read_chunk, read, chunk)

    chunks = (names[i : i + CHUNK] for i in range(0, len(names), CHUNK))
    waiting = deque(map(submit, islice(chunks, 4 * workers)))

    def results() -> Iterator[Read]:
        while waiting:
            found = waiting.popleft().result()
            waiting.extend(map(submit, islice(chunks, 1)))
            yield from found

    try:
        yield results()
    finally:
        for future in waiting:
            future.cancel()
        executor.shutdown()


def _read_chunk(read: Reader, names: Sequence[str]) -> List[Read]:
    return [_read_one(read, name) for name in names]


def _read_one(read: Reader, name: str) -> Read:
    try:
        # One byte more than is allowed, so that the reader can tell.
        return name, read(sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if name == STDIN else name)
    except InputError as error:
        return name, error


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
