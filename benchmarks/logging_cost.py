"""What logging costs: one epoch of real MNIST with it, without it, and with a progress bar.

    ./run python benchmarks/logging_cost.py [--config configs/lenet5.yaml] [--rounds 5]

Runs take turns, each in a process of its own: logging as by default, everything of it off,
and as by default on a terminal, where a progress bar is drawn. Wall and CPU seconds are those
of the whole training (loading Paddle and the data not counted), with its evaluations and
checkpoints; the CPU figure can be trusted while other programs run. One epoch is the worst
case: what is drawn once a run (graph, projector, hyperparameters) is counted in full.
"""

import argparse
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import mnist

# Where this project's mnist/ is, whoever calls from wherever.
ROOT = Path(mnist.__file__).resolve().parents[1]
OFF = [
    "log.every_steps=1000000",
    "log.norms_every_steps=null",
    "log.inputs_every_epochs=null",
    "log.histograms_every_epochs=null",
    "log.filters_every_epochs=null",
    "log.confusion_every_epochs=null",
    "log.mistakes_every_epochs=null",
    "log.pr_curves_every_epochs=null",
    "log.projector_points=null",
    "log.graph=false",
    "log.hparams=false",
]
VARIANTS = {"default": [], "off": OFF, "default, progress bar": []}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/lenet5.yaml")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.config, arguments.overrides, Path(arguments.measure))
    else:
        overrides = [*arguments.overrides, f"train.epochs={arguments.epochs}"]
        _compare(arguments.config, overrides, arguments.rounds)


def _compare(config: str, overrides, rounds: int) -> None:
    figures = {variant: [] for variant in VARIANTS}
    for number in range(rounds):
        for variant, extra in VARIANTS.items():
            wall, cpu = _run(config, [*overrides, *extra], on_terminal="bar" in variant)
            figures[variant].append((wall, cpu))
            print(f"round {number + 1} {variant}: {wall:.2f} s wall, {cpu:.2f} s CPU", flush=True)
    print(f"\n{config} {' '.join(overrides)}, {rounds} rounds: median (min–max)\n")
    print("| logging | wall s | ratio | CPU s | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for variant, rows in figures.items():
        cells = [_cell(rows, figures["off"], column) for column in (0, 1)]
        print(f"| {variant} | {' | '.join(cells)} |")


def _cell(rows, reference, column: int) -> str:
    values = [row[column] for row in rows]
    middle = statistics.median(values)
    ratio = middle / statistics.median(row[column] for row in reference)
    return f"{middle:.2f} ({min(values):.2f}–{max(values):.2f}) | {ratio:.3f}"


def _run(config: str, overrides, on_terminal: bool):
    """Train in a process of its own, in a folder of its own; (wall, CPU) seconds."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        figures = Path(folder).resolve() / "figures.json"
        command = [sys.executable, os.path.abspath(__file__), "--config", config]
        command += ["--measure", str(figures)]
        for override in overrides:
            command += ["--set", override]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
        output, drain = _terminal() if on_terminal else (subprocess.DEVNULL, None)
        subprocess.run(command, cwd=folder, env=environment, stdout=output, check=True)
        if drain is not None:
            os.close(output)
            drain.join()
        return json.loads(figures.read_text())


def _terminal():
    """A pseudo-terminal's end to write to, and the thread that empties it."""
    reader, writer = pty.openpty()

    def empty() -> None:
        try:
            while os.read(reader, 65536):
                pass
        except OSError:
            pass  # The writer has gone.
        os.close(reader)

    thread = threading.Thread(target=empty)
    thread.start()
    return writer, thread


def _measure(config_path: str, overrides, figures: Path) -> None:
    from mnist import config as configs
    from mnist import device

    config = configs.load(config_path, overrides)
    device.prepare_process(config.device.threads)
    from mnist import preparation, trainer

    data, _ = preparation.obtain(config.data)
    # Not at the first run's expense.
    import tb_paddle  # noqa: F401

    wall, cpu = time.perf_counter(), time.process_time()
    trainer.train(config, data)
    figures.write_text(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))


if __name__ == "__main__":
    main()
