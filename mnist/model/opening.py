"""The checkpoint that a user names; of a course pair, how its net is taken, and whether it reads.

Nothing in a pair says how its net was meant, so what is assumed is said on every use, and tried
on a few labelled digits.
"""

from dataclasses import replace
from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from mnist.base import notes
from mnist.base.errors import InputError
from mnist.base.files import PROJECT_ROOT, PathLike, find_input
from mnist.checkpoints import conventions, reading
from mnist.checkpoints.conventions import Conventions
from mnist.checkpoints.records import Checkpoint
from mnist.data import dataset
from mnist.data.dataset import Split
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.feeding import as_model_input
from mnist.model import losses
from mnist.model.restore import load_model

PRETRAINED = PROJECT_ROOT / "data" / "pretrained"

# Digits of other hands and pens than MNIST's, which nets that were trained on that know less well.
_LABELLED = PROJECT_ROOT / "data" / "digits.json.gz"
_CLEARLY = 0.05


def find_checkpoint(name: Optional[PathLike]) -> Path:
    """The checkpoint to use: the named one, else the best in ``checkpoints``, else its newest."""
    return reading.locate(name, find_input("checkpoints"))


def find_reader(name: Optional[PathLike]) -> Path:
    """As ``find_checkpoint``; as long as nothing is trained, the model that comes with the project.

    For who reads pictures; what tells of a run is of one's own.
    """
    folder = find_input("checkpoints")
    if name is None and PRETRAINED.exists() and not reading.is_any_in(folder):
        notes.warn(f"no checkpoint in {folder}/ yet: the model in data/pretrained is used")
        return PRETRAINED
    return find_checkpoint(name)


def open_checkpoint(name: Optional[PathLike], assume: Sequence[str] = ()) -> Checkpoint:
    """Find and read a checkpoint; of a course pair, say how its net is taken, and try that.

    ``assume`` is what the user states of a pair, as ``conventions.parse`` takes it. In a
    checkpoint of our own nothing is assumed.
    """
    stated = conventions.parse(assume)
    source = reading.load(find_checkpoint(name))
    if source.state is not None:
        if assume:
            notes.warn(f"{source.named}: says itself what its model is; --assume is not used")
        return source
    source = meant_as(source, stated)
    taken = conventions.of_model(source.model)
    say_assumed(source, {key: value for key, value in taken.items() if key not in stated})
    try_on_digits(source)
    return source


def meant_as(source: Checkpoint, stated: Conventions) -> Checkpoint:
    """A course pair with its net taken as stated; InputError for what such a net does not have."""
    usual = conventions.usual_for(source.model)
    for key in stated:
        if key not in usual:
            raise InputError(f"{source.path}: its net ({source.model['name']}) has no {key}")
    return replace(source, model={**source.model, **stated})


def _expected_share(source: Checkpoint) -> float:
    """What a net of these shapes, trained on MNIST, reads of the labelled digits at least.

    Seen after a few epochs: lenet 0.97, fc 0.82–0.90, without hidden layers 0.78–0.80, the
    regression 0.23–0.27; with inputs in -1…1 taken for 0…1: 0.82, 0.11–0.79, 0.59 and 0.11.
    """
    if source.model["loss"] == "square_error":
        return 0.17
    if source.model["name"] == "lenet":
        return 0.88
    return 0.8 if source.model["hidden_sizes"] else 0.7


def say_assumed(source: Checkpoint, assumed: Conventions, way: str = "--assume KEY=VALUE") -> None:
    """Warn of what is taken for granted about a course pair, and how to state it."""
    if assumed:
        notes.warn(
            f"{source.path}: a pair does not say how its net was meant; assumed:"
            f" {' '.join(conventions.as_options(assumed))} ({way} says otherwise)"
        )


def try_on_digits(source: Checkpoint) -> None:
    """Warn where a course pair reads a few labelled digits far worse than such nets do.

    That is how a wrong convention shows. All are tried then, and the one that reads most is named.
    """
    if not _LABELLED.exists():
        return
    split = dataset.load(_LABELLED).valid
    taken, expected = share_read(source, split), _expected_share(source)
    if taken >= expected:
        return
    others = conventions.all_for(source.model)
    shares = [share_read(meant_as(source, other), split) for other in others]
    best = int(np.argmax(shares))
    hint = "it may be trained little, or be no net for digits"
    if shares[best] >= max(taken + _CLEARLY, expected / 2):
        now = conventions.as_options(conventions.of_model(source.model))
        options = conventions.as_options(others[best])
        other = [f"--assume {each}" for each in options if each not in now]
        hint = f"with {' '.join(other)} it reads {shares[best]:.1%}"
    notes.warn(f"{source.path}: reads only {taken:.1%} of {len(split)} labelled digits; {hint}")


def share_read(source: Checkpoint, split: Split) -> float:
    """The part of a split, 0–1, that a checkpoint's model reads right."""
    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.dygraph.no_grad():
        model = load_model(source)
        outputs = model(to_variable(as_model_input(split.images))).numpy()
    return float(np.mean(losses.digits(model.config.loss, outputs) == split.labels))
