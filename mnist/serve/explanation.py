"""A prediction together with what the network saw: the maps of its first convolution."""

from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np

from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.base.files import PathLike
from mnist.config.classes import are_digits
from mnist.fluid.door import fluid
from mnist.model.architectures import Model
from mnist.model.predictor import Prediction, Predictor
from mnist.pictures.normalize import Grey


class Question(NamedTuple):
    """A digit in MNIST's form, uint8 ``[28,28]``, and whether its feature maps are wanted."""

    image: Grey
    wants_maps: bool


class Answer(NamedTuple):
    """A prediction, and the feature maps, uint8 ``[K,h,w]``, if wanted and if there are any."""

    prediction: Prediction
    feature_maps: Optional[Grey]


class ExplainingPredictor:
    """Answers questions with the model of a checkpoint; one thread at a time may use it.

    ``model_name`` is the architecture's name in a config.
    """

    def __init__(self, path: PathLike, assume: Sequence[str] = (), doubt: float = 0.5) -> None:
        self._predictor = Predictor(path, assume, doubt)
        if not are_digits(self._predictor.classes):
            names = ", ".join(self._predictor.classes)
            raise InputError(f"{path}: the page reads digits; this model tells apart {names}")
        self._first_maps = FirstMaps(self._predictor.model)
        self.model_name = self._predictor.model.config.name

    def answer(self, questions: List[Question]) -> List[Answer]:
        """One answer a question, for at least one and at most ``predictor.BATCH`` of them."""
        predictions = self._predictor.predict(np.stack([q.image for q in questions]))
        wanted = [question.wants_maps for question in questions]
        maps = self._first_maps.latest() if any(wanted) else None
        if maps is None:
            return [Answer(prediction, None) for prediction in predictions]
        shown = (_as_picture(own) if wants else None for own, wants in zip(maps, wanted))
        return list(map(Answer, predictions, shown))


class FirstMaps:
    """Keeps what comes out of a model's first convolution."""

    def __init__(self, model: Model) -> None:
        self._output: Any = None
        for layer in model.sublayers():
            if isinstance(layer, fluid.dygraph.Conv2D):
                layer.register_forward_post_hook(self._keep)
                return

    def _keep(self, layer: Any, inputs: Any, output: Any) -> None:
        self._output = output

    def latest(self) -> Optional[Array]:
        """The latest forward pass's maps, float32 ``[B,K,h,w]``; None without a convolution."""
        return None if self._output is None else self._output.numpy()


def _as_picture(maps: Array) -> Grey:
    """All maps of an image on one scale: black is zero (or the lowest, if that is negative)."""
    low, high = min(0.0, float(maps.min())), float(maps.max())
    return np.asarray(np.rint((maps - low) * (255 / max(high - low, 1e-9))), np.uint8)
