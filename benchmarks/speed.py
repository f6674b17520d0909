"""Whole training steps a second, ours against PyTorch, JAX and Paddle as it comes.

    ./run python benchmarks/speed.py [--rounds 5] [--seconds 1.5]
        [--pytorch-python PATH] [--jax-python PATH]

The same LeNet in two widths, the same MNIST, batches of 100, Adam. In every round each way
trains for a few seconds in a process of its own, one after the other (A B C A B C), with nobody's
environment variables set for it:

- ours, the steps of ``mnist/train/loop.py`` themselves, with the kernels in C and with Paddle's
  operators alone, in one process and in one a core (MPI);
- PyTorch and JAX on one core and on all, their data ready in memory;
- Paddle 1.8.5 in the code of its course, with nothing set and nothing changed.

Then ``configs/fast.yaml``'s steps, and how a step's time grows with filters, batch and processes
(``speed_growth.py``). Without ``--pytorch-python`` and ``--jax-python`` both are installed, once,
into ``.venv.torch`` and ``.venv.jax``.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence

import other_frameworks
import speed_growth
from common import BENCHMARKS, cores, need_mnist, note, ratios, run_worker, spread, table
from other_frameworks import JAX, PYTORCH

from mnist import kernels
from mnist.train import start

FAST = "configs/fast.yaml"
PADDLE = "Paddle 1.8.5 as it comes"
ONE_THREAD = "PyTorch, 1 core"
# A step's multiplications and additions, forward, for the weights' and for the input's gradient.
_PASSES = 3


class Way(NamedTuple):
    """A process to measure, and how many cores it computes on."""

    command: List[Any]
    cores: int


class Net(NamedTuple):
    """What is trained: who can train it, and its operations for an image's step."""

    ways: Dict[str, Way]
    flops: int


