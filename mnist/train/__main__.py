"""``python -m mnist.train``: train a model as a config says, or go on from a checkpoint."""

from mnist.base import preflight

preflight.check_or_exit()

from typing import Any, Optional, Tuple

import click

from mnist.base import command, streams


class _ModelName(click.Choice):
    """One of the names, or that of a class in a file of the user's."""

    def convert(self, value: Any, *context: Any) -> Any:
        return value if ":" in value else super().convert(value, *context)


@command.verb(
    "train --config configs/quickstart.yaml", "train --resume latest --set train.epochs=9"
)
@command.path_option(
    "--config", "config_path", metavar="FILE", help="What to train, e.g. configs/lenet5.yaml."
)
@command.path_option(
    "--resume",
    metavar="CHECKPOINT",
    help="Go on from a checkpoint folder, a folder of them (its newest), a course prefix"
    " (mnist_epoch3), or latest, best or epochN of checkpoint.dir."
    " Without --config the checkpoint's own config is used."
    " auto: go on with the run of --config if checkpoint.dir has it, else start it.",
)
@click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True,
    help="Override any key of the config, e.g. --set optimizer.learning_rate=0.01. Repeatable.",
)  # fmt: skip
@click.option(
    "--model", type=_ModelName(["fc", "lenet", "lenet5", "convnet", "embedding"]),
    help="Short for --set model.name=…; or code of your own, like my_models:Wide.",
)  # fmt: skip
@click.option(
    "--optimizer", type=click.Choice(["sgd", "momentum", "adagrad", "adam"]),
    help="Short for --set optimizer.name=…",
)  # fmt: skip
@click.option("--seed", type=int, help="Short for --set train.seed=N.")
@command.assume_option
@click.option(
    "--allow-changes",
    is_flag=True,
    help="With --resume: go on although data, config or versions differ.",
)
def main(
    config_path: Optional[str], resume: Optional[str], overrides: Tuple[str, ...],
    model: Optional[str], optimizer: Optional[str], seed: Optional[int],
    assume: Tuple[str, ...], allow_changes: bool,
) -> None:  # fmt: skip
    """Train a model as a config says, or go on from a checkpoint.

    Checkpoints, curves and result.json are left behind.
    """
    if config_path is None and resume is None:
        raise click.UsageError("name a --config to train, or a checkpoint to --resume")
    if config_path is None and resume == "auto":
        raise click.UsageError("--resume auto goes on with the run of a --config: name it")
    shorts = {"model.name": model, "optimizer.name": optimizer, "train.seed": seed}
    settings = [f"{key}={value}" for key, value in shorts.items() if value is not None]
    streams.outlive_output()
    from mnist.checkpoints import conventions
    from mnist.train import start

    if assume and resume is None:
        raise click.UsageError("--assume is for a course pair to --resume")
    stated = conventions.parse(assume)
    settings += [*overrides, *(f"model.{key}={value}" for key, value in stated.items())]

    start.start(config_path, resume, settings, allow_changes)


if __name__ == "__main__":
    command.run(main)
