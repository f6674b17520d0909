"""Errors meant for people: one line naming what is wrong, where, and the way out."""

import signal
from contextlib import contextmanager
from typing import Iterable, Iterator, Type


class MnistError(Exception):
    """Something went wrong that the user can act on.

    The message is the one line the user reads: it names the file, the field, the
    value and the way out. ``exit_code`` is the process's exit code.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(message: str) -> str:
    """Escape what a file name or a value may bring: line breaks, terminal control codes."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in message
    )


def nearest(word: str, names: Iterable[str]) -> str:
    """The name that was probably meant, as " (nearest: …)"; of a dict, what it has for the name."""
    # Takes longer to import than all else that --help needs of this room.
    from difflib import get_close_matches

    shown = names if isinstance(names, dict) else {}
    close = get_close_matches(word, list(names), n=1)
    return f" (nearest: {shown.get(close[0], close[0])})" if close else ""


class InputError(MnistError):
    """What was given (a file, a flag, a config) is unusable; nothing was changed."""

    exit_code = 2


class Failure(MnistError):
    """The input was good, but the work could not be done (disk full, loss is NaN…)."""


class Interrupted(MnistError):
    """A signal ended the work in good order; exit code 128 + the signal, for SIGUSR1 75.

    That is EX_TEMPFAIL of ``sysexits.h``: a batch system's script starts the same again on it.
    ``by_all`` says that all processes of a run end so, and none need end the others.
    """

    def __init__(self, message: str, signal_number: int, by_all: bool = False) -> None:
        super().__init__(message)
        self.by_all = by_all
        self.exit_code = 75 if signal_number == signal.SIGUSR1 else 128 + signal_number


@contextmanager
def failing_as(what: str, kind: Type[MnistError] = Failure) -> Iterator[None]:
    """Make what the system refuses an error for people: ``what`` cannot be done, and why."""
    try:
        yield
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise kind(f"{what} ({reason})") from error
