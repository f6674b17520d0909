"""``python -m mnist.report``: a run, or several, on one page to look at."""

from mnist.base import preflight

preflight.check_or_exit()

from typing import Any

import click

from mnist.base import command, streams


@command.verb("report checkpoints/best", "report --compare runs/sgd runs/adam --output both.html")
@command.path_argument("runs", nargs=-1, metavar="[RUN]…")
@click.option("--compare", is_flag=True, help="Set several runs side by side: --compare RUN RUN…")
@command.assume_option
@command.model_option
@command.split_option
@command.data_option(default="each run")
@command.path_option(
    "--output",
    metavar="FILE",
    default="report.html",
    show_default=True,
    help="The HTML file to write; an earlier report is replaced, nothing else.",
)
def main(**options: Any) -> None:
    """A run, or several compared, on one HTML page to look at.

    A RUN is a checkpoint folder, a course prefix, or a folder of checkpoints (its best one)
    [default: checkpoints/best].
    """
    streams.outlive_output()
    preflight.require("report", "matplotlib", "jinja2")
    from mnist.fluid import environment

    environment.prepare()
    from mnist.report.output import write

    write(**options)


if __name__ == "__main__":
    command.run(main)
