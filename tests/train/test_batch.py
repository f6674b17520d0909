"""A batch system that throws a run off and starts the same command again, until it is done."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, TINY, environment, one_line, same, verb

from mnist.checkpoints import reading

PAGE = (ROOT / "docs" / "machines.md").read_text()
(SCRIPT,) = re.findall(r"```bash\n(#!.*?)```", PAGE, re.DOTALL)
COMMAND = ["--config", "configs/quickstart.yaml", "--resume", "auto", *TINY]
COMMAND += ["--set", "train.epochs=30", "--set", "checkpoint.keep_last=2"]
COMMAND += ["--set", "data.batch_size=10", "--set", "checkpoint.every_steps=20"]


def start(folder):
    command = [sys.executable, "-m", "mnist.train", *COMMAND]
    return subprocess.Popen(
        command, cwd=str(folder), env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def final(folder):
    return reading.load(folder / "checkpoints" / "epoch30")


def newest(folder):
    return reading.pointed_at(folder / "checkpoints" / "latest")


def test_one_command_started_until_it_is_done_is_the_unbroken_run(tmp_path):
    """Whatever throws it off: SIGUSR1, SIGTERM or SIGKILL at a random moment."""
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    straight.mkdir()
    broken.mkdir()
    verb("train", *COMMAND, cwd=straight, check=0)
    rng = random.Random(4)
    ends = {signal.SIGUSR1: 75, signal.SIGTERM: 143, signal.SIGKILL: -9}
    for number in [*ends, *rng.choices(list(ends), k=3)]:
        before = newest(broken)
        process = start(broken)
        while newest(broken) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == ends[number], errors
    verb("train", *COMMAND, cwd=broken, check=0)
    assert same(final(straight).parameters, final(broken).parameters)
    both = [json.loads((f / "checkpoints" / "result.json").read_text()) for f in (straight, broken)]
    assert both[0]["eval"] == both[1]["eval"]
    again = verb("train", *COMMAND, cwd=broken, check=0)
    assert "note    nothing is left to train: all 30 epochs are done" in again.stdout
    assert same(final(straight).parameters, final(broken).parameters)


def test_auto_never_goes_on_with_another_run(tmp_path):
    verb("train", *COMMAND, cwd=tmp_path, check=0)
    other = verb("train", *COMMAND, "--seed", "7", cwd=tmp_path, check=0)
    why = "checkpoints/epoch30 is of another run (train.seed: 1 there, 7 now)"
    assert f"note    --resume auto starts anew: {why}" in other.stdout
    (aside,) = (tmp_path / "checkpoints").glob("earlier-*")
    assert reading.load(aside / "epoch30").state.config["train"]["seed"] == 1
    # The same config, but other data: not for a script to decide.
    shutil.copy(str(ROOT / "data" / "digits.json.gz"), str(tmp_path / "own.json.gz"))
    subprocess.run(["sh", "-c", "gunzip own.json.gz && gzip -1 own.json"], cwd=tmp_path, check=True)
    own = ["--seed", "7", "--set", "data.path=own.json.gz"]
    refused = verb("train", *COMMAND, *own, cwd=tmp_path, check=2)
    assert "going on would not be the same run: data:" in one_line(refused.stderr)
    for damaged in (tmp_path / "checkpoints").glob("epoch*"):
        (damaged / "model.pdparams").write_bytes(b"")
    anew = verb("train", *COMMAND, cwd=tmp_path, check=0)
    assert "starts anew: checkpoints: there is no whole checkpoint" in anew.stdout


def test_auto_is_for_a_config(tmp_path):
    done = verb("train", "--resume", "auto", cwd=tmp_path, check=2)
    assert "--resume auto goes on with the run of a --config" in one_line(done.stderr)


def test_processes_of_srun_that_know_nothing_of_each_other_are_refused(tmp_path):
    done = verb("train", *COMMAND, cwd=tmp_path, env={"SLURM_STEP_NUM_TASKS": "2"}, check=2)
    assert "srun --mpi=pmi2" in one_line(done.stderr)
    assert not (tmp_path / "checkpoints").exists()


def of_this_test(script):
    """The page's script with a training that takes seconds."""
    quick = " ".join(["configs/quickstart.yaml", *TINY, "--set checkpoint.every_steps=5"])
    quick = quick.replace("train.epochs=3", "train.epochs=60")
    assert "configs/best.yaml" in script
    return script.replace("configs/best.yaml", quick)


def test_the_script_for_slurm_is_queued_again_on_75_only(tmp_path):
    """With stand-ins for srun and scontrol."""
    for name, text in (("srun", "exit $CODE"), ("scontrol", 'echo "$@" >> queued')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "job.sh").write_text(SCRIPT)
    for code in (0, 1, 75, 143):
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "CODE": str(code), "SLURM_JOB_ID": f"12{code}"}
        done = subprocess.run(["bash", "job.sh"], cwd=str(tmp_path), env=env)
        assert done.returncode == code
    assert (tmp_path / "queued").read_text() == "requeue 1275\n"


SLURM = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={port}
SlurmdPort={next_port}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SchedulerParameters=sched_interval=5
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path):
    """The real thing, of Debian's slurm-wlm and munge, on loopback."""
    if os.geteuid() or not all(map(shutil.which, ("munged", "slurmctld", "slurmd"))):
        pytest.skip("needs root, slurm-wlm and munge (apt-get install slurm-wlm munge)")
    folder = tmp_path / "slurm"
    for path in (folder, folder / "state", folder / "spool"):
        path.mkdir()
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    names = {"key-file": "key", "socket": "socket", "pid-file": "munged.pid",
             "log-file": "munge.log", "seed-file": "seed"}  # fmt: skip
    files = [f"--{option}={folder / name}" for option, name in names.items()]
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(
        SLURM.format(folder=folder, host=host, port=27817, next_port=27818)
    )
    env = environment({"SLURM_CONF": str(folder / "slurm.conf")})
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    try:
        for command in (["munged", "--force", *files], ["slurmctld"], ["slurmd"]):
            subprocess.run(command, env=env, check=True)
            time.sleep(1)
        yield lambda *command: subprocess.run(
            command, cwd=str(tmp_path), env=env, check=True, capture_output=True, text=True,
            timeout=300,
        ).stdout  # fmt: skip
    finally:
        for name in ("slurmd", "slurmctld", "munged"):
            if (folder / f"{name}.pid").exists():
                os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGTERM)


@pytest.mark.slow
def test_the_real_slurm_throws_a_job_off_and_queues_it_again_until_it_is_done(slurm, tmp_path):
    (tmp_path / "job.sh").write_text(of_this_test(SCRIPT))
    job = slurm("sbatch", "--parsable", "-o", "out.txt", "job.sh").strip()
    deadline = time.monotonic() + 280
    sent = False
    while not (tmp_path / "checkpoints" / "result.json").exists():
        assert time.monotonic() < deadline, slurm("scontrol", "show", "job", job)
        if not sent and (tmp_path / "checkpoints" / "latest").exists():
            slurm("scancel", "--signal=USR1", job)
            sent = True
        time.sleep(1)
    while slurm("squeue", "--noheader").strip():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    out = (tmp_path / "out.txt").read_text()
    assert "stopped by SIGUSR1 at step" in out and "resumed from checkpoints/" in out
    assert out.count("2 processes (MPI)") == 2
