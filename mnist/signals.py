"""SIGINT and SIGTERM: ask for a stop the first time, exit at once the second."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Dict, Optional, Type

from mnist.errors import Interrupted


def exit_on_terminate() -> None:
    """Let SIGTERM end a verb like Ctrl-C does: clean-up runs, exit code 143."""
    signal.signal(signal.SIGTERM, _raise)


def _raise(number: int, frame: Optional[FrameType]) -> None:
    raise Interrupted("terminated", number)


class StopRequest:
    """While active, a first SIGINT or SIGTERM only sets ``signal_number``.

    The training loop looks at it between steps: a KeyboardInterrupt inside Paddle's
    ``minimize`` leaves half of the parameters updated. A second signal exits at once.
    Enter it after Paddle's import, which installs handlers of its own. Of several processes
    one ``announces`` that it has heard.
    """

    def __init__(self, announces: bool = True) -> None:
        self._announces = announces
        self.signal_number: Optional[int] = None
        self._former: Dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        if self.signal_number is not None:
            os._exit(128 + number)
        self.signal_number = number
        if not self._announces:
            return
        name = signal.Signals(number).name
        message = f"\n{name}: finishing this step, then saving (once more: exit at once)\n"
        # print() could be interrupted inside its own lock by this very handler.
        os.write(2, message.encode())
