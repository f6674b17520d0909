"""``python -m mnist.export``: leave with a trained model, for other programs."""

from mnist.base import preflight

preflight.check_or_exit()

from typing import Any

import click

from mnist.base import command, streams


@command.verb("export", "export --checkpoint best --to exported/ --force")
@command.checkpoint_option
@command.assume_option
@command.model_option
@command.path_option(
    "--to", metavar="DIR", default="exported", show_default=True, help="The folder to make."
)
@command.data_option("A mnist.json.gz to check on")
@click.option("--force", is_flag=True, help="Replace an earlier export.")
def main(**options: Any) -> None:
    """Write a model for other programs.

    ONNX, Paddle's inference model and plain weights, each one checked.
    """
    streams.outlive_output()
    preflight.require("export", "onnx", "onnxruntime", "paddle2onnx", "safetensors")
    from mnist.fluid import environment

    environment.prepare()
    from mnist.export import output

    output.print_export(**options)


if __name__ == "__main__":
    command.run(main)
