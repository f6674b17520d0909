"""What the benchmarks share: workers in processes of their own, turns, spreads, tables.

Only the standard library is imported, so that the workers of other frameworks can use it, and
because a child's peak of memory begins with that of its parent.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
MNIST = ROOT / "data" / "mnist.json.gz"
IMAGES = ROOT / "docs" / "images"

# What a user may have set to tune one library or another: no worker gets any of it.
_TUNING = ("OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS_", "FLAGS_")
# Byte code of mnist/ is written as for any user, or every start would compile it again.
_NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE",)

WARM_UP_STEPS = 20
# So few steps say how many the asked-for seconds need.
_TRIAL_STEPS = 20


# --- processes -------------------------------------------------------------------------


def environment(extra: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """This process's environment without anybody's tuning, and with ``mnist`` on the path."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_TUNING) and name not in _NOT_INHERITED
    }
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, **(extra or {})}


def run_worker(command: Sequence[Any], extra: Optional[Dict[str, str]] = None) -> Dict[str, Any]:
    """Run a process and return the JSON object that is the last line of its output."""
    done = run(command, extra)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(
    command: Sequence[Any], extra: Optional[Dict[str, str]] = None, allowed: Sequence[int] = (0,)
) -> "subprocess.CompletedProcess[str]":
    """Run a process to its end; at an exit code that is not ``allowed``, end with what it said."""
    texts = [str(part) for part in command]
    done = subprocess.run(
        texts, env=environment(extra), cwd=str(ROOT), capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode not in allowed:
        sys.exit(f"error: {' '.join(texts)}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    return done


def wall(command: Sequence[Any], extra: Optional[Dict[str, str]] = None) -> float:
    """Seconds from the start of a process to its end."""
    started = time.perf_counter()
    run(command, extra)
    return time.perf_counter() - started


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def need_mnist() -> Path:
    """MNIST's file, or the end of the program."""
    if not MNIST.exists():
        sys.exit(f"error: {MNIST}: no such file; python -m mnist.prepare makes it")
    return MNIST


def note(text: str) -> None:
    """Tell on standard error what is under way; standard output is the Markdown's."""
    print(text, file=sys.stderr, flush=True)


# --- measuring -------------------------------------------------------------------------


def take_turns(
    ways: Dict[str, Callable[[], Any]], rounds: int, unit: str = "round"
) -> Dict[str, List[Any]]:
    """Call the ways A B C A B C …, so that another load on the machine meets all alike."""
    results: Dict[str, List[Any]] = {name: [] for name in ways}
    for number in range(rounds):
        note(f"{unit} {number + 1} of {rounds}")
        for name, way in ways.items():
            results[name].append(way())
    return results


def time_steps(
    steps: Iterator[Any], seconds: float, agree: Callable[[int], int] = int
) -> Dict[str, float]:
    """Warm up, then time about ``seconds`` of steps: ``{"steps", "wall", "cpu"}``.

    ``agree`` makes several processes that work together take the same number of steps.
    """
    _take(steps, WARM_UP_STEPS)
    started = time.perf_counter()
    _take(steps, _TRIAL_STEPS)
    each = (time.perf_counter() - started) / _TRIAL_STEPS
    count = agree(max(_TRIAL_STEPS, round(seconds / each)))
    started, cpu = time.perf_counter(), time.process_time()
    _take(steps, count)
    return {
        "steps": count,
        "wall": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
    }


def _take(steps: Iterator[Any], count: int) -> None:
    for _ in range(count):
        next(steps)


def ratios(above: Sequence[float], below: Sequence[float]) -> List[float]:
    """The quotients of what was measured in the same round."""
    return [one / other for one, other in zip(above, below)]


# --- Markdown --------------------------------------------------------------------------


def spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    """The median with minimum and maximum, as in ``"1.05 (0.98–1.10)"``."""
    shown = [form.format(value) for value in (median(values), min(values), max(values))]
    return f"{shown[0]} ({shown[1]}–{shown[2]})"


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> str:
    """A Markdown table; all columns but the first ``left`` are aligned to the right."""
    marks = ["---"] * left + ["---:"] * (len(headings) - left)
    lines = [headings, marks, *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def mean_and_deviation(values: Sequence[float], form: str = "{:.2f}") -> str:
    """``"99.05 ± 0.04"``; the deviation is that of a sample, and left out for one value."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return form.format(mean)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return f"{form.format(mean)} ± {form.format(variance**0.5)}"


# --- the machine -----------------------------------------------------------------------


def machine() -> str:
    """Processor, cores and memory in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {cores()} cores, {memory:.0f} GiB of memory"


def _processor() -> str:
    """The processor's name, and its family and model, since clouds hide what it is called."""
    facts: Dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family')}, model {facts.get('model')})"


def load_average() -> float:
    """Over the last minute; what else runs here shows in it."""
    return os.getloadavg()[0]


def versions(names: Sequence[str]) -> List[Tuple[str, str]]:
    """The installed version of each distribution."""
    from importlib.metadata import version

    return [(name, version(name)) for name in names]
