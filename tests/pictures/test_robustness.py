"""Real handwriting in many dresses is read by the model of MNIST that comes with the project.

A slow test draws all the bundled digits; by default a few are tried. The table of the documents is
``benchmarks/robustness.py``'s, which draws the same pictures.
"""

import zlib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import cv2
import numpy as np
import pytest
from helpers import ROOT, digits

from mnist.pictures import decode
from tests.material.dresses import DRESSES

COUNT = 40


@pytest.fixture(scope="module")
def model():
    from mnist.model.predictor import Predictor

    return Predictor(ROOT / "data" / "pretrained")


def dressed(dress, digit):
    """The digit in a dress, in MNIST's form again; its stream is its own."""
    rng = np.random.RandomState(zlib.crc32(dress.encode() + digit.tobytes()))
    return decode.to_mnist(decode.grey_of(DRESSES[dress](digit, rng)))


def share_read(model, pictures, labels):
    found = [prediction.digit for prediction in model.predict(np.stack(list(pictures)))]
    return np.mean(found == labels)


@pytest.mark.parametrize("dress", sorted(DRESSES))
def test_real_handwriting_is_read(model, dress):
    data = digits().train
    # Neighbours are from one hand, so a run of them says little of the others.
    chosen = np.random.RandomState(1).permutation(len(data))[:COUNT]
    # Of all it is 95% and more in every dress; forty may do a little worse.
    pictures = map(partial(dressed, dress), data.images[chosen])
    assert share_read(model, pictures, data.labels[chosen]) >= 0.9


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(
        mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.parametrize("dress", sorted(DRESSES))
def test_of_all_the_handwriting_at_least_95_percent_are_read_in_every_dress(
    model, processes, dress
):
    whole = digits()
    splits = (whole.train, whole.valid, whole.eval)
    pixels, labels = (
        np.concatenate(part) for part in zip(*((split.images, split.labels) for split in splits))
    )
    pictures = processes.map(partial(dressed, dress), pixels, chunksize=64)
    assert share_read(model, pictures, labels) >= 0.95
