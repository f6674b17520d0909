"""Whether a picture in MNIST's form is a digit at all: classes for several and for none.

A model gives every picture one of ten answers. This network, trained by
``tools/finder/train_refusal.py`` on digits and on what is none (letters, signs, shapes, scribbles,
parts of digits, crossed-out ones, two digits, things, textures), says how likely it is which
digit, several, or none; where the classifier sees another digit, it is more likely none, too. The
threshold lies beside its weights; it was fitted on MNIST's valid digits.
"""

from functools import lru_cache
from typing import Any, List, Optional, Tuple

import numpy as np

from mnist.base import seeding
from mnist.base.arrays import Array, Arrays
from mnist.fluid import places
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.layers import Convolution, linear
from mnist.pictures import weights

# Beside the ten digits.
SEVERAL, NONE = 10, 11
REASONS = {SEVERAL: "several digits", NONE: "not like a digit"}
BATCH = 256
WIDTH = 64
# What the classifier's doubt counts for, −ln of its confidence, in logits.
UNSURE = 2.0


class Network(fluid.dygraph.Layer):
    """float32 ``[B, 1, 28, 28]`` in 0–1 → logits ``[B, 12]``: each digit, several, none."""

    def __init__(self) -> None:
        super().__init__()
        seeds = seeding.layer_seeds(0)
        sizes = ((1, 24, "max"), (24, 40, "max"), (40, 56, None), (56, WIDTH, "max"))
        self.convolutions = fluid.dygraph.LayerList(
            [Convolution(i, o, 3, seeds, 1, pool, "relu") for i, o, pool in sizes]
        )
        self.fc = linear(WIDTH * 3 * 3, 12, seeds)

    def forward(self, images: Any) -> Any:
        for layer in self.convolutions:
            images = layer(images)
        return self.fc(fluid.layers.reshape(images, [-1, WIDTH * 3 * 3]))


class Refusal:
    """The network with its weights, and the doubts from which a picture is no digit.

    ``alone`` is for this network's own doubt, ``threshold`` for that together with a classifier's.
    """

    def __init__(self, arrays: Arrays, threshold: float = 0.0, alone: float = 0.0) -> None:
        self._network = weights.in_use(Network, arrays)
        self._threshold, self._alone = threshold, alone

    def logits(self, images: Array) -> Array:
        """uint8 ``[N, 28, 28]``, light ink on black → float32 ``[N, 12]``."""
        rows = [np.zeros((0, 12), np.float32)]
        with places.inference():
            for start in range(0, len(images), BATCH):
                part = images[start : start + BATCH, None].astype(np.float32) / 255
                rows.append(self._network(to_variable(part)).numpy())
        return np.concatenate(rows)

    def judge(self, images: Array, probabilities: Any = None) -> Tuple[Array, List[str]]:
        """How much speaks against each of uint8 ``[N, 28, 28]``, and what it would be then.

        In logits, float64 ``[N]``, from the threshold that was fitted on valid. ``probabilities``
        are a classifier's, ``[N, 10]``.
        """
        logits = self.logits(images)
        limit = self._alone if probabilities is None else self._threshold
        reasons = [REASONS[SEVERAL if row[SEVERAL] > row[NONE] else NONE] for row in logits]
        return doubt(logits, probabilities) - limit, reasons


def doubt(logits: Array, probabilities: Optional[Array] = None) -> Array:
    """How much speaks against one digit: float64 ``[N]``, the logit of its odds.

    ``probabilities`` are the classifier's, ``[N, 10]``: what it is not sure of, or takes for
    another digit than this network does, is more likely none.
    """
    digits, others = logits[:, :SEVERAL].astype(np.float64), logits[:, SEVERAL:]
    if probabilities is None:
        return np.asarray(np.logaddexp.reduce(others, 1) - np.logaddexp.reduce(digits, 1))
    likely = np.maximum(probabilities, 1e-6)
    agreed = np.logaddexp.reduce(digits + np.log(likely), 1)
    unsure = -UNSURE * np.log(likely.max(1))
    return np.asarray(np.logaddexp.reduce(others, 1) - agreed + unsure)


@lru_cache(maxsize=1)
def shared(folder: str = weights.FOLDER) -> Refusal:
    """The one that a process needs; InputError if its files are missing or damaged."""
    arrays, state = weights.load("refusal", folder)
    return Refusal(arrays, float(state["threshold"]), float(state["threshold_alone"]))
