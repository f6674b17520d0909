"""How good a model is on a split: loss, accuracy, confusion matrix, per-class figures."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

import numpy as np

from mnist.base.arrays import Array
from mnist.config.classes import DIGITS, Classes, answers, noun
from mnist.config.schema import LoaderConfig
from mnist.data.dataset import Split
from mnist.fluid.feeding import feed, in_order
from mnist.fluid.processes import ALONE, Group
from mnist.model import calibration, losses
from mnist.model.architectures import Model, evaluating

# With Paddle's operators the maps of so many images stay in a processor's cache; with 500, LeNet
# takes a tenth longer. The kernels take eight images at a time through all layers anyway.
EVALUATION_BATCH = 100
EVALUATION_BATCH_OF_KERNELS = 500
_LOADER = LoaderConfig()


@dataclass(frozen=True)
class Evaluation:
    """A model's results on every sample of a split, in the split's order.

    ``labels`` and ``digits`` are int64 ``[N]``, ``probabilities`` float64 ``[N,C]``;
    ``loss`` is the mean over samples, of the loss the model was trained with; ``classes`` are the
    names of the labels.
    """

    loss: float
    labels: Array
    digits: Array
    probabilities: Array
    classes: Classes = DIGITS

    @property
    def count(self) -> int:
        return len(self.labels)

    @property
    def accuracy(self) -> float:
        """The fraction of samples that are right, 0–1."""
        return float(np.mean(self.labels == self.digits))

    @property
    def wrong(self) -> int:
        """How many samples were read wrongly."""
        return int(np.sum(self.labels != self.digits))

    @property
    def confidences(self) -> Array:
        """float64 ``[N]``: the probability of the digit that each was read as."""
        return np.asarray(self.probabilities[np.arange(self.count), self.digits])

    def worst_mistakes(self, limit: int) -> Array:
        """int64 ``[≤limit]``: where the wrong answers are, the surest first."""
        wrong = np.flatnonzero(self.labels != self.digits)
        order = np.argsort(-self.confidences[wrong], kind="stable")
        return np.asarray(wrong[order[:limit]])

    @property
    def confusion(self) -> Array:
        """int64 ``[C,C]``: row = true class, column = predicted class."""
        matrix = np.zeros((len(self.classes), len(self.classes)), np.int64)
        np.add.at(matrix, (self.labels, self.digits), 1)
        return matrix

    def temperature(self) -> Optional[float]:
        """The temperature that fits these results best; None where they are too few to tell."""
        if self.count < calibration.FEWEST:
            return None
        return calibration.fit_temperature(self.probabilities, self.labels)

    def per_class(self) -> List[Dict[str, Any]]:
        """Name, support, precision, recall and F1; None where a figure has no meaning.

        A digit's name is the number, under ``digit``; that of another class stands under ``class``.
        """
        matrix = self.confusion
        counts = np.stack([matrix.diagonal(), matrix.sum(1), matrix.sum(0)], 1).tolist()
        return [
            {
                noun(self.classes): name,
                "support": support,
                "precision": right / predicted if predicted else None,
                "recall": right / support if support else None,
                "f1": 2 * right / (support + predicted) if support + predicted else None,
            }
            for name, (right, support, predicted) in zip(answers(self.classes), counts)
        ]


def evaluate(
    model: Model, split: Split, place: Any, loader: LoaderConfig = _LOADER, group: Group = ALONE
) -> Evaluation:
    """Run the model over a whole split, in evaluation mode.

    Each process of a ``group`` runs over its share, and all get the whole result.
    """
    loss = model.config.loss
    batch_size = EVALUATION_BATCH if model.engine is None else EVALUATION_BATCH_OF_KERNELS
    share = Split(group.share_out(split.images), group.share_out(split.labels))
    outputs: List[Array] = [np.zeros((0, model.outputs), np.float32)]
    loss_sum = 0.0
    with evaluating(model), closing(feed(in_order(share, batch_size), loader, place)) as batches:
        for images, labels in batches:
            output = model(images)
            loss_sum += float(losses.compute(loss, output, labels).numpy()[0]) * images.shape[0]
            outputs.append(output.numpy())
    everything = np.concatenate(group.of_all(np.concatenate(outputs)))
    return Evaluation(
        loss=sum(group.of_all(loss_sum)) / len(split),
        labels=split.labels.astype(np.int64),
        digits=losses.digits(loss, everything),
        probabilities=losses.probabilities(loss, everything),
        classes=model.classes,
    )
