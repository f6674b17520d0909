"""A trained model in use: images in, digits (or other classes) and probabilities out."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np

from mnist.base.arrays import Array
from mnist.base.files import PathLike
from mnist.config.classes import answers, are_digits
from mnist.config.schema import LoaderConfig
from mnist.data.dataset import Split
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.feeding import as_model_input
from mnist.model import calibration, losses
from mnist.model.architectures import Model
from mnist.model.evaluation import Evaluation, evaluate
from mnist.model.opening import find_reader, open_checkpoint
from mnist.model.restore import load_model
from mnist.pictures import plausible

BATCH = 256


# A digit, or the name of another class.
Label = Union[int, str]


@dataclass(frozen=True)
class Prediction:
    """The likeliest digit, and every digit with its probability, the likeliest first.

    ``is_digit`` is False where the picture is none by the rule of ``mnist.pictures.plausible``; the
    other fields then say what it would be if it were one. Of other classes ``label`` is the name,
    and there is no such rule.
    """

    label: Label
    confidence: float
    ranking: List[Tuple[Label, float]]
    is_digit: bool

    @property
    def digit(self) -> int:
        """The label, for whoever reads digits."""
        return int(self.label)


def probabilities(model: Model, images: Array) -> Array:
    """uint8 ``[N,28,28]`` → float64 ``[N,C]``, at once; in ``guard`` and ``no_grad``."""
    outputs = model(to_variable(as_model_input(images))).numpy()
    return losses.probabilities(model.config.loss, outputs)


class Predictor:
    """Predicts with the model of a checkpoint, on the CPU; ``classes`` are what it tells apart.

    Probabilities are at the temperature that was fitted when the checkpoint was trained; a
    checkpoint without one (the course's own, a regression) keeps the model's. ``model`` is the
    network itself, in evaluation mode.
    """

    def __init__(self, name: Optional[PathLike], assume: Sequence[str] = ()) -> None:
        self.source = open_checkpoint(find_reader(name), assume)
        self.classes = self.source.classes
        self.temperature = calibration.temperature_of(self.source) or 1.0
        self._place = fluid.CPUPlace()
        with fluid.dygraph.guard(self._place):
            self.model = load_model(self.source)

    def probabilities(self, images: Array) -> Array:
        """uint8 ``[N,28,28]``, light ink on black → float64 ``[N,C]``."""
        rows = [self._predict(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        return np.concatenate(rows) if rows else np.zeros((0, len(self.classes)))

    def evaluate(self, split: Split) -> Evaluation:
        """How good it is on a split; its loss and probabilities are the model's own."""
        with fluid.dygraph.guard(self._place):
            return evaluate(self.model, split, self._place, LoaderConfig())

    def predict(self, images: Array) -> List[Prediction]:
        """uint8 ``[N,28,28]``, light ink on black → a Prediction each."""
        probabilities = self.probabilities(images)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=1)
        names = answers(self.classes)
        rows = zip(order.tolist(), ranked.tolist(), images)
        return [
            self._prediction([names[label] for label in labels], values, image)
            for labels, values, image in rows
        ]

    def _prediction(
        self, labels: List[Label], confidences: List[float], image: Array
    ) -> Prediction:
        may_be = not are_digits(self.classes) or plausible.may_be_digit(image, confidences[0])
        return Prediction(labels[0], confidences[0], list(zip(labels, confidences)), may_be)

    def _predict(self, images: Array) -> Array:
        with fluid.dygraph.guard(self._place), fluid.dygraph.no_grad():
            return calibration.at(probabilities(self.model, images), self.temperature)
