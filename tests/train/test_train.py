"""``mnist.train`` as a user runs it: real processes, real files, exit codes and last lines."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from helpers import (
    DIGITS,
    PICTURES,
    PROJECT,
    ROOT,
    SAMPLES,
    TINY,
    environment,
    one_line,
    same,
    verb,
)

from mnist import config as configs
from mnist.checkpoints import foreign, reading


def quick(epochs):
    return ["--set", f"train.epochs={epochs}"]


def test_quickstart_trains_from_any_folder_and_tells_where_things_are(trained):
    folder, done = trained
    said = "convnet: 61,850 parameters", "epoch 6/6", "valid loss", "eval", "tensorboard"
    assert all(expected in done.stdout for expected in said)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "log"]
    result = json.loads((folder / "checkpoints" / "result.json").read_text())
    assert result["eval"]["count"] == 300 and result["eval"]["accuracy"] > 0.85
    assert len(list((folder / "log" / "data").glob("events.out.tfevents.*"))) == 1


def test_train_wants_a_config_or_a_checkpoint(tmp_path):
    assert "--config" in one_line(verb("train", cwd=tmp_path, check=2).stderr)


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--config", "configs/nowhere.yaml"], "configs/nowhere.yaml"),
        (["--config", "configs/adam.yaml", "--set", "optimizer.lr=1"], "optimizer.learning_rate"),
        (["--config", "configs/adam.yaml", "--sett", "x"], "--set"),
        (["--config", "configs/adam.yaml", "--resume", "nowhere/epoch3"], "nowhere/epoch3"),
        (["--resume", "latest"], "checkpoints"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_leaves_nothing(tmp_path, arguments, named):
    done = verb("train", *arguments, cwd=tmp_path, check=2)
    assert named in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_debug_adds_the_traceback(tmp_path):
    done = verb("train", "--config", "nowhere.yaml", "--debug", cwd=tmp_path, check=2)
    assert "Traceback" in done.stderr and done.stderr.strip().splitlines()[-1].startswith("error:")


def test_a_missing_data_set_falls_back_loudly_and_leaves_a_record(tmp_path):
    done = verb(
        "train", "--config", "configs/adam.yaml", *TINY, "--set", "data.prepare=false",
        "--set", "data.path=nowhere/mnist.json.gz", cwd=tmp_path, check=0,
    )  # fmt: skip
    assert "WARNING: " in done.stderr and "digits.json.gz" in done.stderr
    state = reading.load(tmp_path / "checkpoints" / "best").state
    assert "nowhere/mnist.json.gz does not exist" in state.data_fallback
    assert json.loads((tmp_path / "checkpoints" / "result.json").read_text())["data"]["fallback"]


def test_the_fallback_can_be_switched_off(tmp_path):
    done = verb(
        "train", "--config", "configs/adam.yaml", "--set", "data.prepare=false",
        "--set", "data.fallback=null", "--set", "data.path=nowhere/mnist.json.gz",
        cwd=tmp_path, check=2,
    )  # fmt: skip
    assert "mnist.prepare" in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_data_file_is_not_mnist(tmp_path):
    done = verb(
        "train", "--config", "configs/quickstart.yaml",
        "--set", f"data.path={DIGITS.parent / 'digit.json.gz'}", cwd=tmp_path, check=2,
    )  # fmt: skip
    assert "digits.json.gz" in one_line(done.stderr)


def test_without_a_gpu_the_config_decides_between_falling_back_and_an_error(tmp_path):
    gpu = ["--config", "configs/adam_gpu.yaml", *TINY, "--set", f"data.path={DIGITS}"]
    done = verb("train", *gpu, cwd=tmp_path, check=0)
    assert "WARNING: device.place is gpu" in done.stderr and "device  CPU" in done.stdout
    done = verb("train", *gpu, "--set", "device.fallback=null", cwd=tmp_path, check=2)
    assert "device.place" in one_line(done.stderr)
    done = verb("train", *gpu, "--set", "device.place=auto", cwd=tmp_path, check=0)
    assert "WARNING" not in done.stderr


# --- resume ---


def test_resuming_in_another_process_finishes_what_the_unbroken_run_finishes(tmp_path):
    config = ["--config", "configs/quickstart.yaml", *TINY]
    verb("train", *config, cwd=tmp_path, check=0)
    shutil.copytree(tmp_path / "checkpoints" / "epoch3", tmp_path / "straight")
    done = verb("train", *config, "--resume", "checkpoints/epoch1", cwd=tmp_path, check=0)
    assert "resumed from checkpoints/epoch1" in done.stdout and "moved to" in done.stdout
    straight = reading.load(tmp_path / "straight")
    resumed = reading.load(tmp_path / "checkpoints" / "epoch3")
    assert same(straight.parameters, resumed.parameters)


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_saves_and_exits_and_the_line_it_prints_goes_on(tmp_path, number, code):
    arguments = ["--config", "configs/quickstart.yaml", *quick(2)]
    straight = tmp_path / "straight"
    straight.mkdir()
    verb("train", *arguments, cwd=straight, check=0)
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    process = start_training(stopped, *arguments)
    wait_for_line(process, "step 20/")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    last = errors.splitlines()[-1]
    assert last.startswith("stopped by SIG") and "Traceback" not in errors
    hint = last.split("go on with: python -m mnist.train ")[1]
    verb("train", *hint.split(), cwd=stopped, check=0)
    left = reading.load(straight / "checkpoints" / "epoch2")
    right = reading.load(stopped / "checkpoints" / "epoch2")
    assert same(left.parameters, right.parameters)
    assert not list((stopped / "checkpoints").glob("step*"))


def test_a_kill_loses_at_most_the_epoch_under_way(tmp_path):
    arguments = ["--config", "configs/quickstart.yaml", *quick(3)]
    process = start_training(tmp_path, *arguments)
    wait_for_line(process, "epoch 1/3  train loss")
    process.kill()
    process.communicate(timeout=60)
    done = verb("train", *arguments, "--resume", "latest", cwd=tmp_path, check=0)
    assert "resumed from" in done.stdout
    assert reading.load(tmp_path / "checkpoints" / "epoch3").state.epoch == 3


def test_resuming_without_a_config_takes_the_checkpoints_own_threads(tmp_path):
    config = ["--config", "configs/quickstart.yaml", *TINY, "--set", "device.threads=2"]
    verb("train", *config, cwd=tmp_path, check=0, env={"OMP_NUM_THREADS": None})
    done = verb("train", "--resume", "latest", cwd=tmp_path, env={"OMP_NUM_THREADS": None}, check=0)
    assert "2 thread(s)" in done.stdout


def start_training(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "mnist.train", *arguments],
        cwd=str(folder), env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for_line(process, text, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if text in line:
            return
        assert line, process.stderr.read()
    raise AssertionError(f"no line with {text!r}")


# --- the course's own pairs ---


@pytest.fixture
def course_pair(tmp_path):
    """What the course's own code saves: other nets were made before in its process."""
    script = """
import sys
import numpy as np
from mnist.fluid.door import fluid

class MNIST(fluid.dygraph.Layer):
    def __init__(self):
        super().__init__()
        self.conv1 = fluid.dygraph.Conv2D(1, 20, 5, stride=1, padding=2, act="relu")
        self.pool1 = fluid.dygraph.Pool2D(pool_size=2, pool_stride=2, pool_type="max")
        self.conv2 = fluid.dygraph.Conv2D(20, 20, 5, stride=1, padding=2, act="relu")
        self.pool2 = fluid.dygraph.Pool2D(pool_size=2, pool_stride=2, pool_type="max")
        self.fc = fluid.dygraph.Linear(980, 10, act="softmax")
    def forward(self, x):
        x = self.pool2(self.conv2(self.pool1(self.conv1(x))))
        return self.fc(fluid.layers.reshape(x, [x.shape[0], -1]))

with fluid.dygraph.guard():
    MNIST(), MNIST(), MNIST()
    model = MNIST()
    adam = fluid.optimizer.Adam(0.01, parameter_list=model.parameters())
    for _ in range(2):
        x = fluid.dygraph.to_variable(np.random.rand(8, 1, 28, 28).astype("float32"))
        y = fluid.dygraph.to_variable(np.random.randint(0, 10, (8, 1)).astype("int64"))
        loss = fluid.layers.mean(fluid.layers.cross_entropy(model(x), y))
        loss.backward(); adam.minimize(loss); model.clear_gradients()
    fluid.save_dygraph(model.state_dict(), sys.argv[1])
    fluid.save_dygraph(adam.state_dict(), sys.argv[1])
"""
    prefix = tmp_path / "mnist_epoch3"
    subprocess.run([sys.executable, "-c", script, str(prefix)], env=environment(), cwd=str(PROJECT),
                   check=True, timeout=120)  # fmt: skip
    return prefix


