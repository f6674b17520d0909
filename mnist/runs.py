"""From what the user typed to a training: config, checkpoint, data, in that order.

The order matters: everything that can be refused is looked at before anything is written,
and the environment is set between reading the config and importing Paddle.
"""

from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Tuple

from mnist import config as configs
from mnist import device
from mnist.config import Config
from mnist.errors import InputError


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
    from mnist import preparation, trainer

    config, resumption = given, None
    if resume is not None:
        config, resumption = _resumption(resume, given, overrides, allow_changes)
    assert config is not None
    data, fallback = preparation.obtain(config.data)
    return trainer.train(config, data, fallback, resumption)


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
