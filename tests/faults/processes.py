"""Verbs as processes of their own: started, struck, and asked how they ended."""

import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from helpers import environment

from .report import Broken

# Far more than anything here takes: what is still there then hangs.
PATIENCE = 300


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    pid: int
    code: int
    out: str
    err: str

    def complaint(self, code: int = 1) -> str:
        """The one line with which it failed; Broken if it did anything else."""
        told = ("error: ", "stopped by ")
        lines = [line for line in self.err.splitlines() if line.startswith(told)]
        if self.code != code or len(lines) != 1 or "Traceback" in self.err or " [Errno" in self.err:
            raise Broken(f"exit {self.code}, not one line and exit {code}: {self.err[-600:]!r}")
        return lines[0]


class Running:
    """A verb under way, its output kept in files."""

    def __init__(self, verb: str, *arguments, cwd: Path, before: Optional[Callable] = None):
        self._files = [Path(cwd) / name for name in ("stdout.txt", "stderr.txt")]
        self.started = time.monotonic()
        module = ["-m", f"mnist.{verb}"] if verb != "-c" else ["-c"]
        with open(self._files[0], "wb") as out, open(self._files[1], "wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-u", *module, *map(str, arguments)],
                cwd=str(cwd),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=lambda: _prepare(before),
            )
        self.pid = self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> Ended:
        self._process.kill()
        return self.wait()

    def wait(self) -> Ended:
        """Wait for its end; Broken if it hangs."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise Broken(f"pid {self.pid} hung for {PATIENCE} s") from None
        out, err = (path.read_text(errors="replace") for path in self._files)
        return Ended(self.pid, self._process.returncode, out, err)

    def until(self, condition: Callable[[], object], every: float = 0.0002) -> bool:
        """Wait until ``condition`` holds; False if the process ended before."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if not self.alive:
                return False
            if time.monotonic() > deadline:
                self.kill()
                raise Broken(f"pid {self.pid} hung for {PATIENCE} s")
            time.sleep(every)
        return True


def run(verb: str, *arguments, cwd: Path, code: Optional[int] = None, before=None) -> Ended:
    """Run a verb to its end; Broken if its exit code is not ``code``."""
    ended = Running(verb, *arguments, cwd=cwd, before=before).wait()
    if code is not None and ended.code != code:
        raise Broken(f"mnist.{verb} in {cwd}: exit {ended.code}, not {code}: {ended.err[-600:]!r}")
    return ended


def limit_file_size(limit: int) -> Callable[[], None]:
    """For ``before``: no file may grow beyond ``limit`` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def _prepare(before: Optional[Callable]) -> None:
    # A shell's background jobs, and so perhaps we, ignore SIGINT; a child inherits that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if before is not None:
        before()
