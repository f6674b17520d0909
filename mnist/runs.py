"""From what the user typed to a training: config, checkpoint, data, in that order.

The order matters: everything that can be refused is looked at before anything is written,
and the environment is set between knowing the config and importing Paddle.
"""

from typing import Any, Dict, Iterable, Optional, Tuple

from mnist import checkpoint, device, parallel
from mnist import config as configs
from mnist.checkpoint import Checkpoint
from mnist.config import Config
from mnist.errors import InputError
from mnist.parallel import Group


def start(
    config_path: Optional[str],
    resume: Optional[str] = None,
    overrides: Iterable[str] = (),
    allow_changes: bool = False,
) -> Dict[str, Any]:
    """Train as told and return the content of ``result.json``.

    Without ``config_path`` the config is the one in the checkpoint ``resume``.
    """
    with parallel.join() as group:
        with parallel.agreed(group):
            config, source = _config_and_checkpoint(config_path, resume, tuple(overrides))
            parallel.check_workers(config.parallel.workers, group)
        if config.parallel.workers > group.size:
            parallel.launch(config.parallel.workers)
        return _train(_with_workers(config, group.size), source, allow_changes, group)


def _with_workers(config: Config, workers: int) -> Config:
    """The config as it is carried out: with as many processes as mpirun has started."""
    section = config.parallel.model_copy(update={"workers": workers})
    return config.model_copy(update={"parallel": section})


def _train(
    config: Config, source: Optional[Checkpoint], allow_changes: bool, group: Group
) -> Dict[str, Any]:
    with parallel.agreed(group):
        # Only now is it known how many threads Paddle may take when it is imported.
        device.prepare_process(config.device.threads)
        from mnist import preparation, trainer
        from mnist.resumption import Resumption

        # One process makes what is missing, the others find it there.
        made = preparation.obtain(config.data) if group.is_main else None
    with parallel.agreed(group):
        data, fallback = made or preparation.obtain(config.data)
    resumption = Resumption(source, allow_changes) if source else None
    return trainer.train(config, data, fallback, resumption, group)


def _config_and_checkpoint(
    config_path: Optional[str], resume: Optional[str], overrides: Tuple[str, ...]
) -> Tuple[Config, Optional[Checkpoint]]:
    given = configs.load(config_path, overrides) if config_path else configs.default(overrides)
    if resume is None:
        return given, None
    source = checkpoint.load(checkpoint.locate(resume, given.checkpoint.dir))
    if config_path:
        return given, source
    if source.state is None:
        raise InputError(f"{source.path}: has no config in it; name one with --config")
    state = str(source.path / checkpoint.STATE)
    return configs.from_dict(source.state.config, state, overrides), source
