"""``python -m mnist.adopt``: old files of Paddle: what is in them, and taking it along."""

from mnist.base import preflight

preflight.check_or_exit()

from typing import Any

import click

from mnist.base import command, streams


@command.verb("adopt model", "adopt mnist_epoch3 --to checkpoints/old --write old.safetensors")
@command.path_argument("path", metavar="FILE_OR_FOLDER")
@command.path_option("--to", metavar="DIR", help="Make a checkpoint of it in this new folder.")
@command.path_option(
    "--write", metavar="FILE",
    help="Write its arrays: .pdparams (Paddle 1.8, 2 and 3), .npz or .safetensors.",
)  # fmt: skip
@click.option(
    "--names", type=click.Choice(["kept", "model"]), default="kept", show_default=True,
    help="What --write calls them: as they are, or as a checkpoint here does.",
)  # fmt: skip
@command.assume_option
@command.path_option(
    "--data", metavar="FILE",
    help="A mnist.json.gz to try its net on and to go on with [default: the bundled digits, and"
    " data/mnist.json.gz if it is there].",
)  # fmt: skip
def main(**options: Any) -> None:
    """Old files of Paddle: what is in them, and taking it along.

    Pairs, static programs and their parameters, of Paddle 1 to 3: read without running them.
    A net for digits is tried on labelled ones, since no file says how it was meant.
    """
    streams.outlive_output()
    from mnist.fluid import environment

    environment.prepare()
    from mnist.adopt import output

    output.print_adoption(**options)


if __name__ == "__main__":
    command.run(main)
