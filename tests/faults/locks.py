"""Two trainings on one checkpoint folder, and the lock of one that is dead."""

import re
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Iterator

from .kills import owner
from .material import ONE, Training, data_of, require, straight_run
from .processes import Running, run
from .report import Options, Row, tally

CONTENDERS = 4


def rows(options: Options) -> Iterator[Row]:
    straight = straight_run(options)
    world = options.folder / "locks"
    yield tally(
        "locks",
        "a second training on the folder of a running one",
        "exit code 1 with the first one's pid and start; the first ends with the same bits",
        [("second", lambda: second(world / "second", straight, data_of(options)))],
    )
    if not options.thorough:
        return
    yield tally(
        "locks",
        f"{CONTENDERS} trainings started at once on one folder",
        "one trains, the others are refused; it ends with the same bits",
        [("race", lambda: race(world / "race", straight, data_of(options)))],
    )
    yield tally(
        "locks",
        "the lock of a killed training",
        "does not block the next one",
        [("dead", lambda: dead(world / "dead", straight, data_of(options)))],
    )


def second(folder: Path, straight: Training, data: Path) -> None:
    training = Training(folder / "first", ONE, data)
    first = Running("train", *training.arguments(), cwd=training.folder)
    require(first.until(lambda: owner(training.checkpoints) == first.pid), "it never began")
    first.send(SIGSTOP)  # Or else it might be done before the second one has started.
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    config = ["--config", training.folder / "config.yaml"]
    shared = ["--set", f"checkpoint.dir={training.checkpoints}"]
    # However the folder is called, and wherever from.
    line = run("train", *config, *shared, cwd=elsewhere).complaint()
    first.send(SIGCONT)
    require(f"pid {first.pid}" in line and re.search(r"started \d{4}-\d\d-\d\dT", line), line)
    require(not (elsewhere / "log").exists(), "the second one began to write")
    require(first.wait().code == 0, "the first one was disturbed")
    training.require_same_end(straight)
    training.require_same_curves(straight)


def race(folder: Path, straight: Training, data: Path) -> None:
    training = Training(folder / "race", ONE, data)
    running = []
    for number in range(CONTENDERS):
        place = folder / str(number)
        place.mkdir()
        config = ["--config", training.folder / "config.yaml"]
        paths = [f"checkpoint.dir={training.checkpoints}", f"log.dir={place}"]
        settings = [word for path in paths for word in ("--set", path)]
        running.append(Running("train", *config, *settings, cwd=place))
    ended = [process.wait() for process in running]
    winners = [end for end in ended if end.code == 0]
    # One that started late may find the first one's work done, sets it aside and trains anew.
    require(len(winners) >= 1, f"nobody trained: {[end.err for end in ended]}")
    for loser in (end for end in ended if end.code != 0):
        line = loser.complaint()
        require("another training" in line, line)
    aside = list(training.checkpoints.glob("earlier-*"))
    require(len(aside) == len(winners) - 1, "two trainings wrote into one folder")
    training.require_same_end(straight)


def dead(folder: Path, straight: Training, data: Path) -> None:
    training = Training(folder, ONE, data)
    process = Running("train", *training.arguments(), cwd=training.folder)
    require(process.until(lambda: (training.checkpoints / "latest").exists()), "it never saved")
    process.kill()
    require(owner(training.checkpoints) == process.pid, "it left no trace of itself")
    training.finish()
    training.require_same_end(straight)
