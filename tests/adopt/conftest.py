"""Files of plain Paddle 1.8.5, made once."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT, digits, environment


def as_input(images):
    return (images.astype("float32") / 255).reshape(-1, 1, 28, 28)


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory):
    """The digits to train on, and those to read, for Pythons that know nothing of this project."""
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    train = digits().train
    read = as_input(digits().eval.images)
    np.savez(str(path), images=as_input(train.images), labels=train.labels, read=read)
    return path


@pytest.fixture(scope="session")
def old(tmp_path_factory, digits_file):
    """A folder of all kinds of files, and which digits each net read from them."""
    folder = tmp_path_factory.mktemp("old")
    script = ROOT / "tests" / "material" / "old_files.py"
    subprocess.run(
        [sys.executable, str(script), str(folder), str(digits_file)],
        env=environment({"OMP_NUM_THREADS": "1"}), check=True, timeout=600,
    )  # fmt: skip
    return folder, dict(np.load(str(folder / "expected.npz")))
