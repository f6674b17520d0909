"""A trained model in use: images in, digits and probabilities out."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from mnist.base.arrays import Array
from mnist.base.files import PathLike
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.feeding import as_model_input
from mnist.model import calibration, losses
from mnist.model.architectures import Model
from mnist.model.opening import find_reader, open_checkpoint
from mnist.model.restore import load_model
from mnist.pictures import plausible

BATCH = 256


@dataclass(frozen=True)
class Prediction:
    """The likeliest digit, and every digit with its probability, the likeliest first.

    ``is_digit`` is False where the picture is none by the rule of ``mnist.pictures.plausible``; the
    other fields then say what it would be if it were one.
    """

    digit: int
    confidence: float
    ranking: List[Tuple[int, float]]
    is_digit: bool


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

    def __init__(self, name: Optional[PathLike], assume: Sequence[str] = ()) -> None:
        self.source = open_checkpoint(find_reader(name), assume)
        self.temperature = calibration.temperature_of(self.source) or 1.0
        self._place = fluid.CPUPlace()
        with fluid.dygraph.guard(self._place):
            self.model = load_model(self.source)

    def probabilities(self, images: Array) -> Array:
        """uint8 ``[N,28,28]``, light ink on black → float64 ``[N,10]``."""
        rows = [self._predict(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        return np.concatenate(rows) if rows else np.zeros((0, 10))

    def predict(self, images: Array) -> List[Prediction]:
        """uint8 ``[N,28,28]``, light ink on black → a Prediction each."""
        probabilities = self.probabilities(images)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=1)
        rankings = [list(zip(*row)) for row in zip(order.tolist(), ranked.tolist())]
        return [_prediction(ranking, image) for ranking, image in zip(rankings, images)]

    def _predict(self, images: Array) -> Array:
        with fluid.dygraph.guard(self._place), fluid.dygraph.no_grad():
            return calibration.at(probabilities(self.model, images), self.temperature)


def _prediction(ranking: List[Tuple[int, float]], image: Array) -> Prediction:
    digit, confidence = ranking[0]
    return Prediction(digit, confidence, ranking, plausible.may_be_digit(image, confidence))
