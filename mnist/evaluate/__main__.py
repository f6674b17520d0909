"""``python -m mnist.evaluate``: how good is a checkpoint on a split?"""

from mnist.base import preflight

preflight.check_or_exit()

from typing import Optional, Tuple

import click

from mnist.base import command


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@command.checkpoint_option
@command.assume_option
@click.option("--split", default="eval", show_default=True, help="train, valid or eval.")
@command.path_option(
    "--data",
    metavar="FILE",
    help="A mnist.json.gz [default: the data set the checkpoint was trained on].",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@command.debug_option
def main(
    checkpoint: Optional[str],
    assume: Tuple[str, ...],
    split: str,
    data: Optional[str],
    as_json: bool,
) -> None:
    """Print accuracy, loss, precision and recall per digit, and the confusion matrix."""
    from mnist.fluid import environment

    environment.prepare()
    from mnist.evaluate import output

    output.print_evaluation(checkpoint, assume, split, data, as_json)


if __name__ == "__main__":
    command.run(main)
