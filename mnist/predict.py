"""``python -m mnist.predict``: which digit is on these pictures?"""

from mnist import preflight

preflight.check_or_exit()

from typing import Optional, Tuple

import click

from mnist import cli


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, required=True, metavar="IMAGE|FOLDER…")
@click.option(
    "--checkpoint",
    metavar="CHECKPOINT",
    help="A checkpoint folder or a course prefix [default: checkpoints/best].",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@cli.debug_option
def main(paths: Tuple[str, ...], checkpoint: Optional[str], as_json: bool) -> int:
    """Print the digit on each picture, how sure that is, and the three likeliest."""
    from mnist import device

    device.prepare_process()
    from mnist import prediction_lines

    return prediction_lines.print_predictions(paths, checkpoint, as_json)


if __name__ == "__main__":
    cli.run(main)
