"""The one door through which Paddle comes in.

Every room that computes imports ``fluid`` from here, so that the installed packages have
been checked and the environment has been set before Paddle is loaded, whoever asks first.
"""

import signal
import threading
from typing import Any

from mnist import device, preflight

preflight.check()
device.prepare_process()
# Paddle's import puts a handler of its own on SIGTERM; ours comes back after it.
_on_terminate = signal.getsignal(signal.SIGTERM)

import numpy as np  # noqa: E402
import paddle as _paddle  # noqa: E402
import paddle.fluid as _fluid  # noqa: E402

if threading.current_thread() is threading.main_thread() and _on_terminate is not None:
    signal.signal(signal.SIGTERM, _on_terminate)

paddle: Any = _paddle
fluid: Any = _fluid


def to_variable(array: "np.ndarray[Any, Any]") -> Any:
    """A VarBase that owns its memory.

    On the CPU Paddle's own ``to_variable`` shares the NumPy buffer by default: writing to
    the array later would change the variable.
    """
    return fluid.dygraph.to_variable(array, zero_copy=False)
