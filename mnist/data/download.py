"""The four official MNIST files from public mirrors, resumed and checked."""

import hashlib
import os
import queue
import threading
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import requests
import urllib3
from rich import progress

from mnist.base.console import make_console, make_progress
from mnist.base.errors import Failure, InputError, failing_as
from mnist.data import idx
from mnist.data.idx import OFFICIAL_FILES, IdxFile

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    # The one that paddle.dataset.mnist of Paddle 1.8.5 uses.
    "https://dataset.bj.bcebos.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)

# To connect, and between two pieces of an answer.
_TIMEOUTS_SECONDS = (3.0, 10.0)
# All mirrors are asked at once, in threads, because the look-up of a host's name can
# hang for much longer than any time-out that requests knows of.
_PROBE_SECONDS = 5.0
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.5
# What a connection that breaks off in the middle of a block has sent of it is lost.
_BLOCK = 16 << 10

# What a connection may end with. requests hands on some of urllib3's errors as they are.
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError)

# The first that an error is.
_REASONS = (
    (requests.Timeout, "no answer"),
    (requests.exceptions.SSLError, "no safe connection (TLS)"),
    (requests.ConnectionError, "cannot be reached"),
    (urllib3.exceptions.HTTPError, "the connection broke off"),
)

_WAY_OUT = "fetch the four files on another machine and give their folder with --source DIR"

Say = Callable[[str], None]


def default_mirrors() -> Sequence[str]:
    """The mirrors to ask unless the caller names others, or MNIST_MIRRORS, with spaces between."""
    return os.environ.get("MNIST_MIRRORS", "").split() or MIRRORS


def fetch(
    folder: Path, mirrors: Sequence[str], files: Sequence[IdxFile] = OFFICIAL_FILES,
    say: Say = print,
) -> None:  # fmt: skip
    """Have every file as ``<name>.gz`` in ``folder``, with the right content.

    What is there already is checked and kept; a partial download (``<name>.gz.part``)
    is resumed. Raises Failure when no mirror answers (known within 6 seconds), when none has
    the right content, or when the disk refuses; partial downloads stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if _fault_of(folder / f"{file.name}.gz", file)]
    if not missing:
        return
    say("asking the mirrors for MNIST")
    smallest = min(missing, key=lambda file: file.size)
    answering = _answering([mirror.rstrip("/") + "/" for mirror in mirrors], smallest.name)
    for file in missing:
        _fetch_file(folder, answering, file, say)


def _answering(mirrors: Sequence[str], name: str) -> List[str]:
    """The mirrors to use, the one that answered first in front; Failure if none does."""
    answers: queue.Queue[Tuple[str, str]] = queue.Queue()
    for mirror in mirrors:
        # A daemon, so that one that hangs does not keep the process from ending.
        threading.Thread(target=_probe, args=(mirror, name, answers), daemon=True).start()
    deadline = time.monotonic() + _PROBE_SECONDS
    faults = dict.fromkeys(mirrors, "no answer")
    for _ in mirrors:
        try:
            mirror, faults[mirror] = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if not faults[mirror]:
            return [mirror, *(m for m in mirrors if faults[m] == "no answer")]
    raise Failure(f"no mirror of MNIST can be reached ({_listed(faults)}): {_WAY_OUT}")


def _probe(mirror: str, name: str, answers: "queue.Queue[Tuple[str, str]]") -> None:
    """Put (mirror, fault) into ``answers``; the fault is empty if it has the file."""
    fault = ""
    try:
        _get(f"{mirror}{name}.gz", {"Range": "bytes=0-0"}).close()
    except (*_BROKEN, ValueError) as error:
        fault = _reason(error)
    answers.put((mirror, fault))


def _get(url: str, headers: Dict[str, str]) -> requests.Response:
    # Identity: the file itself is gzip, and a range must count its own bytes.
    headers = {"Accept-Encoding": "identity", **headers}
    response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUTS_SECONDS)
    if response.status_code not in (200, 206, 416):
        raise requests.RequestException(f"HTTP status {response.status_code}")
    return response


def _fetch_file(folder: Path, mirrors: Sequence[str], file: IdxFile, say: Say) -> None:
    target = folder / f"{file.name}.gz"
    part = folder / f"{file.name}.gz.part"
    faults: Dict[str, str] = {}
    for mirror in mirrors:
        say(f"downloading {target.name} from {_host(mirror)}")
        with failing_as(f"{part}: cannot be written"):
            faults[mirror] = _fetch_from(f"{mirror}{target.name}", part, file)
            if not faults[mirror]:
                os.replace(part, target)
                return
    raise Failure(f"{target.name}: no mirror gave it ({_listed(faults)}): {_WAY_OUT}")


def _fetch_from(url: str, part: Path, file: IdxFile) -> str:
    """Complete ``part`` from one mirror; why it cannot be, empty if it is."""
    fault = ""
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE_SECONDS * attempt)
        resumed = part.exists()
        try:
            _transfer(url, part, file)
        except _BROKEN as error:
            fault = _reason(error)
            continue
        fault = _fault_of(part, file)
        if fault:
            part.unlink(missing_ok=True)
        # What was there before may have come from a mirror with another gzip of the file.
        if not (fault and resumed):
            break
    return fault


def _transfer(url: str, part: Path, file: IdxFile) -> None:
    """Append to ``part`` what it lacks, or begin it anew if the server wants it so."""
    start = part.stat().st_size if part.exists() else 0
    with _get(url, {"Range": f"bytes={start}-"} if start else {}) as response:
        if response.status_code == 416 and start:
            return  # Nothing is missing; or else the check of the content fails.
        if response.status_code == 200:
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise requests.RequestException("another range than the one asked for")
        with open(part, "ab" if start else "wb") as out:
            for block in _blocks(response, part.stem, start):
                out.write(block)
                # gzip never makes a file more than a little larger: the check will fail.
                if out.tell() > file.size + _BLOCK:
                    break


def _blocks(response: requests.Response, name: str, start: int) -> Iterator[bytes]:
    """What is sent, with a progress bar on a terminal; ``start`` bytes are there already."""
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else None
    so_far = (progress.BarColumn(), progress.DownloadColumn(), progress.TransferSpeedColumn())
    columns = (progress.TextColumn("{task.description}"), *so_far, progress.TimeRemainingColumn())
    with make_progress(make_console(stderr=True), *columns) as bar:
        task = bar.add_task(name, total=total, completed=start)
        for block in response.raw.stream(_BLOCK, decode_content=False):
            yield block
            bar.advance(task, len(block))


def _fault_of(path: Path, file: IdxFile) -> str:
    """What is wrong with a downloaded file, empty if nothing is."""
    try:
        found = hashlib.sha256(idx.payload(path, max_bytes=file.size)).hexdigest()
    except InputError as error:
        return str(error)
    return "" if found == file.sha256 else f"sends something else than {file.name}"


def _reason(error: Exception) -> str:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), str(error))


def _listed(faults: Dict[str, str]) -> str:
    return "; ".join(f"{_host(mirror)}: {fault}" for mirror, fault in faults.items())


def _host(mirror: str) -> str:
    """The short name of a mirror, without a password that may stand in its address."""
    address = mirror.split("//")[-1].split("/")[0]
    return address.split("@")[-1] or mirror
