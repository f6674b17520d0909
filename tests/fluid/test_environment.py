"""The environment before Paddle's import: ours where the user has none."""

import json
import subprocess
import sys

import helpers
from helpers import PROJECT

from mnist.fluid import environment


def in_fresh_process(script, **variables):
    env = {k: v for k, v in helpers.environment().items() if k not in environment._settings(1)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=str(PROJECT), env={**env, **variables},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


PRINT_ENVIRONMENT = """
import json, os
from mnist.fluid import environment
environment.prepare(threads=2)
import mnist.fluid.door
print(json.dumps({"environment": dict(os.environ), "chosen": environment.chosen}))
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


FIRST_PADDLE = """
import numpy, paddle
from mnist.fluid import environment
environment.prepare(2)
import mnist.fluid.door
from paddle import fluid
import json
flags = fluid.get_flags(["FLAGS_use_pinned_memory", "FLAGS_allocator_strategy"])
print(json.dumps([environment.describe(), flags]))
"""


def test_what_can_be_set_after_paddles_import_is_and_the_rest_is_told():
    told, flags = in_fresh_process(FIRST_PADDLE)
    assert told.startswith("2 thread(s); Paddle was imported first; set after that: threads=2, FL")
    assert "too late for GLOG_minloglevel" in told
    assert list(flags.values()) == [False, "auto_growth"]


def test_the_users_threads_stay_when_paddle_was_first():
    told, _ = in_fresh_process(FIRST_PADDLE, OMP_NUM_THREADS="3", FLAGS_use_pinned_memory="0")
    assert told.startswith("3 thread(s)") and "FLAGS_use_pinned_memory" not in told
