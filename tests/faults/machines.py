"""Two hosts with a cable to cut and processes to kill, and a batch system that starts again."""

import os
import random
import shlex
import shutil
import time
from collections import Counter
from pathlib import Path
from signal import SIGKILL, SIGTERM, SIGUSR1
from typing import Iterator

from tests.material import hosts as material
from tests.material.hosts import Hosts

from .material import Training, data_of, enough, recipes, require, straight_run
from .processes import Running
from .report import Options, Row, Skip, tally

TOGETHER = "mpirun -hosts host1,host2 -n 2 python -m mnist.train --config config.yaml"
TOGETHER += " --resume auto --set parallel.timeout=10"
# Beyond the timeout: what the interpreter, MPI and mpirun take to end.
SECONDS_TO_END = 90


def rows(options: Options) -> Iterator[Row]:
    number = max(options.kills // 10, 1)
    for fault, strike in (("a cable cut", cut), ("a process killed", kill)):
        yield tally(
            "machines",
            f"{fault} under a training on two hosts without a shared disk (namespaces)",
            "all processes end in bounded time, every checkpoint is whole; the same command goes on"
            " to the same bits",
            [(f"{fault} {n}", lambda n=n, s=strike: struck(options, n, s)) for n in range(number)],
        )
    yield restarts(options, max(options.kills // 4, 2))


def cut(both: Hosts, rng: random.Random) -> None:
    both.cable("down")


def kill(both: Hosts, rng: random.Random) -> None:
    os.kill(rng.choice(both.trainings(rng.choice([1, 2]))), SIGKILL)


def struck(options: Options, number: int, strike) -> None:
    """Two runs of two processes, one of them struck once; both to the end."""
    reason = material.missing()
    if reason:
        raise Skip(reason)
    rng = random.Random(f"{strike.__name__} {number} {options.seed}")
    recipe = next(recipe for n, recipe in enumerate(recipes(options.seed)) if n == number)
    place = options.folder / "machines" / f"{strike.__name__}{number}"
    with Hosts(place / "straight") as both:
        straight = _train(both, recipe, data_of(options))
        both.run(TOGETHER)
    with Hosts(place / "struck") as both:
        training = _train(both, recipe, data_of(options))
        process = both.start(TOGETHER)
        both.wait_for("latest", process)
        time.sleep(rng.uniform(0, 0.5))
        strike(both, rng)
        process.communicate(timeout=SECONDS_TO_END)
        end = time.monotonic() + SECONDS_TO_END
        while both.trainings(1) + both.trainings(2):
            require(time.monotonic() < end, f"{place}: a process stayed behind")
            time.sleep(0.1)
        require(training.newest_step() > 0, f"{place}: nothing was saved")
        both.cable("up")
        both.run(TOGETHER)
    training.require_same_end(straight)
    training.require_same_curves(straight)
    shutil.rmtree(place)


def _train(both: Hosts, recipe, data: Path) -> Training:
    return Training(both.folders[0], recipe, data)


def restarts(options: Options, number: int) -> Row:
    """Throw trainings off at any moment and start the same command, until they are done."""
    row = Row(
        "machines",
        "a batch system that throws trainings off (SIGUSR1, SIGTERM, SIGKILL) and starts anew",
        "exit code 75, 143 or the kill; `--resume auto` comes to the same bits, curves and result",
    )
    sent: Counter = Counter()
    for recipe in enough(recipes(options.seed), number):
        if row.tried >= number:
            break
        try:
            _throw_off(options, recipe, min(number - row.tried, 5), sent)
        except Exception as error:
            row.broken.append(f"{recipe}: {type(error).__name__}: {error}")
        row.tried = max(sum(sent.values()), len(row.broken))
    row.require_tried(number)
    row.note = ", ".join(f"{count} {name}" for name, count in sorted(sent.items()))
    return row


def _throw_off(options: Options, recipe, number: int, sent: Counter) -> None:
    rng = random.Random(f"off {recipe}")
    straight = straight_run(options, recipe)
    training = Training(options.folder / "machines" / str(recipe), recipe, data_of(options))
    arguments = shlex.split("--config config.yaml --resume auto")
    for _ in range(number):
        process = Running("train", *arguments, cwd=training.folder)
        signal = rng.choice([SIGUSR1, SIGTERM, SIGKILL])
        # Most of it is the start, whose own ends are told by `signals`.
        end = process.started + rng.uniform(0.4, 1) * straight.seconds
        if process.until(lambda end=end: time.monotonic() >= end):
            process.send(signal)
            sent[signal.name] += 1
        ended = process.wait()
        expected = {SIGUSR1: 75, SIGTERM: 143, SIGKILL: -SIGKILL}[signal]
        require(ended.code in (0, expected, -signal), f"exit {ended.code}: {ended.err[-600:]!r}")
        training.newest_step()
        if ended.code == 0:
            break
    ended = Running("train", *arguments, cwd=training.folder).wait()
    require(ended.code == 0, f"exit {ended.code}: {ended.err[-600:]!r}")
    training.require_same_end(straight)
    training.require_same_curves(straight)
    shutil.rmtree(training.folder)
