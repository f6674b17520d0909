"""The environment before Paddle's import, and a place that cannot end the process."""

import json
import os
import subprocess
import sys
from functools import partial

import pytest
from helpers import PROJECT, environment

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.fluid import places


def device_config(**values):
    return configs.from_dict({"device": values}, "test").device


def in_fresh_process(script, **variables):
    env = {k: v for k, v in environment().items() if k not in places._settings(1)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=str(PROJECT), env={**env, **variables},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


PRINT_ENVIRONMENT = """
import json, os
from mnist.fluid import places
places.prepare_process(threads=2)
import mnist.fluid.door
print(json.dumps({"environment": dict(os.environ), "chosen": places.chosen}))
"""


def test_settings_are_made_before_paddle_is_imported_and_told():
    found = in_fresh_process(PRINT_ENVIRONMENT)
    assert found["environment"]["OMP_NUM_THREADS"] == "2"
    assert found["chosen"]["MKL_NUM_THREADS"] == "2"
    assert found["chosen"]["FLAGS_use_pinned_memory"] == "0"


def test_the_users_own_variables_win():
    found = in_fresh_process(PRINT_ENVIRONMENT, OMP_NUM_THREADS="7")
    assert found["environment"]["OMP_NUM_THREADS"] == "7"
    assert "OMP_NUM_THREADS" not in found["chosen"]


def test_importing_any_room_sets_the_environment_first():
    script = """
import json, os
import mnist.model.architectures
print(json.dumps(os.environ.get("OMP_NUM_THREADS")))
"""
    assert in_fresh_process(script) == "1"


def test_the_terminate_handler_survives_paddles_import():
    script = """
import json, signal
from mnist.base import signals
signals.exit_on_terminate()
import mnist.fluid.door
print(json.dumps(signal.getsignal(signal.SIGTERM) is signals._raise))
"""
    assert in_fresh_process(script) is True


def test_nothing_changes_once_paddle_is_there(monkeypatch):
    import mnist.fluid.door  # noqa: F401

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    places.prepare_process(3)
    assert "OMP_NUM_THREADS" not in os.environ


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
    from mnist.fluid.door import fluid

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
