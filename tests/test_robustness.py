"""Real handwriting in many dresses is read by a model of MNIST.

The model is the one that ``MNIST_TEST_CHECKPOINT`` names, or a small one that is trained here for
a few seconds on real MNIST, where that is. ``benchmarks/robustness.py`` prints the whole table.
"""

import os
import zlib

import numpy as np
import pytest
from helpers import digits

from benchmarks.dresses import DRESSES
from mnist import images

COUNT = 100
# What each dress must reach: the best model of the configs, and a briefly trained one.
GIVEN, BRIEF = 0.93, 0.85


@pytest.fixture(scope="module")
def reader(request, tmp_path_factory):
    """A Predictor, and what share it must read."""
    from mnist.predictor import Predictor

    given = os.environ.get("MNIST_TEST_CHECKPOINT")
    if given:
        return Predictor(given), GIVEN
    return Predictor(trained(request.getfixturevalue("real_mnist"), tmp_path_factory)), BRIEF


def trained(real_mnist, tmp_path_factory):
    from mnist import config as configs
    from mnist import idx, trainer
    from mnist.dataset import Dataset, Split

    pictures = idx.read_images(real_mnist / "train-images-idx3-ubyte.gz").array
    labels = idx.read_labels(real_mnist / "train-labels-idx1-ubyte.gz").array
    cut = [slice(0, 12_000), slice(50_000, 51_000), slice(51_000, 51_100)]
    train, valid, rest = (Split(pictures[part], labels[part]) for part in cut)
    folder = tmp_path_factory.mktemp("mnist")
    values = {
        "model": {"name": "lenet"},
        "train": {"epochs": 1},
        "optimizer": {"name": "adam", "learning_rate": 0.003},
        "checkpoint": {"dir": str(folder / "checkpoints")},
        "log": {"dir": str(folder / "log")},
    }
    data = Dataset(train=train, valid=valid, eval=rest, source=real_mnist, sha256="0" * 64)
    trainer.train(configs.Config.model_validate(values), data)
    return folder / "checkpoints" / "best"


@pytest.mark.parametrize("name", sorted(DRESSES))
def test_real_handwriting_is_read(reader, name):
    model, share = reader
    data = digits().train
    pictures = []
    for digit in data.images[:COUNT]:
        rng = np.random.RandomState(zlib.crc32(name.encode() + digit.tobytes()))
        pictures.append(images.to_mnist(images.grey_of(DRESSES[name](digit, rng))))
    found = [prediction.digit for prediction in model.predict(np.stack(pictures))]
    assert np.mean(found == data.labels[:COUNT]) >= share
