"""What a shell, a container and a terminal do to a verb's standard streams and surroundings."""

import csv
import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from helpers import ROOT, environment, save_checkpoint, verb

SAMPLE = ROOT / "data" / "samples" / "seven.png"
TRAIN = [
    "train", "--config", str(ROOT / "configs" / "quickstart.yaml"), "--set", "model.name=fc",
    "--set", "model.hidden_sizes=[16]", "--set", "train.epochs=2",
]  # fmt: skip
WARNING = (
    "WARNING: standard output cannot be written any more ({});"
    " the work goes on without it\n"
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a checkpoint in it."""
    folder = tmp_path_factory.mktemp("a model")
    save_checkpoint(folder / "checkpoints", "model.name=fc", "model.hidden_sizes=[16]")
    (folder / "checkpoints" / "best").symlink_to("epoch1")
    return folder


def command(name, *arguments):
    return [sys.executable, "-m", f"mnist.{name}", *map(str, arguments)]


def shell(line, cwd, env=None, timeout=120):
    """Run a line of shell, in which MNIST stands for ``python -m mnist``."""
    line = re.sub(r"MNIST\.", f"{shlex.quote(sys.executable)} -m mnist.", line)
    return subprocess.run(
        ["bash", "-c", line], cwd=str(cwd), env=environment(env), text=True, timeout=timeout,
        capture_output=True,
    )  # fmt: skip


def quoted(arguments):
    return " ".join(map(shlex.quote, arguments))


def is_whole(folder):
    """Whether a training of two epochs has left everything."""
    result = json.loads((folder / "checkpoints" / "result.json").read_text())
    return len(result["history"]) == 2 and (folder / "checkpoints" / "epoch2").is_dir()


# --- a standard output that is not what it should be ---


@pytest.mark.parametrize("streams", [">&-", ">&- 2>&-", ">&- 2>&- <&-"])
def test_a_closed_output_is_no_failure_and_no_file_takes_its_place(tmp_path, streams):
    done = shell(f"MNIST.{quoted(TRAIN)} {streams}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert is_whole(tmp_path)


@pytest.mark.parametrize(
    "where, reason", [("| true", "Broken pipe"), ("> /dev/full", "No space left on device")]
)
def test_a_training_outlives_the_reader_of_its_output_and_says_so_once(tmp_path, where, reason):
    done = shell(f"set -o pipefail; MNIST.{quoted(TRAIN)} {where}", tmp_path)
    assert (done.returncode, done.stderr) == (0, WARNING.format(reason))
    assert is_whole(tmp_path)


def test_a_training_outlives_the_reader_of_both_outputs(tmp_path):
    done = shell(f"set -o pipefail; MNIST.{quoted(TRAIN)} 2>&1 | true", tmp_path)
    assert done.returncode == 0 and is_whole(tmp_path)


def test_what_only_prints_ends_with_its_reader(model):
    done = shell("set -o pipefail; MNIST.evaluate | true", model)
    assert (done.returncode, done.stderr) == (1, "")
    done = shell("MNIST.evaluate > /dev/full", model)
    line = "error: standard output: cannot be written (No space left on device)\n"
    assert (done.returncode, done.stderr) == (1, line)


def test_an_output_that_is_made_non_blocking_loses_nothing(tmp_path):
    script = """
import fcntl, os
from mnist.base import streams
streams.prepare()
fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_NONBLOCK)
for number in range(100_000):
    print(number)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=environment(), cwd=str(tmp_path), text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    time.sleep(0.5)  # its pipe is full by then
    printed, _ = process.communicate(timeout=60)
    assert printed.split() == [str(number) for number in range(100_000)]


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"])
def test_no_colour_gets_into_a_file(model, tmp_path, variable):
    trained = verb(*TRAIN, cwd=tmp_path, env={variable: "1"}, check=0).stdout
    evaluated = verb("evaluate", cwd=model, env={variable: "1"}, check=0).stdout
    predicted = verb("predict", *[SAMPLE] * 120, cwd=model, env={variable: "1"}, check=0)
    assert "\x1b" not in trained + evaluated + predicted.stdout + predicted.stderr
    assert "epoch 2/2  step 20/24  loss" in trained


