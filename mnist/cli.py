"""What every verb shares: the ``--debug`` flag, one-line errors, exit codes."""

import os
import sys
from typing import Callable, List, NoReturn

import click

from mnist import ranks, signals
from mnist.errors import MnistError

# What `on_failure` was given.
_at_failure: List[Callable[[int], None]] = []

debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def run(command: click.Command) -> NoReturn:
    """Run a verb and exit: 0 done, 1 failure, 2 bad input, 128+n after signal n.

    A command may return its exit code. Errors are one line on standard error; with
    ``--debug`` the traceback comes first.
    """
    debug = "--debug" in sys.argv[1:]
    signals.exit_on_terminate()
    try:
        code = command.main(standalone_mode=False)
        sys.stdout.flush()
    except MnistError as error:
        code = _report(str(error), error.exit_code, debug)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see: python -m {context.info_name} --help)" if context else ""
        code = _report(error.format_message() + hint, 2, debug)
    except (KeyboardInterrupt, click.Abort):
        code = _report("interrupted", 130, debug)
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        summary = " ".join(str(error).split())[:300]
        message = f"{type(error).__name__}: {summary} (add --debug for the traceback)"
        code = _report(message, 1, debug)
    if code:
        for call in _at_failure:
            call(code)
        ranks.end_all(code)
    sys.exit(code or 0)


def on_failure(call: Callable[[int], None]) -> None:
    """Have ``call`` called with the exit code, after the error's line, if the verb fails."""
    _at_failure.append(call)


def _report(message: str, code: int, debug: bool) -> int:
    if debug:
        sys.excepthook(*sys.exc_info())
    print(f"error: {message}", file=sys.stderr, flush=True)
    return code
