"""A trained model in use: images in, digits and probabilities out."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from mnist.base.arrays import Array
from mnist.base.files import PathLike
from mnist.fluid import places
from mnist.fluid.door import to_variable
from mnist.fluid.feeding import as_model_input
from mnist.model import calibration, losses
from mnist.model.architectures import Model
from mnist.model.opening import find_reader, open_checkpoint
from mnist.model.restore import load_model
from mnist.pictures import refusal

BATCH = 256


@dataclass(frozen=True)
class Prediction:
    """The likeliest digit, and every digit with its probability, the likeliest first.

    ``doubt`` (0–1) is how much speaks against the picture being one digit, ``reason`` says in
    words what it is if that is too much; the other fields then say which digit it would be.
    """

    digit: int
    confidence: float
    ranking: List[Tuple[int, float]]
    doubt: float = 0.0
    reason: str = ""

    @property
    def is_digit(self) -> bool:
        return not self.reason


def probabilities(model: Model, images: Array) -> Array:
    """uint8 ``[N,28,28]`` → float64 ``[N,10]``, at once; in ``guard`` and ``no_grad``."""
    outputs = model(to_variable(as_model_input(images))).numpy()
    return losses.probabilities(model.config.loss, outputs)


class Predictor:
    """Predicts digits with the model of a checkpoint, on the CPU.

    Probabilities are at the temperature that was fitted when the checkpoint was trained; a
    checkpoint without one (the course's own, a regression) keeps the model's. ``model`` is the
    network itself, in evaluation mode.
    """

    def __init__(
        self, name: Optional[PathLike], assume: Sequence[str] = (), doubt: float = 0.5
    ) -> None:
        self.source = open_checkpoint(find_reader(name), assume)
        self.temperature = calibration.temperature_of(self.source) or 1.0
        self._most_doubt = doubt
        with places.inference():
            self.model = load_model(self.source)

    def probabilities(self, images: Array) -> Array:
        """uint8 ``[N,28,28]``, light ink on black → float64 ``[N,10]``."""
        batches = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
        with places.inference():
            rows = [np.zeros((0, 10)), *(probabilities(self.model, batch) for batch in batches)]
        return calibration.at(np.concatenate(rows), self.temperature)

    def predict(self, images: Array) -> List[Prediction]:
        """uint8 ``[N,28,28]``, light ink on black → a Prediction each."""
        probabilities = self.probabilities(images)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=1)
        rankings = [list(zip(*row)) for row in zip(order.tolist(), ranked.tolist())]
        confidences = probabilities.max(axis=1, initial=0)
        beyond, reasons = refusal.shared().judge(images, confidences)
        # What the model itself hardly believes is doubted, whatever it looks like.
        doubts = np.maximum(1 / (1 + np.exp(-np.clip(beyond, -99, 99))), 1 - confidences).tolist()
        reasons = [why if doubt > self._most_doubt else "" for doubt, why in zip(doubts, reasons)]
        return [
            Prediction(*ranking[0], ranking, doubt, why)
            for ranking, doubt, why in zip(rankings, doubts, reasons)
        ]