# --- terminals ---


def on_terminal(command, cwd, columns=80, env=None, stderr=None):
    """Start a command on a terminal of its own; the process and the terminal's other end."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def own_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command, cwd=str(cwd), env=environment({"TERM": "xterm", "COLUMNS": None, **(env or {})}),
        stdin=terminal, stdout=terminal, stderr=stderr or terminal, text=True,
        start_new_session=True, preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(terminal)
    return process, master


def read_all(master, until="\0"):
    """What appears on a terminal until it is closed, or until a text appears."""
    found = b""
    while until.encode() not in found:
        try:
            found += os.read(master, 1 << 16)
        except OSError:
            break
    return found.decode()


def plain(drawn):
    """Without the instructions to a terminal, and one kind of line break."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).replace("\r\n", "\n")


CLOSING = """
from types import SimpleNamespace as Of
from mnist import config as configs
from mnist.base import notes
from mnist.checkpoints.records import EpochRecord, RunState
from mnist.train.output import Telling
history = [
    EpochRecord(
        epoch=epoch, step=5, train_loss=1, train_accuracy=0.9, valid_loss=12.25, valid_accuracy=1,
        learning_rate=1e-7, seconds=1234.5, images_per_second=30000,
    )
    for epoch in (1, 100)
]
state = RunState(config={}, history=history, data_path="p", data_fallback="x" * 100)
learner = Of(config=configs.default(), state=state, model=None, steps_per_epoch=3)
telling = Telling(learner, Of(valid=[]), Of())
with telling.bar:
    telling.begin_epoch()
    notes.warn("not to be missed")
    telling.close(None, Of(accuracy=1, loss=0), Of(folder="c", pointers=list))
"""


@pytest.mark.parametrize("columns", [80, 40])
def test_the_closing_table_is_whole_on_any_terminal(tmp_path, columns):
    process, master = on_terminal([sys.executable, "-c", CLOSING], tmp_path, columns)
    drawn = plain(read_all(master))
    process.wait(timeout=60)
    for row in (
        "          train     train    valid     valid  learning  images           ",
        "  epoch    loss  accuracy     loss  accuracy      rate   per s  seconds  ",
        "    1 *  1.0000    90.00%  12.2500   100.00%     1e-07  30,000   1234.5  ",
        "DATA         p: " + "x" * 100,
    ):
        assert row in drawn.splitlines()


def test_a_warning_goes_where_standard_error_goes_whatever_is_drawn(tmp_path):
    with open(tmp_path / "errors", "w+") as errors:
        process, master = on_terminal([sys.executable, "-c", CLOSING], tmp_path, stderr=errors)
        drawn = read_all(master)
        process.wait(timeout=60)
    assert (tmp_path / "errors").read_text() == "WARNING: not to be missed\n"
    assert "not to be missed" not in drawn


def test_a_terminal_that_cannot_draw_gets_lines(tmp_path):
    process, master = on_terminal(command(*TRAIN), tmp_path, env={"TERM": "dumb"})
    drawn = read_all(master)
    assert process.wait(timeout=60) == 0
    assert "\x1b" not in drawn and "epoch 1/2  step 20/24  loss" in drawn


@pytest.mark.parametrize("workers", [1, 2])
def test_a_training_whose_terminal_hangs_up_is_saved_and_goes_on(tmp_path, workers):
    if workers > 1:
        pytest.importorskip("mpi4py")
    # A longer run is then the same run.
    plain = [
        "--set",
        "optimizer.schedule.name=constant",
        "--set",
        "optimizer.schedule.warmup_steps=0",
    ]
    long = [*TRAIN, *plain, "--set", "train.epochs=400", "--set", f"parallel.workers={workers}"]
    with open(tmp_path / "errors", "w+") as errors:
        process, master = on_terminal(command(*long), tmp_path, stderr=errors)
        read_all(master, until="epoch 2/")
        os.close(master)
        # As SIGTERM where there is an mpirun in between, which knows no other.
        assert process.wait(timeout=60) == (129 if workers == 1 else 143)
    said = (tmp_path / "errors").read_text()
    (hint,) = re.findall(r"^stopped by SIG.* saved; go on with: (.*)$", said, re.M)
    assert said.count("standard output cannot be written") <= 1
    going_on = [*TRAIN, *plain, "--set", "train.epochs=3"]
    verb(*going_on, *hint.split("mnist.train ")[1].split(), cwd=tmp_path, check=0)


