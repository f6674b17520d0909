"""Standard output and error, fit for whatever the shell has made of them.

One may be closed (``>&-``), the reader of the other gone (``| head``), a disk full, a terminal
hung up; and an encoding may be unable to say a file's name.
"""

import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, Optional, TextIO

from mnist.base.errors import Failure

# Whether the work is worth going on with when nobody reads what it prints.
_outlived = False


def prepare() -> None:
    """Make the standard streams ready; for the start of a verb."""
    # Or else the next file to be opened would be the standard output, and printed into.
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        os.set_inheritable(descriptor, True)
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    sys.stdin = sys.stdin or io.TextIOWrapper(io.FileIO(0))
    # A notebook, or a test, has put something of its own there, which stays.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(2, sys.stderr)


def outlive_output() -> None:
    """From here on, work goes on when its standard output cannot be written: files are made."""
    global _outlived
    _outlived = True


def tell(message: str) -> None:
    """Write to standard error from where ``print`` may not: it could be in the midst of itself."""
    with suppress(OSError):
        os.write(2, message.encode())


def _text(descriptor: int, former: Optional[TextIO]) -> TextIO:
    of_lines = os.isatty(descriptor) or descriptor == 2
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(descriptor, "w", closefd=False)),
        encoding=former.encoding if former else None,
        errors="backslashreplace",
        line_buffering=of_lines or bool(getattr(former, "write_through", False)),
    )


class _Output(io.FileIO):
    """A descriptor that is written to, and replaced by nothing when it cannot be any more."""

    def write(self, data: Any) -> int:
        try:
            while True:
                written = super().write(data)
                if written is not None:
                    return written
                # Another program has made it non-blocking, as ssh does.
                select.select([], [self], [])
        except OSError as error:
            # What is buffered is written again and again otherwise, at the exit for the last time.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            self._lose(error)
            return len(data)

    def _lose(self, error: OSError) -> None:
        if self.fileno() == 2:
            return
        if _outlived:
            tell(
                f"WARNING: standard output cannot be written any more ({error.strerror});"
                " the work goes on without it\n"
            )
        elif isinstance(error, BrokenPipeError):
            raise error
        else:
            raise Failure(f"standard output: cannot be written ({error.strerror})") from error
