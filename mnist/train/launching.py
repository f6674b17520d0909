"""As many processes as ``parallel.workers`` says: mpirun, started on the command that was typed."""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn, Optional

from mnist.base import child, notes, preflight, processors
from mnist.base.errors import InputError

# Where MPI's processes exchange what they send each other, and so many MiB of it for each:
# measured 5.3 with mpich 5.0.2.
_SHARED_MEMORY = "/dev/shm"
_SHARED_MIB = 8


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
