"""How far figures can be trusted: a model's confidences, and a fraction that was counted."""

from dataclasses import dataclass
from typing import List, NamedTuple, Tuple

from scipy.stats import binomtest

from mnist.base.arrays import Array
from mnist.model import calibration
from mnist.model.calibration import BINS


@dataclass(frozen=True)
class Bin:
    """The samples whose confidence lies in one stretch of 0–1 (the upper end included)."""

    low: float
    high: float
    count: int
    confidence: float  # mean; 0 where there are none, as is the accuracy
    accuracy: float
    interval: Tuple[float, float]  # 95%, of the accuracy


class Reliability(NamedTuple):
    """Confidence against accuracy.

    ``ece`` is the expected calibration error, 0–1, ``log_loss`` the mean of minus the natural
    logarithm of the true digit's probability (``mnist.model.calibration``).
    """

    bins: List[Bin]
    ece: float
    log_loss: float
    mean_confidence: float


def reliability(probabilities: Array, labels: Array) -> Reliability:
    """Of float64 ``[N,10]`` and int64 ``[N]``, N at least 1."""
    confidences = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = calibration.bins_of(confidences)
    members = [places == number for number in range(BINS)]
    bins = [_bin(i, confidences[chosen], right[chosen]) for i, chosen in enumerate(members)]
    return Reliability(
        bins=bins,
        ece=calibration.expected_error(probabilities, labels),
        log_loss=calibration.negative_log_likelihood(probabilities, labels),
        mean_confidence=float(confidences.mean()),
    )


def _bin(number: int, confidences: Array, right: Array) -> Bin:
    count = len(right)
    means = (float(confidences.mean()), float(right.mean())) if count else (0.0, 0.0)
    interval = wilson_interval(int(right.sum()), count)
    return Bin(number / BINS, (number + 1) / BINS, count, *means, interval)


def wilson_interval(right: int, count: int) -> Tuple[float, float]:
    """The 95% interval of a fraction that was counted (Wilson 1927); (0, 1) of nothing."""
    if count == 0:
        return 0.0, 1.0
    interval = binomtest(right, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
