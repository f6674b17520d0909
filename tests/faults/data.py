"""Data that change under a training, or while they are read: never two sets in one."""

import multiprocessing
import os
import random
import shutil
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Iterator

import numpy as np

from mnist.base.errors import InputError
from mnist.data import dataset

from .material import ONE, Training, data_of, make_data, require, small_splits, straight_run
from .processes import Running, run
from .report import Options, Row, tally

# Where in the bundled digits the other data set begins.
OTHER = 240


def rows(options: Options) -> Iterator[Row]:
    world = World(options)
    yield tally(
        "data",
        "source or cache replaced, garbled or deleted under a training",
        "it ends with the same bits",
        world.changes_under_a_training(options.thorough),
    )
    if options.thorough:
        yield tally(
            "data",
            "resuming where the data have changed",
            "exit code 2 with one line that names both SHA-256s",
            [("resume", world.resume_on_other_data)],
        )
    number = max(options.fuzz // 10, 20)
    yield tally(
        "data",
        "reading while another process swaps, overwrites and deletes source and cache",
        "wholly one set or wholly the other, under its own SHA-256, or one line",
        world.reads_during_changes(number),
    )


class World:
    """A data set that somebody else changes."""

    def __init__(self, options: Options) -> None:
        self.folder = options.folder / "changing"
        self.rng = random.Random(options.seed)
        self.one = data_of(options)
        self.other = make_data(self.folder / "other", offset=OTHER)
        self.straight = straight_run(options)

    def changes_under_a_training(self, thorough: bool):
        names = list(self._changes()) if thorough else [self.rng.choice(list(self._changes()))]
        return [(name, lambda name=name: self.change_under_a_training(name)) for name in names]

    def change_under_a_training(self, name: str) -> None:
        folder = self.folder / name
        data = make_data(folder)
        training = Training(folder / "training", ONE, data)
        process = Running("train", *training.arguments(), cwd=training.folder)
        begun = process.until(lambda: list(training.logs.glob("*")))
        require(begun, "it never began")
        time.sleep(0.5 * self.rng.random())
        self._changes()[name](data)
        ended = process.wait()
        require(ended.code == 0, f"exit {ended.code}: {ended.err[-600:]}")
        training.require_same_end(self.straight)

    def _changes(self):
        cache = dataset.cache_path_of
        return {
            "source replaced": lambda data: replace(self.other, data),
            "source overwritten in place": lambda data: shutil.copyfile(self.other, data),
            "source garbled": lambda data: data.write_bytes(os.urandom(data.stat().st_size)),
            "source deleted": lambda data: data.unlink(),
            "cache of another set": lambda data: replace(cache(self.other), cache(data)),
            "cache garbled in place": lambda data: cache(data).write_bytes(os.urandom(300_000)),
            "cache cut": lambda data: os.truncate(cache(data), 1000),
            "folder deleted": lambda data: shutil.rmtree(data.parent / ".cache"),
        }

    def resume_on_other_data(self) -> None:
        folder = self.folder / "resume"
        data = make_data(folder)
        training = Training(folder / "training", ONE, data)
        training.finish("--set", "train.epochs=1")
        before = training.newest_step()
        replace(self.other, data)
        arguments = ["--resume", "latest", "--set", "train.epochs=2"]
        line = run("train", *arguments, cwd=training.folder).complaint(2)
        for path in (self.one, self.other):
            require(dataset.load(path).sha256[:12] in line, line)
        require("--allow-changes" in line, line)
        require(training.newest_step() == before, "something was changed")
        run("train", *arguments, "--allow-changes", cwd=training.folder, code=0)

    def reads_during_changes(self, number: int):
        folder = self.folder / "swapped"
        data = make_data(folder)
        expected = {
            dataset.load(path).sha256: small_splits(offset=offset)
            for path, offset in ((self.one, 0), (self.other, OTHER))
        }
        stop = multiprocessing.Event()
        vandal = multiprocessing.Process(target=self._vandalise, args=(data, stop))
        vandal.start()
        outcomes: Counter = Counter()
        try:
            for case in range(number):
                yield f"read {case}", lambda: _read_one_of(data, expected, outcomes)
        finally:
            stop.set()
            vandal.join()

    def _vandalise(self, data: Path, stop) -> None:
        cache = dataset.cache_path_of(data)
        sets = [(path, dataset.cache_path_of(path)) for path in (self.one, self.other)]
        while not stop.is_set():
            source, its_cache = self.rng.choice(sets)
            _, a_cache = self.rng.choice(sets)
            steps = [
                partial(replace, source, data),
                partial(shutil.copyfile, source, data),
                partial(replace, a_cache, cache),
                partial(shutil.copyfile, its_cache, cache),
                cache.unlink,
            ]
            for step in self.rng.sample(steps, 2):
                try:
                    step()
                except OSError:
                    pass  # The other process has removed or replaced it just now.
            time.sleep(0.03 * self.rng.random())


def _read_one_of(data: Path, expected, outcomes: Counter) -> str:
    try:
        found = dataset.load(data)
    except InputError:
        outcomes["refused"] += 1
        return _shown(outcomes)
    splits = (found.train, found.valid, found.eval)
    for ours, (images, labels) in zip(splits, expected[found.sha256]):
        require(np.array_equal(ours.images, images), "pixels of another set")
        require(np.array_equal(ours.labels, labels), "labels of another set")
    outcomes[f"set {list(expected).index(found.sha256) + 1}"] += 1
    return _shown(outcomes)


def _shown(outcomes: Counter) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))


def replace(source: Path, target: Path) -> None:
    """Put a copy of ``source`` in the place of ``target`` in one go."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.new")
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)
