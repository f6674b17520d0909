"""Whether as many processes can be started as a config asks for; tests/fluid starts them."""

import pytest

from mnist.base.errors import InputError
from mnist.train import launching


def test_another_number_than_mpirun_started_is_refused():
    launching.check_workers(1, 2)
    launching.check_workers(2, 2)
    with pytest.raises(InputError, match=r"parallel\.workers: 3, but 2 processes"):
        launching.check_workers(3, 2)
