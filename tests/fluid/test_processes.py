"""Several processes that train one model, started as users start them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import DIGITS, ROOT, environment, same, verb

from mnist.checkpoints import reading
from mnist.data import course_json
from mnist.fluid import processes

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
MPIRUN = Path(sys.executable).parent / "mpirun"

# Everything that is random, and everything that has a state.
OVERRIDES = (
    "model.name=convnet",
    "model.filters=[4, 4, 4, 4, 4]",
    "model.dropout=0.2",
    "train.epochs=2",
    "train.averaging_decay=0.9",
    "train.label_smoothing=0.1",
    "data.augmentation.shift=1.0",
    "data.augmentation.elastic=0.5",
    "data.batch_size=71",  # 1,197 = 16 × 71 + 61: shares of unequal size
    "checkpoint.every_steps=5",
    # A longer run is then the same run.
    "optimizer.schedule.name=constant",
    "optimizer.schedule.warmup_steps=0",
)
CONFIG = ("--config", str(ROOT / "configs" / "quickstart.yaml"))


def settings(*overrides):
    return [text for override in overrides for text in ("--set", override)]


def train(folder, *arguments, workers=2, **options):
    folder.mkdir(exist_ok=True)
    overrides = settings(*OVERRIDES, f"parallel.workers={workers}")
    return verb("train", *CONFIG, *overrides, *arguments, cwd=folder, **options)


def final(folder, epoch=2):
    return reading.load(folder / "checkpoints" / f"epoch{epoch}")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run of two processes, started by ``parallel.workers``."""
    folder = tmp_path_factory.mktemp("two")
    done = train(folder, check=0)
    return folder, done


def test_two_processes_train_and_one_of_them_prints_and_writes(two):
    folder, done = two
    assert "2 processes (MPI)" in done.stdout
    assert len(re.findall(r"^epoch 2/2  train", done.stdout, re.MULTILINE)) == 1
    assert done.stderr == ""
    result = json.loads((folder / "checkpoints" / "result.json").read_text())
    assert result["config"]["parallel"]["workers"] == 2
    assert result["history"][1]["step"] == 34
    # Whole images: the accuracy is a count over all 1,197, each of which came once.
    correct = result["history"][1]["train_accuracy"] * 1197
    assert correct == pytest.approx(round(correct), abs=1e-9)


def test_mpirun_by_hand_is_the_same_run(two, tmp_path):
    command = [MPIRUN, "-n", "2", sys.executable, "-m", "mnist.train", *CONFIG]
    command += settings(*OVERRIDES)
    subprocess.run(
        [str(part) for part in command], cwd=str(tmp_path), env=environment(), check=True,
        capture_output=True, timeout=240,
    )  # fmt: skip
    ours, theirs = final(two[0]), final(tmp_path)
    assert same(ours.parameters, theirs.parameters) and same(ours.training, theirs.training)


