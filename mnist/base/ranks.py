"""The processes that were started together, as their environment tells, before MPI is loaded.

Only the standard library is imported here: what is wrong with a process may be its packages.
"""

import os
import socket
import stat
import time
from typing import Callable, List

# How MPICH and Open MPI, and Paddle's launcher, tell a process how many there are, and its rank.
MPI = (("PMI_SIZE", "PMI_RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"))
_ALL = (*MPI, ("PADDLE_TRAINERS_NUM", "PADDLE_TRAINER_ID"))
# How long a process with an error waits for the main one, which mostly has the same error and
# tells it, before it tells it itself.
_SECONDS_FOR_THE_MAIN_ONE = 5.0
_SECONDS_TO_READ = 1.0

# What ends the others, with an exit code, once MPI is loaded.
aborts: List[Callable[[int], None]] = []


def size() -> int:
    """How many processes were started together with this one, itself included."""
    return max([1] + [_number(size) for size, _ in _ALL])


def rank() -> int:
    """Which of them this is; the main one is 0."""
    return max(_number(rank) for _, rank in _ALL)


def _number(name: str) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else 0


def member() -> str:
    """This process among the others, as in ``"rank 1 on dell-7"``."""
    return f"rank {rank()} on {socket.gethostname()}"


def wait_for_the_main_one() -> None:
    """Before an error of another process is told: the main one's ends them all."""
    if rank():
        time.sleep(_SECONDS_FOR_THE_MAIN_ONE)


def end_all(exit_code: int) -> None:
    """Have mpirun end the others, too, once it has read this one's error.

    Before MPI is loaded, Open MPI's does so by itself. MPICH's lets them wait in ``MPI_Init`` for
    ever, unless it is asked to in the words of its protocol (PMI-1).
    """
    if size() > 1:
        time.sleep(_SECONDS_TO_READ)  # What it has not read by then it drops.
    for abort in aborts:
        abort(exit_code)
    to_mpirun = _number("PMI_FD")
    try:
        # A child of one of the processes has the variable, too, but not the socket.
        if to_mpirun and stat.S_ISSOCK(os.fstat(to_mpirun).st_mode):
            os.write(to_mpirun, f"cmd=abort exitcode={exit_code}\n".encode())
    except OSError:
        pass  # It has gone, and the others with it.
