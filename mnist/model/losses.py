"""Losses, and what a model's outputs mean under each of them."""

from typing import Any, Optional

import numpy as np

from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.data.digits import CLASSES
from mnist.fluid.door import fluid


def outputs_of(loss: str, classes: int) -> int:
    """How many outputs a model of so many classes has; InputError for a loss that has no sense.

    A regression's one output is the digit itself.
    """
    if loss == "square_error" and classes != CLASSES:
        raise InputError(f"model.loss: square_error is for ten digits, not for {classes} classes")
    return 1 if loss == "square_error" else classes


def compute(
    loss: str, outputs: Any, labels: Any, smoothing: float = 0.0, targets: Optional[Any] = None
) -> Any:
    """The mean loss over a batch: a VarBase ``[1]``.

    ``outputs`` are logits ``[B,C]`` for ``softmax_cross_entropy`` (softmax and logarithm
    in one numerically stable operator) or the guessed digit ``[B,1]`` for
    ``square_error``, the regression with which the course begins. ``labels``: int64
    ``[B,1]``. ``smoothing`` is the part of the label's weight that all classes share
    (Szegedy et al. 2016), for cross-entropy only. ``targets`` are probabilities ``[B,C]`` that
    are learnt instead of labels (Hinton et al. 2015), for cross-entropy only, too.
    """
    if loss == "square_error":
        each = fluid.layers.square_error_cost(outputs, fluid.layers.cast(labels, "float32"))
        return fluid.layers.mean(each)
    if targets is None and smoothing:
        certain = fluid.layers.one_hot(labels, outputs.shape[1])
        targets = fluid.layers.label_smooth(certain, epsilon=smoothing)
    is_soft = targets is not None
    learnt = targets if is_soft else labels
    each = fluid.layers.softmax_with_cross_entropy(outputs, learnt, soft_label=is_soft)
    return fluid.layers.mean(each)


def digits(loss: str, outputs: Array) -> Array:
    """The predicted digit of each sample: int64 ``[B]``.

    The likeliest class, or for ``square_error`` the digit nearest to the output.
    """
    if loss == "softmax_cross_entropy":
        return np.asarray(np.argmax(outputs, axis=1), np.int64)
    return np.asarray(np.clip(np.rint(outputs[:, 0]), 0, CLASSES - 1), np.int64)


def probabilities(loss: str, outputs: Array) -> Array:
    """The probability of each class: float64 ``[B,C]``, rows summing to one.

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
