"""How far figures can be trusted: a model's confidences, and a fraction that was counted."""

from typing import NamedTuple, Tuple

import numpy as np
from scipy.stats import binomtest

from mnist.base.arrays import Array
from mnist.model import calibration
from mnist.model.calibration import BINS


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
