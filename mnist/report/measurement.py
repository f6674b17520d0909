"""What a report measures anew: quality, trust in it and in confidences, changed digits, speed."""

import time
from dataclasses import dataclass, field, replace
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy.stats import binomtest

from mnist.base import seeding
from mnist.base.arrays import Array
from mnist.data.dataset import Dataset, Split
from mnist.model import calibration
from mnist.model.calibration import BINS
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


class Reliability(NamedTuple):
    """Confidence against accuracy: in the bins of ``mnist.model.calibration``, and altogether.

    Of each bin ``[15]``: how many samples are in it, their mean ``confidence`` and their
    ``accuracy`` (0 where there are none); and ``intervals`` ``[15,2]``, the accuracy's 95%.
    ``ece`` is the expected calibration error, 0–1, ``log_loss`` the mean of minus the natural
    logarithm of the true digit's probability.
    """

    counts: Array
    confidence: Array
    accuracy: Array
    intervals: Array
    ece: float
    log_loss: float
    mean_confidence: float


@dataclass(frozen=True)
class Measures:
    """Everything measured on one split of a data set.

    ``evaluation`` is of the model itself, ``shown`` at the checkpoint's temperature, if it has one;
    ``reliability`` is of both. ``mistakes`` are the pictures of the worst, by their
    number in the split, from 0. ``changes`` are those of ``CHANGES``, on ``sample`` digits.
    """

    split: str
    data_path: str
    data_sha256: str
    evaluation: Evaluation
    shown: Evaluation
    reliability: List[Reliability]
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
    split, model = data.split(split_name), Predictor(run.source)
    say(f"measuring {run.name} on {split_name}: {len(split):,} images")
    result = model.evaluate(split)
    sample = sample_of(split)
    say(f"measuring {run.name} on {len(sample):,} images shifted, turned, scaled, with noise")
    changes = [_change(model, sample, change) for change in CHANGES]
    say(f"measuring the speed of {run.name}")
    speeds = [_speed(model, split.images, batch) for batch in BATCHES]
    mended = calibration.at(result.probabilities, model.temperature)
    shown = replace(result, probabilities=mended)
    both = [result, shown] if run.source.temperature else [result]
    return Measures(
        split=split_name,
        data_path=str(data.source),
        data_sha256=data.sha256,
        evaluation=result,
        shown=shown,
        reliability=[reliability(each.probabilities, each.labels) for each in both],
        mistakes={number: split.images[number] for number in shown.worst_mistakes(MISTAKES)},
        sample=len(sample),
        changes=changes,
        speeds=speeds,
    )


def sample_of(split: Split, size: int = SAMPLE) -> Split:
    """The same ``size`` digits of a split each time, or all if there are fewer."""
    chosen = np.sort(seeding.stream(0, "report sample").permutation(len(split))[:size])
    return Split(split.images[chosen], split.labels[chosen])


def _change(model: Predictor, sample: Split, change: Change) -> List[Step]:
    steps = []
    for strength in change.strengths:
        changed = Split(change.apply(sample.images, strength), sample.labels)
        accuracy = model.evaluate(changed).accuracy
        steps.append(Step(change.show(strength), accuracy, changed.images[0]))
    return steps


def _speed(model: Predictor, images: Array, batch: int) -> Speed:
    """Time calls as ``mnist.predict`` makes them, after a first one that is not counted."""
    pictures = np.resize(images[:batch], (batch, *images.shape[1:]))
    model.probabilities(pictures)
    times: List[float] = []
    while sum(times) < _SECONDS_PER_SPEED or len(times) < _MIN_CALLS:
        started = time.perf_counter()
        model.probabilities(pictures)
        times.append(time.perf_counter() - started)
    median = float(np.median(times))
    return Speed(batch, batch / median, 1000 * median, len(times))


def reliability(probabilities: Array, labels: Array) -> Reliability:
    """Of float64 ``[N,10]`` and int64 ``[N]``, N at least 1."""
    confidences = probabilities.max(axis=1)
    places = calibration.bins_of(confidences)
    counts = np.bincount(places, minlength=BINS)
    right = np.bincount(places[probabilities.argmax(axis=1) == labels], minlength=BINS)
    some = np.maximum(counts, 1)
    return Reliability(
        counts=counts,
        confidence=np.bincount(places, confidences, minlength=BINS) / some,
        accuracy=right / some,
        intervals=np.array(
            [wilson_interval(*pair) for pair in zip(right.tolist(), counts.tolist())]
        ),
        ece=calibration.expected_error(probabilities, labels),
        log_loss=calibration.negative_log_likelihood(probabilities, labels),
        mean_confidence=float(confidences.mean()),
    )


def wilson_interval(right: int, count: int) -> Tuple[float, float]:
    """The 95% interval of a fraction that was counted (Wilson 1927); (0, 1) of nothing."""
    if count == 0:
        return 0.0, 1.0
    interval = binomtest(right, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
