"""From typing the command to a saved checkpoint of 99 %: seconds, over seeds.

    ./run python benchmarks/time_to_99.py [--seeds 20] [--first-seed 101] [--skip-pytorch]
        [--pytorch-python PATH]
    ./run python benchmarks/time_to_99.py --timeline

Each seed is a cold ``python -m mnist.train --config configs/fast.yaml``, with the kernels and
without them in turn; the data set's cache is there already. None of these seeds was used in
choosing the config. The seconds are those of the whole command, with Paddle's import, the
evaluation on valid that chooses the model, its checkpoint, and the evaluation on eval. Beside it,
on all 60,000 images, an epoch of pytorch/examples (``mnist/main.py``) and of
tuomaso/train_mnist_fast. Writes docs/images/time-to-99.png.

``--timeline``: instead, where the seconds of one command go (``timeline.py``).
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, Tuple

import other_frameworks
import timeline
from common import BENCHMARKS, IMAGES, need_mnist, note, run_worker, spread, table
from other_frameworks import PYTORCH
from pictures import COLOURS, figure, save
from trainings import Training

from mnist import kernels
from mnist.data import dataset

LIMIT_ACCURACY = 0.99
LIMIT_SECONDS = {"c": 5.0, "fluid": 9.5}
HOW = {"c": "with the kernels", "fluid": "without them"}
# What others train, how it is called, and with how many seeds.
OTHERS = {"examples": ("pytorch/examples", 1), "fast": ("tuomaso/train_mnist_fast", 5)}

Runs = Dict[str, List[Dict[str, Any]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/fast.yaml", metavar="FILE")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=101)
    parser.add_argument("--timeline", action="store_true", help="where the seconds go")
    parser.add_argument("--skip-pytorch", action="store_true", help="only ours")
    parser.add_argument("--points", type=int, default=6, help="PyTorch's evaluations")
    parser.add_argument("--steps", type=int, default=0, help="PyTorch's steps; 0 is an epoch")
    parser.add_argument("--picture", type=Path, default=IMAGES / "time-to-99.png", metavar="FILE")
    other_frameworks.add_option(parser, PYTORCH)
    options = parser.parse_args()
    data = dataset.load(need_mnist())  # makes the cache
    if options.timeline:
        timeline.print_all(options.config)
        return
    runs = train_ours(options)
    others = {} if options.skip_pytorch else train_others(data, options)
    for engine, of_engine in runs.items():
        print_table(options.config, engine, of_engine)
    for name, found in others.items():
        print_other(OTHERS[name][0], found, runs)
    draw(runs, others, options.picture)
    print(f"\n![Accuracy against seconds](images/{options.picture.name})")
    print(f"\nWhere the seconds of one command go, {HOW[next(iter(runs))]}:\n")
    timeline.print_all(options.config)


def train_ours(options: argparse.Namespace) -> Runs:
    """Every seed with every engine that there is here."""
    engines = [engine for engine in LIMIT_SECONDS if engine == "fluid" or kernels.load()]
    runs: Runs = {engine: [] for engine in engines}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        note(f"seed {seed}")
        for engine in engines:
            runs[engine].append(one_run(options.config, engine, seed))
    return runs


def one_run(config: str, engine: str, seed: int) -> Dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        training = Training(config, (f"device.kernels={engine}",), seed)
        result, seconds = training.run(Path(folder))
        saved = saved_after(Path(folder) / "checkpoints", started)
    best = result["best"]
    return {
        "seed": seed,
        "seconds": seconds,
        "saved": saved[best["epoch"]],
        "valid": best["valid_accuracy"],
        "eval": result["eval"]["accuracy"],
        "parameters": result["parameters"],
    }


def saved_after(checkpoints: Path, started: float) -> Dict[int, float]:
    """When each epoch's checkpoint was written, in seconds after the start."""
    return {
        int(path.name[len("epoch") :]): (path / "state.json").stat().st_mtime - started
        for path in checkpoints.glob("epoch*")
    }


