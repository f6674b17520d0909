"""Two hosts on one machine: namespaces with a name, a network and a working folder of their own.

The cable between them can be cut. MPI's launcher gets a stand-in for ssh. Needs root and iproute2.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, List, Optional

from helpers import environment

NAMES = ("host1", "host2")
_APART = ("-n", "-m", "-u", "-i")
# What makes a namespace a host. MPI's libraries look for network cards below /sys.
_SETUP = """
set -e
hostname {name}
mount -t tmpfs none /dev/shm && mount -t sysfs none /sys
mount --bind {folder} {work} && mount --bind {folder}/../hosts /etc/hosts
ip link set lo up
echo ready && exec sleep infinity
"""
_SSH = """#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
read -r pid < {folder}/pid-"$1" && shift
exec nsenter -t "$pid" -n -m -u -i sh -c "cd {work} && $*"
"""


@lru_cache(maxsize=None)
def missing() -> Optional[str]:
    """Why there can be no hosts here; None if there can."""
    if os.geteuid():
        return "namespaces need root"
    for program in ("ip", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"there is no {program} (iproute2, util-linux)"
    tried = subprocess.run(["unshare", *_APART, "mount", "-t", "sysfs", "none", "/sys"])
    return "namespaces are not allowed here" if tried.returncode else None


class Hosts:
    """A context manager. ``folders`` are the working folders as seen from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / "work"
        self.folders = [folder / name for name in NAMES]
        self._inits: List[subprocess.Popen] = []

    def __enter__(self) -> "Hosts":
        self.work.mkdir(parents=True)
        lines = ["127.0.0.1 localhost", *(f"10.77.0.{n} {name}" for n, name in enumerate(NAMES, 1))]
        (self.folder / "hosts").write_text("\n".join(lines) + "\n")
        for name in NAMES:
            self._start(name)
        pids = [str(init.pid) for init in self._inits]
        ends = [f"a{pids[0]}", f"b{pids[0]}"]
        _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (end, pid) in enumerate(zip(ends, pids), 1):
            _ip("link", "set", end, "netns", pid)
            self.inside(number, "ip", "link", "set", end, "name", "wire", "up")
            self.inside(number, "ip", "addr", "add", f"10.77.0.{number}/24", "dev", "wire")
        ssh = self.folder / "ssh"
        ssh.write_text(_SSH.format(folder=self.folder, work=self.work))
        ssh.chmod(0o755)
        return self

    def _start(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir()
        script = _SETUP.format(name=name, folder=folder, work=self.work)
        init = subprocess.Popen(
            ["unshare", *_APART, "sh", "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert init.stdout is not None and init.stdout.readline() == "ready\n"
        (self.folder / f"pid-{name}").write_text(f"{init.pid}\n")
        self._inits.append(init)

    def __exit__(self, *error: object) -> None:
        for number in (1, 2):
            for pid in self.trainings(number):
                os.kill(pid, signal.SIGKILL)
        for init in self._inits:
            init.kill()
            init.wait()

    def enter(self, number: int) -> List[str]:
        """What a command begins with that runs on a host."""
        return ["nsenter", "-t", str(self._inits[number - 1].pid), *_APART]

    def inside(self, number: int, *command: str) -> None:
        """Run a command on a host."""
        subprocess.run([*self.enter(number), *command], check=True)

    def start(self, line: str, number: int = 1) -> "subprocess.Popen[str]":
        """A line in a host's working folder; ``python`` and ``mpirun`` are those of the tests."""
        beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ssh = {"HYDRA_LAUNCHER": "ssh", "HYDRA_LAUNCHER_EXEC": f"{self.folder}/ssh"}
        # The command takes the shell's place: signals go to it.
        return subprocess.Popen(
            [*self.enter(number), "sh", "-c", f"cd {self.work} && exec {line}"],
            env=environment({"PATH": beside, **ssh}), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, line: str, code: Optional[int] = 0, timeout: float = 120) -> Any:
        """Run a line on the first host to its end."""
        process = self.start(line)
        out, err = process.communicate(timeout=timeout)
        assert code in (None, process.returncode), (process.returncode, out, err)
        return subprocess.CompletedProcess(line, process.returncode, out, err)

    def cable(self, state: str) -> None:
        """``down`` cuts it, ``up`` mends it."""
        self.inside(2, "ip", "link", "set", "wire", state)

    def trainings(self, number: int) -> List[int]:
        """The pids of the processes that train on a host."""
        own = os.stat(f"/proc/{self._inits[number - 1].pid}/ns/net").st_ino
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")
                is_here = os.stat(process / "ns" / "net").st_ino == own
                if is_here and b"mnist.train" in command and command[0].endswith(b"python"):
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    def wait_for(self, name: str, process: "subprocess.Popen[str]") -> None:
        """Wait until the first host has a checkpoint."""
        deadline = time.monotonic() + 120
        while not (self.folders[0] / "checkpoints" / name).exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