def test_a_hangup_is_not_heard_under_nohup(tmp_path):
    process = subprocess.Popen(
        ["nohup", *command(*TRAIN, "--set", "train.epochs=40")], cwd=str(tmp_path), text=True,
        env=environment({"PYTHONUNBUFFERED": "1"}), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while "epoch 1/40  train loss" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "epoch 40/40  train loss" in printed


# --- names ---


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Pictures under names that a terminal or a table cannot take as they are."""
    folder = tmp_path_factory.mktemp("names")
    names = [b"\xc4\xe3.png", b"a\nb.png", b"c\rd.png", b'e,"f.png', "你好é😀.png".encode()]
    for name in names:
        shutil.copyfile(str(SAMPLE), os.path.join(os.fsencode(str(folder)), name))
    return folder, sorted(os.fsdecode(name) for name in names)


def predict(model, folder, format, encoding):
    done = subprocess.run(
        command("predict", folder, "--format", format), cwd=str(model), timeout=120,
        env=environment({"PYTHONIOENCODING": f"{encoding}:strict"}),
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "ascii"])
def test_any_name_is_printed_in_any_encoding(model, pictures, encoding):
    folder, names = pictures
    lines = predict(model, folder, "text", encoding).splitlines()
    assert len(lines) == 5 and all(re.search(r"\.png: \d  \(", line) for line in lines)
    assert r"\udcc4\udce3.png" in "".join(lines) and r"a\nb.png" in "".join(lines)
    objects = map(json.loads, predict(model, folder, "json", encoding).splitlines())
    assert [os.path.basename(found["path"]) for found in objects] == names
    text = predict(model, folder, "csv", encoding)
    header, *rows = csv.reader(iter(text.splitlines(keepends=True)))
    assert {len(row) for row in rows} == {len(header)}
    found = {os.path.basename(row[0]) for row in rows}
    assert {"a\nb.png", "c\rd.png", 'e,"f.png'} <= found and len(found) == 5


# --- surroundings ---


@pytest.mark.parametrize(
    "env",
    [
        {"HOME": "/dev/null/none", "LC_ALL": "xx_YY.UTF-8"},
        pytest.param({"HOME": None}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_no_home_and_no_locale_is_no_failure(model, tmp_path, env):
    for arguments in (
        ["evaluate"], ["predict", SAMPLE], ["report", "--output", tmp_path / "report.html"],
        ["export", "--to", tmp_path / "exported"],
    ):  # fmt: skip
        verb(*arguments, cwd=model, env=env, check=0)


def without_shared_memory(line, cwd):
    """Run a line of shell where /dev/shm has room for nothing."""
    mount = "mount -t tmpfs -o size=4k none /dev/shm && head -c 4096 /dev/zero > /dev/shm/full"
    hidden = ["unshare", "-rm", "bash", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*hidden, mount]).returncode != 0:
        pytest.skip("no namespace can be made here")
    inner = line.replace("MNIST.", f"{shlex.quote(sys.executable)} -m mnist.")
    return shell(quoted([*hidden, f"{mount}; {inner}"]), cwd)


def test_many_pictures_need_no_shared_memory(model, tmp_path):
    for number in range(150):
        shutil.copyfile(str(SAMPLE), str(tmp_path / f"{number}.png"))
    done = without_shared_memory(f"MNIST.predict {shlex.quote(str(tmp_path))}", model)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 150


def test_processes_that_need_shared_memory_are_refused_in_one_line(tmp_path):
    pytest.importorskip("mpi4py")
    line = f"MNIST.{quoted(TRAIN)} --set parallel.workers=2"
    done = without_shared_memory(line, tmp_path)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith("error: parallel.workers: 2, but /dev/shm has 0 MiB free of the 16")
    assert not (tmp_path / "checkpoints").exists()
