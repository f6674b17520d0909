"""Hostile pickles through every door by which a checkpoint comes in: none runs.

``python -m tests.faults.pickles FOLDER KIND WAYS`` feeds them to the verbs in one process,
since Paddle takes its seconds to import, and prints what came of it as JSON.
"""

import contextlib
import importlib
import io
import itertools
import json
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator, List, NamedTuple

from helpers import ROOT, digits, environment
from PIL import Image

from mnist.base import command, files
from mnist.checkpoints.records import MANIFEST, OPTIMIZER, PARAMETERS
from tests.material.malicious import executing, exhausting, foreign

from .material import require, straight_run
from .processes import run
from .report import Options, Row, tally

# At most this much more memory than the genuine checkpoint took, whatever the file says.
GROWTH = 400 << 20
VERBS = ("train", "predict", "evaluate")
KINDS = {
    "executing": executing,
    "exhausting": lambda canary: exhausting(),
    "foreign": lambda canary: foreign(),
}
SAID = {
    "executing": "pickles that run code",
    "exhausting": "pickles that ask for memory, time or stack",
    "foreign": "pickles of things that no checkpoint holds",
}


def rows(options: Options) -> Iterator[Row]:
    folder = options.folder / "pickles"
    shutil.copytree(straight_run(options).folder, folder / "genuine", symlinks=True)
    Image.fromarray(digits().eval.images[0]).save(folder / "digit.png")
    for kind in KINDS if options.thorough else ["executing"]:
        yield feed_all(folder, kind, options.thorough)
    yield tally(
        "pickles",
        "the same from a shell: `train --resume`, `predict`, `evaluate`",
        "exit code 2 with one line; nothing ran",
        shell_cases(folder, options),
    )


def feed_all(folder: Path, kind: str, thorough: bool) -> Row:
    """Feed all pickles of a kind to the verbs, in a process of its own."""
    row = Row(
        "pickles",
        SAID[kind],
        "refused with one line by `train --resume`, `predict`, `evaluate`, as parameters and as"
        " optimizer state, in a checkpoint and in a course pair; nothing ran, memory bounded",
    )
    ways = "all" if thorough else "few"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.pickles", str(folder), kind, ways],
        cwd=str(ROOT), env=environment(), capture_output=True, text=True, timeout=3600,
    )  # fmt: skip
    if done.returncode:
        row.tried, row.broken = 1, [f"exit {done.returncode}: {done.stderr[-600:]}"]
        return row
    found = json.loads(done.stdout.splitlines()[-1])
    row.tried, row.broken = found["tried"], found["broken"]
    row.note = (
        f"{found['pickles']} pickles, {found['executed']} executed; at most"
        f" {found['growth'] >> 20} MiB more memory and {found['slowest']:.1f} s"
    )
    return row


