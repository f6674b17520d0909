"""What a report measures anew: quality, confidence, changed digits, speed."""

import os
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from mnist.base import seeding
from mnist.config import LoaderConfig
from mnist.data.dataset import Split
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.feeding import as_model_input
from mnist.model import calibration, losses
from mnist.model.architectures import Model
from mnist.model.evaluation import Evaluation, evaluate
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


@dataclass(frozen=True)
class Mistake:
    """A digit that was read wrongly. ``index`` counts in its split, from 0."""

    index: int
    image: "np.ndarray[Any, Any]"
    label: int
    guess: int
    confidence: float


@dataclass(frozen=True)
class ChangeResult:
    """Accuracy on the sample against the strength of one change.

    ``example`` is one digit at each strength, uint8 ``[S,28,28]``.
    """

    change: Change
    accuracies: List[float]
    example: "np.ndarray[Any, Any]"


@dataclass(frozen=True)
class Speed:
    """Inference from uint8 pictures to probabilities; the median of ``calls``."""

    batch: int
    images_per_second: float
    milliseconds: float
    calls: int


@dataclass(frozen=True)
class Measures:
    """Everything measured on one split.

    ``tempered`` is there if the checkpoint has a temperature; then the mistakes' confidences
    are with it.
    """

    split: str
    evaluation: Evaluation
    interval: Tuple[float, float]
    reliability: Reliability
    tempered: Optional[Reliability]
    mistakes: List[Mistake]
    sample: int
    changes: List[ChangeResult]
    speeds: List[Speed]
    threads: str


def measure(run: Run, split_name: str, split: Split, say: Callable[[str], None]) -> Measures:
    """Measure a run's model on a split, telling ``say`` what is under way."""
    place = fluid.CPUPlace()
    with fluid.dygraph.guard(place):
        model = load_model(run.source)
        say(f"measuring {run.name} on {split_name}: {len(split):,} digits")
        result = evaluate(model, split, place, LoaderConfig())
        sample = sample_of(split)
        say(f"measuring {run.name} on {len(sample):,} digits shifted, turned, scaled, with noise")
        changes = [_change(model, sample, change, place) for change in perturbations.CHANGES]
        say(f"measuring the speed of {run.name}")
        speeds = [_speed(model, split.images, batch) for batch in BATCHES]
    right = int((result.labels == result.digits).sum())
    calibrated = _with_temperature(result, run.temperature)
    return Measures(
        split=split_name,
        evaluation=result,
        interval=intervals.wilson_interval(right, result.count),
        reliability=intervals.of_evaluation(result),
        tempered=intervals.of_evaluation(calibrated) if calibrated else None,
        mistakes=worst_mistakes(calibrated or result, split),
        sample=len(sample),
        changes=changes,
        speeds=speeds,
        threads=os.environ.get("OMP_NUM_THREADS", "?"),
    )


def _with_temperature(result: Evaluation, temperature: Optional[float]) -> Optional[Evaluation]:
    if temperature is None:
        return None
    probabilities = calibration.at(result.probabilities, temperature)
    return replace(result, probabilities=probabilities)


def worst_mistakes(result: Evaluation, split: Split, limit: int = MISTAKES) -> List[Mistake]:
    """The wrong answers that were given with the most confidence, the worst first."""
    wrong = np.flatnonzero(result.labels != result.digits)
    confidences = result.probabilities[wrong, result.digits[wrong]]
    worst = wrong[np.argsort(-confidences, kind="stable")[:limit]]
    return [
        Mistake(
            index=int(index),
            image=split.images[index],
            label=int(result.labels[index]),
            guess=int(result.digits[index]),
            confidence=float(result.probabilities[index, result.digits[index]]),
        )
        for index in worst
    ]


def most_taken_for(result: Evaluation) -> Dict[int, Optional[Tuple[int, int]]]:
    """Digit → (the digit it is most often taken for, how often); None if it never is wrong."""
    confusion = result.confusion.copy()
    np.fill_diagonal(confusion, 0)
    guesses = {digit: int(confusion[digit].argmax()) for digit in range(10)}
    return {
        digit: (guess, int(confusion[digit, guess])) if confusion[digit, guess] else None
        for digit, guess in guesses.items()
    }


def sample_of(split: Split, size: int = SAMPLE) -> Split:
    """The same ``size`` digits of a split each time, or all if there are fewer."""
    chosen = seeding.stream(0, "report sample").permutation(len(split))[:size]
    chosen.sort()
    return Split(split.images[chosen], split.labels[chosen])


def _change(model: Model, sample: Split, change: Change, place: Any) -> ChangeResult:
    accuracies, pictures = [], []
    for strength in change.strengths:
        changed = change.apply(sample.images, strength)
        found = evaluate(model, Split(changed, sample.labels), place, LoaderConfig())
        accuracies.append(found.accuracy)
        pictures.append(changed[0])
    return ChangeResult(change, accuracies, np.stack(pictures))


def _speed(model: Model, images: "np.ndarray[Any, Any]", batch: int) -> Speed:
    """Time calls as ``mnist.predict`` makes them, after a first one that is not counted."""
    pictures = np.resize(images[:batch], (batch, *images.shape[1:]))
    _predict(model, pictures)
    times: List[float] = []
    while sum(times) < _SECONDS_PER_SPEED or len(times) < _MIN_CALLS:
        started = time.perf_counter()
        _predict(model, pictures)
        times.append(time.perf_counter() - started)
    median = float(np.median(times))
    return Speed(batch, batch / median, 1000 * median, len(times))


def _predict(model: Model, images: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    with fluid.dygraph.no_grad():
        outputs = model(to_variable(as_model_input(images)))
        return losses.probabilities(model.config.loss, outputs.numpy())
