"""Checkpoints: whole folders on disk, ``best`` and ``latest``, and what lies in them.

A checkpoint is a folder: ``model.pdparams`` and ``model.pdopt`` as ``fluid.save_dygraph``
writes them (``fluid.load_dygraph("checkpoints/epoch3/model")`` reads both), ``state.json``
with the rest of the run's state, and ``manifest.json`` with the SHA-256 of the others. It is
staged under another name, fsynced and renamed, so it appears whole or not at all.

Beside them ``best`` and ``latest`` are text files with the name of a checkpoint in them: not
every disk, and no ``scp -r``, has symbolic links. Links, and the copies of folders that were
made of such, are read as well.

With ``train.averaging_decay``, ``model.pdparams`` is the average, which is what a model is used
with, and ``training.pdparams`` holds the weights that training goes on with.

SGD with a constant rate has no state, so then there is no ``model.pdopt``.
"""

import json
import os
import re
import shutil
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple, Type

import filelock
import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from mnist import __version__
from mnist.base import notes
from mnist.base.errors import Failure, InputError
from mnist.base.files import (
    PathLike,
    atomic_write,
    find_input,
    fsync_folder,
    read_input,
    sha256_of,
)
from mnist.checkpoints import conventions, course_pairs, pickles

_PREFIX = "model"  # fluid.load_dygraph takes the folder and this
PARAMETERS = _PREFIX + course_pairs.PARAMETERS
OPTIMIZER = _PREFIX + course_pairs.OPTIMIZER
TRAINING = "training" + course_pairs.PARAMETERS
STATE = "state.json"
MANIFEST = "manifest.json"
RESULT = "result.json"

FORMAT = 1
MAX_JSON_BYTES = 16 * 1024 * 1024
_MAX_POINTER_BYTES = 100
_MOST_NAMES = 10
_NAME = re.compile(r"^(epoch|step)(\d+)$")
_STAGING = ".staging-"
POINTERS = ("best", "latest")

Arrays = Dict[str, "np.ndarray[Any, Any]"]


