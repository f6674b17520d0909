"""The checkpoint that a user names; of a course pair, how its net is taken, and whether it reads.

Nothing in a pair says how its net was meant, so what is assumed is said on every use, and tried
on a few labelled digits.
"""

from dataclasses import replace
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence

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
LABELLED = PROJECT_ROOT / "data" / "digits.json.gz"
_CLEARLY = 0.05
_CHANCE = 0.02  # of a share: some two standard errors


def find_checkpoint(name: Optional[PathLike]) -> Path:
    """The checkpoint to use: the named one, else the best in ``checkpoints``, else its newest."""
    folder = find_input("checkpoints")
    found = reading.locate(name, folder)
    if name is None and found.name != "best":
        notes.warn(f"no best in {folder}/: its newest is used, {found.resolve().name}")
    return found


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
    source = reading.load(find_checkpoint(name), resuming=False)
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


def expected_share(source: Checkpoint) -> float:
    """What a net of these shapes, trained on MNIST, reads of the labelled digits at least.

    Seen after a few epochs: lenet 0.97, fc 0.82–0.90, without hidden layers 0.78–0.80, the
    regression 0.23–0.27; with inputs in -1…1 taken for 0…1: 0.82, 0.11–0.79, 0.59 and 0.11.
    """
    if source.model["loss"] == "square_error":
        return 0.17
    if source.model["name"] == "fc":
        return 0.8 if source.model["hidden_sizes"] else 0.7
    return 0.88


def say_assumed(source: Checkpoint, assumed: Conventions, way: str = "--assume KEY=VALUE") -> None:
    """Warn of what is taken for granted about a course pair, and how to state it."""
    if assumed:
        notes.warn(
            f"{source.path}: a pair does not say how its net was meant; assumed:"
            f" {' '.join(conventions.as_options(assumed))} ({way} says otherwise; mnist.adopt"
            " tries them all)"
        )


class Tried(NamedTuple):
    """A net taken as ``conventions`` say: the share of digits it reads, its mean cross-entropy."""

    conventions: Conventions
    share: float
    loss: float

    @property
    def options(self) -> List[str]:
        """How it was taken, as ``--assume`` takes it."""
        return conventions.as_options(self.conventions)

    def reads_as_many(self, other: "Tried") -> bool:
        """Whether it may be chance, of a few hundred digits, which of the two reads more."""
        return abs(self.share - other.share) <= _CHANCE

    def is_close_to(self, other: "Tried") -> bool:
        """Whether neither what is read tells them apart nor the loss, by a tenth or more."""
        most, least = max(self.loss, other.loss), min(self.loss, other.loss)
        return self.reads_as_many(other) and most < 1.1 * least


def try_all(source: Checkpoint, split: Split, stated: Conventions) -> List[Tried]:
    """How a net does, taken in every way that agrees with what is stated; the best first.

    The best has the lowest loss of those that read most: wrong inputs or poolings may read nearly
    as many digits, but with less certainty.
    """
    ways = [each for each in conventions.all_for(source.model) if {**each, **stated} == each]
    tried = [try_one(meant_as(source, each), split) for each in ways or [stated]]
    tried.sort(key=lambda each: -each.share)
    best = min(filter(tried[0].reads_as_many, tried), key=lambda each: each.loss)
    return [best, *(each for each in tried if each is not best)]


def try_on_digits(source: Checkpoint) -> None:
    """Warn where a course pair reads a few labelled digits far worse than such nets do.

    That is how a wrong convention shows. All are tried then, and the one that reads most is named.
    """
    if not LABELLED.exists():
        return
    split = dataset.load(LABELLED).valid
    taken, expected = try_one(source, split), expected_share(source)
    if taken.share >= expected:
        return
    best = try_all(source, split, {})[0]
    hint = "it may be trained little, or be no net for digits"
    if best.share >= max(taken.share + _CLEARLY, expected / 2):
        other = [f"--assume {each}" for each in best.options if each not in taken.options]
        hint = f"with {' '.join(other)} it reads {best.share:.1%}"
    read = f"reads only {taken.share:.1%} of {len(split)} labelled digits"
    notes.warn(f"{source.path}: {read}; {hint}")


def try_one(source: Checkpoint, split: Split) -> Tried:
    """How a checkpoint's model does on a split, taken as it says."""
    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.dygraph.no_grad():
        model = load_model(source)
        outputs = model(to_variable(as_model_input(split.images))).numpy()
    share = float(np.mean(losses.digits(model.config.loss, outputs) == split.labels))
    likely = losses.probabilities(model.config.loss, outputs)[range(len(split)), split.labels]
    loss = float(-np.log(np.maximum(likely, 1e-30)).mean())
    return Tried(conventions.of_model(source.model), share, loss)
