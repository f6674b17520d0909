"""Whether a picture in MNIST's form is a digit at all: a class for none of the ten.

A model gives every picture one of ten answers. This network, trained by
``tools/finder/train_refusal.py`` on digits and on what is none (letters, signs, shapes, scribbles,
parts of digits, crossed-out ones, two digits, textures), says how likely it is one digit, several,
or none. The threshold lies beside its weights; it was fitted on MNIST's valid digits.
"""

from typing import Any, Dict

import numpy as np
from finder import in_use
from numpy.typing import NDArray

from mnist.base import seeding
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.layers import Convolution, linear

Array = NDArray[Any]

DIGIT, SEVERAL, NONE = range(3)
REASONS = {SEVERAL: "several digits", NONE: "not like a digit"}
BATCH = 256
WIDTH = 56
# What the classifier's doubt counts for, -ln of its confidence, in logits.
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
    """The network with its weights, in evaluation mode, on the CPU."""

    def __init__(self, weights: Dict[str, Array]) -> None:
        self._place = fluid.CPUPlace()
        self._network = in_use(Network, weights)

    def logits(self, images: Array) -> Array:
        """uint8 ``[N, 28, 28]``, light ink on black → float32 ``[N, 3]``."""
        rows = [np.zeros((0, 3), np.float32)]
        with fluid.dygraph.guard(self._place), fluid.dygraph.no_grad():
            for start in range(0, len(images), BATCH):
                part = images[start : start + BATCH, None].astype(np.float32) / 255
                rows.append(self._network(to_variable(part)).numpy())
        return np.concatenate(rows)


def doubt(logits: Array, confidence: Any = 1.0) -> Array:
    """How much speaks against one digit: float ``[N]``, the logit of its odds.

    ``confidence`` is the classifier's, the largest of its probabilities, ``[N]``: what it is not
    sure of is more likely none.
    """
    against: Array = np.logaddexp(logits[:, SEVERAL], logits[:, NONE]) - logits[:, DIGIT]
    return against - UNSURE * np.log(np.maximum(confidence, 1e-6))
