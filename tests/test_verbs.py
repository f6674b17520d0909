"""The verbs as a user runs them: real processes, real files, exit codes and last lines."""

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import click
import pytest
from helpers import DIGITS, PROJECT, ROOT, environment, same, verb

from mnist import config as configs
from mnist.checkpoints import course_pairs, reading

SAMPLES = ROOT / "data" / "samples"
PICTURES = sorted(SAMPLES.glob("*.png"))
TINY = ["--set", "model.name=fc", "--set", "model.hidden_sizes=[16]", "--set", "train.epochs=3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which the quickstart was run for a few epochs."""
    folder = tmp_path_factory.mktemp("a run")
    done = verb("train", "--config", "configs/quickstart.yaml", *quick(6), cwd=folder, check=0)
    return folder, done


def quick(epochs):
    return ["--set", f"train.epochs={epochs}"]


def one_line(text):
    """The error's line: exactly one, and no traceback."""
    lines = text.strip().splitlines()
    assert lines and lines[-1].startswith("error: ") and "Traceback" not in text, text
    return lines[-1]


# --- train ---


def test_quickstart_trains_from_any_folder_and_tells_where_things_are(trained):
    folder, done = trained
    for expected in ("lenet: 20,350 parameters", "epoch 6/6", "valid loss", "eval", "tensorboard"):
        assert expected in done.stdout
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
    hint = one_line(errors).split("go on with: python -m mnist.train ")[1]
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
    _, _, state = course_pairs.read_pair(course_pair)
    assert any("conv2d_6" in key for key in state)
    done = verb(
        "train", "--config", "configs/quickstart.yaml", *quick(5), "--resume", "mnist_epoch3",
        "--set", "optimizer.schedule.name=constant", cwd=tmp_path, check=0,
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


# --- predict ---


def digit_of(path):
    words = "zero one two three four five six seven eight nine".split()
    return next(digit for digit, word in enumerate(words) if path.stem.startswith(word))


def test_predict_is_right_on_the_samples(trained):
    folder, _ = trained
    done = verb("predict", SAMPLES, "--json", cwd=folder, check=0)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    paths = PICTURES
    assert [row["path"] for row in found] == [str(path) for path in paths]
    right = [row["digit"] == digit_of(path) for row, path in zip(found, paths)]
    assert sum(right) >= len(right) - 1
    for row in found:
        assert set(row) == {"path", "digit", "confidence", "is_digit", "top"}
        assert len(row["top"]) == 3 and row["top"][0] == [row["digit"], row["confidence"]]
        assert 1 >= row["top"][0][1] >= row["top"][1][1] >= row["top"][2][1] >= 0


def test_bad_pictures_are_named_and_the_others_still_predicted(trained, tmp_path):
    folder, _ = trained
    good = PICTURES[0]
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:200])
    (tmp_path / "fine.png").write_bytes(good.read_bytes())
    paths = [tmp_path / "missing.png", tmp_path, good]
    done = verb("predict", *paths, "--json", cwd=folder, check=2)
    rows = {os.path.basename(row["path"]): row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows) == {"missing.png", "empty.png", "text.png", "cut.png", "fine.png", good.name}
    assert {name for name, row in rows.items() if "error" in row} == {
        "missing.png", "empty.png", "text.png", "cut.png"
    }  # fmt: skip
    assert done.stderr == ""
    plain = verb("predict", *paths, cwd=folder, check=2)
    errors = plain.stderr.strip().splitlines()
    assert len(errors) == 4 and all(line.startswith("error: ") for line in errors)
    assert len(plain.stdout.splitlines()) == 2


def test_predict_without_any_checkpoint_says_how_to_get_one(tmp_path):
    good = PICTURES[0]
    done = verb("predict", good, "--checkpoint", "nowhere", cwd=tmp_path, check=2)
    assert "nowhere" in one_line(done.stderr)