def test_a_course_pair_is_resumed_with_its_optimizer_state(tmp_path, course_pair):
    assert any("conv2d_6" in key for key in foreign.read_pair(course_pair).optimizer)
    done = verb(
        "train", "--config", "configs/quickstart.yaml", *quick(5), "--resume", "mnist_epoch3",
        "--model", "lenet", "--optimizer", "adam", "--set", "optimizer.schedule={}",
        "--set", "train.averaging_decay=null", cwd=tmp_path, check=0,
    )  # fmt: skip
    assert "4 epoch(s) done" in done.stdout and "epoch 5/5" in done.stdout
    assert reading.load(tmp_path / "checkpoints" / "latest").state.epoch == 5


def test_a_course_pair_predicts_and_one_of_another_model_is_refused(tmp_path, course_pair):
    done = verb("predict", SAMPLES, "--checkpoint", course_pair, cwd=tmp_path, check=0)
    assert len(done.stdout.splitlines()) == len(PICTURES)
    done = verb(
        "train", "--config", "configs/quickstart.yaml", "--set", "model.name=fc",
        "--resume", "mnist_epoch3", cwd=tmp_path, check=2,
    )  # fmt: skip
    assert "mnist_epoch3" in one_line(done.stderr)


def test_the_config_a_checkpoint_holds_is_the_one_it_was_trained_with(trained):
    folder, _ = trained
    state = reading.load(folder / "checkpoints" / "best").state
    expected = configs.load(ROOT / "configs" / "quickstart.yaml", ["train.epochs=6"])
    assert configs.from_dict(state.config, "state") == expected
