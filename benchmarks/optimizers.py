"""The four optimizers side by side, each at its own best learning rate.

    ./run python benchmarks/optimizers.py [--model lenet5] [--epochs 3] [--seeds 5]

Every optimizer trains at each rate of its grid with one seed; the rate that is best on valid is
then trained with all seeds. All of configs/lenet5.yaml holds for all of them (batches of 50, the
rate falling linearly over the run) but optimizer, rate and epochs. Results are kept in
``--results``, and only what is missing there is trained. Writes docs/images/optimizers.png.
"""

import argparse
from pathlib import Path
from typing import Any, Dict, List

import trainings
from common import BENCHMARKS, IMAGES, cores, mean_and_deviation, table
from pictures import COLOURS, figure, save

CONFIG = "configs/lenet5.yaml"
# Learning rates. One that is best at an end of its grid asks for a longer grid.
GRIDS = {
    "sgd": (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    "momentum": (0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
    "adagrad": (0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
    "adam": (0.0003, 0.001, 0.002, 0.003, 0.006, 0.01),
}

Results = Dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lenet5")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=cores(), help="trainings at a time")
    parser.add_argument(
        "--results", type=Path, default=BENCHMARKS / "results" / "optimizers.jsonl", metavar="FILE"
    )
    parser.add_argument("--picture", type=Path, default=IMAGES / "optimizers.png", metavar="FILE")
    options = parser.parse_args()
    grids = search(options)
    best = {
        name: max(grid, key=lambda rate: (grid[rate]["valid"], -rate))
        for name, grid in grids.items()
    }
    runs = repeat(best, options)
    print_table(best, runs, options)
    draw(grids, best, runs, options.picture)
    print(f"\n![Valid accuracy of the four optimizers](images/{options.picture.name})")


def settings(name: str, rate: float, options: argparse.Namespace) -> List[str]:
    return [
        f"model.name={options.model}", f"optimizer.name={name}",
        f"optimizer.learning_rate={rate}", f"train.epochs={options.epochs}",
    ]  # fmt: skip


def search(options: argparse.Namespace) -> Dict[str, Dict[float, Results]]:
    """The result of seed 1 at every rate of every optimizer's grid."""
    grid = {
        (name, rate): trainings.Training(CONFIG, tuple(settings(name, rate, options)), seed=1)
        for name, rates in GRIDS.items()
        for rate in rates
    }
    trainings.train_missing(grid.values(), options.results, options.jobs)
    results = trainings.read(options.results)
    return {
        name: {rate: results[grid[name, rate].key] for rate in rates}
        for name, rates in GRIDS.items()
    }


def repeat(best: Dict[str, float], options: argparse.Namespace) -> Dict[str, List[Results]]:
    """The results of all seeds at each optimizer's best rate."""
    chosen = {name: settings(name, rate, options) for name, rate in best.items()}
    every = [
        training
        for values in chosen.values()
        for training in trainings.with_seeds(CONFIG, values, options.seeds)
    ]
    trainings.train_missing(every, options.results, options.jobs)
    results = trainings.read(options.results)
    return {
        name: trainings.of_seeds(CONFIG, values, options.seeds, results)
        for name, values in chosen.items()
    }


def print_table(
    best: Dict[str, float], runs: Dict[str, List[Results]], options: argparse.Namespace
) -> None:
    rows = [
        (
            name,
            f"{best[name]:g}",
            mean_and_deviation([100 * run["valid"] for run in runs[name]]),
            mean_and_deviation([100 * run["eval"] for run in runs[name]]),
            ", ".join(f"{rate:g}" for rate in GRIDS[name]),
        )
        for name in best
    ]
    print(table(["optimizer", "learning rate", "valid, %", "eval, %", "chosen among"], rows))
    print(
        f"\n{options.model}, {options.epochs} epochs, batches of 50, the rate falling linearly;"
        f" mean and standard deviation over the seeds 1 to {options.seeds}. The rate is the best"
        " on valid with seed 1."
    )


def draw(
    grids: Dict[str, Dict[float, Results]],
    best: Dict[str, float],
    runs: Dict[str, List[Results]],
    path: Path,
) -> None:
    picture, (by_step, by_rate) = figure(columns=2)
    for colour, (name, group) in zip(COLOURS, runs.items()):
        steps = group[0]["steps"]
        curves = [[100 * value for value in run["valid_by_epoch"]] for run in group]
        means = [sum(values) / len(values) for values in zip(*curves)]
        by_step.plot(steps, means, "o-", color=colour, label=f"{name}, rate {best[name]:g}")
        lowest, highest = ([f(values) for values in zip(*curves)] for f in (min, max))
        by_step.fill_between(steps, lowest, highest, color=colour, alpha=0.15, linewidth=0)
        by_rate.plot(
            list(grids[name]), [100 * run["valid"] for run in grids[name].values()], "o-",
            color=colour, label=name,
        )  # fmt: skip
    by_step.set(xlabel="step", ylabel="accuracy on valid, %")
    by_step.set_title(f"seeds 1 to {len(group)}: mean, worst and best")
    # Around the chosen rates: one that fails would squeeze all others together.
    chosen = [100 * grids[name][rate]["valid"] for name, rate in best.items()]
    by_rate.set(ylim=(min(chosen) - 2, max(chosen) + 0.3), xscale="log")
    by_rate.set(xlabel="learning rate", ylabel="accuracy on valid, %")
    by_rate.set_title("every rate of the grids, seed 1")
    by_step.legend(loc="lower right")
    save(picture, path)


if __name__ == "__main__":
    main()
