"""Checkpoints found by what users call them, verified and read.

Beside checkpoints ``best`` and ``latest`` are text files with the name of one in them: not
every disk, and no ``scp -r``, has symbolic links. Links, and the copies of folders that were
made of such, are read as well.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from pydantic import ValidationError

from mnist import __version__
from mnist.base import notes
from mnist.base.arrays import Arrays
from mnist.base.errors import InputError
from mnist.base.files import PathLike, find_input, read_input, sha256_of
from mnist.checkpoints import conventions, course_pairs, foreign, records, shapes
from mnist.checkpoints.foreign import Found
from mnist.checkpoints.records import MANIFEST, PARAMETERS, STATE, TRAINING, Checkpoint, RunState
from mnist.config.classes import DIGITS, Classes

POINTERS = ("best", "latest")
_NAME = re.compile(r"^(epoch|step)(\d+)$")
_MAX_POINTER_BYTES = 100
_MOST_NAMES = 10


def locate(name: Optional[PathLike], folder: PathLike, prefer: str = "best") -> Path:
    """The checkpoint, or the prefix of a course pair, that a user names, wherever it lies.

    ``best``, ``latest`` and ``epoch3`` alone are those of ``folder``; ``latest`` is its newest
    whole one, whatever the pointer says. A folder of checkpoints, and None, which is ``folder``
    itself, mean its best one or, if ``prefer`` is ``latest``, its newest. Raises InputError that
    says what is there instead.
    """
    path = Path(folder) if name is None else _given(Path(name), Path(folder))
    own = any((path / each).exists() for each in (MANIFEST, STATE, PARAMETERS))
    is_one = path.is_dir() and (own or course_pairs.is_pair(path))
    if name is not None and (is_one or not path.is_dir()):
        return path
    best = path / "best"
    return best if prefer == "best" and os.path.lexists(best) else newest(path)


def _given(name: Path, folder: Path) -> Path:
    """Where that lies which a user has named; InputError if it is not there."""
    if name.name in (records.PREFIX, *records.ARRAYS) and find_input(name.parent / STATE).exists():
        name = name.parent  # The files of a checkpoint, checkpoints/epoch8/model, mean itself.
    if course_pairs.is_pair(name):
        # It comes first: beside mnist.pdparams there may be a folder called mnist.
        return name.expanduser()
    path = find_input(name)
    if not os.path.lexists(path) and (str(name) in POINTERS or _NAME.match(str(name))):
        path = folder / name
        if str(name) == "latest":
            return newest(folder)
    if not os.path.lexists(path):
        raise InputError(f"{path}: does not exist; {_what_is_in(path.parent)}")
    return path


def newest(folder: Path) -> Path:
    """The checkpoint with the most steps in ``folder``, damaged ones named and passed over."""
    found = [*checkpoints_in(folder), *copies_in(folder)]
    for path in sorted(found, key=steps_of, reverse=True):
        try:
            verify(path)
        except InputError as error:
            notes.warn(f"passing over a damaged checkpoint: {error}")
        else:
            return path
    pairs = sorted(folder.glob("*" + course_pairs.PARAMETERS))
    pair = f"; it holds the pair {pairs[0].with_suffix('')}" if pairs else ""
    others = f" (python -m mnist.adopt {folder} tells what else is there)" if not found else ""
    raise InputError(
        f"{folder}: there is no {'whole ' if found else ''}checkpoint{pair}; train one (python -m"
        f" mnist.train --config configs/quickstart.yaml) or name another{others}"
    )


def is_any_in(folder: Path) -> bool:
    """Whether there is a checkpoint, whole or not, or a pointer to one."""
    return bool(checkpoints_in(folder)) or any(os.path.lexists(folder / name) for name in POINTERS)


def copies_in(folder: Path) -> List[Path]:
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
    names = map(_NAME.match, os.listdir(folder))
    found = sorted((name[1], int(name[2]), name.string) for name in names if name)
    paths = [folder / name for _, _, name in found]
    return [path for path in paths if path.is_dir() and not path.is_symlink()]


def steps_of(path: Path) -> int:
    """The step a checkpoint was taken at; -1 if its state cannot be read."""
    try:
        return read_state(path).step
    except InputError:
        return -1


def load(path: PathLike, resuming: bool = True) -> Checkpoint:
    """Read and verify a checkpoint folder, or a pair of the course's by its prefix.

    Raises InputError naming the file and what is wrong with it; nothing in a file is run. What is
    wrong with the optimizer's state in a pair is a warning unless ``resuming``: nothing else needs
    it.
    """
    given = Path(path)
    folder = follow(given)
    if folder.is_dir() and not (course_pairs.is_pair(given) and not (given / MANIFEST).exists()):
        return _load_folder(folder, given)
    return as_checkpoint(foreign.read_pair(given, resuming), resuming)


def _load_folder(path: Path, named: Path) -> Checkpoint:
    verify(path)
    state = read_state(path)
    found = foreign.read_pair(path / records.PREFIX)
    _require_numbers(found)
    training = None
    if (path / TRAINING).exists():
        others = foreign.read_pair(path / TRAINING)
        _require_numbers(others)
        training = others.arrays
    accumulators, _ = _optimizer(found, found.arrays, found.names)
    model = state.config.get("model", {})
    if not isinstance(model, dict):
        raise InputError(f"{path / STATE}: config.model: must be a section of keys")
    return Checkpoint(path, named, found.arrays, accumulators, state, model, training=training)


def as_checkpoint(found: Found, resuming: bool = True) -> Checkpoint:
    """Parameters of others as one of our models, meant as is usual or as their program tells.

    Raises as ``load`` does, and for what is none of our models.
    """
    _require_numbers(found)
    path = Path(course_pairs.stem(str(found.path)))
    try:
        model, parameters, names = shapes.infer(found.arrays, found.names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    table = {ours: found.names.get(theirs, theirs) for ours, theirs in names.items()}
    accumulators, step = None, None
    try:
        accumulators, step = _optimizer(found, parameters, table)
    except InputError as error:
        if resuming:
            raise
        notes.warn(f"{error}; nothing but resuming needs it")
    usual = conventions.usual_for(model)
    model = {**model, **usual, **{k: v for k, v in found.told.items() if k in usual}}
    done = course_pairs.epochs_done(path)
    return Checkpoint(path, path, parameters, accumulators, None, model, done, step)


def _require_numbers(found: Found) -> None:
    for name, array in found.arrays.items():
        if array.dtype.kind != "f":
            what = course_pairs.described(array)
            raise InputError(f"{found.path}: {name} is {what}, not a float32 parameter")
        if not np.isfinite(array).all():
            raise InputError(f"{found.path}: the parameter {name} holds NaN or infinity")


def _optimizer(
    found: Found, parameters: Arrays, names: Dict[str, str]
) -> Tuple[Optional[Dict[str, Arrays]], Optional[int]]:
    """The accumulators by parameter, None where none were saved, and the schedule's step."""
    state = found.optimizer
    try:
        by_parameter = course_pairs.optimizer_by_parameter(state, names, parameters)
        return (by_parameter if state else None), course_pairs.schedule_step(state)
    except InputError as error:
        raise InputError(f"{course_pairs.stem(str(found.path))}: {error}") from error


