"""Several hosts that share no disk: namespaces of this machine, mpich's launcher between them."""

import os
import re
import shlex
import shutil
import signal
import time

import pytest
from helpers import DIGITS, ROOT, same

from mnist.checkpoints import reading
from tests.material import hosts as material
from tests.material.hosts import Hosts

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
pytestmark = pytest.mark.skipif(material.missing() is not None, reason=f"{material.missing()}")

# What only the first host has.
OWN = "--config own.yaml --set data.path=own.json.gz --set data.fallback=null"
SMALL = " --set model.filters=[4,4,4,4,4] --set checkpoint.every_steps=5"
# A longer run is then the same run.
SMALL += " --set optimizer.schedule.name=constant --set optimizer.schedule.warmup_steps=0"
TWO = f"mpirun -hosts host1,host2 -n 2 python -m mnist.train {OWN}{SMALL}"


PAGE = (ROOT / "docs" / "machines.md").read_text()
BLOCKS = re.findall(r"```bash\n((?!#!).*?)```", PAGE, re.DOTALL)
QUICK = "configs/quickstart.yaml --set model.filters=[4,4,4,4,4] --set train.epochs=1"


@pytest.fixture
def hosts(tmp_path):
    with Hosts(tmp_path / "hosts") as both:
        first = both.folders[0]
        shutil.copy(str(DIGITS), str(first / "own.json.gz"))
        shutil.copy(str(ROOT / "configs" / "quickstart.yaml"), str(first / "own.yaml"))
        yield both


def epoch(hosts, number):
    return reading.load(hosts.folders[0] / "checkpoints" / f"epoch{number}")


def left_on_the_second(hosts):
    return sorted(path.name for path in hosts.folders[1].iterdir())


def test_only_the_first_host_needs_config_data_and_checkpoint(hosts):
    done = hosts.run(f"{TWO} --set train.epochs=2")
    assert "own.json.gz: 1,197 train" in done.stdout
    assert "2 processes (MPI on 2 hosts)" in done.stdout and done.stderr == ""
    straight = epoch(hosts, 2)
    resumed = hosts.run(f"{TWO} --set train.epochs=2 --resume checkpoints/epoch1")
    assert "resumed from checkpoints/epoch1" in resumed.stdout
    assert same(straight.parameters, epoch(hosts, 2).parameters)
    assert left_on_the_second(hosts) == []


def test_a_cut_cable_ends_the_run_with_one_line_and_it_goes_on_with_fewer(hosts):
    process = hosts.start(f"{TWO} --set train.epochs=300 --set parallel.timeout=10")
    hosts.wait_for("latest", process)
    hosts.cable("down")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert line.startswith("error: rank 0 on host1 has waited 10 s for the other processes")
    saved = reading.load(reading.newest(hosts.folders[0] / "checkpoints")).state
    # Nor does the other end stay behind.
    deadline = time.monotonic() + 60
    while hosts.trainings(2):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    alone = f"python -m mnist.train {OWN}{SMALL} --resume latest"
    done = hosts.run(f"{alone} --set train.epochs={saved.epoch + 1}")
    assert "note    2 processes trained this before, 1 now" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_a_process_killed_on_either_host_ends_the_run_and_it_goes_on_bit_for_bit(hosts, number):
    hosts.run(f"{TWO} --set train.epochs=2")
    straight = epoch(hosts, 2)
    shutil.rmtree(str(hosts.folders[0] / "checkpoints"))
    process = hosts.start(f"{TWO} --set train.epochs=300")
    hosts.wait_for("latest", process)
    (pid,) = hosts.trainings(number)
    os.kill(pid, signal.SIGKILL)
    out, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"RUNNING AT host{number}" in out + errors
    hosts.run(f"{TWO} --set train.epochs=2 --resume auto", code=None)
    assert same(straight.parameters, epoch(hosts, 2).parameters)


@pytest.mark.slow
def test_a_host_with_a_copy_of_the_data_uses_it_and_with_other_data_does_not(hosts):
    hosts.run(f"{TWO} --set train.epochs=1")
    sent = epoch(hosts, 1)
    for content in (DIGITS.read_bytes(), b"something else"):
        (hosts.folders[1] / "own.json.gz").write_bytes(content)
        hosts.run(f"{TWO} --set train.epochs=1")
        assert same(sent.parameters, epoch(hosts, 1).parameters)
        # Who has read the file has left its cache beside it.
        used = (hosts.folders[1] / ".cache").exists()
        assert used == (content != b"something else")
        shutil.rmtree(str(hosts.folders[1] / ".cache"), ignore_errors=True)


@pytest.mark.slow
def test_a_signal_of_a_batch_system_is_saved_and_left_with_75(hosts):
    process = hosts.start(f"{TWO} --set train.epochs=300")
    hosts.wait_for("latest", process)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "stopped by SIGUSR1 at step" in errors and ", saved; go on with: " in errors


def test_a_host_that_does_not_answer_is_named_by_mpirun(hosts):
    hosts.cable("down")
    done = hosts.run(f"{TWO} --set train.epochs=1", code=255)
    # On a busy machine mpiexec gives up before the other host's own words have come.
    words = done.stderr
    assert ("unable to connect" in words and "host2" in words) or "Launch proxy failed" in words
    assert not (hosts.folders[0] / "checkpoints").exists()


@pytest.mark.slow
def test_the_commands_of_the_page_run_as_they_stand(hosts):
    assert len(BLOCKS) == 4
    for block in BLOCKS:
        assert "configs/best.yaml" in block
        line = block.replace("configs/best.yaml", QUICK)
        done = hosts.run(f"sh -c {shlex.quote(line)}")
        processes = re.search(r"-n (\d)|workers=(\d)", block)
        if processes:
            assert f"{processes[1] or processes[2]} processes (MPI" in done.stdout
        assert ("on 2 hosts" in done.stdout) == ("mpirun" in block)
