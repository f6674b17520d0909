"""What every verb shares: the ``--debug`` flag, one-line errors, exit codes."""

import os
import re
import sys
from functools import partial
from typing import Any, Callable, NoReturn, Optional, TypeVar

import click

from mnist.base import own_code, ranks, signals, streams
from mnist.base.errors import Interrupted, MnistError, one_line

_F = TypeVar("_F", bound=Callable[..., Any])


class _Path(click.Path):
    """Completed by the shell, which leaves the ~ of --to=~/x to us."""

    def convert(self, value: Any, *_: Any) -> str:
        return str(os.path.expanduser(value))


path_option = partial(click.option, type=_Path())
path_argument = partial(click.argument, type=_Path())

# So many characters of an error that nobody has foreseen.
_LONGEST_SUMMARY = 300
# Before the reason, Paddle's errors have the stacks of C++ and Python, screens long; and where
# Paddle knows no reason but a hint, a request to report that.
_PADDLE_STACKS = re.compile(r".*\nError Message Summary:\n-*\n", re.DOTALL)
_PADDLE_REQUEST = re.compile(
    r"An error occurred here\..*?Recommended issue content: all error stack information", re.DOTALL
)


# ``run`` looks for it by itself.
_debug = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)


def verb(*examples: str) -> Callable[[_F], click.Command]:
    """Make a function a verb; examples of what follows python -m mnist. close its --help."""
    shown = "\n  python -m mnist.".join(["\b\nExamples:", *examples])
    make = click.command(epilog=shown, context_settings={"help_option_names": ["-h", "--help"]})
    return lambda function: _debug(make(function))


checkpoint_option = path_option(
    "--checkpoint", metavar="CHECKPOINT",
    help="A checkpoint folder, a folder of them (its best), a course prefix, or best, latest or"
    " epochN [default: checkpoints/best; to predict or serve before it exists, data/pretrained].",
)  # fmt: skip
assume_option = click.option(
    "--assume", metavar="KEY=VALUE", multiple=True,
    help="How the net in a course pair was meant, which the pair does not say:"
    " activation=relu|sigmoid|tanh, pooling=max|avg, input=-1..1 (a blank pixel..one full of"
    " ink). Repeatable.",
)  # fmt: skip


def _trust(context: click.Context, option: click.Parameter, name: Optional[str]) -> None:
    if name is not None:
        own_code.trust(name)


model_option = click.option(
    "--model",
    metavar="MODULE:LAYER",
    expose_value=False,
    callback=_trust,
    help="Code of your own that may be run, as the checkpoint's model: my_models:Wide is in"
    " my_models.py here.",
)
doubt_option = click.option(
    "--doubt",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="How much may speak against a digit (0..1) before it is called none; more is refused"
    " with less.",
)
split_option = click.option(
    "--split", type=click.Choice(["train", "valid", "eval"]), default="eval", show_default=True,
    help="The part of the data set.",
)  # fmt: skip


def data_option(
    kind: str = "A mnist.json.gz", default: str = "the checkpoint"
) -> Callable[[_F], _F]:
    """The data set that is read, the one that was trained on unless another is named."""
    says = f"{kind} [default: the data set {default} was trained on]."
    return path_option("--data", metavar="FILE", help=says)


def run(command: click.Command) -> NoReturn:
    """Run a verb and exit: 0 done, 1 failure, 2 bad input, 128+n after signal n, 75 after SIGUSR1.

    A command may return its exit code. Errors are one line on standard error; with
    ``--debug`` the traceback comes first.
    """
    debug = "--debug" in sys.argv[1:]
    streams.prepare()
    signals.exit_on_terminate()
    try:
        code = command.main(standalone_mode=False)
        sys.stdout.flush()
    except Interrupted as error:
        code = _report(str(error), error.exit_code, debug, "")
        if error.by_all:
            sys.exit(code)
    except MnistError as error:
        code = _report(str(error), error.exit_code, debug)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see: {context.command_path} --help)" if context else ""
        code = _report(error.format_message() + hint, 2, debug)
    except (KeyboardInterrupt, click.Abort):
        code = _report("interrupted", 130, debug, "")
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; there is nobody to tell.
        code = 1
    except Exception as error:
        code = _report(f"{_summary(error)} (add --debug for the traceback)", 1, debug)
    except BaseException as error:
        # What pydantic's core, in Rust, makes of a Ctrl-C that comes while it is imported.
        if type(error).__name__ != "PanicException":
            raise
        code = _report("interrupted", 130, debug, "")
    if code:
        ranks.end_all(code)
    sys.exit(code or 0)


def _summary(error: Exception) -> str:
    """An error of any kind on one line, its reason before what is cut off."""
    text = _PADDLE_REQUEST.sub("", _PADDLE_STACKS.sub("", str(error)))
    return one_line(f"{type(error).__name__}: {' '.join(text.split())[:_LONGEST_SUMMARY]}")


def _report(message: str, code: int, debug: bool, kind: str = "error: ") -> int:
    if debug:
        sys.excepthook(*sys.exc_info())
    print(f"{kind}{message}", file=sys.stderr, flush=True)
    return code
