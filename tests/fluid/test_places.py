"""A place that cannot end the process."""

from functools import partial

import pytest

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.fluid import places
from mnist.fluid.door import fluid


def device_config(**values):
    return configs.from_dict({"device": values}, "test").device


def test_cpu_and_auto_work_without_a_gpu():
    for place in ("cpu", "auto"):
        assert places.describe_place(places.choose_place(device_config(place=place))) == "CPU"


def test_a_gpu_that_is_not_there_is_an_error_or_a_loud_fallback(capsys):
    with pytest.raises(InputError, match=r"device\.place.*device\.fallback"):
        places.choose_place(device_config(place="gpu"))
    place = places.choose_place(device_config(place="gpu", fallback="cpu"))
    assert places.describe_place(place) == "CPU"
    assert "WARNING" in capsys.readouterr().err


def test_a_gpu_build_without_that_gpu_never_gets_as_far_as_cudaplace(monkeypatch):
    """CUDAPlace would end the process; no GPU build can be tested, so its answers are faked."""
    monkeypatch.setattr(fluid, "is_compiled_with_cuda", lambda: True)
    for count, gpu_id in ((0, 0), (2, 5)):
        answer = partial(int, count)
        monkeypatch.setattr(fluid.core, "get_cuda_device_count", answer, raising=False)
        with pytest.raises(InputError, match=f"no GPU {gpu_id} here \\({count} found\\)"):
            places.choose_place(device_config(place="gpu", gpu_id=gpu_id))
    made = []
    monkeypatch.setattr(fluid, "CUDAPlace", made.append)
    places.choose_place(device_config(place="gpu", gpu_id=1))
    assert made == [1]
