"""From typing the command to a saved checkpoint of 99 %: seconds, over seeds.

    ./run python benchmarks/time_to_99.py [--seeds 10] [--skip-pytorch] [--pytorch-python PATH]

Each seed is a cold ``python -m mnist.train --config configs/fast.yaml``; the data set's cache is
there already. The seconds are those of the whole command, with Paddle's import, the evaluation on
valid that chooses the model, its checkpoint, and the evaluation on eval. Beside it, the network
of pytorch/examples (``mnist/main.py``) for an epoch on all 60,000 images. Writes
docs/images/time-to-99.png.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, Optional

import pytorch_environment
from common import BENCHMARKS, IMAGES, need_mnist, note, run_worker, spread, table
from pictures import COLOURS, figure, save
from trainings import Training

from mnist.data import dataset

LIMIT_SECONDS, LIMIT_ACCURACY = 20.0, 0.99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/fast.yaml", metavar="FILE")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--skip-pytorch", action="store_true", help="only ours")
    parser.add_argument("--every", type=int, default=200, help="PyTorch's steps to an evaluation")
    parser.add_argument("--steps", type=int, default=0, help="PyTorch's steps; 0 is an epoch")
    parser.add_argument("--picture", type=Path, default=IMAGES / "time-to-99.png", metavar="FILE")
    pytorch_environment.add_option(parser)
    options = parser.parse_args()
    data = dataset.load(need_mnist())  # makes the cache
    runs = [one_run(options.config, seed, options.seeds) for seed in range(1, options.seeds + 1)]
    example = None if options.skip_pytorch else train_example(data, options)
    print_table(options.config, runs)
    print_example(example, runs)
    draw(runs, example, options)
    print(f"\n![Accuracy against seconds](images/{options.picture.name})")


def one_run(config: str, seed: int, seeds: int) -> Dict[str, Any]:
    note(f"seed {seed} of {seeds}")
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        result, seconds = Training(config, (), seed).run(Path(folder))
        saved = saved_after(Path(folder) / "checkpoints", started)
    best = result["best"]
    return {
        "seed": seed,
        "seconds": seconds,
        "saved": saved[best["epoch"]],
        "valid": best["valid_accuracy"],
        "eval": result["eval"]["accuracy"],
        "parameters": result["parameters"],
        "curve": [
            (saved[record["epoch"]], record["valid_accuracy"])
            for record in result["history"]
            if record["epoch"] in saved
        ],
    }


def saved_after(checkpoints: Path, started: float) -> Dict[int, float]:
    """When each epoch's checkpoint was written, in seconds after the start."""
    return {
        int(path.name[len("epoch") :]): (path / "state.json").stat().st_mtime - started
        for path in checkpoints.glob("epoch*")
    }


def train_example(data: dataset.Dataset, options: argparse.Namespace) -> Dict[str, Any]:
    """The network of pytorch/examples, on train and valid together as there."""
    import numpy as np

    python = pytorch_environment.find(options.pytorch_python)
    note("pytorch/examples")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mnist.npz"
        np.savez(
            path,
            train_images=np.concatenate([data.train.images, data.valid.images]),
            train_labels=np.concatenate([data.train.labels, data.valid.labels]),
            eval_images=data.eval.images,
            eval_labels=data.eval.labels,
        )
        worker = BENCHMARKS / "pytorch_example.py"
        return run_worker([python, worker, path, options.every, options.steps, 1])


# --- what comes out --------------------------------------------------------------------


def print_table(config: str, runs: List[Dict[str, Any]]) -> None:
    rows = [
        (
            run["seed"],
            f"{run['seconds']:.1f}",
            f"{run['saved']:.1f}",
            f"{100 * run['valid']:.2f}",
            f"{100 * run['eval']:.2f}",
            "yes" if reached(run) else "no",
        )
        for run in runs
    ]
    print(f"`python -m mnist.train --config {config}`, {runs[0]['parameters']:,} parameters:\n")
    headings = ["seed", "whole command, s", "checkpoint saved after, s", "valid, %", "eval, %"]
    limits = f"≥ {100 * LIMIT_ACCURACY:.1f} % in ≤ {LIMIT_SECONDS:g} s"
    print(table([*headings, limits], rows))
    print(
        f"\n{sum(map(reached, runs))} of {len(runs)} seeds reach {limits}; the whole command takes"
        f" {spread([run['seconds'] for run in runs], '{:.1f}')} s, eval is"
        f" {spread([100 * run['eval'] for run in runs])} %: medians with minimum and maximum."
    )


def reached(run: Dict[str, Any]) -> bool:
    return bool(run["eval"] >= LIMIT_ACCURACY and run["seconds"] <= LIMIT_SECONDS)


def print_example(example: Optional[Dict[str, Any]], runs: List[Dict[str, Any]]) -> None:
    if example is None:
        return
    seconds, last = example["points"][-1]
    first = next((at for at, value in example["points"] if value >= LIMIT_ACCURACY), None)
    when = "does not reach 99 %" if first is None else f"first has 99 % after {first:.0f} s"
    ours = median(run["seconds"] for run in runs)
    print(
        f"\nOn the same machine the network of pytorch/examples ({example['parameters']:,}"
        f" parameters, PyTorch {example['version']}, {example['threads']} threads) {when};"
        f" after {example['images']:,} images and {seconds:.0f} s ({seconds / ours:.1f} × ours) it"
        f" has {100 * last:.2f} % on eval. Its evaluations are not in its seconds; ours are."
    )


def draw(
    runs: List[Dict[str, Any]], example: Optional[Dict[str, Any]], options: argparse.Namespace
) -> None:
    picture, axes = figure()
    for run in runs:
        label = "ours, on valid after each epoch" if run is runs[0] else None
        seconds, values = zip(*run["curve"])
        shown = [100 * value for value in values]
        axes.plot(seconds, shown, "o-", color=COLOURS[0], alpha=0.5, linewidth=1, label=label)
    axes.plot(
        [run["seconds"] for run in runs], [100 * run["eval"] for run in runs], "D",
        color=COLOURS[2], label="ours, on eval at the end",
    )  # fmt: skip
    if example is not None:
        seconds, values = zip(*example["points"])
        shown = [100 * value for value in values]
        axes.plot(seconds, shown, "s-", color=COLOURS[1], label="pytorch/examples, on eval")
    axes.axhline(100 * LIMIT_ACCURACY, color="#999999", linewidth=1, linestyle="--")
    axes.axvline(LIMIT_SECONDS, color="#999999", linewidth=1, linestyle="--")
    axes.set(xlabel="seconds since the command was typed", ylabel="accuracy, %")
    axes.set(xlim=(0, None), ylim=(96, 100))
    picture.legend(loc="outside lower center", ncols=3)
    save(picture, options.picture)


if __name__ == "__main__":
    main()
