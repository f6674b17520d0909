"""The place that Paddle computes on: the CPU or a GPU."""

import threading
from contextlib import contextmanager
from typing import Any, Iterator, Optional

from mnist.base import notes
from mnist.base.errors import InputError
from mnist.config.schema import DeviceConfig
from mnist.fluid.door import fluid

_one_at_a_time = threading.RLock()


@contextmanager
def inference() -> Iterator[None]:
    """Dygraph on the CPU without gradients, for one thread at a time: its mode is global."""
    with _one_at_a_time, fluid.dygraph.guard(fluid.CPUPlace()), fluid.dygraph.no_grad():
        yield


def choose_place(config: DeviceConfig) -> Any:
    """The ``fluid`` place that a config names.

    ``CUDAPlace`` on a CPU build, or without such a GPU, ends the whole process in Paddle
    1.8.5 (exit code 255, no exception), so it is only made where it is known to work.
    Raises InputError if there is no such GPU and no ``device.fallback``.
    """
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
    if not fluid.is_compiled_with_cuda():
        return "this is Paddle's CPU build (paddlepaddle-gpu has CUDA)"
    # Exists in GPU builds only; asks the driver and does not end the process.
    count = fluid.core.get_cuda_device_count()
    return None if gpu_id < count else f"there is no GPU {gpu_id} here ({count} found)"


def describe_place(place: Any) -> str:
    """``"CPU"`` or ``"GPU 0"``."""
    return f"GPU {place.get_device_id()}" if isinstance(place, fluid.CUDAPlace) else "CPU"
