"""What the configs reach on MNIST: mean and standard deviation over seeds.

    ./run python benchmarks/accuracy.py                     # the rows of the table
    ./run python benchmarks/accuracy.py lenet5 sgd          # only these
    ./run python benchmarks/accuracy.py --table             # no training, what there is

Each seed is a fresh ``python -m mnist.train``; as many run at a time as there are cores
(``--jobs``). In every one the model is chosen on valid, and eval is looked at once, at its end.
Results are kept in ``--results``, and only what is missing there is trained.
"""

import argparse
from pathlib import Path
from statistics import mean
from typing import Any, Dict, List, NamedTuple, Tuple

import trainings
from common import BENCHMARKS, ROOT, cores, mean_and_deviation, note, table


class Row(NamedTuple):
    """A config, what is set otherwise in it, and what its mean on eval is to reach."""

    config: str
    settings: Tuple[str, ...] = ()
    target: str = ""
    seeds: int = 5


ROWS = {
    "softmax": Row("fc", ("model.hidden_sizes=[]",), "≥ 92.3 %"),
    "fc": Row("fc", (), "≥ 98.4 %"),
    "embedding": Row("embedding", (), "≥ 97.5 %"),
    "lenet": Row("adam", (), "≥ 99.2 %"),
    "lenet5": Row("lenet5"),
    "best": Row("best", (), "≥ 99.72 %", 10),
    "small": Row("small", (), "≥ 99.58 %", 10),
    "tiny": Row("tiny", (), "≥ 99.40 %", 10),
    "fast": Row("fast", (), "≥ 99.0 %"),
}
# Trained only when named.
MORE = {
    "sgd": Row("sgd"),
    "momentum": Row("momentum"),
    "adagrad": Row("adagrad"),
    "adam_gpu": Row("adam_gpu"),
    "tiny:taught": Row("tiny", ("train.epochs=30", "train.teachers=[data/pretrained]")),
    "fc:sgd": Row("sgd", ("model.name=fc",)),
    "fc:momentum": Row("momentum", ("model.name=fc",)),
    "fc:adagrad": Row("adagrad", ("model.name=fc",)),
    "fc:adam": Row("adam", ("model.name=fc",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join([*ROWS, *MORE]))
    parser.add_argument("--seeds", type=int, help="of every row [default: 10 or 5]")
    parser.add_argument("--jobs", type=int, default=cores(), help="trainings at a time")
    parser.add_argument(
        "--results", type=Path, default=BENCHMARKS / "results" / "accuracy.jsonl", metavar="FILE"
    )
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    unknown = set(options.rows) - {*ROWS, *MORE}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    rows = with_config({**ROWS, **MORE})
    if options.seeds:
        rows = {name: row._replace(seeds=options.seeds) for name, row in rows.items()}
    named = {name: row for name, row in rows.items() if name in (options.rows or ROWS)}
    if not options.table:
        missing = [
            training
            for row in named.values()
            for training in trainings.with_seeds(path_of(row), row.settings, row.seeds)
        ]
        trainings.train_missing(missing, options.results, options.jobs)
    print_table(named if options.rows else rows, trainings.read(options.results))


def path_of(row: Row) -> str:
    return f"configs/{row.config}.yaml"


def with_config(rows: Dict[str, Row]) -> Dict[str, Row]:
    for name, row in rows.items():
        if not (ROOT / path_of(row)).exists():
            note(f"{name} is left out: there is no {path_of(row)}")
    return {name: row for name, row in rows.items() if (ROOT / path_of(row)).exists()}


def print_table(rows: Dict[str, Row], results: Dict[str, Any]) -> None:
    found = {
        name: trainings.of_seeds(path_of(row), row.settings, row.seeds, results)
        for name, row in rows.items()
    }
    headings = ["row", "config", "model", "parameters", "epochs", "eval, %", "target", "valid, %"]
    lines = [line(name, rows[name], runs) for name, runs in found.items() if runs]
    print(table([*headings, "seeds", "seconds"], lines, left=3))
    at_a_time = sorted({run["at_a_time"] for runs in found.values() for run in runs})
    machines = sorted({run["machine"] for runs in found.values() for run in runs})
    print(
        "\nMean and standard deviation over seeds from 1 on; on eval, each run's model that was"
        f" best on valid. Seconds are those of the whole command, its mean,"
        f" {' or '.join(map(str, at_a_time))} at a time, on {'; '.join(machines)}."
    )


def line(name: str, row: Row, runs: List[Dict[str, Any]]) -> List[str]:
    settings = "".join(f" `--set {setting}`" for setting in row.settings)
    return [
        name,
        f"`{path_of(row)}`{settings}",
        runs[0]["model"],
        f"{runs[0]['parameters']:,}",
        " or ".join(map(str, sorted({len(run["steps"]) for run in runs}))),
        mean_and_deviation([100 * run["eval"] for run in runs]),
        row.target,
        f"{mean(100 * run['valid'] for run in runs):.2f}",
        str(len(runs)),
        f"{mean(run['seconds'] for run in runs):.0f}",
    ]


if __name__ == "__main__":
    main()
