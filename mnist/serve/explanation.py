"""A prediction together with what the network saw: the maps of its first convolution."""

from collections import deque
from itertools import repeat
from typing import Any, Deque, List, NamedTuple, Optional, Sequence

import numpy as np

from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.base.files import PathLike
from mnist.config.classes import are_digits
from mnist.fluid.door import fluid
from mnist.model.architectures import Model
from mnist.model.predictor import Prediction, Predictor
from mnist.pictures.normalize import Grey


class Answer(NamedTuple):
    """A prediction, and the maps of the first convolution, float32 ``[K,h,w]``, if there is one."""

    prediction: Prediction
    maps: Optional[Array]

    def feature_maps(self) -> List[List[List[int]]]:
        """The maps as pictures on one scale: black is zero (or the lowest, if negative)."""
        if self.maps is None:
            return []
        low, high = min(0.0, float(self.maps.min())), float(self.maps.max())
        shown = np.rint((self.maps - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
        return list(shown.tolist())


class ExplainingPredictor:
    """Reads digits with the model of a checkpoint; one thread at a time may use it.

    ``model_name`` is the architecture's name in a config.
    """

    def __init__(self, path: PathLike, assume: Sequence[str] = (), doubt: float = 0.5) -> None:
        self._predictor = Predictor(path, assume, doubt)
        if not are_digits(self._predictor.classes):
            names = ", ".join(self._predictor.classes)
            raise InputError(f"{path}: the page reads digits; this model tells apart {names}")
        self._first_maps = first_maps(self._predictor.model)
        self.model_name = self._predictor.model.config.name

    def answer(self, images: List[Grey]) -> List[Answer]:
        """One answer an image, uint8 ``[28,28]``; at least one and at most ``predictor.BATCH``."""
        predictions = self._predictor.predict(np.stack(images))
        maps = self._first_maps[0].numpy() if self._first_maps else repeat(None)
        return list(map(Answer, predictions, maps))


def first_maps(model: Model) -> Deque[Any]:
    """What came out of a model's first convolution the last time; empty if it has none."""
    latest: Deque[Any] = deque(maxlen=1)
    layers = [layer for layer in model.sublayers() if isinstance(layer, fluid.dygraph.Conv2D)]
    for layer in layers[:1]:
        layer.register_forward_post_hook(lambda _layer, _inputs, output: latest.append(output))
    return latest
