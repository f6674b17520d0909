"""Part of speed.py: how a step's time grows with filters, batch and processes.

Measured where there are cores for it; for more processes a model of five terms is fitted to what
was measured, and said to be one.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from common import note, run_worker, spread, table

SECONDS = 0.5
# Filters, hidden layers, batch.
POINTS = [
    ([4, 4], [], 100),
    ([8, 8], [], 100),
    ([20, 20], [], 100),
    ([40, 40], [], 100),
    ([8, 20], [100], 100),
    ([20, 20], [], 20),
    ([20, 20], [], 50),
    ([20, 20], [], 200),
    ([20, 20], [], 400),
]
# The point that the model is asked about, and for how many processes.
ASKED, MORE = 2, (4, 8, 16)
# The kernels compute images in groups.
_GROUP = 8

Costs = np.ndarray
Ours = Callable[[int, float, List[Dict[str, Any]]], List[Any]]


class Measured(NamedTuple):
    """One point with so many processes: parameters, and milliseconds a step in every round."""

    point: Tuple[List[int], List[int], int]
    processes: int
    flops: int
    parameters: int
    milliseconds: List[float]

    @property
    def middle(self) -> float:
        return float(np.median(self.milliseconds))


class Growth(NamedTuple):
    """What was measured, and the seconds that each of ``TERMS`` takes a unit."""

    measured: List[Measured]
    costs: Costs


# --- measuring -------------------------------------------------------------------------


def measure(counts: Sequence[int], rounds: int, ours: Ours, flops: Callable[..., int]) -> Growth:
    """Every point with every number of processes, in turn; ``ours`` makes the command."""
    runs: Dict[int, List[List[Dict[str, Any]]]] = {count: [] for count in counts}
    for number in range(rounds):
        note(f"growth: round {number + 1} of {rounds}")
        for count in counts:
            command = ours(count, SECONDS, [as_run(*point) for point in POINTS])
            runs[count].append(run_worker(command)["runs"])
    measured = [
        Measured(
            point,
            count,
            flops(point[0], point[1]),
            of_rounds[0][index]["parameters"],
            [1000 * of[index]["wall"] / of[index]["steps"] for of in of_rounds],
        )
        for index, point in enumerate(POINTS)
        for count, of_rounds in runs.items()
    ]
    return Growth(measured, fit(measured))


def as_run(filters: List[int], hidden: List[int], batch: int) -> Dict[str, Any]:
    settings = [f"model.filters={filters}", f"model.hidden_sizes={hidden}"]
    return {
        "config": None, "settings": [*settings, f"data.batch_size={batch}"], "evaluate": False
    }  # fmt: skip


# --- the model -------------------------------------------------------------------------

TERMS = (
    ("compute, a GFLOP", "ms"),
    ("calls of Paddle and Python, a step", "ms"),
    ("optimizer, a million parameters", "ms"),
    ("exchange, a million parameters to each other process's share", "ms"),
    ("latency of the exchange, a doubling of processes", "ms"),
)


def terms(flops: int, parameters: int, batch: int, processes: int) -> List[float]:
    """How many units of each of ``TERMS`` a step takes.

    A ring's all-reduce sends 2 (n − 1) / n of all gradients through each process, and its
    latency grows as a tree's.
    """
    share = -(-batch // processes)
    computed = -(-share // _GROUP) * _GROUP
    millions = parameters / 1e6
    sent = 2 * (processes - 1) / processes
    return [computed * flops / 1e9, 1.0, millions, sent * millions, float(np.log2(processes))]


def fit(measured: Sequence[Measured]) -> Costs:
    """Milliseconds a unit, none negative, by least squares of relative deviations."""
    rows = np.array([terms(m.flops, m.parameters, m.point[2], m.processes) for m in measured])
    rows /= np.array([[m.middle] for m in measured])
    used = np.flatnonzero(rows.any(axis=0))
    while True:
        costs = np.zeros(rows.shape[1])
        costs[used] = np.linalg.lstsq(rows[:, used], np.ones(len(rows)), rcond=None)[0]
        if (costs >= 0).all():
            return costs
        used = np.delete(used, costs[used].argmin())


def predicted(costs: Costs, at: Measured, processes: Optional[int] = None) -> float:
    """Milliseconds a step, of the model."""
    units = terms(at.flops, at.parameters, at.point[2], processes or at.processes)
    return float(np.dot(units, costs))


# --- the tables ------------------------------------------------------------------------


def print_all(growth: Growth) -> None:
    print("\n### How a step's time grows\n")
    print("Steps of ours as they come (`device.kernels: auto`), milliseconds:\n")
    print_measured(growth)
    print_model(growth)


def print_measured(growth: Growth) -> None:
    counts = sorted({m.processes for m in growth.measured})
    rows = []
    for point in POINTS:
        filters, hidden, batch = point
        of = {m.processes: m for m in growth.measured if m.point is point}
        cells: List[str] = []
        for count in counts:
            cells += [spread(of[count].milliseconds), f"{predicted(growth.costs, of[count]):.2f}"]
        first = of[counts[0]]
        name = ", ".join(map(str, [*filters, *hidden]))
        rows.append([name, batch, f"{first.parameters:,}", f"{first.flops / 1e6:.1f}", *cells])
    headings = ["filters, units", "batch", "parameters", "MFLOP an image"]
    for count in counts:
        headings += [f"{count} process{'es' if count > 1 else ''}", "the model"]
    print(table(headings, rows))


def print_model(growth: Growth) -> None:
    off = [abs(predicted(growth.costs, m) / m.middle - 1) for m in growth.measured]
    print(
        f"\nThe model is {100 * np.median(off):.0f}% off in the median, {100 * max(off):.0f}% at"
        " most. It adds up:\n"
    )
    rows = [(name, f"{cost:.3g} {unit}") for (name, unit), cost in zip(TERMS, growth.costs)]
    print(table(["a step's part", "costs"], rows))
    counts = sorted({m.processes for m in growth.measured})
    if len(counts) < 2:
        return
    first = next(m for m in growth.measured if m.point is POINTS[ASKED])
    one = predicted(growth.costs, first, 1)
    rows = []
    for count in (*counts, *(more for more in MORE if more > counts[-1])):
        step = predicted(growth.costs, first, count)
        images = 1000 * first.point[2] / step
        rows.append((count, f"{step:.2f}", f"{images:,.0f}", f"{one / step:.2f} ×"))
    filters, _, batch = POINTS[ASKED]
    print(
        f"\nWhat the model expects of LeNet {tuple(filters)}, batch {batch}. More than"
        f" {counts[-1]} processes were **not measured**: each would need a core of its own, as fast"
        " as these with all others at work.\n"
    )
    print(table(["processes", "ms a step", "images/s", "against one"], rows, left=0))
