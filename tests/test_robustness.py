"""Real handwriting in many dresses is read by the model of MNIST that comes with the project.

A part of what ``benchmarks/robustness.py`` measures, which prints the whole table. Drawing the
dresses takes minutes: run with -m slow.
"""

import zlib

import numpy as np
import pytest
from helpers import ROOT, digits

from benchmarks.dresses import DRESSES
from mnist import images

pytestmark = pytest.mark.slow

COUNT = 40
SHARE = 0.9  # of all of them it is about 95% and more; forty may do a little worse


@pytest.fixture(scope="module")
def model():
    from mnist.predictor import Predictor

    return Predictor(ROOT / "data" / "pretrained")


@pytest.mark.parametrize("name", sorted(DRESSES))
def test_real_handwriting_is_read(model, name):
    data = digits().train
    pictures = []
    for digit in data.images[:COUNT]:
        rng = np.random.RandomState(zlib.crc32(name.encode() + digit.tobytes()))
        pictures.append(images.to_mnist(images.grey_of(DRESSES[name](digit, rng))))
    found = [prediction.digit for prediction in model.predict(np.stack(pictures))]
    assert np.mean(found == data.labels[:COUNT]) >= SHARE
