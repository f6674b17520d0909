"""Garbled and made-up inputs for every reader: a right result or one line of ours.

``python -m tests.faults.fuzz FOLDER READER COUNT SEED`` feeds one reader in a process of its
own, which may crash or hang without taking the suite along, and prints the outcome as JSON.
"""

import gc
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator, List

import hypothesis
from helpers import ROOT, environment
from hypothesis import HealthCheck

from mnist.base.errors import MnistError

from .inputs import READERS, Reader
from .material import straight_run
from .report import Options, Row

HANG_SECONDS = 20
# Over two fifths of the inputs. A leak of 10 kB an input would be 40 MB of the 10,000.
GROWTH = 24 << 20
LONGEST_LINE = 2_000


def rows(options: Options) -> Iterator[Row]:
    folder = straight_run(options).folder
    with ThreadPoolExecutor(options.jobs) as pool:
        yield from pool.map(lambda name: _fuzz(folder, name, options), READERS)


def _fuzz(folder: Path, name: str, options: Options) -> Row:
    row = Row("fuzz", READERS[name].title, "a right result or one line; no hang, no growth")
    words = [str(folder), name, str(options.fuzz), str(options.seed)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.fuzz", *words],
            cwd=str(ROOT), env=environment(), capture_output=True, text=True,
            timeout=max(300, options.fuzz),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        row.tried, row.broken = 1, ["hung in a decoder"]
        return row
    if done.returncode:
        row.tried, row.broken = 1, [f"exit {done.returncode}: {done.stderr[-900:]}"]
        return row
    found = json.loads(done.stdout.splitlines()[-1])
    row.tried, row.broken = found["tried"], found["broken"]
    row.note = (
        f"{found['read']:,} read, {found['refused']:,} refused, 0 tracebacks, 0 hangs; slowest"
        f" {found['slowest']:.1f} s; memory grew by {found['growth'] / 2**20:.0f} MiB,"
        f" {found['peak'] >> 20} MiB at most"
    )
    if row.broken:
        row.note = f"{len(row.broken)} wrong"
    return row


# --- the process that is fed -----------------------------------------------------------


class Hang(BaseException):
    """An input took too long; no reader's ``except Exception`` may swallow it."""


class Feeder:
    """Feeds inputs to a reader and keeps count."""

    def __init__(self, reader: Reader, count: int) -> None:
        self.reader = reader
        self.count = count
        self.outcomes: Counter = Counter()
        self.broken: List[str] = []
        self.slowest = 0.0

    @property
    def tried(self) -> int:
        return sum(self.outcomes.values())

    def feed(self, given) -> None:
        started = time.monotonic()
        self.outcomes[self._outcome(given)] += 1
        self.slowest = max(self.slowest, time.monotonic() - started)

    def _outcome(self, given) -> str:
        signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
        try:
            with warnings.catch_warnings(record=True) as printed:
                warnings.simplefilter("default")
                warnings.simplefilter("ignore", DeprecationWarning)  # as for every user
                self.reader.read(given)
            return self._judged("read", "", printed, given)
        except MnistError as error:
            return self._judged("refused", str(error), printed, given)
        except (Exception, Hang):
            self._keep(traceback.format_exc(limit=-3), given)
            return "wrong"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _judged(self, outcome: str, line: str, printed, given) -> str:
        if (line and not line.isprintable()) or len(line) > LONGEST_LINE:
            self._keep(f"no line for people: {line[:300]!r}", given)
        if printed:
            self._keep(f"a warning besides: {printed[0].message}", given)
        return outcome

    def _keep(self, what: str, given) -> None:
        self.broken.append(f"{what.strip()[-600:]} for {given!r:.400}")


def main(folder: Path, name: str, count: int, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    signal.signal(signal.SIGALRM, _hang)
    with tempfile.TemporaryDirectory() as place:
        reader = READERS[name](folder, Path(place))
        feeder = Feeder(reader, count)
        rng = random.Random(seed)
        before = 0
        while feeder.tried < count // 2:
            feeder.feed(reader.mutated(rng))
            if feeder.tried == count // 10:
                before = _memory()
        growth = _memory() - before
        # Hypothesis remembers what it has made: many short runs, and no look at its memory.
        while feeder.tried < count:
            _feed_from_hypothesis(feeder, min(count - feeder.tried, 500), seed + feeder.tried)
    if growth > GROWTH or _peak() > reader.peak:
        feeder.broken.append(f"memory grew by {growth >> 20} MiB, {_peak() >> 20} MiB at most")
    found = {"tried": feeder.tried, "growth": max(growth, 0), "peak": _peak()}
    found.update({outcome: feeder.outcomes[outcome] for outcome in ("read", "refused")})
    print(json.dumps({**found, "broken": feeder.broken, "slowest": feeder.slowest}))


def _feed_from_hypothesis(feeder: Feeder, count: int, seed: int) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @hypothesis.given(feeder.reader.made_up())
    def feed(given):
        if feeder.tried < feeder.count:
            feeder.feed(given)

    feed()


def _hang(number, frame):
    raise Hang(f"more than {HANG_SECONDS} s")


def _memory() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
