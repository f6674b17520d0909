"""How Paddle uses this machine: the environment before its import, and the place.

Paddle 1.8.5 and the libraries in it read these variables once, while they are loaded.
Whatever the user has set wins; what we choose is kept in ``chosen`` and printed.
"""

import os
import sys
from typing import TYPE_CHECKING, Any, Dict, Optional

from mnist.base import notes
from mnist.base.errors import InputError

if TYPE_CHECKING:
    # Every verb asks this room first, and not every verb needs what reads a config.
    from mnist.config import DeviceConfig

# What `prepare_process` set, by variable; empty before it ran.
chosen: Dict[str, str] = {}


def prepare_process(threads: int = 1) -> Dict[str, str]:
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


def choose_place(config: "DeviceConfig") -> Any:
    """The ``fluid`` place that a config names.

    ``CUDAPlace`` on a CPU build, or without such a GPU, ends the whole process in Paddle
    1.8.5 (exit code 255, no exception), so it is only made where it is known to work.
    Raises InputError if there is no such GPU and no ``device.fallback``.
    """
    from mnist.fluid.door import fluid

    if config.place == "cpu":
        return fluid.CPUPlace()
    missing = _why_no_gpu(config.gpu_id)
    if missing is None:
        return fluid.CUDAPlace(config.gpu_id)
    if config.place == "auto":
        return fluid.CPUPlace()
    if config.fallback == "cpu":
        notes.warn(f"device.place is gpu, but {missing}; training on the CPU (device.fallback)")
        return fluid.CPUPlace()
    raise InputError(
        f"device.place: gpu, but {missing}; use --set device.place=cpu,"
        " or --set device.fallback=cpu to go on without one"
    )


def _why_no_gpu(gpu_id: int) -> Optional[str]:
    from mnist.fluid.door import fluid

    if not fluid.is_compiled_with_cuda():
        return "this is Paddle's CPU build (paddlepaddle-gpu has CUDA)"
    # Exists in GPU builds only; asks the driver and does not end the process.
    count = fluid.core.get_cuda_device_count()
    if gpu_id < count:
        return None
    return f"there is no GPU {gpu_id} here ({count} found)"


def describe_place(place: Any) -> str:
    """``"CPU"`` or ``"GPU 0"``."""
    from mnist.fluid.door import fluid

    if isinstance(place, fluid.CUDAPlace):
        return f"GPU {place.get_device_id()}"
    return "CPU"


def describe_process() -> str:
    """One line on the threads and settings in force, and which of them are our choice."""
    threads = os.environ.get("OMP_NUM_THREADS", "?")
    ours = ", ".join(f"{name}={value}" for name, value in chosen.items())
    return f"{threads} thread(s); set before Paddle's import: {ours or 'nothing (yours stand)'}"
