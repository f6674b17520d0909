"""TensorBoard: event files through tb-paddle, each step in them once.

tb-paddle 0.4.0 names a file after the second it was opened in, so that two writers in one
second overwrite each other, and cannot purge what a killed run wrote beyond the checkpoint
it is resumed from. Both are mended here.
"""

import os
import struct
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from mnist import cli
from mnist.errors import Failure
from mnist.files import atomic_write, open_input

_EVENT_FILES = "events.out.tfevents.*"
_HEADER_BYTES = 12  # length (8) and its checksum (4)
_FOOTER_BYTES = 4  # the data's checksum
_MAX_BYTES_READ = 64 * 1024 * 1024  # of one file, for its curves


class Tracker:
    """Writes a run's curves to ``folder``; steps count the batches trained so far.

    A disk that fills up ends the curves, with a warning, and not the training.
    """

    def __init__(self, folder: Path) -> None:
        from tb_paddle import SummaryWriter

        self._folder = folder
        self._error: Optional[OSError] = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Sorts by time within the second, and no two processes share it.
            suffix = f".{time.time_ns()}.{os.getpid()}"
            self._writer = SummaryWriter(str(folder), filename_suffix=suffix)
        except OSError as error:
            raise Failure(
                f"{folder}: curves cannot be written ({error.strerror});"
                " name another folder with --set log.dir=…"
            ) from error
        self._keep_the_writers_thread_alive()

    def scalars(self, values: Dict[str, float], step: int) -> None:
        """Add one point to each named curve."""
        for name, value in values.items():
            self._attempt(partial(self._writer.add_scalar, name, float(value), step))

    def text(self, name: str, content: str, step: int) -> None:
        """Add a text, shown as preformatted."""
        indented = "\n".join("    " + line for line in content.splitlines())
        self._attempt(partial(self._writer.add_text, name, indented, step))

    def close(self) -> None:
        """Flush and close; every point is on disk afterwards."""
        self._attempt(self._writer.close)

    def _keep_the_writers_thread_alive(self) -> None:
        """tb-paddle writes on a thread that a disk error ends; its next flush then hangs."""
        events = self._writer.file_writer.event_writer._ev_writer
        write = events.write_event

        def write_or_keep_the_error(event: Any) -> None:
            try:
                write(event)
            except OSError as error:
                self._error = error

        events.write_event = write_or_keep_the_error

    def _attempt(self, call: Callable[[], None]) -> None:
        if self._error is not None:
            return
        try:
            call()
        except OSError as error:
            self._error = error
        if self._error is not None:
            reason = self._error.strerror or self._error
            cli.warn(f"{self._folder}: curves are not written any more ({reason})")


def set_aside(folder: Path, name: str) -> bool:
    """Move an earlier run's event files to the sub-folder ``name``; False if there are none.

    TensorBoard shows a sub-folder as a run of its own, so nothing is lost from sight.
    """
    earlier = sorted(folder.glob(_EVENT_FILES))
    for path in earlier:
        target = folder / name
        target.mkdir(exist_ok=True)
        path.rename(target / path.name)
    return bool(earlier)


def purge_after(folder: Path, step: int, epoch_finished: bool) -> None:
    """Drop the points that a run going on from ``step`` will write again.

    Those are all beyond ``step``; and at ``step`` itself the results on eval, and those on
    valid unless the epoch was finished when the checkpoint was written.
    """
    again = ("eval/",) if epoch_finished else ("eval/", "valid/")
    for path in sorted(folder.glob(_EVENT_FILES)):
        _purge_file(path, step, again)


def _purge_file(path: Path, step: int, again: Tuple[str, ...]) -> None:
    content = path.read_bytes()
    kept = []
    for record, event in _events(content):
        repeated = any(value.tag.startswith(again) for value in event.summary.value)
        if event.step < step or (event.step == step and not repeated):
            kept.append(record)
    if sum(map(len, kept)) == len(content):
        return
    with atomic_write(path) as file:
        file.writelines(kept)


def curves_in(folder: Path) -> Dict[str, List[Tuple[int, float]]]:
    """The (step, value) points of every curve in a folder's event files, by the curve's name.

    Empty where there are no such files. What cannot be read of one is left out.
    """
    curves: Dict[str, List[Tuple[int, float]]] = {}
    for path in sorted(folder.glob(_EVENT_FILES)):
        with open_input(path) as file:
            content = file.read(_MAX_BYTES_READ)
        for _, event in _events(content):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves


def _events(content: bytes) -> Iterator[Tuple[bytes, Any]]:
    """(whole record, its event) one by one, up to where a kill or a power cut left a stump."""
    from google.protobuf.message import DecodeError
    from tb_paddle.proto.event_pb2 import Event

    for record, data in _records(content):
        try:
            event = Event.FromString(data)
        except DecodeError:
            return  # nothing behind it can be read either
        yield record, event


def _records(content: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """(whole record, its data) one by one, up to a record that a kill cut short."""
    start = 0
    while start + _HEADER_BYTES <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        end = start + _HEADER_BYTES + length + _FOOTER_BYTES
        if length == 0 or end > len(content):
            return
        yield content[start:end], content[start + _HEADER_BYTES : end - _FOOTER_BYTES]
        start = end