def verify(path: Path) -> Dict[str, str]:
    """Check every file of a checkpoint folder against its manifest; InputError if one differs.

    Returns the files' names and SHA-256.
    """
    files = read_json(path / MANIFEST).get("files")
    required = {PARAMETERS, STATE}
    if not isinstance(files, dict) or not required <= set(files):
        raise InputError(f"{path / MANIFEST}: does not list {' and '.join(sorted(required))}")
    for name, expected in files.items():
        # A manifest comes with the checkpoint: it must not reach outside its folder.
        if name not in (*records.ARRAYS, STATE) or (path / name).is_symlink():
            raise InputError(f"{path / MANIFEST}: {name!r} is no file of a checkpoint")
        if sha256_of(path / name) != expected:
            raise InputError(f"{path / name}: is damaged (its SHA-256 is not the manifest's)")
    for name in (records.OPTIMIZER, TRAINING):
        if name not in files and (path / name).exists():
            raise InputError(f"{path / name}: is not in the manifest")
    return files


def read_state(path: Path) -> RunState:
    """A checkpoint folder's ``state.json``."""
    source = follow(path) / STATE
    values = read_json(source)
    try:
        return RunState.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{source}: {where}: {first['msg']}") from error


def classes_of(name: Optional[PathLike], folder: PathLike) -> Classes:
    """What the labels are called of what ``locate`` finds, as far as its state tells."""
    try:
        path = locate(name, folder)
        return read_state(path).classes if follow(path).is_dir() else DIGITS
    except InputError:  # Whoever reads all of it tells what is wrong.
        return DIGITS


def read_json(path: Path) -> Dict[str, Any]:
    """A JSON object from a file of ours; its format is looked at before anything else."""
    raw = read_input(path, records.MAX_JSON_BYTES)
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: is not a JSON object")
    known = records.FORMAT
    if values.get("format", known) != known:
        raise InputError(
            f"{path}: has format {values['format']!r}, and mnist {__version__} reads {known};"
            " update mnist, or read it with the version that wrote it"
        )
    return values
