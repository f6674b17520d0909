"""Fixtures that several tests need."""

import pytest
from helpers import ROOT
from hypothesis import HealthCheck, settings

# How long an input takes says something about the machine, not about the code.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.fixture(scope="session")
def real_mnist():
    """The folder with the four official MNIST files; tests skip where it is absent."""
    folder = ROOT.parent / "shared" / "mnist"
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        pytest.skip("the real MNIST files are not beside the project (../shared/mnist)")
    return folder
