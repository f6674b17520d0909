"""``python -m mnist.prepare``: make a data set, of the official MNIST files or your own."""

from mnist.base import preflight

preflight.check_or_exit()

from functools import partial
from pathlib import Path
from typing import Optional, Tuple

import click

from mnist.base import command, streams


@command.verb("prepare", "prepare --source ~/Downloads --force")
@command.path_option(
    "--source", metavar="DIR|FILE",
    help="Folder with the four IDX files, gzipped or not; without it they are downloaded. Of other"
    " classes: a folder of pictures per class, or a file in the course's format.",
)  # fmt: skip
@command.path_option(
    "--output", metavar="FILE",
    help="[default: data/mnist.json.gz; of other classes data/DIR.json.gz]",
)  # fmt: skip
@click.option(
    "--classes", metavar="A,B,…",
    help="What the labels 0, 1, … are called [default: the folders' names, or what the file says].",
)  # fmt: skip
@click.option(
    "--pixels", type=click.Choice(["floats", "integers"]), default="floats", show_default=True,
    help="Write pixels as 0-1 floats, as the course does, or as 0-255 integers.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there already.")
@click.option(
    "--mirror", "mirrors", metavar="URL", multiple=True,
    help="Folder to download from; may be given several times. Replaces the known mirrors "
    "(as the environment variable MNIST_MIRRORS does, with spaces between).",
)  # fmt: skip
def main(
    source: Optional[str], output: Optional[str], classes: Optional[str], pixels: str, force: bool,
    mirrors: Tuple[str, ...],
) -> None:  # fmt: skip
    """Make data/mnist.json.gz, or a data set of pictures of your own.

    Of the official MNIST files, the first 50,000 training images become "train", 10,000 "valid",
    and the 10,000 test images "eval"; pictures lie in a folder for each class (--source).
    """
    streams.outlive_output()
    # Imported here to keep --help quick.
    from mnist.data import obtain

    if source is not None:
        from mnist.prepare import own

        if own.is_own(Path(source)):
            target = Path(output or f"data/{Path(source).resolve().name.split('.')[0]}.json.gz")
            read = partial(own.read, Path(source), classes and classes.split(","))
            obtain.make(target, read, pixels, force)
            return
    if classes and (source is None or Path(source).exists()):
        raise click.UsageError("--classes is for pictures or a file of your own (--source)")
    obtain.prepare(output or f"data/{obtain.MADE}", source, pixels, force, mirrors)


if __name__ == "__main__":
    command.run(main)