class _Json(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class EpochRecord(_Json):
    """What one epoch came to. Accuracies are 0–1; ``learning_rate`` is the last step's."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float


class RunState(_Json):
    """Everything about a run that is not an array; ``state.json`` holds it.

    ``epoch`` counts finished epochs, ``step`` all batches trained, ``step_in_epoch`` those
    of the epoch under way, whose sums so far follow it. ``temperature`` is fitted on valid after
    an epoch (``mnist.model.calibration``); None before that, and for a regression. ``kernels`` is
    what computed convolutions and norms: ``fluid`` (Paddle's operators) or ``c``.
    """

    format: int = FORMAT
    config: Dict[str, Any]
    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0
    epoch_seconds: float = 0.0
    history: List[EpochRecord] = []
    temperature: Optional[float] = None
    data_path: str = ""
    data_sha256: str = ""
    data_fallback: Optional[str] = None
    versions: Dict[str, str] = {}
    device: str = "CPU"
    kernels: str = "fluid"
    deterministic: str = ""
    saved_at: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read from disk.

    ``path`` is its own folder, ``named`` what the user called it, perhaps a pointer.
    ``parameters``: structured name → float32 array. ``accumulators``: optimizer state by
    structured parameter name, None where none was saved. ``training`` are the weights to go on
    with if ``parameters`` are their average, else None. ``state`` is None for the course's
    own pairs, which hold nothing else; then ``model`` is what their shapes tell and what is
    usual of the rest (``mnist.checkpoints.conventions``), ``epochs_done`` what their name tells and
    ``schedule_step`` what a learning-rate schedule had counted (each None if it tells nothing).
    """

    path: Path
    named: Path
    parameters: Arrays
    accumulators: Optional[Dict[str, Arrays]]
    state: Optional[RunState]
    model: Dict[str, Any]
    epochs_done: Optional[int] = None
    schedule_step: Optional[int] = None
    training: Optional[Arrays] = None

    def named_as(self, names: List[str]) -> "Checkpoint":
        """This checkpoint with its parameters called ``names``.

        A pair of the course's is matched by order, since its layers may have other names;
        shapes are compared later. Our own checkpoints keep their names.
        """
        if self.state is not None or len(names) != len(self.parameters):
            return self
        new = dict(zip(self.parameters, names))
        accumulators = self.accumulators
        if accumulators is not None:
            accumulators = {new[name]: arrays for name, arrays in accumulators.items()}
        parameters = {new[name]: array for name, array in self.parameters.items()}
        return replace(self, parameters=parameters, accumulators=accumulators)


def best_record(history: Iterable[EpochRecord]) -> Optional[EpochRecord]:
    """The epoch with the highest accuracy on valid; of equal ones the lowest loss, the first."""
    ranked = sorted(history, key=lambda r: (-r.valid_accuracy, r.valid_loss, r.epoch))
    return ranked[0] if ranked else None


# --- reading ---------------------------------------------------------------------------


def locate(name: Optional[PathLike], folder: PathLike, prefer: str = "best") -> Path:
    """The checkpoint, or the prefix of a course pair, that a user names, wherever it lies.

    ``best``, ``latest`` and ``epoch3`` alone are those of ``folder``; ``latest`` is its newest
    whole one, whatever the pointer says. A folder of checkpoints, and None, which is ``folder``
    itself, mean its best one or, if ``prefer`` is ``latest``, its newest. Raises InputError that
    says what is there instead.
    """
    if name is None:
        return _one_of(Path(folder), prefer)
    # A pair comes first: beside mnist.pdparams there may be a folder called mnist.
    path = Path(name).expanduser() if course_pairs.is_pair(name) else find_input(name)
    if not _is_there(path) and (str(name) in POINTERS or _NAME.match(str(name))):
        path = Path(folder) / name
        if str(name) == "latest":
            return newest(Path(folder))
    if not _is_there(path):
        raise InputError(f"{path}: does not exist; {_what_is_in(path.parent)}")
    if _holds_checkpoints(path):
        return _one_of(path, prefer)
    return path


def _is_there(path: Path) -> bool:
    return os.path.lexists(path) or course_pairs.is_pair(path)


def _holds_checkpoints(path: Path) -> bool:
    """Whether it is a folder of checkpoints, or at least none itself, not even a damaged one."""
    own = any((path / name).exists() for name in (MANIFEST, STATE, PARAMETERS))
    return path.is_dir() and not own and not course_pairs.is_pair(path)


def _one_of(folder: Path, prefer: str) -> Path:
    if prefer == "best" and os.path.lexists(folder / "best"):
        return folder / "best"
    return newest(folder)


def newest(folder: Path) -> Path:
    """The checkpoint with the most steps in ``folder``, damaged ones named and passed over."""
    found = [*checkpoints_in(folder), *_copies_in(folder)]
    for path in sorted(found, key=steps_of, reverse=True):
        try:
            verify(path)
        except InputError as error:
            notes.warn(f"passing over a damaged checkpoint: {error}")
        else:
            return path
    raise InputError(
        f"{folder}: there is no {'whole ' if found else ''}checkpoint; train one (python -m"
        " mnist.train --config configs/quickstart.yaml) or name another"
    )


def _copies_in(folder: Path) -> List[Path]:
    """Folders where pointers belong: what copying makes of symbolic links."""
    paths = [folder / name for name in POINTERS]
    return [path for path in paths if path.is_dir() and not path.is_symlink()]


def _what_is_in(folder: Path) -> str:
    """The checkpoints and pairs of a folder, for whoever named another."""
    names = [path.name for path in checkpoints_in(folder)]
    names += [name for name in POINTERS if os.path.lexists(folder / name)]
    names += sorted(path.stem for path in folder.glob("*" + course_pairs.PARAMETERS))
    if not names:
        return f"no checkpoint is in {folder}/"
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES // 2], "…", *names[-_MOST_NAMES // 2 :]]
    return f"{folder}/ has {', '.join(names)}"


def follow(path: Path) -> Path:
    """The checkpoint that a pointer names; any other path as it is.

    Raises InputError for a pointer at nothing.
    """
    pointed = pointed_at(path)
    if pointed is None:
        return path
    if not (path.parent / pointed).is_dir():
        there = _what_is_in(path.parent)
        raise InputError(f"{path}: points to {pointed}, which is not there; {there}")
    return path.parent / pointed


def pointed_at(path: Path) -> Optional[str]:
    """The name in a pointer; None if ``path`` is none. Raises InputError for other content."""
    if path.is_symlink():
        return os.readlink(path)
    if path.name not in POINTERS or not os.path.lexists(path) or path.is_dir():
        return None
    name = read_input(path, _MAX_POINTER_BYTES).decode(errors="replace").strip()
    if not _NAME.match(name):
        raise InputError(f"{path}: holds {name!r}, which is no checkpoint's name")
    return name


def checkpoints_in(folder: Path) -> List[Path]:
    """The checkpoint folders (``epochN``, ``stepN``) in ``folder``, whole or not."""
    if not folder.is_dir():
        return []
    entries = [path for path in folder.iterdir() if _NAME.match(path.name)]
    return sorted((p for p in entries if p.is_dir() and not p.is_symlink()), key=_order)


def _order(path: Path) -> Any:
    kind, number = re.findall(r"^(\D+)(\d+)$", path.name)[0]
    return kind, int(number)


def steps_of(path: Path) -> int:
    """The step a checkpoint was taken at; -1 if its state cannot be read."""
    try:
        return read_state(path).step
    except InputError:
        return -1


def load(path: PathLike) -> Checkpoint:
    """Read and verify a checkpoint folder, or a pair of the course's by its prefix.

    Raises InputError naming the file and what is wrong with it; nothing in a file is run.
    """
    given = Path(path)
    if course_pairs.is_pair(given) and not (given / MANIFEST).exists():
        return _load_course_pair(given)
    folder = follow(given)
    return _load_folder(folder, given) if folder.is_dir() else _load_course_pair(given)


def _load_folder(path: Path, named: Path) -> Checkpoint:
    verify(path)
    state = read_state(path)
    parameters, accumulators, _ = _read_pair(path / _PREFIX)
    training = None
    if (path / TRAINING).exists():
        training = _finite(path / TRAINING, course_pairs.read_pair(path / TRAINING)[0])
    model = state.config.get("model", {})
    if not isinstance(model, dict):
        raise InputError(f"{path / STATE}: config.model: must be a section of keys")
    return Checkpoint(path, named, parameters, accumulators, state, model, training=training)


def _load_course_pair(prefix: Path) -> Checkpoint:
    parameters, accumulators, step = _read_pair(prefix)
    try:
        model = course_pairs.infer_model(parameters)
    except InputError as error:
        raise InputError(f"{prefix}: {error}") from error
    model = {**model, **conventions.usual_for(model).as_model()}
    done = course_pairs.epochs_done(prefix)
    return Checkpoint(prefix, prefix, parameters, accumulators, None, model, done, step)


def _read_pair(prefix: Path) -> Tuple[Arrays, Optional[Dict[str, Arrays]], Optional[int]]:
    """Parameters, accumulators by parameter and the schedule's step of a pair of files."""
    parameters, names, saved = course_pairs.read_pair(prefix)
    _finite(prefix, parameters)
    if saved is None:
        return parameters, None, None
    try:
        accumulators = course_pairs.optimizer_by_parameter(saved, names, parameters)
        return parameters, accumulators, course_pairs.schedule_step(saved)
    except InputError as error:
        raise InputError(f"{prefix}: {error}") from error


def _finite(path: Path, parameters: Arrays) -> Arrays:
    for name, array in parameters.items():
        if not np.isfinite(array).all():
            raise InputError(f"{path}: the parameter {name} holds NaN or infinity")
    return parameters


def verify(path: Path) -> None:
    """Check every file of a checkpoint folder against its manifest; InputError if one differs."""
    files = _read_json(path / MANIFEST).get("files")
    required = {PARAMETERS, STATE}
    if not isinstance(files, dict) or not required <= set(files):
        raise InputError(f"{path / MANIFEST}: does not list {' and '.join(sorted(required))}")
    for name, expected in files.items():
        # A manifest comes with the checkpoint: it must not reach outside its folder.
        if name not in (PARAMETERS, OPTIMIZER, TRAINING, STATE) or (path / name).is_symlink():
            raise InputError(f"{path / MANIFEST}: {name!r} is no file of a checkpoint")
        try:
            actual = sha256_of(path / name)
        except OSError as error:
            raise InputError(f"{path / name}: cannot be read ({error.strerror})") from error
        if actual != expected:
            raise InputError(f"{path / name}: is damaged (its SHA-256 is not the manifest's)")
    for name in (OPTIMIZER, TRAINING):
        if name not in files and (path / name).exists():
            raise InputError(f"{path / name}: is not in the manifest")


def read_state(path: Path) -> RunState:
    """A checkpoint folder's ``state.json``."""
    source = follow(path) / STATE
    values = _read_json(source)
    try:
        state = RunState.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{source}: {where}: {first['msg']}") from error
    return state


def _read_json(path: Path) -> Dict[str, Any]:
    """A JSON object from a file of ours; its format is looked at before anything else."""
    raw = read_input(path, MAX_JSON_BYTES)
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: is not a JSON object")
    if values.get("format", FORMAT) != FORMAT:
        raise InputError(
            f"{path}: has format {values['format']!r}, and mnist {__version__} reads {FORMAT};"
            " update mnist, or read it with the version that wrote it"
        )
    return values


# --- writing ---------------------------------------------------------------------------


class CheckpointStore:
    """The folder in which one training keeps its checkpoints; a lock keeps others out.

    Use as a context manager. Raises Failure for what the disk refuses, and for a second
    training in the same folder, with the first one's pid and start.
    """

    def __init__(self, folder: Path, keep_last: Optional[int]) -> None:
        self.folder = folder
        self._keep_last = keep_last
        self._lock = filelock.FileLock(str(folder / ".lock"))
        self._owner = folder / ".owner.json"

    def __enter__(self) -> "CheckpointStore":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise Failure(
                f"{self.folder}: another training ({_describe_owner(self._owner)}) writes its"
                " checkpoints here; name another folder with --set checkpoint.dir=…"
            ) from None
        except OSError as error:
            raise Failure(f"{self.folder}: cannot be used ({error.strerror})") from error
        owner = {"pid": os.getpid(), "started": _now()}
        with atomic_write(self._owner) as file:
            file.write(json.dumps(owner).encode())
        self._remove_leftovers()
        for copy in _copies_in(self.folder):
            self._take_in(copy)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        try:
            self._owner.unlink(missing_ok=True)
        except OSError:
            pass  # The folder became read-only; the lock is what counts.
        self._lock.release()

    def _remove_leftovers(self) -> None:
        """What a killed training was writing; nothing whole has such a name."""
        for path in self.folder.glob(_STAGING + "*"):
            shutil.rmtree(path, ignore_errors=True)

    def _take_in(self, copy: Path) -> None:
        """Make room for a pointer where a copy of what it named stands, and lose nothing."""
        try:
            state = read_state(copy)
            name = f"step{state.step}" if state.step_in_epoch else f"epoch{state.epoch}"
        except InputError:
            name = f"{copy.name}-copy"
        own = self.folder / name
        try:
            if _hold_the_same(own, copy):
                self._hide(copy)
            elif own.exists() or not _NAME.match(name):
                moved = copy.rename(_unused(self.folder, f"{copy.name}-copy"))
                notes.warn(f"{copy} is no copy of a checkpoint here; it is now {moved}")
                return
            else:
                copy.rename(own)
        except OSError as error:
            raise Failure(f"{copy}: cannot be renamed ({error.strerror})") from error
        _write_pointer(copy, name)

    def name_aside(self) -> str:
        """A name for a new sub-folder of what an earlier run has left."""
        return _unused(self.folder, time.strftime("earlier-%Y%m%d-%H%M%S")).name

    def set_aside(self, paths: List[Path], name: Optional[str] = None) -> Optional[Path]:
        """Move checkpoints of an earlier run to a new sub-folder; None if there are none."""
        if not paths:
            return None
        target = self.folder / (name or self.name_aside())
        try:
            target.mkdir()
            pointers = self._take_pointers_at(paths)
            for path in paths:
                path.rename(target / path.name)
            for name, pointed in pointers.items():
                _write_pointer(target / name, pointed)
            if (self.folder / RESULT).exists():
                (self.folder / RESULT).rename(target / RESULT)
            fsync_folder(self.folder)
        except OSError as error:
            raise Failure(f"{self.folder}: cannot be written ({error.strerror})") from error
        return target

    def _take_pointers_at(self, paths: List[Path]) -> Dict[str, str]:
        """Remove and return the pointers at ``paths``, so that none ever points at nothing."""
        names = {path.name for path in paths}
        taken = {name: at for name, at in self.pointers().items() if at in names}
        for name in taken:
            (self.folder / name).unlink()
        return taken

    def pointers(self) -> Dict[str, str]:
        """The pointers that there are, and the checkpoints they name."""
        found = {}
        for name in POINTERS:
            try:
                found[name] = pointed_at(self.folder / name)
            except InputError:
                pass  # The next one written takes its place.
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
        staging = self.folder / f"{_STAGING}{name}-{os.getpid()}"
        contents = {PARAMETERS: _pickled(parameters), STATE: _state_bytes(state)}
        if optimizer:
            contents[OPTIMIZER] = _pickled(optimizer)
        if training is not None:
            contents[TRAINING] = _pickled(training)
        try:
            self._write(staging, contents)
            self._publish(staging, final)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            raise Failure(
                f"{final}: cannot be saved ({error.strerror}); the checkpoints before it are whole"
            ) from error
        _write_pointer(self.folder / "latest", name)
        self._prune(keep=final)
        self._remove_leftovers()
        return final

    def mark_best(self, name: str) -> None:
        """Point ``best`` at a checkpoint of this folder."""
        _write_pointer(self.folder / "best", name)

    def write_result(self, result: Dict[str, Any]) -> Path:
        """Write ``result.json``: what the finished run came to, for scripts to read."""
        path = self.folder / RESULT
        with atomic_write(path) as file:
            file.write((json.dumps(result, indent=2) + "\n").encode())
        return path

    def _write(self, staging: Path, contents: Dict[str, bytes]) -> None:
        staging.mkdir()
        for name, content in contents.items():
            _write_synced(staging / name, content)
        manifest = {
            "format": FORMAT,
            "files": {name: sha256_of(staging / name) for name in sorted(contents)},
        }
        _write_synced(staging / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
        fsync_folder(staging)

    def _publish(self, staging: Path, final: Path) -> None:
        if _hold_the_same(final, staging):
            # Stopped, resumed and stopped again at one step. A folder cannot be replaced in
            # one go, and a kill half-way would leave none.
            return
        if final.exists():
            final.rename(_unused(self.folder, f"{_STAGING}damaged-{final.name}"))
        staging.rename(final)
        fsync_folder(self.folder)

    def _hide(self, path: Path) -> None:
        """Make a leftover of a checkpoint: removed in place, a kill would leave half of it."""
        try:
            path.rename(_unused(self.folder, f"{_STAGING}removed-{path.name}"))
        except OSError:
            pass  # It stays, whole.

    def _prune(self, keep: Path) -> None:
        """Inside-epoch checkpoints serve until a newer one is whole; epochs: ``keep_last``."""
        pointed = self.pointers().values()
        epochs = [p for p in checkpoints_in(self.folder) if p.name.startswith("epoch")]
        steps = [p for p in checkpoints_in(self.folder) if p.name.startswith("step")]
        old = epochs[: -self._keep_last] if self._keep_last else []
        for path in steps + old:
            if path != keep and path.name not in pointed:
                self._hide(path)


def _write_pointer(path: Path, name: str) -> None:
    """Point ``path`` at the checkpoint ``name`` beside it; a link that is there is replaced."""
    if not (path.parent / name).is_dir():
        raise Failure(f"{path}: cannot be set ({name} is gone)")
    with atomic_write(path) as file:
        file.write(f"{name}\n".encode())


def _unused(folder: Path, name: str) -> Path:
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}"
    return path


def _hold_the_same(left: Path, right: Path) -> bool:
    """Whether two checkpoints are whole and hold the same arrays."""
    try:
        verify(left)
        files = [_read_json(path / MANIFEST)["files"] for path in (left, right)]
    except InputError:
        return False
    arrays = (PARAMETERS, OPTIMIZER, TRAINING)
    return all(files[0].get(name) == files[1].get(name) for name in arrays)


def _pickled(state: Dict[str, Any]) -> bytes:
    """What ``fluid.save_dygraph`` would write for a ``state_dict()``."""
    return pickles.dump(dict(_as_saved(state)))


def _as_saved(state: Dict[str, Any]) -> Iterator[Any]:
    names = {}
    for key, value in state.items():
        if hasattr(value, "numpy"):
            names[key] = value.name
            value = value.numpy()
        yield key, value
    yield pickles.NAME_TABLE, names


def _state_bytes(state: RunState) -> bytes:
    stamped = state.model_copy(update={"saved_at": _now()})
    return (stamped.model_dump_json(indent=2) + "\n").encode()


def _write_synced(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _describe_owner(path: Path) -> str:
    try:
        owner = _read_json(path)
    except InputError:
        return "just starting"
    return f"pid {owner.get('pid')}, started {owner.get('started')}"


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
