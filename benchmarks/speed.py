"""Whole training steps a second, ours against PyTorch and against Paddle as it comes.

    ./run python benchmarks/speed.py [--rounds 5] [--seconds 3] [--pytorch-python PATH]

The same LeNet in two widths, the same MNIST, batches of 100, Adam. In every round each way
trains for a few seconds in a process of its own, one after the other (A B C A B C), with nobody's
environment variables set for it:

- ours, the steps of ``mnist/train/loop.py`` themselves, in one process, and in one a core (MPI);
- PyTorch with every number of threads from one to the number of cores, its data ready in memory;
- Paddle 1.8.5 in the code of its course, with nothing set and nothing changed.

Without ``--pytorch-python`` PyTorch is installed into ``.venv.torch``, once.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Callable, Dict, List, Tuple

import pytorch_environment
from common import BENCHMARKS, cores, need_mnist, note, ratios, run_worker, spread, table

from mnist.train import launching

# Filters of the two convolutions, and units of the hidden layers.
MODELS: Dict[str, Tuple[List[int], List[int]]] = {
    "LeNet (20, 20)": ([20, 20], []),
    "LeNet (8, 20)–100": ([8, 20], [100]),
}
OURS, PADDLE = "ours, 1 process", "Paddle 1.8.5 as it comes"

Ways = Dict[str, Callable[[], Dict[str, Any]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each way in a round")
    pytorch_environment.add_option(parser)
    options = parser.parse_args()
    pytorch = pytorch_environment.find(options.pytorch_python)
    with tempfile.TemporaryDirectory() as folder:
        data = write_arrays(Path(folder) / "mnist.npz")
        ways = {
            name: ways_for(model, options.seconds, data, pytorch) for name, model in MODELS.items()
        }
        measured, peaks = measure(ways, gemm_ways(pytorch), options.rounds)
    print_peaks(peaks)
    peak = max(run["flops"] for runs in peaks.values() for run in runs)
    for name, model in MODELS.items():
        print_model(name, training_flops(*model) / peak, measured[name])
    print(
        f"\nMedians of {options.rounds} rounds of {options.seconds:g} s with minimum and maximum;"
        " ratios are taken within a round. CPU seconds are those of all threads and processes."
    )


# --- the ways --------------------------------------------------------------------------


def write_arrays(path: Path) -> Path:
    """MNIST's training images for workers that do not have our reader."""
    import numpy as np

    from mnist.data import dataset

    train = dataset.load(need_mnist()).train
    np.savez(path, train_images=train.images, train_labels=train.labels)
    return path


def ways_for(model: Tuple[List[int], List[int]], seconds: float, data: Path, pytorch: Path) -> Ways:
    filters, hidden = model
    settings = [f"model.filters={filters}", f"model.hidden_sizes={hidden}"]
    ours = [sys.executable, BENCHMARKS / "speed_ours.py", seconds, *settings]
    paddle = [sys.executable, BENCHMARKS / "speed_paddle.py", seconds, data, *filters, *hidden]
    commands: Dict[str, List[Any]] = {OURS: ours}
    if cores() > 1:
        launcher = [launching.find_launcher(), "-n", cores()]
        commands[f"ours, {cores()} processes"] = [*launcher, *ours]
    for threads in range(1, cores() + 1):
        worker = [pytorch, BENCHMARKS / "speed_pytorch.py", threads]
        commands[pytorch_way(threads)] = [*worker, seconds, data, *filters, *hidden]
    commands[PADDLE] = paddle
    return {name: partial(run_worker, command) for name, command in commands.items()}


def pytorch_way(threads: int) -> str:
    return f"PyTorch, {threads} thread{'s' if threads > 1 else ''}"


def gemm_ways(pytorch: Path) -> Ways:
    ours = [sys.executable, BENCHMARKS / "speed_ours.py", "--gemm"]
    theirs = [pytorch, BENCHMARKS / "speed_pytorch.py", cores(), "--gemm"]
    return {
        "Paddle 1.8.5, 1 thread": partial(run_worker, ours),
        pytorch_way(cores()): partial(run_worker, theirs),
    }


def measure(models: Dict[str, Ways], gemms: Ways, rounds: int) -> Any:
    """What every way gave in every round, of the models and of the matrix products."""
    measured: Any = {name: {way: [] for way in ways} for name, ways in models.items()}
    peaks: Any = {name: [] for name in gemms}
    for number in range(rounds):
        note(f"round {number + 1} of {rounds}")
        for name, ways in models.items():
            for way, call in ways.items():
                measured[name][way].append(call())
        for name, call in gemms.items():
            peaks[name].append(call())
    return measured, peaks


def training_flops(filters: List[int], hidden: List[int]) -> int:
    """Floating-point operations of one image's training step in convolutions and layers.

    Forward, the weights' gradient and the input's gradient are two for every weight and place
    each; the images themselves need no gradient.
    """
    first, second = filters
    sizes = [second * 7 * 7, *hidden, 10]
    convolutions = [28 * 28 * 25 * first, 14 * 14 * 25 * first * second]
    layers = [before * after for before, after in zip(sizes, sizes[1:])]
    return 2 * (3 * (sum(convolutions) + sum(layers)) - convolutions[0])


# --- the tables ------------------------------------------------------------------------


def print_peaks(peaks: Dict[str, List[Dict[str, Any]]]) -> None:
    rows = [
        (name, spread([run["flops"] / 1e9 for run in runs], "{:.0f}"))
        for name, runs in peaks.items()
    ]
    version = next(run["version"] for runs in peaks.values() for run in runs if "version" in run)
    print(f"The machine's peak, of large float32 matrix products (PyTorch {version}):\n")
    print(table(["library", "GFLOP/s"], rows))


def print_model(
    name: str, peak_share_of_an_image: float, measured: Dict[str, List[Dict[str, Any]]]
) -> None:
    speeds = {way: [run["images"] / run["wall"] for run in runs] for way, runs in measured.items()}
    one = pytorch_way(1)
    best = max(
        (way for way in speeds if way.startswith("PyTorch")), key=lambda way: median(speeds[way])
    )
    rows = [
        (
            way,
            spread(images, "{:,.0f}"),
            spread(ratios(images, speeds[one])) + " ×",
            spread(ratios(images, speeds[best])) + " ×",
            spread([1000 * run["cpu"] / run["images"] for run in measured[way]]),
            f"{100 * median(images) * peak_share_of_an_image:.0f}%",
        )
        for way, images in speeds.items()
    ]
    print(f"\n### {name}\n")
    threads = best.partition(", ")[2]
    headings = ["way", "images/s", "against PyTorch, 1 thread"]
    headings += [f"against PyTorch at its best ({threads})", "CPU s per 1,000 images"]
    print(table([*headings, "of the peak"], rows))


if __name__ == "__main__":
    main()
