"""Where a run starts from, and whether going on from a checkpoint is still the same run."""

import platform
from pathlib import Path
from typing import Any, List, Optional, Sequence

import numpy as np

from mnist import __version__
from mnist import config as configs
from mnist.base import own_code, processors
from mnist.base.errors import InputError
from mnist.checkpoints import conventions, records
from mnist.checkpoints.records import Checkpoint, RunState
from mnist.config import Config
from mnist.config.classes import are_digits
from mnist.data.dataset import Dataset
from mnist.fluid import places
from mnist.fluid.door import fluid, paddle
from mnist.fluid.feeding import count_batches
from mnist.fluid.processes import ALONE, Group
from mnist.model import distillation, opening

_ON_GPU = "GPU: not bit for bit (cuDNN may choose other algorithms, atomics reorder sums)"
_ON_CPU = "CPU: bit for bit, for one machine type, number of threads and set of versions"


def initial_state(
    config: Config,
    data: Dataset,
    place: Any,
    source: Optional[Checkpoint],
    allow_changes: bool = False,
    group: Group = ALONE,
) -> RunState:
    """Where a run starts: at nothing, or where the checkpoint ``source`` stands.

    Raises InputError if going on would be a different run, which the user has not allowed.
    """
    # The version of a model that is the user's own is its file's SHA-256, if there is a file.
    code = own_code.digest(config.model.name) if own_code.is_own(config.model.name) else ""
    fresh = RunState(
        config=config.model_dump(),
        data_path=str(data.source),
        data_sha256=data.sha256,
        data_fallback=data.fallback,
        classes=list(data.classes),
        teachers=group.from_main(lambda: distillation.digests(config, data.classes)),
        versions={
            "mnist": __version__,
            "paddle": paddle.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            **({config.model.name: code[:12]} if code else {}),
        },
        device=places.describe_place(place),
        deterministic=_ON_GPU if isinstance(place, fluid.CUDAPlace) else _ON_CPU,
    )
    if source is None:
        return fresh
    if source.state is None:
        return _after_course_pair(fresh, config, data, source)
    _check_same_run(source.state, fresh, config, source.path, allow_changes)
    # What was set above is of the process at hand, all else of the checkpoint.
    return source.state.model_copy(update=fresh.model_dump(exclude_unset=True))


def _check_same_run(
    saved: RunState, fresh: RunState, config: Config, path: Path, allow_changes: bool
) -> None:
    """Refuse what would silently be a different run."""
    before = configs.from_dict(saved.config, str(path / records.STATE))
    pairs = configs.changes(before, config)
    if saved.data_sha256 != fresh.data_sha256:
        was, now = (f"{s.data_path} ({_shown([s.data_sha256])})" for s in (saved, fresh))
        pairs.append(("data", was, now))
    if saved.teachers != fresh.teachers:
        pairs.append(("train.teachers", _shown(saved.teachers), _shown(fresh.teachers)))
    for name in ("paddle", "numpy", config.model.name):
        old, new = saved.versions.get(name), fresh.versions.get(name)
        # An adopted checkpoint does not know what trained it.
        if old != new and saved.versions:
            pairs.append((name, old, new))
    changed = [f"{key}: {old} in the checkpoint, {new} now" for key, old, new in pairs]
    architecture = [line for line in changed if line.startswith("model.")]
    if architecture:
        raise InputError(
            f"{path}: the model is fixed by the checkpoint, but the config differs: "
            + "; ".join(architecture)
        )
    if saved.classes != fresh.classes:
        classes = (", ".join(each.classes) for each in (saved, fresh))
        raise InputError("{}: its classes are {}, those of the data {}".format(path, *classes))
    if changed and not allow_changes:
        raise InputError(
            f"{path}: going on would not be the same run: {'; '.join(changed)}"
            " (leave these as they were, or add --allow-changes to go on all the same)"
        )


def _shown(digests: Sequence[str]) -> str:
    return ", ".join(f"SHA-256 {digest[:12]}…" for digest in digests) or "none"


def notes(source: Optional[Checkpoint], state: RunState, group: Group) -> List[str]:
    """What may be otherwise than before, or on another host, though the run is still the same."""
    found = []
    main, *others = group.of_all(
        f"{processors.described('model name')}, device.kernels: {state.kernels}"
    )
    for rank, other in enumerate(others, 1):
        if other != main:
            found.append(
                f"rank {rank} computes on {other}, rank 0 on {main}: the parameters are the same in"
                " all, but their last digits are not those of one kind of processor"
            )
    saved = source.state if source else None
    if saved is None:
        return found
    before = saved.config.get("parallel", {}).get("workers", 1)
    if before != group.size:
        found.append(
            f"{before} process{'es' if before > 1 else ''} trained this before, {group.size} now:"
            " the same samples in the same order, but other last digits"
        )
    if saved.kernels != state.kernels:
        found.append(
            f"device.kernels: {saved.kernels} trained this before, {state.kernels} does now:"
            " the same numbers but for their last digits"
        )
    return found


def _after_course_pair(
    fresh: RunState, config: Config, data: Dataset, source: Checkpoint
) -> RunState:
    """Where a pair saved by the course's own code stands in our count of steps."""
    given = config.model.model_dump()
    if not are_digits(data.classes):
        raise InputError(f"{source.path}: a course pair reads digits; {data.source} holds none")
    free = conventions.usual_for(source.model)
    shapes = {key: value for key, value in source.model.items() if key not in free}
    if any(given.get(key) != value for key, value in shapes.items()):
        raise InputError(
            f"{source.path}: holds the model {shapes}, but the config says {given}; set model.*"
            " accordingly"
        )
    source = opening.meant_as(source, conventions.of_model(given))
    opening.say_assumed(source, conventions.of_model(given), "the config's model.*, or --assume,")
    opening.try_on_digits(source)
    steps_per_epoch = count_batches(len(data.train), config.data.batch_size)
    epoch = source.epochs_done
    if epoch is None:
        epoch = (source.schedule_step or 0) // steps_per_epoch
    return fresh.model_copy(update={"epoch": epoch, "step": epoch * steps_per_epoch})