Runs = Dict[str, List[Dict[str, Any]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each way in a round")
    other_frameworks.add_option(parser, PYTORCH)
    other_frameworks.add_option(parser, JAX)
    options = parser.parse_args()
    pythons = {
        framework.name: other_frameworks.find(framework, options) for framework in (PYTORCH, JAX)
    }
    with tempfile.TemporaryDirectory() as folder:
        data = write_arrays(Path(folder) / "mnist.npz")
        nets = nets_for(options.seconds, data, pythons)
        gemms = gemm_ways(pythons)
        measured, products = measure(nets, gemms, options.rounds)
    growth = speed_growth.measure(counts(), options.rounds, ours, lenet_flops)
    peaks = peaks_of(products, gemms)
    print_peaks(products, gemms)
    for name, net in nets.items():
        print_net(name, net, measured[name], peaks)
    print(
        f"\nMedians of {options.rounds} rounds of {options.seconds:g} s with minimum and maximum;"
        " ratios are taken within a round. CPU seconds are those of all threads and processes."
        " The peak is that of the cores that a way computes on, of the quickest library in that"
        " round."
    )
    speed_growth.print_all(growth)


# --- the ways --------------------------------------------------------------------------


def write_arrays(path: Path) -> Path:
    """MNIST's training images for workers that do not have our reader."""
    import numpy as np

    from mnist.data import dataset

    train = dataset.load(need_mnist()).train
    np.savez(path, train_images=train.images, train_labels=train.labels)
    return path


def counts() -> List[int]:
    """One core, and all of them."""
    return sorted({1, cores()})


def counted(count: int, unit: str) -> str:
    plural = "es" if unit.endswith("s") else "s"
    return f"{count} {unit}{plural if count > 1 else ''}"


def engines() -> List[str]:
    """Values of ``device.kernels`` that can be measured here."""
    if kernels.load() is not None:
        return ["c", "fluid"]
    note(f"no kernels here ({kernels.BUILD} says why): only Paddle's operators")
    return ["fluid"]


def nets_for(seconds: float, data: Path, pythons: Dict[str, Path]) -> Dict[str, Net]:
    """The two LeNets, in all frameworks, and the network of ``configs/fast.yaml``, in ours."""
    lenets = {"LeNet (20, 20)": ([20, 20], []), "LeNet (8, 20)–100": ([8, 20], [100])}
    nets = {
        name: Net(
            {
                **our_ways(seconds, None, [f"model.filters={f}", f"model.hidden_sizes={h}"]),
                **their_ways([seconds, data, *f, *h], pythons),
                PADDLE: Way(
                    [sys.executable, BENCHMARKS / "speed_paddle.py", seconds, data, *f, *h], 1
                ),
            },
            lenet_flops(f, h),
        )
        for name, (f, h) in lenets.items()
    }
    # More epochs than its own, or its rate would have fallen to nothing before the time is up.
    nets[f"`{FAST}`"] = Net(our_ways(seconds, FAST, ["train.epochs=100"]), fast_flops())
    return nets


def our_ways(seconds: float, config: Optional[str], settings: List[str]) -> Dict[str, Way]:
    ways = {}
    for engine in engines():
        how = "kernels in C" if engine == "c" else "Paddle's operators"
        for count in counts():
            wanted = {
                "config": config,
                "settings": [*settings, f"device.kernels={engine}"],
                "evaluate": True,
            }
            name = f"ours, {how}, {counted(count, 'process')}"
            ways[name] = Way(ours(count, seconds, [wanted]), count)
    return ways


def ours(count: int, seconds: float, runs: Iterable[Dict[str, Any]]) -> List[Any]:
    """The command that takes the steps of ``runs`` in so many processes."""
    launcher = [start.find_launcher(), "-n", count] if count > 1 else []
    worker = [sys.executable, BENCHMARKS / "speed_ours.py", seconds]
    return [*launcher, *worker, *map(json.dumps, runs)]


def their_ways(arguments: Sequence[Any], pythons: Dict[str, Path]) -> Dict[str, Way]:
    """PyTorch and JAX, on one core and on all."""
    return {
        f"{name}, {counted(count, 'core')}": Way(
            [python, BENCHMARKS / f"speed_{name.lower()}.py", count, *arguments], count
        )
        for name, python in pythons.items()
        for count in counts()
    }


def gemm_ways(pythons: Dict[str, Path]) -> Dict[str, Way]:
    paddle = [sys.executable, BENCHMARKS / "speed_ours.py", "--gemm"]
    return {"Paddle 1.8.5, 1 core": Way(paddle, 1), **their_ways(["--gemm"], pythons)}


def measure(nets: Dict[str, Net], gemms: Dict[str, Way], rounds: int) -> Any:
    """What every way gave in every round, of the networks and of the matrix products."""
    measured: Any = {name: {way: [] for way in net.ways} for name, net in nets.items()}
    products: Runs = {name: [] for name in gemms}
    for number in range(rounds):
        note(f"round {number + 1} of {rounds}")
        for name, way in gemms.items():
            products[name].append(run_worker(way.command))
        for name, net in nets.items():
            for title, way in net.ways.items():
                done = run_worker(way.command)
                measured[name][title].append(done["runs"][0] if "runs" in done else done)
    return measured, products


# --- operations ------------------------------------------------------------------------


def training_flops(convolutions: Sequence[int], layers: Sequence[int]) -> int:
    """Operations of one image's training step, from its multiplications forward.

    The weights' gradient and the input's gradient take as many again; the images themselves,
    the first convolution's input, need no gradient.
    """
    return 2 * (_PASSES * (sum(convolutions) + sum(layers)) - convolutions[0])


def lenet_flops(filters: Sequence[int], hidden: Sequence[int]) -> int:
    first, second = filters
    sizes = [second * 7 * 7, *hidden, 10]
    convolutions = [28 * 28 * 25 * first, 14 * 14 * 25 * first * second]
    return training_flops(convolutions, [a * b for a, b in zip(sizes, sizes[1:])])


def fast_flops() -> int:
    """Of the ``convnet`` in ``configs/fast.yaml``, whose maps are 24, 12, 10, 5 and 3 wide."""
    from mnist import config as configs

    filters = configs.load(Path(FAST)).model.filters
    pairs = zip([1, *filters], filters)
    windows = [24 * 24 * 25, 12 * 12 * 9, 10 * 10 * 9, 5 * 5 * 9, 3 * 3 * 9]
    convolutions = [window * a * b for window, (a, b) in zip(windows, pairs)]
    return training_flops(convolutions, [filters[-1] * 3 * 3 * 10])


# --- the tables ------------------------------------------------------------------------


def peaks_of(products: Runs, gemms: Dict[str, Way]) -> Dict[int, List[float]]:
    """By number of cores, the quickest library's operations a second in every round."""
    return {
        count: [
            max(run["flops"] for run in together)
            for together in zip(*(products[n] for n, way in gemms.items() if way.cores == count))
        ]
        for count in counts()
    }


def print_peaks(products: Runs, gemms: Dict[str, Way]) -> None:
    rows = [
        (name, runs[0].get("version", "1.8.5"), spread([r["flops"] / 1e9 for r in runs], "{:.0f}"))
        for name, runs in products.items()
    ]
    print("The machine's peak, of float32 matrix products of 2,048 × 2,048:\n")
    print(table(["library", "version", "GFLOP/s"], rows, left=2))


def print_net(name: str, net: Net, measured: Runs, peaks: Dict[int, List[float]]) -> None:
    speeds = {way: [run["images"] / run["wall"] for run in runs] for way, runs in measured.items()}
    bases = bases_of(speeds)
    rows = [
        [
            way,
            spread(images, "{:,.0f}"),
            *(spread(ratios(images, speeds[base])) + " ×" for base in bases.values()),
            spread([1000 * run["cpu"] / run["images"] for run in measured[way]]),
            spread(shares(images, net.flops, peaks[net.ways[way].cores]), "{:.0f}") + "%",
            evaluating(measured[way], images),
        ]
        for way, images in speeds.items()
    ]
    print(f"\n### {name}\n")
    headings = ["way", "images/s", *bases, "CPU s per 1,000 images", "of its cores' peak"]
    print(table([*headings, "evaluating, images/s"], rows))


def bases_of(speeds: Dict[str, List[float]]) -> Dict[str, str]:
    """By heading, the ways that all others are divided by."""
    if ONE_THREAD not in speeds:
        first = next(way for way in speeds if way.endswith("operators, 1 process"))
        return {"against Paddle's operators in 1 process": first}
    pytorch = best(speeds, [way for way in speeds if way.startswith("PyTorch")])
    either = best(speeds, [way for way in speeds if way.startswith(("PyTorch", "JAX"))])
    single = best(speeds, [way for way in speeds if way in (ONE_THREAD, "JAX, 1 core")])
    return {
        f"against {ONE_THREAD}": ONE_THREAD,
        f"against PyTorch at its best ({pytorch.partition(', ')[2]})": pytorch,
        f"against the best on one core ({single.partition(', ')[0]})": single,
        f"against the best of both ({either})": either,
    }


def best(speeds: Dict[str, List[float]], ways: Sequence[str]) -> str:
    return max(ways, key=lambda way: median(speeds[way]))


def shares(images: Sequence[float], flops: int, peaks: Sequence[float]) -> List[float]:
    """Per cent of the peak of the same round."""
    return [100 * speed * flops / peak for speed, peak in zip(images, peaks)]


def evaluating(runs: List[Dict[str, Any]], images: Sequence[float]) -> str:
    """Images a second in evaluation, and how often training's rate that is."""
    if "evaluated" not in runs[0]:
        return ""
    rates = [run["evaluated"] for run in runs]
    return f"{spread(rates, '{:,.0f}')}: {spread(ratios(rates, images), '{:.1f}')} × training"


if __name__ == "__main__":
    main()
