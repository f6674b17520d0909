"""SIGINT, SIGTERM, SIGHUP and SIGUSR1: ask for a stop the first time, exit at once the second."""

import os
import signal
import threading
from types import FrameType
from typing import Any, Callable, Dict, Optional

from mnist.base import streams
from mnist.base.errors import Interrupted

_NOT_INSISTING = {signal.SIGHUP, signal.SIGUSR1}


def exit_on_terminate() -> None:
    """Let SIGTERM, and a terminal's end, end a verb like Ctrl-C does: clean-up runs, 128 + n."""
    listen(_raise, signal.SIGTERM, signal.SIGUSR1)


def _raise(number: int, frame: Optional[FrameType]) -> None:
    raise Interrupted(str(signal.strsignal(number)).lower(), number)


def listen(handler: Callable[..., None], *numbers: int) -> Dict[int, Any]:
    """Have these signals and SIGHUP handled; returns who handled them before.

    Not SIGHUP if it is ignored: ``nohup`` has asked for that. Nothing on another thread than the
    main one, where Python allows none.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers = (*numbers, signal.SIGHUP)
    return {number: signal.signal(number, handler) for number in numbers}


class StopRequest:
    """While active, a first signal only sets ``signal_number``.

    The training loop looks at it between steps: a KeyboardInterrupt inside Paddle's
    ``minimize`` leaves half of the parameters updated. A second signal exits at once, or in a
    notebook, whose process has more to lose, raises KeyboardInterrupt. ``what_comes`` is said
    when the first is heard; of several processes one does. Enter it after Paddle's import, which
    installs handlers of its own.
    """

    def __init__(self, what_comes: str = "", exits: bool = True) -> None:
        self._what_comes = what_comes
        self._exits = exits
        self.signal_number: Optional[int] = None
        self._former: Dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        self._former = listen(self.handle, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def handle(self, number: int, frame: Optional[FrameType]) -> None:
        """A signal has come."""
        # A terminal that ends says so twice, as its shell and as the system, and a batch system to
        # each process that it knows of: no one insists.
        if self.signal_number and not {self.signal_number, number} & _NOT_INSISTING:
            if not self._exits:
                raise KeyboardInterrupt
            os._exit(Interrupted("", number).exit_code)
        if self.signal_number is None or self.signal_number in _NOT_INSISTING:
            self.signal_number = number
        if self._what_comes:
            name = signal.Signals(number).name
            streams.tell(f"\n{name}: {self._what_comes} (once more: exit at once)\n")
