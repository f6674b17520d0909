"""What all that TensorBoard shows costs, in itself and as a difference of whole trainings.

    ./run python benchmarks/logging_cost.py [--rounds 3] [--only lenet5]

Trainings take turns, each in a process of its own: logging as by default, everything of it off,
and as by default on a terminal, where a progress bar is drawn. Seconds are those of the whole
training (loading Paddle and the data not counted), with its evaluations and checkpoints.
"Drawing" are the seconds inside the calls that draw and write, waiting for the disk included.
The difference says the same less sharply: one and the same training takes up to a tenth longer
in one process than in another. One epoch is the worst case: what is drawn once a run (graph,
projector, hyperparameters) is counted in full.
"""

import argparse
import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

from common import ROOT, environment, ratios, spread, table, take_turns

# A config, and what is set in it.
TRAININGS = {
    "lenet5, one epoch": ("configs/lenet5.yaml", ["train.epochs=1"]),
    "embedding, one epoch": ("configs/embedding.yaml", ["train.epochs=1"]),
    "lenet5, all its epochs": ("configs/lenet5.yaml", []),
}
OFF = [
    "log.every_steps=1000000",
    "log.norms_every_steps=null",
    "log.pictures_every_epochs=null",
    "log.histograms_every_epochs=null",
    "log.projector_points=null",
    "log.graph=false",
    "log.hparams=false",
]
WITHOUT, WITH, WITH_BAR = "all of it off", "as by default", "as by default, and a progress bar"


class Timed(NamedTuple):
    """Seconds of a training; ``drawing`` is the part of ``wall`` that drew and wrote."""

    wall: float
    cpu: float
    drawing: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="only trainings whose name holds this")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    rows = []
    for name, (config, settings) in TRAININGS.items():
        if options.only in name:
            timed = take_turns(ways(config, settings), options.rounds, f"{name}: round")
            rows += [row(name, way, timed) for way in timed]
    columns = ("training", "logging", "s", "drawing, s", "of all", "more s", "more CPU s")
    print(table(columns, rows, left=2))
    print(f"\nMedians of {options.rounds} rounds with minimum and maximum; what is more is the")
    print("median of the differences inside a round.")


def ways(config: str, settings: Sequence[str]) -> Dict[str, Callable[[], Timed]]:
    return {
        WITHOUT: partial(train, config, [*settings, *OFF], False),
        WITH: partial(train, config, settings, False),
        WITH_BAR: partial(train, config, settings, True),
    }


def row(training: str, way: str, timed: Dict[str, List[Timed]]) -> List[str]:
    here, without = timed[way], timed[WITHOUT]
    cells = [training, way, spread([one.wall for one in here])]
    if way == WITHOUT:
        return [*cells, "", "", "", ""]
    cells.append(spread([one.drawing for one in here]))
    cells.append(spread([100 * one.drawing / one.wall for one in here], "{:.1f}") + " %")
    for column in (0, 1):
        more = ratios([one[column] for one in here], [one[column] for one in without])
        cells.append(spread([100 * (ratio - 1) for ratio in more], "{:+.1f}") + " %")
    return cells


def train(config: str, settings: Sequence[str], on_terminal: bool) -> Timed:
    """Train in a process of its own, in a folder of its own."""
    with tempfile.TemporaryDirectory(dir=str(ROOT)) as folder:
        # Not as arguments: the length of a command line moves the stack, and training with it
        # becomes some per cent faster or slower.
        figures = Path(folder) / "figures.json"
        figures.write_text(json.dumps([config, *settings]))
        command = [sys.executable, os.path.abspath(__file__), "--measure", str(figures)]
        output, drain = _terminal() if on_terminal else (subprocess.DEVNULL, None)
        environ = environment({"TERM": "xterm"})
        subprocess.run(command, cwd=folder, env=environ, stdout=output, check=True)
        if drain is not None:
            os.close(output)
            drain.join()
        return Timed(*json.loads(figures.read_text()))


def _terminal() -> Tuple[int, threading.Thread]:
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


def measure(figures: Path) -> None:
    """Train as ``figures`` says, and write there what it took."""
    from mnist import config as configs
    from mnist.fluid import environment

    path, *settings = json.loads(figures.read_text())
    config = configs.load(path, settings)
    environment.prepare(config.device.threads)
    from mnist.data import obtain
    from mnist.train import loop

    data = obtain.obtain(config.data)
    # Not at the first run's expense.
    import tb_paddle  # noqa: F401

    from mnist.tensorboard.observer import Observer
    from mnist.tensorboard.writer import Tracker

    drawing = time_calls(Observer, Tracker)
    wall, cpu = time.perf_counter(), time.process_time()
    loop.train(config, data)
    timed = Timed(time.perf_counter() - wall, time.process_time() - cpu, sum(drawing))
    figures.write_text(json.dumps(timed))


def time_calls(*classes: type) -> List[float]:
    """Time every method of classes from now on; a call inside a call is not counted twice.

    A context manager's method only makes it, so what happens inside one is not in its time.
    """
    seconds: List[float] = []
    under_way = False

    def timing(method: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal under_way
            if under_way:
                return method(*arguments, **named)
            under_way, started = True, time.perf_counter()
            try:
                return method(*arguments, **named)
            finally:
                under_way = False
                seconds.append(time.perf_counter() - started)

        return call

    for owner in classes:
        for name, method in list(vars(owner).items()):
            if callable(method):
                setattr(owner, name, timing(method))
    return seconds


if __name__ == "__main__":
    main()
