"""What a report measures anew: quality, trust in it and in confidences, changed digits, speed."""

import time
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from mnist.base import seeding
from mnist.base.arrays import Array
from mnist.data.dataset import Dataset, Split
from mnist.model import calibration
from mnist.model.evaluation import Evaluation
from mnist.model.predictor import Predictor
from mnist.report.past_run import Run
from mnist.report.perturbations import CHANGES, Change

MISTAKES = 50
# Digits that are changed in every way, for time: a report looks at each about 35 times.
SAMPLE = 2000
BATCHES = (1, 256)
_SECONDS_PER_SPEED = 1.5
_MIN_CALLS = 5


@dataclass(frozen=True)
class Measures:
    """Everything measured on one split of a data set.

    ``evaluations``: of the model itself, and if its checkpoint has a temperature, also at that.
    ``mistakes`` are the pictures of the worst, by their number in the split, from 0. ``changes``
    are accuracies on ``sample``, for each of ``CHANGES`` at each of its strengths; ``speeds`` the
    seconds of every call, from uint8 pictures to probabilities, by the pictures in it.
    """

    split: str
    data_path: str
    data_sha256: str
    evaluations: List[Evaluation]
    mistakes: Dict[int, Array]
    sample: Split
    changes: List[List[float]]
    speeds: Dict[int, List[float]]


@dataclass(frozen=True)
class Entry:
    """A run on the page, the first, second…, and what was measured on it, or why nothing was."""

    place: int
    run: Run
    measures: Optional[Measures] = None
    unmeasured: Optional[str] = None
    warning: str = ""

    @property
    def letter(self) -> str:
        """What the page calls it beside others: A, B, C…."""
        return chr(ord("A") + self.place)


def measured(entries: Sequence[Entry]) -> List[Tuple[Entry, Measures]]:
    """Those of the runs on a page that were measured."""
    return [(entry, entry.measures) for entry in entries if entry.measures]


def measure(run: Run, data: Dataset, split_name: str, say: Callable[[str], None]) -> Measures:
    """Measure a run's model on a split; ``say`` is told what takes time."""
    split, model = data.split(split_name), Predictor(run.source)
    say(f"measuring {run.name} on {split_name}: {len(split):,} images")
    evaluations = [model.evaluate(split)]
    if run.source.temperature:
        mended = calibration.at(evaluations[0].probabilities, run.source.temperature)
        evaluations.append(replace(evaluations[0], probabilities=mended))
    sample = sample_of(split)
    say(f"measuring {run.name} on {len(sample):,} images shifted, turned, scaled, with noise")
    changes = [_accuracies(model, sample, change) for change in CHANGES]
    say(f"measuring the speed of {run.name}")
    return Measures(
        split=split_name,
        data_path=str(data.source),
        data_sha256=data.sha256,
        evaluations=evaluations,
        mistakes={n: split.images[n] for n in evaluations[-1].worst_mistakes(MISTAKES)},
        sample=sample,
        changes=changes,
        speeds={batch: _seconds(model, split.images, batch) for batch in BATCHES},
    )


def sample_of(split: Split, size: int = SAMPLE) -> Split:
    """The same ``size`` digits of a split each time, or all if there are fewer."""
    chosen = np.sort(seeding.stream(0, "report sample").permutation(len(split))[:size])
    return Split(split.images[chosen], split.labels[chosen])


def _accuracies(model: Predictor, sample: Split, change: Change) -> List[float]:
    changed = (change.apply(sample.images, strength) for strength in change.strengths)
    return [model.evaluate(Split(images, sample.labels)).accuracy for images in changed]


def _seconds(model: Predictor, images: Array, batch: int) -> List[float]:
    """Time calls as ``mnist.predict`` makes them, after a first one that is not counted."""
    pictures = np.resize(images[:batch], (batch, *images.shape[1:]))
    model.probabilities(pictures)
    times: List[float] = []
    while sum(times) < _SECONDS_PER_SPEED or len(times) < _MIN_CALLS:
        started = time.perf_counter()
        model.probabilities(pictures)
        times.append(time.perf_counter() - started)
    return times
