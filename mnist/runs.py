"""From what the user typed to a training: config, checkpoint, data, in that order.

The order matters: everything that can be refused is looked at before anything is written,
and the environment is set between reading the config and importing Paddle.
"""

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterable, Optional, Tuple

from mnist import cli, device
from mnist import config as configs
from mnist.config import Config, DataConfig
from mnist.errors import Failure, InputError
from mnist.files import find_input

if TYPE_CHECKING:
    from mnist.dataset import Dataset

BUNDLED_DIGITS = "data/digits.json.gz"


def start(
    config_path: Optional[str],
    resume: Optional[str] = None,
    overrides: Iterable[str] = (),
    allow_changes: bool = False,
) -> Dict[str, Any]:
    """Train as told and return the content of ``result.json``."""
    overrides = tuple(overrides)
    given = configs.load(config_path, overrides) if config_path else None
    # Only now is it known how many threads Paddle may take when it is imported.
    device.prepare_process((given or configs.default(overrides)).device.threads)
    from mnist import trainer

    config, resumption = given, None
    if resume is not None:
        config, resumption = _resumption(resume, given, overrides, allow_changes)
    assert config is not None
    data, fallback = obtain(config.data)
    return trainer.train(config, data, fallback, resumption)


def obtain(config: DataConfig) -> Tuple["Dataset", Optional[str]]:
    """The data set a config names, made or replaced by its fallback where it must be.

    Returns it with None, or with why it is the fallback. A missing ``mnist.json.gz`` is
    made from the official files if ``prepare`` allows it. A file that is there but
    damaged is an error, never replaced.
    """
    from mnist import dataset

    path = find_input(config.path)
    if os.path.lexists(path):
        return dataset.load(path, config.cache), None
    missing = _try_to_prepare(config, path)
    if missing is None:
        return dataset.load(path, config.cache), None
    if config.fallback is None:
        raise InputError(
            f"{missing}; set data.fallback={BUNDLED_DIGITS} to train on the bundled digits instead"
        )
    substitute = dataset.load(find_input(config.fallback), config.cache)
    cli.warn(f"{missing}. NOT TRAINING ON IT but on data.fallback: {substitute.source}")
    return substitute, missing


def _try_to_prepare(config: DataConfig, path: Path) -> Optional[str]:
    """Make the data file; None if that worked, else why there is none."""
    if "mnist" not in path.name:
        return f"data.path: {path} does not exist{_nearest_file(path)}"
    if not config.prepare:
        return f"data.path: {path} does not exist (make it with: python -m mnist.prepare)"
    from mnist import preparation

    try:
        preparation.prepare(path)
    except Failure as error:
        return f"data.path: {path} does not exist and cannot be made: {error}"
    return None


def _nearest_file(path: Path) -> str:
    names = [p.name for p in path.parent.glob("*.json.gz")]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" (nearest: {path.parent / close[0]})" if close else ""


def _resumption(
    name: str, given: Optional[Config], overrides: Tuple[str, ...], allow_changes: bool
) -> Tuple[Config, Any]:
    from mnist import checkpoint
    from mnist.resumption import Resumption

    folder = (given or configs.default(overrides)).checkpoint.dir
    source = checkpoint.load(checkpoint.locate(name, folder))
    if given is not None:
        config = given
    elif source.state is not None:
        state = Path(source.path) / checkpoint.STATE
        config = configs.from_dict(source.state.config, str(state), overrides)
    else:
        raise InputError(f"{source.path}: has no config in it; name one with --config")
    return config, Resumption(source, allow_changes)
