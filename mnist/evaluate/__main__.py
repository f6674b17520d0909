"""``python -m mnist.evaluate``: how good is a checkpoint on a split?"""

from mnist.base import preflight

preflight.check_or_exit()

from typing import Any

import click

from mnist.base import command


@command.verb("evaluate", "evaluate --checkpoint data/pretrained --split valid --json")
@command.checkpoint_option
@command.assume_option
@command.model_option
@command.split_option
@command.data_option()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(**options: Any) -> None:
    """How good a checkpoint is on a split.

    Accuracy, loss, calibration, precision and recall per digit, and the confusion matrix.
    """
    from mnist.fluid import environment

    environment.prepare()
    from mnist.evaluate import output

    output.print_evaluation(**options)


if __name__ == "__main__":
    command.run(main)
