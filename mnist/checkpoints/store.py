"""The folder in which one training keeps its checkpoints, and how they are written.

A checkpoint is staged under another name, fsynced and renamed, so it appears whole or not at
all; ``best`` and ``latest`` are files that name one.
"""

import json
import os
import shutil
import time
from contextlib import suppress
from datetime import datetime, timezone
from hashlib import sha256
from itertools import chain, count
from pathlib import Path
from typing import Any, Dict, List, Optional

import filelock

from mnist.base.errors import Failure, InputError, failing_as
from mnist.base.files import atomic_write, fsync, remove_folder, staged_folder
from mnist.checkpoints import pickles, reading, records
from mnist.checkpoints.records import RunState


class CheckpointStore:
    """Use as a context manager: a lock keeps other trainings out of the folder.

    Raises InputError for folders where pointers belong, Failure for what the disk refuses, and
    for a second training in the same folder, with the first one's pid and start.
    """

    def __init__(self, folder: Path, keep_last: Optional[int]) -> None:
        self.folder = folder
        self._keep_last = keep_last
        self._lock = filelock.FileLock(str(folder / ".lock"))
        self._owner = folder / ".owner.json"

    def __enter__(self) -> "CheckpointStore":
        copies = " and ".join(map(str, reading.copies_in(self.folder)))
        if copies:
            raise InputError(
                f"{copies}: a folder, as copying makes of a link, where a text file with a"
                " checkpoint's name belongs; fix: rename it to its own name (epoch3), or move it"
                " away if that is there already"
            )
        with failing_as(f"{self.folder}: cannot be used"):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except filelock.Timeout:
                raise Failure(
                    f"{self.folder}: another training ({_describe_owner(self._owner)}) writes its"
                    " checkpoints here; name another folder with --set checkpoint.dir=…"
                ) from None
        with atomic_write(self._owner) as file:
            file.write(_json({"pid": os.getpid(), "started": _now()}))
        self._remove_leftovers()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # The folder became read-only; the lock is what counts.
            self._owner.unlink(missing_ok=True)
        self._lock.release()

    def _remove_leftovers(self) -> None:
        """What a killed training was writing or removing; nothing whole has such a name."""
        for pattern in (".*.tmp", ".*.replaced", ".*.removed"):
            for path in self.folder.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def name_aside(self) -> str:
        """A name for a new sub-folder of what an earlier run has left."""
        name = time.strftime("earlier-%Y%m%d-%H%M%S")
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(name for name in names if not (self.folder / name).exists())

    def set_aside(self, paths: List[Path], name: Optional[str] = None) -> Optional[Path]:
        """Move checkpoints of an earlier run to a new sub-folder; None if there are none."""
        if not paths:
            return None
        target = self.folder / (name or self.name_aside())
        result = self.folder / records.RESULT
        with failing_as(f"{self.folder}: cannot be written"):
            target.mkdir()
            names = {path.name for path in paths}
            pointers = {name: at for name, at in self.pointers().items() if at in names}
            for name in pointers:  # first, so that none ever points at nothing
                (self.folder / name).unlink()
            for path in paths:
                path.rename(target / path.name)
            for name, pointed in pointers.items():
                _write_pointer(target / name, pointed)
            if result.exists():
                result.rename(target / result.name)
            fsync(self.folder)
        return target

    def pointers(self) -> Dict[str, str]:
        """The pointers that there are, and the checkpoints they name."""
        found = {}
        for name in reading.POINTERS:
            with suppress(InputError):  # The next one written takes its place.
                found[name] = reading.pointed_at(self.folder / name)
        return {name: pointed for name, pointed in found.items() if pointed is not None}

    def save(
        self,
        name: str,
        parameters: Dict[str, Any],
        optimizer: Any,
        state: RunState,
        training: Optional[Dict[str, Any]] = None,
    ) -> Path:
        """Write the checkpoint ``name`` whole, point ``latest`` at it, drop old ones.

        ``parameters`` and ``optimizer`` are Paddle's ``state_dict()``s; ``training`` are the
        weights to go on with where ``parameters`` are their average.
        """
        final = self.folder / name
        stamped = state.model_copy(update={"saved_at": _now()}).model_dump_json(indent=2) + "\n"
        contents = {records.PARAMETERS: _pickled(parameters), records.STATE: stamped.encode()}
        if optimizer:
            contents[records.OPTIMIZER] = _pickled(optimizer)
        if training is not None:
            contents[records.TRAINING] = _pickled(training)
        digests = {file: sha256(contents[file]).hexdigest() for file in sorted(contents)}
        contents[records.MANIFEST] = _json({"format": records.FORMAT, "files": digests})
        # Stopped, resumed and stopped again at one step, it is there. A folder cannot be replaced
        # in one go, and a kill half-way would leave none.
        if not _holds(final, digests):
            with staged_folder(final, replace=True, make_parents=False) as staging:
                for file, content in contents.items():
                    (staging / file).write_bytes(content)
        _write_pointer(self.folder / "latest", name)
        self._prune(keep=final)
        return final

    def mark_best(self, name: str) -> None:
        """Point ``best`` at a checkpoint of this folder."""
        _write_pointer(self.folder / "best", name)

    def write_result(self, result: Dict[str, Any]) -> Path:
        """Write ``result.json``: what the finished run came to, for scripts to read."""
        path = self.folder / records.RESULT
        with atomic_write(path) as file:
            file.write(_json(result))
        return path

    def _prune(self, keep: Path) -> None:
        """Inside-epoch checkpoints serve until a newer one is whole; epochs: ``keep_last``."""
        pointed = self.pointers().values()
        found = reading.checkpoints_in(self.folder)
        kept = [path for path in found if path.name.startswith("epoch")][-(self._keep_last or 0) :]
        for path in found:
            if path not in (*kept, keep) and path.name not in pointed:
                with suppress(OSError):  # or else it stays, whole
                    remove_folder(path)


def _write_pointer(path: Path, name: str) -> None:
    """Point ``path`` at the checkpoint ``name`` beside it; a link that is there is replaced."""
    if not (path.parent / name).is_dir():
        raise Failure(f"{path}: cannot be set ({name} is gone)")
    # A folder that has vanished just now is not made anew with nothing but a pointer in it.
    with atomic_write(path, make_parents=False) as file:
        file.write(f"{name}\n".encode())


def _holds(path: Path, digests: Dict[str, str]) -> bool:
    """Whether a checkpoint is whole and its arrays have these digests."""
    try:
        held = reading.verify(path)
    except InputError:
        return False
    return all(held.get(name) == digests.get(name) for name in records.ARRAYS)


def _pickled(state: Dict[str, Any]) -> bytes:
    """What ``fluid.save_dygraph`` would write for a ``state_dict()``."""
    variables = {key: value for key, value in state.items() if hasattr(value, "numpy")}
    arrays = {key: variable.numpy() for key, variable in variables.items()}
    names = {key: variable.name for key, variable in variables.items()}
    return pickles.dump({**state, **arrays, pickles.NAME_TABLE: names})


def _json(values: Dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()


def _describe_owner(path: Path) -> str:
    try:
        owner = reading.read_json(path)
    except InputError:
        return "just starting"
    return f"pid {owner.get('pid')}, started {owner.get('started')}"


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