def test_a_malicious_checkpoint_is_refused_before_anything_runs(trained, tmp_path):
    import pickle

    class Exploit:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'pwned'}",)

    (tmp_path / "evil.pdparams").write_bytes(pickle.dumps({"fc.weight": Exploit()}, 2))
    good = PICTURES[0]
    done = verb("predict", good, "--checkpoint", tmp_path / "evil", cwd=tmp_path, check=2)
    assert "evil.pdparams" in one_line(done.stderr) and not (tmp_path / "pwned").exists()


# --- evaluate ---


def test_evaluate_agrees_with_the_training_and_with_itself(trained):
    folder, _ = trained
    done = verb("evaluate", "--json", cwd=folder, check=0)
    found = json.loads(done.stdout)
    result = json.loads((folder / "checkpoints" / "result.json").read_text())
    assert found["split"] == "eval" and found["count"] == 300
    assert found["accuracy"] == result["eval"]["accuracy"]
    confusion = found["confusion"]
    assert sum(map(sum, confusion)) == 300
    right = sum(confusion[digit][digit] for digit in range(10))
    assert right / 300 == found["accuracy"]
    for digit, row in enumerate(found["per_class"]):
        assert row["recall"] == confusion[digit][digit] / sum(confusion[digit])
    calibration = found["calibration"]
    assert calibration["temperature"] > 0 and 0 <= calibration["error"] <= 1
    tables = verb("evaluate", "--checkpoint", "checkpoints/best", "--split", "valid", cwd=folder,
                  check=0).stdout  # fmt: skip
    assert "split valid: 300 images" in tables and "confusion" in tables
    assert "expected calibration error" in tables


def test_evaluate_names_a_wrong_split(trained):
    folder, _ = trained
    done = verb("evaluate", "--split", "evil", cwd=folder, check=2)
    assert "eval" in one_line(done.stderr)


# --- all verbs ---


@pytest.mark.parametrize(
    "name", ["train", "predict", "evaluate", "prepare", "report", "export", "serve"]
)
def test_help_needs_no_paddle(tmp_path, name):
    script = f"""
import sys
sys.argv = ["mnist.{name}", "--help"]
import runpy
try:
    runpy.run_module("mnist.{name}", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code
heavy = [m for m in ("paddle", "numpy", "pydantic", "requests", "cv2") if m in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=str(tmp_path), env=environment(),
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.parametrize(
    "name", ["train", "prepare", "predict", "evaluate", "report", "export", "serve"]
)
def test_a_tilde_is_the_home_folder_wherever_a_path_is_given(name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    module = importlib.import_module(f"mnist.{name}.__main__")
    command = next(value for value in vars(module).values() if isinstance(value, click.Command))
    is_path = re.compile("FILE|DIR|CHECKPOINT|FOLDER|RUN")
    paths = [param for param in command.params if is_path.search(param.metavar or "")]
    assert paths
    for param in paths:
        assert param.type.convert("~/x", param, None) == "/home/somebody/x", param.name


def test_what_is_written_goes_into_the_home_folder(tmp_path):
    home = {"HOME": str(tmp_path / "home")}
    paths = ["--set", "checkpoint.dir=~/c", "--set", "log.dir=~/l"]
    verb("train", "--config", "configs/quickstart.yaml", *TINY, *paths, cwd=tmp_path, env=home,
         check=0)  # fmt: skip
    verb("report", "~/c/best", "--output=~/r.html", cwd=tmp_path, env=home, check=0)
    assert sorted(path.name for path in (tmp_path / "home").glob("[!.]*")) == ["c", "l", "r.html"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_the_config_a_checkpoint_holds_is_the_one_it_was_trained_with(trained):
    folder, _ = trained
    state = reading.load(folder / "checkpoints" / "best").state
    expected = configs.load(ROOT / "configs" / "quickstart.yaml", ["train.epochs=6"])
    assert configs.from_dict(state.config, "state") == expected
