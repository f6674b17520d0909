"""From what the user typed to a training: config, checkpoint, data, in that order.

The order matters: everything that can be refused is looked at before anything is written,
and the environment is set between knowing the config and importing Paddle. Of several processes
the main one does it all, and the others get what it has found.
"""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple

from mnist import config as configs
from mnist.base import child, notes, own_code, preflight, processors
from mnist.base.errors import InputError
from mnist.base.files import PathLike, find_input
from mnist.checkpoints import reading, records
from mnist.checkpoints.records import Checkpoint
from mnist.config import Config
from mnist.config.schema import DataConfig
from mnist.data import dataset, obtain
from mnist.data.dataset import Dataset
from mnist.fluid import environment, processes
from mnist.fluid.processes import Group

# Where MPI's processes exchange what they send each other, and so many MiB of it for each:
# measured 5.3 with mpich 5.0.2.
_SHARED_MEMORY = "/dev/shm"
_SHARED_MIB = 8


def start(
    config_path: Optional[str], resume: Optional[str], overrides: Sequence[str], allow_changes: bool
) -> Dict[str, Any]:
    """Train as told and return the content of ``result.json``.

    Without ``config_path`` the config is the one in the checkpoint ``resume``.
    """

    def asked() -> Tuple[Config, Optional[Checkpoint], Dict[str, Tuple[str, ...]]]:
        given = read_config(config_path, overrides) if config_path else None
        return (*with_checkpoint(given, resume, overrides), own_code.folders)

    with processes.join() as group:
        config, source, trusted = group.from_main(asked)
        own_code.folders.update(trusted)
        check_workers(config.parallel.workers, group.size)
        if config.parallel.workers > group.size:
            launch(config.parallel.workers)
        # As it is carried out: with as many processes as mpirun has started.
        section = config.parallel.model_copy(update={"workers": group.size})
        config = config.model_copy(update={"parallel": section})
        # Only now is it known how many threads Paddle may take when it is imported.
        environment.prepare(config.device.threads)
        data = obtain_together(config.data, group)
        from mnist.train import loop

        return loop.train(config, data, source, allow_changes, group)


def check_workers(workers: int, started: int) -> None:
    """InputError if a config asks for another number of processes than mpirun has started."""
    if started > 1 and workers not in (1, started):
        raise InputError(
            f"parallel.workers: {workers}, but {started} processes were started;"
            " start it without mpirun, or leave parallel.workers away"
        )


def launch(workers: int) -> NoReturn:
    """Run mpirun with ``workers`` copies of this very command, and exit as it does."""
    preflight.require("parallel", "mpi4py")
    launcher = find_launcher()
    if launcher is None:
        raise InputError(
            f"parallel.workers: {workers}, but there is no mpirun; fix: start it through ./run,"
            " or `python -m pip install mpich`"
        )
    _check_shared_memory(workers)
    cores = processors.count()
    if workers > cores:
        notes.warn(f"parallel.workers is {workers}, but there are {cores} cores: this will be slow")
    module = "mnist" if sys.argv[1:2] == ["train"] else "mnist.train"
    same = [sys.executable, "-m", module, *sys.argv[1:]]
    sys.exit(child.run([launcher, "-n", str(workers), *same]))


def find_launcher() -> Optional[str]:
    """The mpirun beside this Python (mpich is a wheel), else the one on PATH."""
    beside = Path(sys.executable).parent / "mpirun"
    return str(beside) if beside.exists() else shutil.which("mpirun")


def _check_shared_memory(workers: int) -> None:
    """InputError where MPI's processes would die of a bus error or a page of complaints."""
    needed = workers * _SHARED_MIB
    writable = os.access(_SHARED_MEMORY, os.W_OK)
    free = shutil.disk_usage(_SHARED_MEMORY).free >> 20 if writable else 0
    if free < needed:
        raise InputError(
            f"parallel.workers: {workers}, but {_SHARED_MEMORY} has {free} MiB free of the {needed}"
            " that MPI's processes need; give it more (docker run --shm-size=256m, or mount -o"
            f" remount,size=256m {_SHARED_MEMORY}), or use --set parallel.workers=1"
        )


def obtain_together(config: DataConfig, group: Group) -> Dataset:
    """What ``obtain`` finds in the main process, in every process.

    Where all have the very same file each uses its own, or else they are sent the splits.
    """
    own: List[Dataset] = []

    def obtain_it() -> str:
        own.append(obtain.obtain(config))
        return own[0].sha256

    sha256 = group.from_main(obtain_it)
    for name in filter(None, (config.path, config.fallback)):
        if not own:
            with suppress(InputError):
                copy = dataset.load(name, config.cache)
                own += [copy] if copy.sha256 == sha256 else []
    return own[0] if all(group.of_all(bool(own))) else group.from_main(lambda: own[0])


def with_checkpoint(
    given: Optional[Config], resume: Optional[PathLike], overrides: Sequence[str] = ()
) -> Tuple[Config, Optional[Checkpoint]]:
    """The config to train by, and the checkpoint to go on from, whose own it is if none is given.

    With neither it is the defaults. ``auto`` is the newest checkpoint of the very run that the
    config says, if there is one in its folder.
    """
    if resume is None or resume == "auto":
        config = given or read_config(None, overrides)
        return config, _of_this_run(config) if resume else None
    # Of the overrides only the folder matters before the checkpoint's own config is known.
    folder = [o for o in overrides if o.partition("=")[0].strip() == "checkpoint.dir"]
    kept_in = (given or configs.default(folder)).checkpoint.dir
    source = reading.load(reading.locate(resume, kept_in, prefer="latest"))
    if given is not None:
        return given, source
    if source.state is None:
        raise InputError(f"{source.path}: has no config in it; name one with --config")
    state = str(source.path / records.STATE)
    config = configs.from_dict(source.state.config, state, overrides)
    if f"model.name={config.model.name}" in overrides and own_code.is_own(config.model.name):
        own_code.trust(config.model.name)  # The user has named it, too.
    return config, source


def _of_this_run(config: Config) -> Optional[Checkpoint]:
    """The newest whole checkpoint in ``checkpoint.dir``, if going on from it is the same run."""
    folder = Path(config.checkpoint.dir)
    if not reading.is_any_in(folder):
        return None
    try:
        source = reading.load(reading.newest(folder))
        before = configs.from_dict(source.state.config if source.state else {}, str(source.path))
        changes = configs.changes(before, config)
        if not changes:
            return source
        named = "; ".join(f"{key}: {old} there, {new} now" for key, old, new in changes)
        why = f"{source.path} is of another run ({named})"
    except InputError as error:
        why = str(error)
    print(f"note    --resume auto starts anew: {why}", flush=True)
    return None


def read_config(path: Optional[PathLike], overrides: Sequence[str]) -> Config:
    """A config, or the defaults, with overrides; its model may be a class in a file beside it."""
    config = configs.load(path, overrides) if path else configs.default(overrides)
    if own_code.is_own(config.model.name):
        own_code.trust(config.model.name, find_input(path).parent if path else os.curdir)
    return config
