"""What was found in other files as files of its own: arrays for others, a checkpoint here."""

import io
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from mnist import config as configs
from mnist.base import preflight
from mnist.base.arrays import Arrays
from mnist.base.errors import InputError
from mnist.base.files import atomic_write, find_input
from mnist.checkpoints import course_pairs, pickles, reading
from mnist.checkpoints.records import Checkpoint, RunState
from mnist.checkpoints.store import CheckpointStore
from mnist.config.schema import Config
from mnist.data import dataset
from mnist.fluid.door import fluid
from mnist.fluid.feeding import count_batches
from mnist.model import opening, optimizers
from mnist.model.restore import load_model

_EPOCHS = 5  # that a run goes on for, unless it is told otherwise


def write(path: Path, arrays: Arrays, names: Dict[str, str], optimizer: Dict[str, Any]) -> None:
    """Write arrays in the format of the suffix; beside a ``.pdparams`` the ``.pdopt``, if any.

    ``names`` says what Paddle calls them. Raises InputError for another suffix.
    """
    contents = {}
    if path.suffix == ".npz":
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        contents[path] = stream.getvalue()
    elif path.suffix == ".safetensors":
        preflight.require("export", "safetensors")
        import safetensors.numpy

        contents[path] = safetensors.numpy.save(arrays)
    elif path.suffix == course_pairs.PARAMETERS:
        contents[path] = pickles.dump({**arrays, **({pickles.NAME_TABLE: names} if names else {})})
        if optimizer:
            contents[path.with_suffix(course_pairs.OPTIMIZER)] = pickles.dump(optimizer)
    else:
        raise InputError(f"--write {path}: must end in .pdparams, .npz or .safetensors")
    for each, content in contents.items():
        with atomic_write(each) as file:
            file.write(content)


def save(folder: Path, source: Checkpoint, data: Optional[str]) -> List[str]:
    """Write a checkpoint into a new folder; what to say of it.

    The run that it goes on with has our defaults, but for what was found. Raises InputError if
    there are checkpoints in ``folder``.
    """
    if reading.is_any_in(folder):
        raise InputError(f"--to {folder}: has checkpoints in it; name another folder")
    usual = Config().data
    default = usual.path if find_input(usual.path).exists() else opening.LABELLED
    data_set = dataset.load(data or default)
    steps = count_batches(len(data_set.train), usual.batch_size)
    epoch, epochs = _epochs(source, steps)
    optimizer, its = _optimizer(source)
    sections = {
        "model": source.model,
        "optimizer": optimizer,
        "data": {"path": str(data_set.source)},
        "train": {"epochs": epoch + _EPOCHS},
        "checkpoint": {"dir": str(folder)},
    }
    config = configs.from_dict(sections, str(source.path))
    state = RunState(
        config=config.model_dump(),
        epoch=epoch,
        step=epoch * steps,
        data_path=str(data_set.source),
        data_sha256=data_set.sha256,
    )
    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.unique_name.guard():
        model = load_model(source)
        trained = optimizers.build(config.optimizer, model.trained_parameters(), state.step + 1, 1)
        names = {parameter.name: name for name, parameter in model.named_parameters()}
        if course_pairs.optimizer_of(source.accumulators or {}) == config.optimizer.name:
            optimizers.set_state(trained, names, source.accumulators or {}, state.step)
        with CheckpointStore(folder, None) as store:
            name = f"epoch{epoch}"
            store.save(name, model.state_dict(), trained.state_dict(), state)
            store.mark_best(name)
    on = f"to go on with: {data_set.source}, unless --set data.path= says otherwise"
    return [f"written to {folder}/epoch{epoch}/", on, its, *epochs]


def _optimizer(source: Checkpoint) -> Tuple[Dict[str, Any], str]:
    """The keys of a config's ``optimizer``, and what to say of them."""
    kind = course_pairs.optimizer_of(source.accumulators or {})
    if kind is None or kind == "rmsprop":
        none, kept = "no state (SGD keeps none)", "RMSProp's state, which --write .pdparams keeps"
        return {"name": "adam"}, f"optimizer: {kept if kind else none}; Adam begins anew"
    rate = "our default rate (--set optimizer.learning_rate=… --allow-changes: another)"
    return {"name": kind}, f"optimizer: {kind} with its state; {rate}, constant"


def _epochs(source: Checkpoint, steps_per_epoch: int) -> Tuple[int, List[str]]:
    """How many epochs count as done, as the name says or the schedule's steps; and in words."""
    step, epoch = source.schedule_step, source.epochs_done
    by = "as the file is called" if epoch is not None else "by the schedule" if step else "unknown"
    epoch = (step or 0) // steps_per_epoch if epoch is None else epoch
    said = [f"epochs done: {epoch}, {by}"]
    if step is not None:
        said.append(
            f"the schedule's step_num, {step:,}, is not used beyond that: which schedule it was is"
            " in no file (--set optimizer.schedule… sets one)"
        )
    return epoch, said
