"""What was found in other files as files of its own: arrays for others, a checkpoint here."""

import os
import platform
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from mnist import __version__
from mnist import config as configs
from mnist.base import preflight
from mnist.base.arrays import Array, Arrays
from mnist.base.errors import InputError
from mnist.base.files import atomic_write, find_input
from mnist.checkpoints import course_pairs, pickles, reading
from mnist.checkpoints.foreign import Found
from mnist.checkpoints.records import Checkpoint, RunState
from mnist.checkpoints.store import CheckpointStore
from mnist.config.schema import Config
from mnist.data import dataset
from mnist.data.dataset import Dataset
from mnist.fluid import places
from mnist.fluid.door import fluid, paddle
from mnist.fluid.feeding import count_batches
from mnist.model import optimizers
from mnist.model.opening import LABELLED
from mnist.model.restore import load_model

SUFFIXES = (course_pairs.PARAMETERS, ".npz", ".safetensors")
_EPOCHS = 5  # that a run goes on for, unless it is told otherwise
# Of the last part of a parameter's name, what PyTorch calls it.
_TORCH_NAMES = {"_mean": "running_mean", "_variance": "running_var"}


def write(path: Path, found: Found, arrays: Arrays, names: Dict[str, str]) -> List[Path]:
    """Write arrays in the format of the suffix; the files that were made.

    Beside a ``.pdparams`` goes the optimizer's state as a ``.pdopt``. Raises InputError for
    another suffix, and for arrays that a format does not have.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"--write {path}: must end in {', '.join(SUFFIXES)}")
    if path.suffix == ".npz":
        with atomic_write(path) as file:
            np.savez(file, **arrays)
        return [path]
    if path.suffix == ".safetensors":
        preflight.require("export", "safetensors")
        import safetensors.numpy

        contents = {path: safetensors.numpy.save(arrays, {"layout": found.kind})}
    else:
        table = {pickles.NAME_TABLE: names} if names else {}
        contents = {path: pickles.dump({**arrays, **table})}
        if found.optimizer:
            optimizer = path.with_suffix(course_pairs.OPTIMIZER)
            contents[optimizer] = pickles.dump(found.optimizer)
    for each, content in contents.items():
        with atomic_write(each) as file:
            file.write(content)
    return list(contents)


def as_torch(name: str, array: Array) -> Tuple[str, Array]:
    """A parameter's name and values in PyTorch, which has linear weights as [out,in]."""
    layer, dot, last = name.rpartition(".")
    is_linear = array.ndim == 2 and last.startswith("w") and "emb" not in layer
    return layer + dot + _TORCH_NAMES.get(last, last), array.T.copy() if is_linear else array


def named_as_here(source: Checkpoint) -> Tuple[Arrays, Dict[str, str]]:
    """Parameters as our model calls them, and what they were called."""
    with fluid.dygraph.guard(fluid.CPUPlace()):
        names = [name for name, _ in load_model(source).named_parameters()]
    return source.named_as(names).parameters, dict(zip(names, source.parameters))


def save(
    folder: Path, source: Checkpoint, found: Found, data: Optional[str]
) -> Tuple[Path, List[str]]:
    """Write a checkpoint into a new folder, and what to say of how it was filled.

    The run that it goes on with has our defaults, but for what was found. Raises InputError if
    there are checkpoints in ``folder``.
    """
    if reading.is_any_in(folder):
        raise InputError(f"--to {folder}: has checkpoints in it; name another folder")
    data_set = _data_to_go_on_with(data)
    said = [f"to go on with: {data_set.source}, unless --set data.path= says otherwise"]
    optimizer, accumulators = _optimizer(source, found, said)
    steps = count_batches(len(data_set.train), Config().data.batch_size)
    epoch = _epochs(source, steps, said)
    sections = {
        "model": source.model,
        "optimizer": optimizer,
        "data": {"path": str(data_set.source)},
        "train": {"epochs": epoch + _EPOCHS},
        "checkpoint": {"dir": str(folder)},
    }
    config = configs.from_dict(sections, str(source.path))
    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.unique_name.guard():
        state = _state(config, data_set, epoch, epoch * steps)
        made = _saved(folder, config, source, accumulators, state)
    return made, said


def _saved(
    folder: Path, config: Config, source: Checkpoint, accumulators: Any, state: RunState
) -> Path:
    model = load_model(source)
    trained = model.trained_parameters()
    optimizer = optimizers.build(config.optimizer, trained, state.step + 1, 1)
    optimizers.create_state(optimizer, trained)
    names = {parameter.name: name for name, parameter in model.named_parameters()}
    if accumulators:
        filled = source.named_as(list(names.values())).accumulators or {}
        optimizers.set_state(optimizer, names, filled, state.step)
    with CheckpointStore(folder, None) as store:
        name = f"epoch{state.epoch}"
        path = store.save(name, model.state_dict(), optimizer.state_dict(), state)
        store.mark_best(name)
    return path


def _data_to_go_on_with(data: Optional[str]) -> Dataset:
    usual = Config().data.path
    return dataset.load(data or (usual if os.path.exists(find_input(usual)) else LABELLED))


def _optimizer(source: Checkpoint, found: Found, said: List[str]) -> Tuple[Dict[str, Any], Any]:
    """The keys of a config's ``optimizer``, and the accumulators that it goes on with."""
    kind = course_pairs.optimizer_of(source.accumulators or {})
    if kind is None or kind == "rmsprop":
        why = "no state of an optimizer (SGD keeps none)" if kind is None else "RMSProp's state"
        way = "" if kind is None else ", which --write FILE.pdparams keeps"
        said.append(f"optimizer: {why}{way}; Adam begins anew")
        return {"name": "adam"}, None
    rate = course_pairs.learning_rate(found.optimizer)
    keys: Dict[str, Any] = {"name": kind} if rate is None else {"name": kind, "learning_rate": rate}
    rated = "its last rate" if rate else "the rate is in no file: our default"
    said.append(f"optimizer: {kind} with its state; {rated}, constant")
    return keys, source.accumulators


def _epochs(source: Checkpoint, steps_per_epoch: int, said: List[str]) -> int:
    """How many epochs count as done: as the name says, or as the schedule's steps come to."""
    step, epoch = source.schedule_step, source.epochs_done
    if epoch is None:
        epoch = (step or 0) // steps_per_epoch
        said.append(f"epochs done: {epoch} ({'by the schedule' if step else 'no file says'})")
    else:
        said.append(f"epochs done: {epoch}, as the file is called")
    if step is not None:
        said.append(
            f"the schedule's step_num, {step:,}, is not used beyond that: which schedule it was is"
            " in no file (--set optimizer.schedule… sets one)"
        )
    return epoch


def _state(config: Config, data: Dataset, epoch: int, step: int) -> RunState:
    return RunState(
        config=config.model_dump(),
        epoch=epoch,
        step=step,
        data_path=str(data.source),
        data_sha256=data.sha256,
        versions={
            "mnist": __version__,
            "paddle": paddle.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        device=places.describe_place(fluid.CPUPlace()),
    )
