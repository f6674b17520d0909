"""SIGINT and SIGTERM: the step is finished, saved, and the printed line goes on."""

import random
import re
import shlex
import shutil
import time
from collections import Counter
from signal import SIGINT, SIGTERM
from typing import Iterator

from .kills import owner
from .material import Training, data_of, enough, recipes, require, straight_run
from .processes import Running, run
from .report import Options, Row, tally

STOPS_EACH = 3
HINT = "go on with: python -m mnist.train "


def rows(options: Options) -> Iterator[Row]:
    share = max(options.kills // 4, 1)
    yield stops(options, share)
    if not options.thorough:
        return
    yield tally(
        "signals",
        "two signals, one right after the other",
        "exit code 130 or 143 at once; what was saved is whole and goes on to the same bits",
        _cases(options, share // 4, "twice", stop_twice),
    )
    yield tally(
        "signals",
        "a signal while the program starts",
        "exit by that signal; nothing is left behind, and the next start works",
        _cases(options, share // 4, "early", stop_early),
    )


def _cases(options: Options, number: int, name: str, case):
    for _, recipe in zip(range(number), recipes(options.seed)):
        straight = straight_run(options, recipe)
        training = Training(options.folder / name / str(recipe), recipe, data_of(options))
        rng = random.Random(f"{name} {recipe}")
        yield str(recipe), lambda t=training, s=straight, rng=rng: case(t, s, rng)


def stops(options: Options, number: int) -> Row:
    """Stop trainings of every kind at any moment, following the printed line each time."""
    row = Row(
        "signals",
        "SIGINT or SIGTERM at any moment of a training",
        "exit code 130 or 143, saved; the printed line goes on to the same bits, curves, result",
    )
    sent: Counter = Counter()
    for recipe in enough(recipes(options.seed), number):
        if row.tried >= number:
            break
        stopped = []
        try:
            _stop_and_compare(options, recipe, min(number, STOPS_EACH), stopped)
        except Exception as error:
            stopped = stopped or ["before any signal"]
            row.broken += [f"{type(error).__name__}: {error}"] * len(stopped)
        row.tried += len(stopped)
        sent.update(stopped)
    row.require_tried(number)
    row.note = ", ".join(f"{count} {name}" for name, count in sorted(sent.items()))
    return row


def _stop_and_compare(options: Options, recipe, number: int, stopped) -> None:
    rng = random.Random(f"stop {recipe}")
    straight = straight_run(options, recipe)
    training = Training(options.folder / "stops" / str(recipe), recipe, data_of(options))
    arguments = training.arguments()
    while len(stopped) < number:
        ended, sent = _run_and_signal(training, arguments, rng, straight.seconds)
        if (training.checkpoints / "result.json").exists():
            break  # It was done, and the interpreter at most clearing up.
        line = ended.complaint(128 + sent)
        require(HINT in line, f"no way on in {line!r}")
        stopped.append(sent.name)
        arguments = shlex.split(line.split(HINT)[1])
        at = int(re.findall(r"at step (\d+), saved", line)[0])
        require(training.newest_step() == at, f"{training.folder}: step {at} was not saved")
    else:
        run("train", *arguments, cwd=training.folder, code=0)
    training.require_same_end(straight)
    training.require_same_curves(straight)
    shutil.rmtree(training.folder)


def _run_and_signal(training: Training, arguments, rng: random.Random, life: float):
    number = rng.choice([SIGINT, SIGTERM])
    process = Running("train", *arguments, cwd=training.folder)
    if _begins(training, process):
        end = time.monotonic() + rng.uniform(0, life / 2)
        if process.until(lambda: time.monotonic() >= end):
            process.send(number)
    return process.wait(), number


def stop_twice(training: Training, straight: Training, rng: random.Random) -> None:
    process = Running("train", *training.arguments(), cwd=training.folder)
    require(_begins(training, process), "ended before the signals")
    time.sleep(0.3 * rng.random())
    process.send(rng.choice([SIGINT, SIGTERM]))
    time.sleep(0.02 * rng.random())
    process.send(SIGTERM)
    ended = process.wait()
    # The second one may come when all is saved and said, and the interpreter is on its way out.
    codes = (130, 143, -SIGTERM) if "saved; go on with" in ended.err else (130, 143)
    require(ended.code in codes, f"exit {ended.code}: {ended.err[-600:]!r}")
    training.newest_step()
    training.finish()
    training.require_same_end(straight)


def stop_early(training: Training, straight: Training, rng: random.Random) -> None:
    number = rng.choice([SIGINT, SIGTERM])
    process = Running("train", *training.arguments(), cwd=training.folder)
    # Before, the interpreter itself is not there yet.
    end = process.started + rng.uniform(0.1, 2.5)
    process.until(lambda: time.monotonic() >= end or training.checkpoints.exists())
    process.send(number)
    ended = process.wait()
    require(ended.code in (-number, 128 + number), f"exit {ended.code}: {ended.err[-600:]!r}")
    training.newest_step()
    training.finish()
    training.require_same_end(straight)


def _begins(training: Training, process: Running) -> bool:
    """Wait until the training proper has begun; False if the process ended before."""
    return process.until(
        lambda: (
            owner(training.checkpoints) == process.pid
            and list(training.logs.glob(f"*.{process.pid}"))
        )
    )
