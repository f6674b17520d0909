"""``python -m mnist``, or ``mnist``: the verbs, as one command; --help has a line for each."""

from mnist.base import preflight

preflight.check_or_exit()

from importlib import import_module
from typing import List, Optional

import click

from mnist.base import command
from mnist.base.errors import nearest

VERBS = ["prepare", "train", "evaluate", "report", "predict", "export", "serve", "adopt"]


class _Verbs(click.Group):
    """Each verb is imported when it is asked for."""

    def list_commands(self, _: click.Context) -> List[str]:
        return VERBS

    def get_command(self, context: click.Context, name: str) -> Optional[click.Command]:
        if name not in VERBS:
            context.fail(f"No such verb: {name}{nearest(name, VERBS)}")
        found: click.Command = import_module(f"mnist.{name}.__main__").main
        return found


@click.group(
    cls=_Verbs, subcommand_metavar="VERB [OPTIONS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
def verbs() -> None:
    """Handwritten digits on PaddlePaddle 1.8.5; each VERB has a --help of its own.

    mnist VERB, python -m mnist VERB and python -m mnist.VERB are the same.
    """


def main() -> None:
    """Run the verb that the command line names, and exit as it does."""
    command.run(verbs)


if __name__ == "__main__":
    main()
