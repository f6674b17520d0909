"""``python -m mnist.prepare``: make data/mnist.json.gz of the official MNIST files."""

from mnist.base import preflight

preflight.check_or_exit()

from typing import Optional, Tuple

import click

from mnist.base import command, streams


@command.verb("prepare", "prepare --source ~/Downloads --force")
@command.path_option(
    "--source", metavar="DIR",
    help="Folder with the four IDX files, gzipped or not. Without it they are downloaded.",
)  # fmt: skip
@command.path_option("--output", metavar="FILE", default="data/mnist.json.gz", show_default=True)
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
    source: Optional[str], output: str, pixels: str, force: bool, mirrors: Tuple[str, ...]
) -> None:
    """Make data/mnist.json.gz of the official MNIST files.

    The first 50,000 training images become the split "train", the other 10,000 "valid",
    and the 10,000 test images "eval".
    """
    streams.outlive_output()
    # Imported here to keep --help quick.
    from mnist.data import obtain

    obtain.prepare(output, source, pixels, force, mirrors)


if __name__ == "__main__":
    command.run(main)
