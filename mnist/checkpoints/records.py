"""What a checkpoint holds, and what its files are called.

A checkpoint is a folder: ``model.pdparams`` and ``model.pdopt`` as ``fluid.save_dygraph``
writes them (``fluid.load_dygraph("checkpoints/epoch3/model")`` reads both), ``state.json``
with the rest of the run's state, and ``manifest.json`` with the SHA-256 of the others.

With ``train.averaging_decay``, ``model.pdparams`` is the average, which is what a model is used
with, and ``training.pdparams`` holds the weights that training goes on with.

SGD with a constant rate has no state, so then there is no ``model.pdopt``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

from pydantic import AfterValidator, BaseModel, ConfigDict
from typing_extensions import Annotated

from mnist.base.arrays import Arrays
from mnist.config.classes import DIGITS, Classes, check

PREFIX = "model"  # fluid.load_dygraph takes the folder and this
PARAMETERS = "model.pdparams"
OPTIMIZER = "model.pdopt"
TRAINING = "training.pdparams"
ARRAYS = (PARAMETERS, OPTIMIZER, TRAINING)
STATE = "state.json"
MANIFEST = "manifest.json"
RESULT = "result.json"

FORMAT = 1
MAX_JSON_BYTES = 16 * 1024 * 1024


class _Json(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class EpochRecord(_Json):
    """What one epoch came to. Accuracies are 0–1; ``learning_rate`` is the last step's."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float


class RunState(_Json):
    """Everything about a run that is not an array; ``state.json`` holds it.

    ``epoch`` counts finished epochs, ``step`` all batches trained, ``step_in_epoch`` those
    of the epoch under way, whose sums so far follow it. ``temperature`` is fitted on valid after
    an epoch (``mnist.model.calibration``); None before that, and for a regression. ``classes`` are
    the names of the data's labels. ``kernels`` is what computed convolutions and norms: ``fluid``
    (Paddle's operators) or ``c``. ``teachers`` are the SHA-256s of the parameters of the
    checkpoints in ``train.teachers``.
    """

    format: int = FORMAT
    config: Dict[str, Any]
    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    samples: int = 0
    epoch_seconds: float = 0.0
    history: List[EpochRecord] = []
    temperature: Optional[float] = None
    data_path: str = ""
    data_sha256: str = ""
    data_fallback: Optional[str] = None
    classes: Annotated[List[str], AfterValidator(check)] = list(DIGITS)
    teachers: List[str] = []
    versions: Dict[str, str] = {}
    device: str = "CPU"
    kernels: str = "fluid"
    deterministic: str = ""
    saved_at: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read from disk.

    ``path`` is its own folder, ``named`` what the user called it, perhaps a pointer.
    ``parameters``: structured name → float32 array. ``accumulators``: optimizer state by
    structured parameter name, None where none was saved. ``training`` are the weights to go on
    with if ``parameters`` are their average, else None. ``state`` is None for the course's
    own pairs, which hold nothing else; then ``model`` is what their shapes tell and what is
    usual of the rest (``mnist.checkpoints.conventions``), ``epochs_done`` what their name tells and
    ``schedule_step`` what a learning-rate schedule had counted (each None if it tells nothing).
    """

    path: Path
    named: Path
    parameters: Arrays
    accumulators: Optional[Dict[str, Arrays]]
    state: Optional[RunState]
    model: Dict[str, Any]
    epochs_done: Optional[int] = None
    schedule_step: Optional[int] = None
    training: Optional[Arrays] = None

    @property
    def classes(self) -> Classes:
        """What its model tells apart."""
        return DIGITS if self.state is None else tuple(self.state.classes)

    @property
    def temperature(self) -> Optional[float]:
        """What its model's logits are divided by before the softmax; None: nothing."""
        return None if self.state is None else self.state.temperature


def best_record(history: Iterable[EpochRecord]) -> Optional[EpochRecord]:
    """The epoch with the highest accuracy on valid; of equal ones the lowest loss, the first."""
    ranked = sorted(history, key=lambda r: (-r.valid_accuracy, r.valid_loss, r.epoch))
    return ranked[0] if ranked else None
