"""What is printed for people, and how: consoles, tables, progress bars, percentages.

A terminal gets progress bars and its own width, a notebook such as it shows (with ipywidgets); a
file or a pipe plain lines, whatever the environment says of colours. So does what a notebook
starts with ``!``: JupyterLab gives it a terminal and ``FORCE_COLOR``, and shows neither as one.
"""

import os
import sys
from importlib.util import find_spec

from rich import box
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table

_PLAIN_WIDTH = 100
_OF_A_KERNEL = "JPY_PARENT_PID"  # in the environment of a notebook's kernel and what it starts


def percent(fraction: float, digits: int = 2) -> str:
    """0.9912 → ``"99.12%"``: two digits, as the test set of 10,000 resolves them."""
    return f"{100 * fraction:.{digits}f}%"


def make_console(stderr: bool = False) -> Console:
    """A console on standard output or error: as wide as the terminal, or 100 columns in a file.

    Lines are printed as they are: never cut, and nothing in them is an instruction.
    """
    stream = sys.stderr if stderr else sys.stdout
    can_draw = (
        stream.isatty()
        and os.environ.get("TERM") not in ("dumb", "unknown")
        and _OF_A_KERNEL not in os.environ
    )
    return Console(
        stderr=stderr,
        force_terminal=can_draw,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        width=None if can_draw else _PLAIN_WIDTH,
    )


def make_table(*headings: str) -> Table:
    """A table with right-aligned columns."""
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def print_table(console: Console, title: str, table: Table) -> None:
    """Print a table under a title, never cut: a narrow terminal breaks its lines in two."""
    console.print(title, style="bold")
    room = console.options.update(max_width=_PLAIN_WIDTH)
    table.width = console.measure(table, options=room).maximum
    console.print(table)


def make_progress(console: Console, *columns: ProgressColumn, wanted: bool = True) -> Progress:
    """A progress bar, drawn below what is printed meanwhile, if ``wanted`` and where it can be."""
    can_draw = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not (wanted and can_draw),
        # What goes to a file is none of the terminal's.
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=sys.stderr.isatty(),
    )
