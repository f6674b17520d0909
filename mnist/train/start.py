"""From what the user typed to a training: config, checkpoint, data, in that order.

The order matters: everything that can be refused is looked at before anything is written,
and the environment is set between knowing the config and importing Paddle. Of several processes
the main one does it all, and the others get what it has found.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mnist import config as configs
from mnist.base import own_code
from mnist.base.errors import InputError
from mnist.base.files import PathLike, find_input
from mnist.checkpoints import reading, records
from mnist.checkpoints.records import Checkpoint
from mnist.config import Config
from mnist.config.schema import DataConfig
from mnist.data import dataset, obtain
from mnist.data.dataset import Dataset
from mnist.fluid import environment, processes
from mnist.fluid.processes import Group
from mnist.train import launching


def start(
    config_path: Optional[str], resume: Optional[str], overrides: Sequence[str], allow_changes: bool
) -> Dict[str, Any]:
    """Train as told and return the content of ``result.json``.

    Without ``config_path`` the config is the one in the checkpoint ``resume``.
    """

    def asked() -> Tuple[Config, Optional[Checkpoint], Dict[str, Tuple[str, ...]]]:
        given = read_config(config_path, overrides) if config_path else None
        return (*with_checkpoint(given, resume, overrides), own_code.folders)

    with processes.join() as group:
        config, source, trusted = group.from_main(asked)
        own_code.folders.update(trusted)
        launching.check_workers(config.parallel.workers, group.size)
        if config.parallel.workers > group.size:
            launching.launch(config.parallel.workers)
        # As it is carried out: with as many processes as mpirun has started.
        section = config.parallel.model_copy(update={"workers": group.size})
        config = config.model_copy(update={"parallel": section})
        # Only now is it known how many threads Paddle may take when it is imported.
        environment.prepare(config.device.threads)
        data = obtain_together(config.data, group)
        from mnist.train import loop

        return loop.train(config, data, source, allow_changes, group)


def obtain_together(config: DataConfig, group: Group) -> Dataset:
    """What ``obtain`` finds in the main process, in every process.

    Where all have the very same file each uses its own, or else they are sent the splits.
    """
    own: List[Dataset] = []

    def obtain_it() -> str:
        own.append(obtain.obtain(config))
        return own[0].sha256

    sha256 = group.from_main(obtain_it)
    for name in filter(None, (config.path, config.fallback)):
        if not own:
            with suppress(InputError):
                copy = dataset.load(name, config.cache)
                own += [copy] if copy.sha256 == sha256 else []
    return own[0] if all(group.of_all(bool(own))) else group.from_main(lambda: own[0])


def with_checkpoint(
    given: Optional[Config], resume: Optional[PathLike], overrides: Sequence[str] = ()
) -> Tuple[Config, Optional[Checkpoint]]:
    """The config to train by, and the checkpoint to go on from, whose own it is if none is given.

    With neither it is the defaults. ``auto`` is the newest checkpoint of the very run that the
    config says, if there is one in its folder.
    """
    if resume is None or resume == "auto":
        config = given or read_config(None, overrides)
        return config, _of_this_run(config) if resume else None
    # Of the overrides only the folder matters before the checkpoint's own config is known.
    folder = [o for o in overrides if o.partition("=")[0].strip() == "checkpoint.dir"]
    kept_in = (given or configs.default(folder)).checkpoint.dir
    source = reading.load(reading.locate(resume, kept_in, prefer="latest"))
    if given is not None:
        return given, source
    if source.state is None:
        raise InputError(f"{source.path}: has no config in it; name one with --config")
    state = str(source.path / records.STATE)
    config = configs.from_dict(source.state.config, state, overrides)
    if f"model.name={config.model.name}" in overrides and own_code.is_own(config.model.name):
        own_code.trust(config.model.name)  # The user has named it, too.
    return config, source


def _of_this_run(config: Config) -> Optional[Checkpoint]:
    """The newest whole checkpoint in ``checkpoint.dir``, if going on from it is the same run."""
    folder = Path(config.checkpoint.dir)
    if not reading.is_any_in(folder):
        return None
    try:
        source = reading.load(reading.newest(folder))
        before = configs.from_dict(source.state.config if source.state else {}, str(source.path))
        changes = configs.changes(before, config)
        if not changes:
            return source
        named = "; ".join(f"{key}: {old} there, {new} now" for key, old, new in changes)
        why = f"{source.path} is of another run ({named})"
    except InputError as error:
        why = str(error)
    print(f"note    --resume auto starts anew: {why}", flush=True)
    return None


def read_config(path: Optional[PathLike], overrides: Sequence[str]) -> Config:
    """A config, or the defaults, with overrides; its model may be a class in a file beside it."""
    config = configs.load(path, overrides) if path else configs.default(overrides)
    if own_code.is_own(config.model.name):
        own_code.trust(config.model.name, find_input(path).parent if path else os.curdir)
    return config
