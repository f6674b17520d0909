"""Fixtures of the tests of checkpoints."""

import pytest

from tests.material.checkpoints import training


@pytest.fixture
def trained():
    """A model and an Adam that has made a step."""
    with training() as pair:
        yield pair
