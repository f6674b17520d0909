"""A trained model in use: images in, digits and probabilities out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
from pydantic import TypeAdapter

from mnist import calibration, checkpoint, digit_check, losses, models
from mnist.config import DeviceConfig, ModelConfig
from mnist.errors import InputError
from mnist.files import PathLike, find_input
from mnist.framework import fluid, to_variable
from mnist.kernels.engine import choose as choose_engine
from mnist.loader import as_model_input

BATCH = 256

_MODEL_CONFIG: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)


@dataclass(frozen=True)
class Prediction:
    """The likeliest digit, and every digit with its probability, the likeliest first.

    ``is_digit`` is False where the picture is none by the rule of ``mnist.digit_check``; the
    other fields then say what it would be if it were one.
    """

    digit: int
    confidence: float
    ranking: List[Tuple[int, float]]
    is_digit: bool


def find_checkpoint(name: Optional[str], folder: str = "checkpoints") -> Path:
    """The checkpoint to use: the named one, else ``best`` of ``folder``, else the newest."""
    if name is not None:
        return checkpoint.locate(name, find_input(folder))
    base = find_input(folder)
    if (base / "best").exists():
        return base / "best"
    if checkpoint.checkpoints_in(base):
        return checkpoint.newest(base)
    raise InputError(
        f"{folder}: there is no checkpoint; train one (python -m mnist.train --config"
        " configs/quickstart.yaml) or name one with --checkpoint"
    )


def load_model(source: checkpoint.Checkpoint) -> models.Model:
    """The checkpoint's architecture with its parameters, in evaluation mode.

    Must run inside ``fluid.dygraph.guard``.
    """
    config = _MODEL_CONFIG.validate_python(source.model)
    with fluid.unique_name.guard():
        model = models.build(config, seed=0)
    checkpoint.restore_parameters(model, source)
    place = fluid.framework._current_expected_place()
    model.engine = choose_engine(DeviceConfig(), place, model.convolutions_and_norms())
    model.eval()
    return model


class Predictor:
    """Predicts digits with the model of a checkpoint, on the CPU.

    Probabilities are at the temperature that was fitted when the checkpoint was trained; a
    checkpoint without one (the course's own, a regression) keeps the model's.
    """

    def __init__(self, path: PathLike) -> None:
        self.source = checkpoint.load(path)
        state = self.source.state
        self.temperature = (state.temperature if state else None) or 1.0
        self._place = fluid.CPUPlace()
        with fluid.dygraph.guard(self._place):
            self._model = load_model(self.source)

    @property
    def model(self) -> models.Model:
        """The network itself, in evaluation mode."""
        return self._model

    def probabilities(self, images: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """uint8 ``[N,28,28]``, light ink on black → float64 ``[N,10]``."""
        rows = [self._predict(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        return np.concatenate(rows) if rows else np.zeros((0, 10))

    def predict(self, images: "np.ndarray[Any, Any]") -> List[Prediction]:
        """uint8 ``[N,28,28]``, light ink on black → a Prediction each."""
        probabilities = self.probabilities(images)
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = np.take_along_axis(probabilities, order, axis=1)
        rankings = [list(zip(*row)) for row in zip(order.tolist(), ranked.tolist())]
        return [_prediction(ranking, image) for ranking, image in zip(rankings, images)]

    def _predict(self, images: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        with fluid.dygraph.guard(self._place), fluid.dygraph.no_grad():
            outputs = self._model(to_variable(as_model_input(images)))
            given = losses.probabilities(self._model.config.loss, outputs.numpy())
            return calibration.at(given, self.temperature)


def _prediction(ranking: List[Tuple[int, float]], image: "np.ndarray[Any, Any]") -> Prediction:
    digit, confidence = ranking[0]
    return Prediction(digit, confidence, ranking, digit_check.may_be_digit(image, confidence))
