"""``python -m mnist.predict``: which digit is on these pictures?"""

from mnist.base import preflight

preflight.check_or_exit()

from typing import Any, Optional

import click

from mnist.base import command


@command.verb("predict data/samples", "predict --many --format csv 'scans/**/*.png'")
@command.path_argument("paths", nargs=-1, required=True, metavar="IMAGE|FOLDER|PATTERN|-…")
@command.checkpoint_option
@command.assume_option
@command.model_option
@click.option("--recursive", is_flag=True, help="Look into the folders of a folder, too.")
@command.doubt_option
@click.option(
    "--many", is_flag=True,
    help="Several digits on a picture, read line by line; draws boxes into a copy.",
)  # fmt: skip
@command.path_option(
    "--annotate", metavar="FILE",
    help="The copy with boxes [default: NAME-digits.png in the working folder]; implies --many.",
)  # fmt: skip
@click.option(
    "--format", "format_", type=click.Choice(["text", "json", "csv"]),
    help="Lines for people, JSON objects or CSV rows [default: text].",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--top", type=click.IntRange(1, 10), default=3, show_default=True, help="So many likeliest."
)
@click.option(
    "--batch-size", default=256, show_default=True, type=click.IntRange(1, 10_000),
    help="Pictures predicted and printed together.",
)  # fmt: skip
def main(
    format_: Optional[str], as_json: bool, annotate: Optional[str], many: bool, **others: Any
) -> int:
    """Read the digits in pictures.

    A line for each: the digit, how sure that is, the likeliest ones; what is doubted is marked:
    "not like a digit?", "several digits?". Quoted patterns ('scans/**/*.png') are matched; - is
    a picture on standard input.
    """
    if as_json and format_ not in (None, "json"):
        raise click.UsageError(f"--json and --format {format_} contradict each other")
    from mnist.fluid import environment

    environment.prepare()
    from mnist.predict import output

    form = "json" if as_json else format_ or "text"
    many = many or annotate is not None
    return output.print_predictions(form=form, many=many, annotate=annotate, **others)


if __name__ == "__main__":
    command.run(main)
