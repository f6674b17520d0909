"""Losses, and what a model's outputs mean under each of them."""

from typing import Any, Dict, Optional

import numpy as np

from mnist.base.arrays import Array
from mnist.data.digits import CLASSES
from mnist.fluid.door import fluid

# How many outputs a model has for each loss.
OUTPUTS: Dict[str, int] = {"softmax_cross_entropy": CLASSES, "square_error": 1}


def compute(
    loss: str, outputs: Any, labels: Any, smoothing: float = 0.0, targets: Optional[Any] = None
) -> Any:
    """The mean loss over a batch: a VarBase ``[1]``.

    ``outputs`` are logits ``[B,10]`` for ``softmax_cross_entropy`` (softmax and logarithm
    in one numerically stable operator) or the guessed digit ``[B,1]`` for
    ``square_error``, the regression with which the course begins. ``labels``: int64
    ``[B,1]``. ``smoothing`` is the part of the label's weight that all ten classes share
    (Szegedy et al. 2016), for cross-entropy only. ``targets`` are probabilities ``[B,10]`` that
    are learnt instead of labels (Hinton et al. 2015), for cross-entropy only, too.
    """
    if targets is not None:
        each = fluid.layers.softmax_with_cross_entropy(outputs, targets, soft_label=True)
    elif loss == "softmax_cross_entropy" and smoothing:
        certain = fluid.layers.one_hot(labels, CLASSES)
        weights = fluid.layers.label_smooth(certain, epsilon=smoothing)
        each = fluid.layers.softmax_with_cross_entropy(outputs, weights, soft_label=True)
    elif loss == "softmax_cross_entropy":
        each = fluid.layers.softmax_with_cross_entropy(outputs, labels)
    else:
        each = fluid.layers.square_error_cost(outputs, fluid.layers.cast(labels, "float32"))
    return fluid.layers.mean(each)


def digits(loss: str, outputs: Array) -> Array:
    """The predicted digit of each sample: int64 ``[B]``.

    The likeliest class, or for ``square_error`` the digit nearest to the output.
    """
    if loss == "softmax_cross_entropy":
        return np.asarray(np.argmax(outputs, axis=1), np.int64)
    return np.asarray(np.clip(np.rint(outputs[:, 0]), 0, CLASSES - 1), np.int64)


def probabilities(loss: str, outputs: Array) -> Array:
    """The probability of each digit: float64 ``[B,10]``, rows summing to one.

    Softmax of the logits. A regression has none of its own: square error is the likelihood
    of a normal distribution around the output, so that is taken, with variance 1/2.
    """
    scores = outputs.astype(np.float64)
    if loss == "square_error":
        scores = -np.square(scores - np.arange(CLASSES))
    return softmax(scores)


def softmax(scores: Array) -> Array:
    """Rows of scores ``[B,C]`` as probabilities."""
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))
