"""A program that runs in this one's place, with manners that it lacks itself.

mpirun dies, and its processes with it, when the reader of its output goes or its terminal hangs
up; a SIGTERM it passes on.
"""

import ctypes
import os
import signal
import subprocess
import sys
from threading import Thread
from types import FrameType
from typing import IO, List, Optional, TextIO

from mnist.base import signals

# prctl's option to be sent a signal when the parent dies.
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def end_with_parent() -> None:
    """Have this process, which was just forked, killed when its parent dies, however it does."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run(command: List[str]) -> int:
    """Run a command to its end; the exit code, 128 + n after signal n.

    What it prints is passed on, and so are signals, SIGHUP as SIGTERM. It reads nothing, and is
    killed when this process is.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, preexec_fn=end_with_parent,
    )  # fmt: skip

    def pass_on(number: int, frame: Optional[FrameType]) -> None:
        process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)

    signals.listen(pass_on, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    pipes = ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
    threads = [Thread(target=_relay, args=pipe) for pipe in pipes]
    for thread in threads:
        thread.start()
    code = process.wait()
    for thread in threads:
        thread.join()
    return code if code >= 0 else 128 - code


def _relay(source: IO[bytes], target: TextIO) -> None:
    for data in iter(lambda: os.read(source.fileno(), 1 << 16), b""):
        target.buffer.write(data)
        target.flush()
