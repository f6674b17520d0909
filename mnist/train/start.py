"""From what the user typed to a training: config, checkpoint, data, in that order.

The order matters: everything that can be refused is looked at before anything is written,
and the environment is set between knowing the config and importing Paddle.
"""

from typing import Any, Dict, Optional, Sequence, Tuple

from mnist import config as configs
from mnist.base.errors import InputError
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
            config, source = _config_and_checkpoint(config_path, resume, overrides)
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
        data, fallback = made or obtain.obtain(config.data)
    resumption = Resumption(source, allow_changes) if source else None
    return loop.train(config, data, fallback, resumption, group)


def _config_and_checkpoint(
    config_path: Optional[str], resume: Optional[str], overrides: Sequence[str]
) -> Tuple[Config, Optional[Checkpoint]]:
    if config_path is None and resume is not None:
        return _from_checkpoint(resume, overrides)
    given = configs.load(config_path, overrides) if config_path else configs.default(overrides)
    if resume is None:
        return given, None
    return given, reading.load(reading.locate(resume, given.checkpoint.dir, prefer="latest"))


def _from_checkpoint(resume: str, overrides: Sequence[str]) -> Tuple[Config, Checkpoint]:
    """A checkpoint with its own config, to which the overrides apply."""
    # Of them only the folder matters before that config is known.
    folder = [o for o in overrides if o.partition("=")[0].strip() == "checkpoint.dir"]
    kept_in = configs.default(folder).checkpoint.dir
    source = reading.load(reading.locate(resume, kept_in, prefer="latest"))
    if source.state is None:
        raise InputError(f"{source.path}: has no config in it; name one with --config")
    state = str(source.path / records.STATE)
    return configs.from_dict(source.state.config, state, overrides), source
