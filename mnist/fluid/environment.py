"""The environment before Paddle's import: threads, memory, messages.

Paddle 1.8.5 and the libraries in it read these variables once, while they are loaded.
Whatever the user has set wins; what we choose is kept in ``chosen`` and printed.
"""

import os
import sys
from typing import Dict

# What `prepare` set, by variable; empty before it ran.
chosen: Dict[str, str] = {}


def prepare(threads: int = 1) -> Dict[str, str]:
    """Set the environment for Paddle's import; returns what was chosen here.

    Has no effect on Paddle if Paddle is imported already; then nothing is changed.
    """
    if "paddle" in sys.modules:
        return chosen
    for name, value in _settings(threads).items():
        if name not in os.environ:
            os.environ[name] = value
            chosen[name] = value
    return chosen


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
    if _is_amd():
        # MKL of 2019 takes a slow path on processors other than Intel's unless told.
        settings["MKL_DEBUG_CPU_TYPE"] = "5"
    return settings


def _is_amd() -> bool:
    try:
        with open("/proc/cpuinfo") as file:
            return "AuthenticAMD" in file.read(4096)
    except OSError:
        return False


def describe() -> str:
    """One line on the threads and settings in force, and which of them are our choice."""
    threads = os.environ.get("OMP_NUM_THREADS", "?")
    ours = ", ".join(f"{name}={value}" for name, value in chosen.items())
    return f"{threads} thread(s); set before Paddle's import: {ours or 'nothing (yours stand)'}"