@pytest.mark.parametrize(
    "teachers", ["[]", f"[{ROOT / 'data' / 'pretrained'}]"], ids=["labels", "a teacher"]
)
def test_two_processes_compute_what_one_computes(tmp_path, teachers):
    """But for batch statistics and dropout, which are each process's own: left out here."""
    plain = settings("model.name=lenet", "model.filters=[4, 4]", "model.dropout=0.0")
    plain += settings("train.label_smoothing=0.0", f"train.teachers={teachers}")
    plain += settings("optimizer.learning_rate=0.01")  # Larger steps make much of rounding.
    losses = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        train(folder, *plain, workers=workers, check=0)
        result = json.loads((folder / "checkpoints" / "result.json").read_text())
        losses.append([epoch["train_loss"] for epoch in result["history"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] != losses[1]


def test_resuming_with_as_many_is_bit_for_bit_and_with_others_comes_with_a_note(two, tmp_path):
    train(tmp_path, "--set", "train.epochs=1", check=0)
    resumed = train(tmp_path, "--resume", "latest", check=0)
    assert "processes trained this before" not in resumed.stdout
    ours, theirs = final(two[0]), final(tmp_path)
    assert same(ours.parameters, theirs.parameters) and same(ours.training, theirs.training)
    alone = train(tmp_path, "--resume", "checkpoints/epoch1", workers=1, check=0)
    assert "note    2 processes trained this before, 1 now" in alone.stdout


def start(folder, *arguments):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mnist.train", *CONFIG, *settings(*OVERRIDES), *arguments]
    command += settings("parallel.workers=2", "train.epochs=300")
    return subprocess.Popen(
        command, cwd=str(folder), env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for_a_checkpoint(folder, process):
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "latest").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_signal_stops_all_after_one_step_saved_and_it_goes_on_bit_for_bit(tmp_path):
    stopped = tmp_path / "stopped"
    process = start(stopped)
    wait_for_a_checkpoint(stopped, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert len(re.findall(r"^stopped by SIGTERM .* saved", errors, re.MULTILINE)) == 1
    saved = reading.load(stopped / "checkpoints" / "latest").state
    epochs = str(saved.epoch + 1)
    # Both to the end of the epoch: the one that was stopped, and one that never was.
    train(stopped, "--set", f"train.epochs={epochs}", "--resume", "latest", check=0)
    whole = tmp_path / "whole"
    process = start(whole)
    deadline = time.monotonic() + 200
    while not (whole / "checkpoints" / f"epoch{epochs}").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.communicate()
    one, other = final(stopped, int(epochs)), final(whole, int(epochs))
    assert same(one.parameters, other.parameters) and same(one.training, other.training)


def workers_of(process):
    """The pids of the training processes below mpirun."""
    found = []
    for status in Path("/proc").glob("[0-9]*/environ"):
        try:
            if b"PMI_RANK=" in status.read_bytes() and _descends(status.parent.name, process.pid):
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


def _descends(pid, ancestor):
    while int(pid) > 1:
        if int(pid) == ancestor:
            return True
        pid = re.search(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M).group(1)
    return False


def test_a_process_that_dies_ends_the_run_with_the_last_checkpoint_whole(tmp_path):
    process = start(tmp_path)
    wait_for_a_checkpoint(tmp_path, process)
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    reading.load(reading.newest(tmp_path / "checkpoints"))


@pytest.mark.parametrize(
    "overrides, code, message",
    [
        (("optimizer.learning_rate=1e30",), 1, r"error: the training loss is \w+ at epoch 1"),
        (("data.path=nowhere.json.gz",), 2, r"error: data\.path: nowhere\.json\.gz"),
        (
            ("train.label_smoothing=0.0", "train.teachers=[nowhere]"),
            2,
            r"error: train\.teachers: nowhere: does not exist",
        ),
        (("device.place=gpu",), 2, r"error: device\.place: gpu, but"),
    ],
)
def test_an_error_is_one_line_from_one_process(tmp_path, overrides, code, message):
    done = train(tmp_path, *settings(*overrides), check=code)
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert re.match(message, line)


# Runs a verb in the folder of its rank; what is in `env.sh` there makes the ranks differ.
IN_ITS_FOLDER = """
cd "rank$PMI_RANK" && if [ -f env.sh ]; then . ./env.sh; fi
exec "$0" ${script:--m mnist.train} "$@"
"""


def on_two_machines(folder, *arguments, config=CONFIG):
    """Two processes with a working folder each, as on machines that share no disk."""
    command = [MPIRUN, "-n", "2", "sh", "-c", IN_ITS_FOLDER, sys.executable, *config]
    return subprocess.run(
        [str(part) for part in (*command, *settings("train.epochs=1"), *arguments)],
        cwd=str(folder), env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture
def ranks(tmp_path):
    folders = [tmp_path / "rank0", tmp_path / "rank1"]
    for folder in folders:
        folder.mkdir()
    return folders


def assert_refused(done, folders, message, code=2):
    """One line, and nothing written by anybody."""
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert re.fullmatch(message.replace("HOST", re.escape(socket.gethostname())), line)
    assert done.returncode == code
    assert not any(
        (folder / name).exists() for folder in folders for name in ("checkpoints", "log")
    )


def test_each_process_may_have_a_copy_of_the_data_of_its_own(ranks, tmp_path):
    for folder in ranks:
        shutil.copy(DIGITS, folder / "own.json.gz")
    done = on_two_machines(tmp_path, *settings("data.path=own.json.gz", "data.fallback=null"))
    assert done.returncode == 0, done.stderr
    assert "2 processes (MPI)" in done.stdout
    assert (ranks[0] / "checkpoints" / "epoch1").is_dir() and not (ranks[1] / "log").exists()


def test_other_data_in_another_process_are_not_used(ranks, tmp_path):
    """As those of a host that has MNIST in an older form, or has only the bundled digits."""
    shutil.copy(DIGITS, ranks[0] / "own.json.gz")
    white = np.full((12, 28, 28), 255, np.uint8)
    course_json.write(ranks[1] / "own.json.gz", [(white, np.zeros(12, np.int64))] * 3)
    fallback = settings("data.path=own.json.gz", "data.fallback=data/digits.json.gz")
    done = on_two_machines(tmp_path, *fallback)
    assert done.returncode == 0, done.stderr
    assert "own.json.gz: 1,197 train, 300 valid, 300 eval" in done.stdout and done.stderr == ""


def test_data_need_be_found_by_the_main_process_only(ranks, tmp_path):
    shutil.copy(DIGITS, ranks[1] / "own.json.gz")
    done = on_two_machines(tmp_path, *settings("data.path=own.json.gz", "data.fallback=null"))
    assert_refused(done, ranks, r"error: data\.path: own\.json\.gz does not exist.*; .*")
    (ranks[1] / "own.json.gz").rename(ranks[0] / "own.json.gz")
    done = on_two_machines(tmp_path, *settings("data.path=own.json.gz", "data.fallback=null"))
    assert done.returncode == 0, done.stderr


def test_a_config_need_be_found_by_the_main_process_only(ranks, tmp_path):
    text = (ROOT / "configs" / "quickstart.yaml").read_text()
    (ranks[1] / "own.yaml").write_text(text.replace("batch_size: 50", "batch_size: 60"))
    done = on_two_machines(tmp_path, config=("--config", "own.yaml"))
    assert_refused(done, ranks, r"error: own\.yaml: .*No such file.*")
    (ranks[0] / "own.yaml").write_text(text)
    done = on_two_machines(tmp_path, config=("--config", "own.yaml"))
    assert done.returncode == 0, done.stderr
    assert "step 20/24" in done.stdout


def test_another_version_in_one_process_is_refused(ranks, tmp_path):
    (ranks[1] / "other.py").write_text(
        "import runpy, mnist\n"
        "mnist.__version__ = '9.9'\n"
        "runpy.run_module('mnist.train', run_name='__main__')\n"
    )
    (ranks[1] / "env.sh").write_text("script=other.py")
    done = on_two_machines(tmp_path)
    assert_refused(done, ranks, r"error: mnist: .* for rank 0 on HOST, but 9\.9 for rank 1 .*")


def test_a_checkpoint_and_teachers_need_be_found_by_the_main_process_only(ranks, tmp_path):
    taught = ("train.label_smoothing=0.0", "train.teachers=[teacher]")
    shutil.copytree(ROOT / "data" / "pretrained", ranks[0] / "teacher")
    done = on_two_machines(tmp_path, *settings(*taught))
    assert done.returncode == 0, done.stderr
    longer = settings(*taught, "train.epochs=2", "optimizer.schedule.name=constant")
    resume = ("--resume", "latest", "--allow-changes")
    done = on_two_machines(tmp_path, *longer, *resume)
    assert done.returncode == 0, done.stderr
    assert "resumed from checkpoints/epoch1: 1 epoch(s) done" in done.stdout
    assert (ranks[0] / "checkpoints" / "epoch2").is_dir() and os.listdir(ranks[1]) == []


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    "package, content, code, message",
    [
        ("numpy", "__version__ = '1.26.0'", 2, "numpy 1.26.0 no longer has np.int, .*"),
        ("mpi4py", "raise ImportError('gone')", 1, "started by mpirun, but MPI .*: gone"),
    ],
)
def test_packages_of_one_process_that_cannot_work_end_all(
    ranks, tmp_path, rank, package, content, code, message
):
    """Even before there is an MPI to tell the others, who would wait in it for ever."""
    fake = tmp_path / "fake" / package
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text(content)
    metadata = fake.parent / f"{package}-1.26.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {package}\nVersion: 1.26.0\n")
    (ranks[rank] / "env.sh").write_text(f'export PYTHONPATH="{fake.parent}:$PYTHONPATH"')
    done = on_two_machines(tmp_path)
    assert_refused(done, ranks, rf"error: (rank {rank} on HOST: )?{message}", code)


def test_a_process_on_its_own_exchanges_nothing():
    group = processes.ALONE
    sums = np.array([1.5, 0.5, 0], np.float32)
    assert group.exchange(None, 1.0, sums) is sums
    assert group.share(7) == (slice(0, None, 1), 1.0)
    assert group.of_all(15) == [15]
    assert group.from_main(lambda: "x") == "x"
