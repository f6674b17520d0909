"""The environment before Paddle's import: threads, memory, messages.

Paddle 1.8.5 and the libraries in it read these variables once, while they are loaded.
Whatever the user has set wins; what we choose is kept in ``chosen`` and printed. Where Paddle is
there already, as in a notebook that has imported it, what can still be set is set by calls.
"""

import ctypes
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List

from mnist.base import processors

# What `prepare` set, by variable; empty before it ran.
chosen: Dict[str, str] = {}
# What it would have set, had Paddle not been there before.
_missed: List[str] = []

# Who computes on threads in Paddle, and how each is told their number.
_THREADS = {
    "libiomp5.so": "omp_set_num_threads",
    "libmklml_intel.so": "MKL_Set_Num_Threads",
    "libgomp.so.1": "omp_set_num_threads",
}
_ONLY_BEFORE = ("GLOG_minloglevel", "MKL_DEBUG_CPU_TYPE")


def prepare(threads: int = 1) -> Dict[str, str]:
    """Set the environment for Paddle's import, or its threads where it is imported already.

    Returns what was chosen here.
    """
    if "paddle" in sys.modules:
        _set_late(threads)
        return chosen
    chosen.update({k: v for k, v in _settings(threads).items() if k not in os.environ})
    os.environ.update(chosen)
    return chosen


def _set_late(threads: int) -> None:
    """Set by calls what Paddle has read already.

    Its import leaves OMP_NUM_THREADS=1 where there was nothing; another number is the user's own.
    """
    was_first = not chosen
    if "OMP_NUM_THREADS" in chosen or os.environ.get("OMP_NUM_THREADS", "1") == "1":
        for library, call in _THREADS.items():
            with suppress(OSError):
                getattr(_loaded(library), call)(threads)
        if was_first or "threads" in chosen:
            chosen["threads"] = str(threads)
    if was_first:
        wanted = {k: v for k, v in _settings(threads).items() if k not in os.environ}
        _missed.extend(name for name in wanted if name in _ONLY_BEFORE)
        flags = {k: v for k, v in wanted.items() if k.startswith("FLAGS_")}
        chosen.update(flags)
        values = {name: False if v == "0" else v for name, v in flags.items()}
        sys.modules["paddle"].fluid.set_flags(values)


def _loaded(library: str) -> Any:
    """One of the libraries that Paddle has loaded."""
    spec: Any = find_spec("paddle")
    beside = Path(spec.submodule_search_locations[0]) / "libs" / library
    return ctypes.CDLL(str(beside) if beside.exists() else library)


def threads_now() -> str:
    """How many threads OpenMP would compute on now, on this thread's behalf."""
    try:
        return str(_loaded("libiomp5.so").omp_get_max_threads())
    except OSError:
        return os.environ.get("OMP_NUM_THREADS", "?")


def _settings(threads: int) -> Dict[str, str]:
    settings = {
        # Paddle's convolution is many small matrix products. With several OpenMP threads
        # they spin in barriers most of the time, and the sums change with their number.
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # Grow as needed. The default strategy maps and faults in a large chunk at once.
        "FLAGS_allocator_strategy": "auto_growth",
        # The first tensor would otherwise lock 500 MB of "pinned" memory.
        "FLAGS_use_pinned_memory": "0",
        # Hide Paddle's start-up notes; its errors (level 2) stay.
        "GLOG_minloglevel": "2",
    }
    if processors.described("vendor_id") == "AuthenticAMD":
        # MKL of 2019 takes a slow path on processors other than Intel's unless told.
        settings["MKL_DEBUG_CPU_TYPE"] = "5"
    return settings


def describe() -> str:
    """One line on the threads and settings in force, and which of them are our choice."""
    ours = ", ".join(f"{name}={value}" for name, value in chosen.items()) or "nothing"
    how = f"set before Paddle's import: {ours}{'' if chosen else ' (yours stand)'}"
    if "threads" in chosen or _missed:
        how = f"Paddle was imported first; set after that: {ours}"
        how += f", too late for {', '.join(_missed)}" if _missed else ""
    return f"{threads_now()} thread(s); {how}"
