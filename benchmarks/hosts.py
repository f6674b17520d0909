"""What a step costs on two hosts over slower and slower networks, and a forecast for more.

    ./run python benchmarks/hosts.py

The hosts are namespaces of this machine (tests/material/hosts.py; root and iproute2), one process
on each. Latency and speed are ``tc netem``'s where the kernel has it, else benchmarks/relay.py's,
which takes some of the processors' time itself. A model is fitted to what was measured; what it
says of more hosts is a forecast, and marked as one.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import numpy as np
from common import BENCHMARKS, ROOT, machine, need_mnist, note, spread, table

sys.path += [str(ROOT), str(ROOT / "tests")]

from tests.material import hosts as material
from tests.material.hosts import Hosts

# One-way latency in milliseconds, and Mbit/s.
NETWORKS = [(0.1, 1000), (1.0, 1000), (10.0, 1000), (0.1, 100), (1.0, 100)]
MODELS = {
    "lenet (20, 20), batch 100": ["model.name=lenet", "model.filters=[20,20]"],
    "best's convnet, batch 100": ["model.name=convnet"],
}
MORE = (2, 4, 8, 16, 32, 64)
FORECAST_FOR = [(0.1, 1000), (1.0, 1000)]


class Fit(NamedTuple):
    """Milliseconds a step takes of n hosts: see ``time``."""

    compute: float
    parameters: int
    fixed: float
    per_latency: float
    per_byte: float

    def overhead(self, hosts: int, latency: float, mbit: float) -> float:
        """What the exchange takes: MPI's reduce-scatter and all-gather, log2(n) rounds of each."""
        sent = 2 * (hosts - 1) / hosts * 4 * self.parameters
        rounds = 2 * math.log2(hosts)
        return (
            self.fixed + self.per_latency * latency * rounds
            + self.per_byte * sent * 8 / (mbit * 1e3)
        )  # fmt: skip

    def time(self, hosts: int, latency: float, mbit: float) -> float:
        return self.compute / hosts + self.overhead(hosts, latency, mbit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of steps, each time")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if material.missing():
        sys.exit(f"error: {material.missing()}")
    need_mnist()
    print(f"{machine()}; {options.rounds} rounds, each network in turn.\n")
    for name, settings in MODELS.items():
        alone, measured = measure(settings, options.seconds, options.rounds)
        found = fit(alone, measured)
        print(report(name, alone, measured, found), flush=True)


def measure(
    settings: List[str], seconds: float, rounds: int
) -> Tuple[List[Dict[str, Any]], Dict[Tuple[float, float], List[float]]]:
    """Steps of one process, and milliseconds a step of two hosts by network."""
    alone: List[Dict[str, Any]] = []
    measured: Dict[Tuple[float, float], List[float]] = {network: [] for network in NETWORKS}
    for number in range(rounds):
        note(f"round {number + 1} of {rounds}")
        with tempfile.TemporaryDirectory() as folder, Hosts(Path(folder) / "hosts") as both:
            alone.append(steps(both, "", settings, seconds))
            for network, times in measured.items():
                with slowed(both, *network):
                    done = steps(both, "mpirun -hosts host1,host2 -n 2 ", settings, seconds)
                times.append(1e3 * done["wall"] / done["steps"])
    return alone, measured


def steps(both: Hosts, launcher: str, settings: List[str], seconds: float) -> Dict[str, Any]:
    run = json.dumps({"config": None, "settings": settings, "evaluate": False})
    done = both.run(f"{launcher}python {BENCHMARKS / 'speed_ours.py'} {seconds} '{run}'")
    return dict(json.loads(done.stdout.splitlines()[-1])["runs"][0])


@contextmanager
def slowed(both: Hosts, latency: float, mbit: float) -> Iterator[None]:
    """Give the cable a latency and a speed."""
    pids = [(both.folder / f"pid-{name}").read_text().strip() for name in material.NAMES]
    netem = ["qdisc", "add", "dev", "wire", "root", "netem", "limit", "100000"]
    netem += ["delay", f"{latency}ms", "rate", f"{mbit}mbit"]
    enter = [["nsenter", "-t", pid, "-n"] for pid in pids]
    if not any(subprocess.run([*e, "tc", *netem], capture_output=True).returncode for e in enter):
        try:
            yield
        finally:
            for each in enter:
                subprocess.run([*each, "tc", "qdisc", "del", "dev", "wire", "root"], check=True)
        return
    command = [sys.executable, str(BENCHMARKS / "relay.py"), *pids, str(latency), str(mbit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        try:
            assert relay.stdout is not None and relay.stdout.readline() == "ready\n"
            _use(enter, "wire", "slow")
            yield
        finally:
            relay.kill()
            _use(enter, "slow", "wire")


def _use(enter: List[List[str]], former: str, device: str) -> None:
    """Have the hosts' addresses on another device; a tun vanishes with its relay."""
    for number, each in enumerate(enter, 1):
        subprocess.run([*each, "ip", "link", "set", former, "down"], capture_output=True)
        subprocess.run([*each, "ip", "link", "set", device, "up"], check=True)
        address = f"10.77.0.{number}/24"
        subprocess.run([*each, "ip", "addr", "flush", "dev", former], capture_output=True)
        subprocess.run([*each, "ip", "addr", "replace", address, "dev", device], check=True)


def fit(alone: List[Dict[str, Any]], measured: Dict[Tuple[float, float], List[float]]) -> Fit:
    """Least squares over the networks, none of the three costs below nothing."""
    compute = median(1e3 * run["wall"] / run["steps"] for run in alone)
    parameters = alone[0]["parameters"]
    shape = Fit(0.0, parameters, 0.0, 1.0, 1.0)
    rows = []
    for latency, mbit in measured:
        per_latency = shape._replace(per_byte=0.0).overhead(2, latency, mbit)
        rows.append([1.0, per_latency, shape._replace(per_latency=0.0).overhead(2, latency, mbit)])
    times = np.array([median(values) for values in measured.values()]) - compute / 2
    from scipy.optimize import nnls

    # Relative to what was measured, or else the slowest network alone would decide.
    scale = 1 / (times + compute / 2)
    fixed, latency, byte = nnls(np.array(rows) * scale[:, None], times * scale)[0]
    return Fit(compute, parameters, fixed, latency, byte)


def report(
    name: str,
    alone: List[Dict[str, Any]],
    measured: Dict[Tuple[float, float], List[float]],
    found: Fit,
) -> str:
    one = [1e3 * run["wall"] / run["steps"] for run in alone]
    rows = [
        [f"{latency:g} ms, {mbit:,} Mbit/s", spread(times), f"{found.time(2, latency, mbit):.2f}",
         f"{median(one) / median(times):.2f} ×", _pays_from(found, latency, mbit)]
        for (latency, mbit), times in measured.items()
    ]  # fmt: skip
    headings = [
        "network",
        "ms a step on 2 hosts",
        "the model",
        "speed of 1 host",
        "pays from batch",
    ]
    later = [
        [f"{latency:g} ms, {mbit:,} Mbit/s"]
        + [f"{found.compute / found.time(n, latency, mbit):.2f} ×" for n in MORE]
        for latency, mbit in FORECAST_FOR
    ]
    return "\n".join(
        [
            f"**{name}** ({found.parameters:,} parameters): one host: {spread(one)} ms a step.\n",
            table(headings, rows),
            f"\nThe model: {found.compute:.2f} / n + {found.fixed:.2f} + {found.per_latency:.2f} ·"
            f" latency · 2 log2(n) + {found.per_byte:.2f} · bytes / speed. **Forecast**, never"
            " measured, of the speed of n hosts over that of one, at the same batch:\n",
            table(["network", *map(str, MORE)], later),
            "",
        ]
    )


def _pays_from(found: Fit, latency: float, mbit: float) -> str:
    """The batch from which on two hosts are quicker than one: twice the overhead of computing."""
    return f"{100 * 2 * found.overhead(2, latency, mbit) / found.compute:,.0f}"


if __name__ == "__main__":
    main()
