"""TensorBoard's event files, read as far as a kill or a power cut left them whole."""

import struct
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from google.protobuf.message import DecodeError
from tb_paddle.proto.event_pb2 import Event

from mnist.base.files import open_input

_HEADER_BYTES = 12  # length (8) and its checksum (4)
_FOOTER_BYTES = 4  # the data's checksum
_MAX_BYTES_READ = 64 * 1024 * 1024  # of one file, for its curves


def event_files(folder: Path) -> List[Path]:
    """The event files in a folder, the oldest first."""
    return sorted(folder.glob("events.out.tfevents.*"))


def curves_in(folder: Path) -> Dict[str, List[Tuple[int, float]]]:
    """The (step, value) points of every curve in a folder's event files, by the curve's name.

    Empty where there are no such files; what is damaged in one is left out. Raises InputError,
    or OSError, for one that cannot be read.
    """
    curves: Dict[str, List[Tuple[int, float]]] = {}
    for path in event_files(folder):
        with open_input(path) as file:
            content = file.read(_MAX_BYTES_READ)
        for _, event in records(content):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves


def records(content: bytes) -> Iterator[Tuple[bytes, Any]]:
    """(whole record, its event) one by one, up to a record that was cut short."""
    start = 0
    while start + _HEADER_BYTES <= len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        end = start + _HEADER_BYTES + length + _FOOTER_BYTES
        if length == 0 or end > len(content):
            return
        try:
            event = Event.FromString(content[start + _HEADER_BYTES : end - _FOOTER_BYTES])
        except DecodeError:
            return  # nothing behind it can be read either
        yield content[start:end], event
        start = end
