"""From what the user typed to a training: config, checkpoint, data, in that order.

The order matters: everything that can be refused is looked at before anything is written,
and the environment is set between knowing the config and importing Paddle.
"""

import os
from typing import Any, Dict, Optional, Sequence, Tuple

from mnist import config as configs
from mnist.base import own_code
from mnist.base.errors import InputError
from mnist.base.files import PathLike, find_input
from mnist.checkpoints import reading, records
from mnist.checkpoints.records import Checkpoint
from mnist.config import Config
from mnist.fluid import environment, processes
from mnist.fluid.processes import Group
from mnist.train import launching


def start(
    config_path: Optional[str], resume: Optional[str], overrides: Sequence[str], allow_changes: bool
) -> Dict[str, Any]:
    """Train as told and return the content of ``result.json``.

    Without ``config_path`` the config is the one in the checkpoint ``resume``.
    """
    with processes.join() as group:
        with processes.agreed(group):
            given = read_config(config_path, overrides) if config_path else None
            config, source = with_checkpoint(given, resume, overrides)
            launching.check_workers(config.parallel.workers, group.size)
        if config.parallel.workers > group.size:
            launching.launch(config.parallel.workers)
        # As it is carried out: with as many processes as mpirun has started.
        section = config.parallel.model_copy(update={"workers": group.size})
        config = config.model_copy(update={"parallel": section})
        return _train(config, source, allow_changes, group)


def _train(
    config: Config, source: Optional[Checkpoint], allow_changes: bool, group: Group
) -> Dict[str, Any]:
    with processes.agreed(group):
        # Only now is it known how many threads Paddle may take when it is imported.
        environment.prepare(config.device.threads)
        from mnist.data import obtain
        from mnist.train import loop
        from mnist.train.resuming import Resumption

        # One process makes what is missing, the others find it there.
        made = obtain.obtain(config.data) if group.is_main else None
    with processes.agreed(group):
        data = made or obtain.obtain(config.data)
    resumption = Resumption(source, allow_changes) if source else None
    return loop.train(config, data, resumption, group)


def with_checkpoint(
    given: Optional[Config], resume: Optional[PathLike], overrides: Sequence[str] = ()
) -> Tuple[Config, Optional[Checkpoint]]:
    """The config to train by, and the checkpoint to go on from, whose own it is if none is given.

    With neither it is the defaults.
    """
    if resume is None:
        return given or read_config(None, overrides), None
    if given is None:
        return _from_checkpoint(resume, overrides)
    return given, reading.load(reading.locate(resume, given.checkpoint.dir, prefer="latest"))


def read_config(path: Optional[PathLike], overrides: Sequence[str]) -> Config:
    """A config, or the defaults, with overrides; its model may be a class in a file beside it."""
    config = configs.load(path, overrides) if path else configs.default(overrides)
    if own_code.is_own(config.model.name):
        own_code.trust(config.model.name, find_input(path).parent if path else os.curdir)
    return config


def _from_checkpoint(resume: PathLike, overrides: Sequence[str]) -> Tuple[Config, Checkpoint]:
    """A checkpoint with its own config, to which the overrides apply."""
    # Of them only the folder matters before that config is known.
    folder = [o for o in overrides if o.partition("=")[0].strip() == "checkpoint.dir"]
    kept_in = configs.default(folder).checkpoint.dir
    source = reading.load(reading.locate(resume, kept_in, prefer="latest"))
    if source.state is None:
        raise InputError(f"{source.path}: has no config in it; name one with --config")
    state = str(source.path / records.STATE)
    config = configs.from_dict(source.state.config, state, overrides)
    if f"model.name={config.model.name}" in overrides and own_code.is_own(config.model.name):
        own_code.trust(config.model.name)  # The user has named it, too.
    return config, source