def train_others(data: dataset.Dataset, options: argparse.Namespace) -> Runs:
    """What others train, on train and valid together as they do."""
    import numpy as np

    python = other_frameworks.find(PYTORCH, options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mnist.npz"
        np.savez(
            path,
            train_images=np.concatenate([data.train.images, data.valid.images]),
            train_labels=np.concatenate([data.train.labels, data.valid.labels]),
            eval_images=data.eval.images,
            eval_labels=data.eval.labels,
        )
        runs: Runs = {}
        for recipe, (name, seeds) in OTHERS.items():
            note(name)
            worker = [python, BENCHMARKS / "pytorch_recipes.py", recipe, path, options.points]
            runs[recipe] = [
                run_worker([*worker, options.steps, seed]) for seed in range(1, seeds + 1)
            ]
        return runs


# --- what comes out --------------------------------------------------------------------


def limits_of(engine: str) -> str:
    return f"≥ {100 * LIMIT_ACCURACY:.1f} % in ≤ {LIMIT_SECONDS[engine]:g} s"


def print_table(config: str, engine: str, runs: List[Dict[str, Any]]) -> None:
    rows = [
        (
            run["seed"],
            f"{run['seconds']:.2f}",
            f"{run['saved']:.2f}",
            f"{100 * run['valid']:.2f}",
            f"{100 * run['eval']:.2f}",
            "yes" if reached(run, engine) else "no",
        )
        for run in runs
    ]
    parameters = f"{runs[0]['parameters']:,} parameters"
    print(f"\n`python -m mnist.train --config {config}`, {parameters}, {HOW[engine]}:\n")
    headings = ["seed", "whole command, s", "checkpoint saved after, s", "valid, %", "eval, %"]
    print(table([*headings, limits_of(engine)], rows))
    print(
        f"\n{sum(reached(run, engine) for run in runs)} of {len(runs)} seeds reach"
        f" {limits_of(engine)}, the whole command. It takes"
        f" {spread([run['seconds'] for run in runs])} s, its checkpoint is there after"
        f" {spread([run['saved'] for run in runs])} s, and eval is"
        f" {spread([100 * run['eval'] for run in runs])} %: medians with minimum and maximum."
    )


def reached(run: Dict[str, Any], engine: str) -> bool:
    return bool(run["eval"] >= LIMIT_ACCURACY and run["seconds"] <= LIMIT_SECONDS[engine])


def print_other(name: str, found: List[Dict[str, Any]], runs: Runs) -> None:
    engine, of_ours = next(iter(runs.items()))
    ours = median(run["seconds"] for run in of_ours)
    ends = [run["points"][-1] for run in found]
    seconds = median(end[0] for end in ends)
    enough = sum(end[1] >= LIMIT_ACCURACY for end in ends)
    one = found[0]
    seeds = f"{len(found)} seeds" if len(found) > 1 else "one seed"
    times = spread([end[0] for end in ends], "{:.1f}")
    ready = median(run["ready"] for run in found)
    print(
        f"\n{name}, on the same cores ({one['parameters']:,} parameters, PyTorch {one['version']},"
        f" {one['threads']} threads, {seeds}): after {one['images']:,} images and {times} s"
        f" ({seconds / ours:.1f} × ours {HOW[engine]}) it has"
        f" {spread([100 * end[1] for end in ends])} % on eval; {enough} of {len(found)} have"
        f" {100 * LIMIT_ACCURACY:.0f} %. {ready:.1f} s of it are start, import and data. Its"
        " evaluations and a checkpoint are not in its seconds; ours are."
    )


def draw(runs: Runs, others: Runs, path: Path) -> None:
    picture, axes = figure()
    for (engine, of_engine), colour in zip(runs.items(), (COLOURS[2], COLOURS[0])):
        points = [(run["seconds"], 100 * run["eval"]) for run in of_engine]
        axes.plot(*zip(*points), "D", color=colour, label=f"ours, {HOW[engine]}, at the end")
        axes.axvline(LIMIT_SECONDS[engine], color=colour, linewidth=1, linestyle="--")
    for (recipe, found), colour in zip(others.items(), (COLOURS[1], COLOURS[3])):
        draw_other(axes, OTHERS[recipe][0], found, colour)
    axes.axhline(100 * LIMIT_ACCURACY, color="#999999", linewidth=1, linestyle="--")
    axes.set(xlabel="seconds since the command was typed", ylabel="accuracy on eval, %")
    axes.set(xlim=(0, None), ylim=(96, 99.6))
    picture.legend(loc="outside lower center", ncols=2)
    save(picture, path)


def draw_other(axes: Any, name: str, found: List[Dict[str, Any]], colour: str) -> None:
    for run in found:
        points: List[Tuple[float, float]] = [(at, 100 * value) for at, value in run["points"]]
        label = name if run is found[0] else None
        axes.plot(*zip(*points), "s-", color=colour, alpha=0.7, linewidth=1, label=label)


if __name__ == "__main__":
    main()
