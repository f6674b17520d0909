"""What a report measures anew: quality, confidence, changed digits, speed."""

import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mnist.base import seeding
from mnist.base.arrays import Array
from mnist.config.schema import LoaderConfig
from mnist.data.dataset import Dataset, Split
from mnist.fluid.door import fluid
from mnist.model import calibration
from mnist.model.architectures import Model
from mnist.model.evaluation import Evaluation, evaluate
from mnist.model.predictor import probabilities
from mnist.model.restore import load_model
from mnist.report import intervals, perturbations
from mnist.report.intervals import Reliability
from mnist.report.past_run import Run
from mnist.report.perturbations import Change

MISTAKES = 50
# Digits that are changed in every way, for time: a report looks at each about 35 times.
SAMPLE = 2000
BATCHES = (1, 256)
_SECONDS_PER_SPEED = 1.5
_MIN_CALLS = 5


class Step(NamedTuple):
    """A change at one strength: accuracy on the sample, and a digit of it, uint8 ``[28,28]``."""

    strength: str
    accuracy: float
    example: Array


class Speed(NamedTuple):
    """Inference from uint8 pictures to probabilities; the median of ``calls``."""

    batch: int
    images_per_second: float
    milliseconds: float
    calls: int


@dataclass(frozen=True)
class Measures:
    """Everything measured on one split of a data set.

    ``evaluation`` is of the model itself, ``shown`` at the checkpoint's temperature, if it has one;
    ``tempered`` is that one's reliability. ``mistakes`` are the pictures of the worst, by their
    number in the split, from 0. ``changes`` are those of ``CHANGES``, on ``sample`` digits.
    """

    split: str
    data_path: str
    data_sha256: str
    evaluation: Evaluation
    shown: Evaluation
    reliability: Reliability
    tempered: Optional[Reliability]
    mistakes: Dict[int, Array]
    sample: int
    changes: List[List[Step]]
    speeds: List[Speed]


@dataclass(frozen=True)
class Entry:
    """A run on the page, the first, second…, and what was measured on it, or why nothing was."""

    place: int
    run: Run
    measures: Optional[Measures] = None
    unmeasured: Optional[str] = None
    warnings: List[str] = field(default_factory=list)

    @property
    def letter(self) -> str:
        """What the page calls it beside others: A, B, C…."""
        return chr(ord("A") + self.place)


def measured(entries: Sequence[Entry]) -> List[Tuple[Entry, Measures]]:
    """Those of the runs on a page that were measured."""
    return [(entry, entry.measures) for entry in entries if entry.measures]


def measure(run: Run, data: Dataset, split_name: str, say: Callable[[str], None]) -> Measures:
    """Measure a run's model on a split; ``say`` is told what takes time."""
    place = fluid.CPUPlace()
    split = data.split(split_name)
    with fluid.dygraph.guard(place), fluid.dygraph.no_grad():
        model = load_model(run.source)
        say(f"measuring {run.name} on {split_name}: {len(split):,} images")
        result = evaluate(model, split, place, LoaderConfig())
        sample = sample_of(split)
        say(f"measuring {run.name} on {len(sample):,} images shifted, turned, scaled, with noise")
        changes = [_change(model, sample, change, place) for change in perturbations.CHANGES]
        say(f"measuring the speed of {run.name}")
        speeds = [_speed(model, split.images, batch) for batch in BATCHES]
    temperature = calibration.temperature_of(run.source)
    mended = calibration.at(result.probabilities, temperature or 1.0)
    shown = replace(result, probabilities=mended)
    return Measures(
        split=split_name,
        data_path=str(data.source),
        data_sha256=data.sha256,
        evaluation=result,
        shown=shown,
        reliability=intervals.reliability(result.probabilities, result.labels),
        tempered=intervals.reliability(mended, result.labels) if temperature else None,
        mistakes={number: split.images[number] for number in shown.worst_mistakes(MISTAKES)},
        sample=len(sample),
        changes=changes,
        speeds=speeds,
    )


def sample_of(split: Split, size: int = SAMPLE) -> Split:
    """The same ``size`` digits of a split each time, or all if there are fewer."""
    chosen = np.sort(seeding.stream(0, "report sample").permutation(len(split))[:size])
    return Split(split.images[chosen], split.labels[chosen])


def _change(model: Model, sample: Split, change: Change, place: Any) -> List[Step]:
    steps = []
    for strength in change.strengths:
        changed = change.apply(sample.images, strength)
        found = evaluate(model, Split(changed, sample.labels), place, LoaderConfig())
        steps.append(Step(change.show(strength), found.accuracy, changed[0]))
    return steps


def _speed(model: Model, images: Array, batch: int) -> Speed:
    """Time calls as ``mnist.predict`` makes them, after a first one that is not counted."""
    pictures = np.resize(images[:batch], (batch, *images.shape[1:]))
    probabilities(model, pictures)
    times: List[float] = []
    while sum(times) < _SECONDS_PER_SPEED or len(times) < _MIN_CALLS:
        started = time.perf_counter()
        probabilities(model, pictures)
        times.append(time.perf_counter() - started)
    median = float(np.median(times))
    return Speed(batch, batch / median, 1000 * median, len(times))