def shell_cases(folder: Path, options: Options):
    canary = folder / "ran"
    rng = random.Random(options.seed)
    chosen = rng.sample(list(executing(canary)), max(1, min(options.kills // 10, 20)))
    for number, ((name, content), verb) in enumerate(zip(chosen, itertools.cycle(VERBS))):

        def case(number=number, name=name, content=content, verb=verb) -> None:
            place = folder / f"shell {number}"
            place.mkdir()
            door = doors(folder, place)[number % 4]
            door.put(content)
            ended = run(verb, *arguments(verb, door.checkpoint, folder), cwd=place)
            passed_over = is_passed_over(verb, door.file) and ended.code == 0
            line = ended.err if passed_over else ended.complaint(2)
            require(door.file in line, f"refused for something else: {line}")
            require(not canary.exists(), f"{name} RAN in mnist.{verb}")

        yield f"{name}, {verb}", case


class Door(NamedTuple):
    """A place for a pickle: how it gets there, in which file, of which checkpoint."""

    put: Callable[[bytes], None]
    file: str
    checkpoint: Path


def doors(folder: Path, place: Path) -> List[Door]:
    """Parameters and optimizer state, of a checkpoint folder and of a course pair."""
    whole = genuine(folder)
    found = []
    for name in (PARAMETERS, OPTIMIZER):
        suffix = Path(name).suffix
        target = place / f"checkpoint with {name}"
        found.append(Door(lambda c, t=target, n=name: plant(whole, t, n, c), name, target))
        prefix = place / f"{suffix[1:]}_epoch3"
        file = prefix.name + suffix
        found.append(Door(lambda c, p=prefix, n=name: plant_pair(whole, p, n, c), file, prefix))
    return found


def genuine(folder: Path) -> Path:
    return folder / "genuine" / "checkpoints" / "epoch3"


def plant(whole: Path, target: Path, name: str, content: bytes) -> None:
    """A copy of a checkpoint with another file in it, and a manifest that vouches for it."""
    if not target.exists():
        shutil.copytree(whole, target)
    (target / name).write_bytes(content)
    manifest = json.loads((target / MANIFEST).read_text())
    manifest["files"][name] = files.sha256_of(target / name)
    (target / MANIFEST).write_text(json.dumps(manifest))


def plant_pair(whole: Path, prefix: Path, name: str, content: bytes) -> None:
    for own in (PARAMETERS, OPTIMIZER):
        target = prefix.with_name(prefix.name + Path(own).suffix)
        target.write_bytes(content if own == name else (whole / own).read_bytes())


def arguments(verb: str, path: Path, folder: Path) -> List[str]:
    """How a user gives the checkpoint ``path`` to a verb."""
    unused = [f"checkpoint.dir={folder / 'unused'}", f"log.dir={folder / 'unused log'}"]
    settings = [word for setting in unused for word in ("--set", setting)]
    config = str(folder / "genuine" / "config.yaml")
    data = str(folder.parent / "data" / "small.json.gz")
    return {
        "train": ["--config", config, "--resume", str(path), *settings],
        "predict": ["--checkpoint", str(path), str(folder / "digit.png")],
        "evaluate": ["--checkpoint", str(path), "--data", data],
    }[verb]


# --- in one process --------------------------------------------------------------------


def main(folder: Path, kind: str, ways: str) -> None:
    place = folder / kind
    place.mkdir()
    canary = place / "ran"
    chosen = doors(folder, place)[:: 1 if ways == "all" else 3]
    for verb in VERBS:  # Everything is imported, and the genuine checkpoint gets through.
        code, err = call(verb, arguments(verb, genuine(folder), folder))
        require(code == 0, f"the genuine checkpoint is refused: {err}")
    memory, tried, executed, broken = _peak(), 0, 0, []
    slowest = 0.0
    pickles = list(KINDS[kind](canary))
    for (name, content), door in itertools.product(pickles, chosen):
        door.put(content)
        for verb in VERBS:
            tried += 1
            started = time.monotonic()
            fault = feed(verb, arguments(verb, door.checkpoint, folder), door.file)
            slowest = max(slowest, time.monotonic() - started)
            if canary.exists():
                canary.unlink()
                executed += 1
                fault = "RAN"
            if fault:
                broken.append(f"{name}, mnist.{verb} {door.file}: {fault}")
    growth = _peak() - memory
    if growth > GROWTH:
        broken.append(f"memory grew by {growth >> 20} MiB")
    found = {"tried": tried, "pickles": len(pickles), "executed": executed, "broken": broken}
    print(json.dumps({**found, "growth": growth, "slowest": slowest}))


def is_passed_over(verb: str, file: str) -> bool:
    """Whether it is the optimizer's state of a pair, for a verb that has no need of it."""
    return verb != "train" and file.endswith("_epoch3.pdopt")


def feed(verb: str, words: List[str], file: str) -> str:
    """Run a verb; what is wrong with how it refused, empty if nothing.

    An optimizer's state in a pair is not needed but to train: then it is told, and not taken.
    """
    code, err = call(verb, words)
    lines = err.splitlines()
    if is_passed_over(verb, file):
        told = any(line.startswith("WARNING: ") and file in line for line in lines)
        return "" if code == 0 and told else f"exit {code}, {err[-300:]!r}"
    if code != 2 or len(lines) != 1 or not lines[0].startswith("error: ") or file not in lines[0]:
        return f"exit {code}, {err[-300:]!r}"
    return ""


def call(verb: str, words: List[str]):
    """Run a verb in this process: its exit code and what it wrote on standard error."""
    module = importlib.import_module(f"mnist.{verb}.__main__")
    errors = io.StringIO()
    sys.argv = [f"mnist.{verb}", *words]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            command.run(module.main)
    except SystemExit as end:
        return end.code or 0, errors.getvalue()
    raise AssertionError("a verb always exits")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
