"""A trained model in use: images in, digits (or other classes) and probabilities out."""

import os
from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple, Union

import numpy as np

from mnist.base.arrays import Array
from mnist.base.files import PathLike, find_input
from mnist.checkpoints.records import Checkpoint
from mnist.config.classes import answers, are_digits
from mnist.data.dataset import Split
from mnist.data.digits import SIDE
from mnist.fluid import places
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.feeding import as_model_input
from mnist.model import calibration, losses
from mnist.model.evaluation import Evaluation, evaluate
from mnist.model.opening import find_reader, open_checkpoint
from mnist.model.restore import load_model
from mnist.pictures import plain, reading, refusal

BATCH = 256


# A digit, or the name of another class.
Label = Union[int, str]


@dataclass(frozen=True)
class Prediction:
    """The likeliest digit, and every digit with its probability, the likeliest first.

    ``doubt`` (0–1) is how much speaks against the picture being one digit, ``reason`` says in
    words what it is if that is too much; the other fields then say which digit it would be. Of
    other classes ``label`` is the name, and nothing is doubted.
    """

    label: Label
    confidence: float
    ranking: List[Tuple[Label, float]]
    doubt: float = 0.0
    reason: str = ""

    @property
    def is_digit(self) -> bool:
        return not self.reason

    @property
    def digit(self) -> int:
        """The label, for whoever reads digits."""
        return int(self.label)


class Predictor:
    """Predicts with the model of a checkpoint, on the CPU; ``classes`` are what it tells apart.

    ``given`` is one that was read, or the name of one (``opening.find_reader``). Probabilities are
    at the temperature that was fitted when it was trained; a checkpoint without one (the course's
    own, a regression) keeps the model's. ``model`` is the network itself, in evaluation mode.
    """

    def __init__(
        self,
        given: Union[Checkpoint, PathLike, None],
        assume: Sequence[str] = (),
        doubt: float = 0.5,
    ) -> None:
        if not isinstance(given, Checkpoint):
            given = open_checkpoint(find_reader(given), assume)
        self.source = given
        self.classes = self.source.classes
        self.temperature = self.source.temperature or 1.0
        self._most_doubt = doubt
        with places.inference():
            self.model = load_model(self.source)

    def probabilities(self, images: Array) -> Array:
        """uint8 ``[N,28,28]``, light ink on black → float64 ``[N,C]``."""
        rows = [np.zeros((0, self.model.outputs), np.float32)]
        with places.inference():
            for start in range(0, len(images), BATCH):
                batch = as_model_input(images[start : start + BATCH])
                rows.append(self.model(to_variable(batch)).numpy())
        probabilities = losses.probabilities(self.model.config.loss, np.concatenate(rows))
        return calibration.at(probabilities, self.temperature)

    def evaluate(self, split: Split) -> Evaluation:
        """How good it is on a split; its loss and probabilities are the model's own."""
        place = fluid.CPUPlace()
        with fluid.dygraph.guard(place):
            return evaluate(self.model, split, place)

    def predict(self, pictures: Any) -> Any:
        """A Prediction of a picture, or a list of them: ``label``, ``confidence``, ``ranking``.

        A picture is a file's path, or an array ``[H,W]`` or ``[H,W,3]``; several are a list, or
        uint8 ``[N,28,28]`` in the form of a data set, which is taken as it is.
        """
        is_array = isinstance(pictures, np.ndarray)
        if is_array and pictures.dtype == np.uint8 and pictures.shape[1:] == (SIDE, SIDE):
            return self._predict(pictures)
        if not isinstance(pictures, (list, tuple)):
            return self.predict([pictures])[0]
        read = reading.read_digit if are_digits(self.classes) else plain.read
        # A picture of Pillow's is an array, too.
        sources = (
            find_input(p) if isinstance(p, (str, os.PathLike)) else np.asarray(p) for p in pictures
        )
        images = [read(source) for source in sources]
        return self._predict(np.stack(images)) if images else []

    def _predict(self, images: Array) -> List[Prediction]:
        probabilities = self.probabilities(images)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=1)
        names = answers(self.classes)
        labels = ([names[label] for label in row] for row in order.tolist())
        rankings = [list(zip(*row)) for row in zip(labels, ranked.tolist())]
        if not are_digits(self.classes):
            return [Prediction(*ranking[0], ranking) for ranking in rankings]
        confidences = probabilities.max(axis=1, initial=0)
        beyond, reasons = refusal.shared().judge(images, probabilities)
        # What the model itself hardly believes is doubted, whatever it looks like.
        doubts = np.maximum(1 / (1 + np.exp(-np.clip(beyond, -99, 99))), 1 - confidences).tolist()
        reasons = [why if doubt > self._most_doubt else "" for doubt, why in zip(doubts, reasons)]
        return [
            Prediction(*ranking[0], ranking, doubt, why)
            for ranking, doubt, why in zip(rankings, doubts, reasons)
        ]
