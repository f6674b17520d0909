"""Whether a picture in MNIST's form is a digit at all: a class for none of the ten.

A model gives every picture one of ten answers. This network, trained by
``tools/finder/train_refusal.py`` on digits and on what is none (letters, signs, shapes, scribbles,
parts of digits, crossed-out ones, two digits, textures), says how likely it is one digit, several,
or none. The threshold lies beside its weights; it was fitted on MNIST's valid digits.
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

DIGIT, SEVERAL, NONE = range(3)
REASONS = {SEVERAL: "several digits", NONE: "not like a digit"}
BATCH = 256
WIDTH = 56
# What the classifier's doubt counts for, −ln of its confidence, in logits.
UNSURE = 4.0


class Network(fluid.dygraph.Layer):
    """float32 ``[B, 1, 28, 28]`` in 0–1 → logits ``[B, 3]``: a digit, several, none."""

    def __init__(self) -> None:
        super().__init__()
        seeds = seeding.layer_seeds(0)
        sizes = ((1, 20), (20, 40), (40, WIDTH))
        self.convolutions = fluid.dygraph.LayerList(
            [
                Convolution(i, o, 3, seeds, 1, pool="max" if o < WIDTH else None, activation="relu")
                for i, o in sizes
            ]
        )
        self.fc = linear(WIDTH * 7 * 7, 3, seeds)

    def forward(self, images: Any) -> Any:
        for layer in self.convolutions:
            images = layer(images)
        return self.fc(fluid.layers.reshape(images, [-1, WIDTH * 7 * 7]))


class Refusal:
    """The network with its weights, and the doubts from which a picture is no digit.

    ``alone`` is for this network's own doubt, ``threshold`` for that together with a classifier's.
    """

    def __init__(self, arrays: Arrays, threshold: float = 0.0, alone: float = 0.0) -> None:
        self._network = weights.in_use(Network, arrays)
        self._threshold, self._alone = threshold, alone

    def logits(self, images: Array) -> Array:
        """uint8 ``[N, 28, 28]``, light ink on black → float32 ``[N, 3]``."""
        rows = [np.zeros((0, 3), np.float32)]
        with places.inference():
            for start in range(0, len(images), BATCH):
                part = images[start : start + BATCH, None].astype(np.float32) / 255
                rows.append(self._network(to_variable(part)).numpy())
        return np.concatenate(rows)

    def judge(self, images: Array, confidences: Optional[Array] = None) -> Tuple[Array, List[str]]:
        """How much each of uint8 ``[N, 28, 28]`` is to be doubted, and what it would be then.

        The doubt, float64 ``[N]``, lies in 0–1; at 0.5 is the threshold that was fitted on valid.
        ``confidences`` are a classifier's, ``[N]``.
        """
        logits = self.logits(images)
        beyond = doubt(logits) - self._alone
        if confidences is not None:
            beyond = doubt(logits, confidences) - self._threshold
        reasons = [REASONS[SEVERAL if row[SEVERAL] > row[NONE] else NONE] for row in logits]
        return 1 / (1 + np.exp(-np.clip(beyond, -700, 700))), reasons


def doubt(logits: Array, confidence: Any = 1.0) -> Array:
    """How much speaks against one digit: float64 ``[N]``, the logit of its odds.

    ``confidence`` is the classifier's, the largest of its probabilities, ``[N]``: what it is not
    sure of is more likely none.
    """
    against = np.logaddexp(logits[:, SEVERAL], logits[:, NONE]) - logits[:, DIGIT]
    return np.asarray(against - UNSURE * np.log(np.maximum(confidence, 1e-6)), np.float64)


@lru_cache(maxsize=1)
def shared(folder: str = weights.FOLDER) -> Refusal:
    """The one that a process needs; InputError if its files are missing or damaged."""
    arrays, state = weights.load("refusal", folder)
    return Refusal(arrays, float(state["threshold"]), float(state["threshold_alone"]))
