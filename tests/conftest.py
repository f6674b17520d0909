"""Fixtures that several tests need."""

import pytest
from helpers import ROOT


@pytest.fixture(scope="session")
def real_mnist():
    """The folder with the four official MNIST files; tests skip where it is absent."""
    folder = ROOT.parent / "shared" / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        pytest.skip("the real MNIST files are not beside the project (../shared/mnist)")
    return folder
