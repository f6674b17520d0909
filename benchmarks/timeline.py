"""Part of time_to_99.py: where the seconds of one training command go, process by process.

The command runs as ever, but with ``timeline_hooks`` on the path, whose ``sitecustomize`` notes
when the modules and functions in ``SPANS`` begin and end. What is inside another span of its own
is not counted in that one.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, Tuple

from common import BENCHMARKS, ROOT, note, run, table

ROUNDS = 5
HOOKS = BENCHMARKS / "timeline_hooks"

# What is looked at, "module" for its import or "module:function" for its calls.
SPANS = {
    "numpy": "import of NumPy",
    "cv2": "import of OpenCV",
    "pydantic": "import of pydantic",
    "mnist.fluid.door": "import of Paddle",
    "mpi4py.MPI": "import of MPI, its start",
    "mnist.tensorboard.writer": "import of TensorBoard's writer",
    "mnist.config:load": "reading the config",
    "mnist.data.obtain:obtain": "data",
    "mnist.train.learner:Learner.__init__": "model and optimizer",
    "mnist.fluid.processes:require_same": "comparing the processes",
    "mnist.train.start:launch": "mpirun, waiting for it",
    "mnist.train.output:Telling.introduce": "first pictures and lines",
    "mnist.train.loop:Loop.run": "training",
    "mnist.train.loop:Loop.evaluate": "evaluating",
    "mnist.model.evaluation:Evaluation.temperature": "temperature",
    "mnist.checkpoints.store:CheckpointStore.save": "saving",
    "mnist.checkpoints.reading:load": "loading the best",
    "mnist.tensorboard.observer:Observer.after_valid": "pictures of valid",
    "mnist.tensorboard.observer:Observer.after_eval": "pictures of eval",
    "mnist.tensorboard.writer:Tracker.close": "closing the curves",
}

Event = Dict[str, Any]
# When a span first began, its seconds, and its CPU seconds.
Times = Tuple[float, float, float]


def print_all(config: str) -> None:
    rounds = []
    for number in range(ROUNDS):
        note(f"timeline: round {number + 1} of {ROUNDS}")
        rounds.append(one_run(config))
    for process in sorted({process for lines in rounds for process, _ in lines}):
        print_process(process, rounds)
    print(
        f"\nMedians of {ROUNDS} runs. What a span takes is without the spans inside it; where"
        " one comes several times, they are added up."
    )


def one_run(config: str) -> Dict[Tuple[str, str], Times]:
    """By process and span: when it first began, how long it took in all, and its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events"
        events.mkdir()
        extra = {
            "PYTHONPATH": os.pathsep.join([str(HOOKS), str(ROOT)]),
            "MNIST_TIMELINE": str(events),
            "MNIST_TIMELINE_SPANS": json.dumps(list(SPANS)),
        }
        command = [sys.executable, "-m", "mnist.train", "--config", config]
        for setting in ("data.fallback=null", f"checkpoint.dir={folder}/c", f"log.dir={folder}/l"):
            command += ["--set", setting]
        typed = time.clock_gettime(time.CLOCK_BOOTTIME)
        run(command, extra)
        ended = time.clock_gettime(time.CLOCK_BOOTTIME)
        found = [read(path) for path in events.glob("*.jsonl")]
    lines = {}
    for process, own in found:
        lines.update(spans_of(process, own, typed))
    lines["the launcher", "the whole command"] = (0.0, ended - typed, 0.0)
    return lines


def read(path: Path) -> Tuple[str, List[Event]]:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    rank = path.stem.partition("-")[0]
    return ("the launcher" if rank == "launcher" else f"process {rank}"), events


def spans_of(process: str, events: List[Event], typed: float) -> Dict[Tuple[str, str], Times]:
    """Each span's beginning, and its seconds and CPU seconds without those of spans inside."""
    spans: Dict[Tuple[str, str], Times] = {}
    for event in events:
        key = process, SPANS.get(event["span"], event["span"])
        begin, seconds, cpu = spans.get(key, (event["begin"] - typed, 0.0, 0.0))
        spans[key] = begin, seconds + event["own"], cpu + event["own_cpu"]
    return spans


def print_process(process: str, rounds: List[Dict[Tuple[str, str], Times]]) -> None:
    names = {name for lines in rounds for kind, name in lines if kind == process}
    rows = []
    for name in names:
        times = [lines[process, name] for lines in rounds if (process, name) in lines]
        rows.append((name, *map(median, zip(*times))))
    rows.sort(key=lambda row: row[1])
    print(f"\n{process}:\n")
    shown = [(name, *(f"{value:.2f}" for value in times)) for name, *times in rows]
    print(table(["what", "first begins at, s", "takes, s", "CPU s"], shown))
