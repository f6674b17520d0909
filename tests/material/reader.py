"""The only place where pictures for tests meet the house: what ``mnist.predict`` does, by calls.

Everything here is called in worker processes; Paddle is imported with the first model.
"""

from functools import lru_cache
from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PRETRAINED = str(ROOT / "data" / "pretrained")
MNIST = ROOT / "data" / "mnist.json.gz"
BUNDLED = ROOT / "data" / "digits.json.gz"


class Reading(NamedTuple):
    """What was said of a picture: the digit (None: no ink), whether without doubt, and how sure.

    ``score`` is what the house goes by in telling digits from others: the larger, the more so.
    """

    digit: Optional[int]
    sure: bool
    score: float
    reason: str


class Found(NamedTuple):
    """A digit on a sheet: left, top, width, height, and what it was read as."""

    box: Tuple[int, int, int, int]
    digit: int
    sure: bool


@lru_cache(maxsize=1)
def _model(checkpoint: str):
    from mnist.fluid import environment

    environment.prepare()
    from mnist.model.predictor import Predictor

    return Predictor(checkpoint)


def _reading(prediction) -> Reading:
    return Reading(prediction.digit, prediction.is_digit, -prediction.doubt, prediction.reason)


def read(files: List[bytes], checkpoint: str = PRETRAINED) -> List[Reading]:
    """Each file read as ``mnist.predict`` reads it."""
    from mnist.base.errors import InputError
    from mnist.pictures.normalize import NotOneDigit
    from mnist.pictures.reading import read_digit

    forms, readings = [], []
    for file in files:
        try:
            forms.append(read_digit(file))
            readings.append(None)
        except NotOneDigit as error:
            readings.append(Reading(None, False, -1.0, error.reason))
        except InputError as error:
            readings.append(Reading(None, False, -1.0, str(error)))
    predictions = iter(_model(checkpoint).predict(np.stack(forms)) if forms else [])
    return [reading or _reading(next(predictions)) for reading in readings]


def classify(images: np.ndarray, checkpoint: str = PRETRAINED) -> List[Reading]:
    """uint8 ``[N, 28, 28]``, straight to the model."""
    return [_reading(prediction) for prediction in _model(checkpoint).predict(images)]


def find(file: bytes, checkpoint: str = PRETRAINED) -> List[Found]:
    """The digits of a sheet, as ``mnist.predict --many`` finds them."""
    from mnist.base.errors import InputError
    from mnist.predict.output import read_many

    try:
        _, digits = read_many(file)
    except InputError:
        return []
    predictions = _model(checkpoint).predict(np.stack([digit.image for digit in digits]))
    return [Found(d.box, p.digit, p.is_digit) for d, p in zip(digits, predictions)]


def in_folder(folder: Path) -> List[str]:
    """The names of the pictures that ``mnist.predict FOLDER`` reads."""
    from mnist.pictures import files

    return [Path(name).name for name in files.find([str(folder)])]


@lru_cache(maxsize=1)
def eval_digits() -> Tuple[np.ndarray, np.ndarray]:
    """MNIST's 10,000 eval digits and their labels, from data/mnist.json.gz."""
    from mnist.data import dataset

    split = dataset.load(MNIST).eval
    return split.images, split.labels


@lru_cache(maxsize=1)
def bundled_digits() -> Tuple[np.ndarray, np.ndarray]:
    """The 1,797 digits that come with the project, all three splits, in an order of their own."""
    from mnist.data import course_json

    splits = course_json.read(BUNDLED).splits
    images, labels = (np.concatenate(part) for part in zip(*splits))
    order = np.random.RandomState(1).permutation(len(images))
    return images[order], labels[order]
