"""How far figures can be trusted: a model's confidences, and a fraction that was counted."""

import math
from dataclasses import dataclass
from typing import Any, List, Tuple

import numpy as np

from mnist.model.evaluation import Evaluation

BINS = 15  # as in Guo et al. 2017, "On Calibration of Modern Neural Networks"
_Z_95 = 1.959964  # 95% of a normal distribution lies within this many deviations


@dataclass(frozen=True)
class Bin:
    """The samples whose confidence lies in one stretch of 0–1 (the upper end included)."""

    low: float
    high: float
    count: int
    confidence: float  # mean; 0 where there are none, as is the accuracy
    accuracy: float
    interval: Tuple[float, float]  # 95%, of the accuracy


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy.

    ``ece`` is the expected calibration error: the mean distance of accuracy and mean
    confidence over the bins, weighted by their counts, 0–1. ``log_loss`` is the mean of
    minus the natural logarithm of the true digit's probability.
    """

    bins: List[Bin]
    ece: float
    log_loss: float
    mean_confidence: float


def reliability(
    labels: "np.ndarray[Any, Any]",
    digits: "np.ndarray[Any, Any]",
    probabilities: "np.ndarray[Any, Any]",
) -> Reliability:
    """Of int64 ``[N]``, int64 ``[N]`` and float64 ``[N,10]``, N at least 1.

    The confidence is the probability of the digit that was named.
    """
    rows = np.arange(len(labels))
    confidences = probabilities[rows, digits]
    right = labels == digits
    # The bin (low, high] of each sample; a confidence of 0 belongs to the first.
    places = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
    bins = [_bin(number, confidences[places == number], right[places == number])
            for number in range(BINS)]  # fmt: skip
    distance = sum(each.count * abs(each.accuracy - each.confidence) for each in bins)
    of_truth = np.maximum(probabilities[rows, labels], np.finfo(np.float64).tiny)
    return Reliability(
        bins, distance / len(labels), float(-np.log(of_truth).mean()), float(confidences.mean())
    )


def _bin(number: int, confidences: "np.ndarray[Any, Any]", right: "np.ndarray[Any, Any]") -> Bin:
    count = len(right)
    return Bin(
        low=number / BINS,
        high=(number + 1) / BINS,
        count=count,
        confidence=float(confidences.mean()) if count else 0.0,
        accuracy=float(right.mean()) if count else 0.0,
        interval=wilson_interval(int(right.sum()), count),
    )


def of_evaluation(result: Evaluation) -> Reliability:
    """The reliability of an evaluation's probabilities as they are."""
    return reliability(result.labels, result.digits, result.probabilities)


def wilson_interval(right: int, count: int) -> Tuple[float, float]:
    """The 95% interval of a fraction that was counted (Wilson 1927); (0, 1) of nothing."""
    if count == 0:
        return 0.0, 1.0
    fraction, weight = right / count, _Z_95**2 / count
    middle = (fraction + weight / 2) / (1 + weight)
    spread = _Z_95 * math.sqrt(fraction * (1 - fraction) / count + weight / (4 * count))
    spread /= 1 + weight
    return max(0.0, middle - spread), min(1.0, middle + spread)
