"""SIGKILL from outside at any moment: nothing that was saved is lost, and the end is the same."""

import hashlib
import json
import os
import random
import shutil
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Set, Tuple, Union

from mnist.checkpoints import reading, records
from mnist.data import dataset

from .material import (
    ONE,
    Recipe,
    Training,
    data_of,
    enough,
    make_data,
    make_idx,
    recipes,
    require,
    small_splits,
    straight_run,
)
from .processes import Running, run
from .report import Broken, Options, Row, tally

# Of one training; then it may end, and another begins.
KILLS_EACH = 3
AIMS = ("any moment", "training", "save", "rename", "pointer", "removal")


def rows(options: Options) -> Iterator[Row]:
    yield trainings(options)
    share = max(options.kills // 4, 1)
    rng = random.Random(options.seed)
    if options.thorough:
        yield tally(
            "kills",
            "a training that sets an earlier one aside",
            "every checkpoint of the earlier one is whole, here or there",
            aside_cases(options, options.kills // 10, rng),
        )
    idx = make_idx(options.folder / "idx")
    yield tally(
        "kills",
        "`prepare`, new output",
        "the file is absent or whole, and a second run makes it, byte for byte",
        prepare_cases(options.folder / "prepare", idx, share, rng, replacing=False),
    )
    yield tally(
        "kills",
        "`prepare --force` over an earlier output",
        "the file is wholly the old or wholly the new one",
        prepare_cases(options.folder / "force", idx, share, rng, replacing=True),
    )
    yield tally(
        "kills",
        "building the cache",
        "the cache is absent or whole, and the data are right",
        cache_cases(options.folder / "cache", share, rng),
    )


# --- trainings -------------------------------------------------------------------------


def trainings(options: Options) -> Row:
    """Kill trainings of every kind until there were as many kills as asked for."""
    row = Row("kills", "trainings", "resumed to the same bits, curves and result; no save lost")
    data_of(options)
    moments: Counter = Counter()
    kinds = set()
    queue = recipes(options.seed)
    with ProcessPoolExecutor(options.jobs) as pool:
        running = set()
        while row.tried < options.kills or running:
            while row.tried < options.kills and len(running) < options.jobs:
                recipe = next(queue)
                kinds.add(recipe.kind)
                running.add(pool.submit(kill_and_compare, options, recipe))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                struck, broken = future.result()
                row.tried += len(struck)
                # Which of its kills a training did not survive cannot be told: all count.
                row.broken += [broken] * len(struck) if broken else []
                moments.update(struck)
    hit = ", ".join(f"{number} {moment}" for moment, number in moments.most_common())
    row.note = f"{len(kinds)} kinds of training; hit: {hit}"
    return row


def kill_and_compare(options: Options, recipe: Recipe):
    """Kill one training a few times; the moments hit, and what broke (or None)."""
    rng = random.Random(f"{recipe}")
    struck: List[str] = []
    try:
        straight = straight_run(options, recipe)
        training = Training(options.folder / "kills" / str(recipe), recipe, data_of(options))
        kills = min(KILLS_EACH, options.kills)
        while len(struck) < kills and strike(training, rng, straight.seconds, struck):
            pass
        training.finish()
        training.require_same_end(straight)
        training.require_same_curves(straight)
    except Exception as error:
        return struck or ["before any kill"], f"{type(error).__name__}: {error}"
    shutil.rmtree(training.folder)
    return struck, None


def strike(training: Training, rng: random.Random, life: float, struck: List[str]) -> bool:
    """Start the training and kill it somewhere; False if it ended before."""
    before = training.newest_step()
    process = Running("train", *training.arguments(), cwd=training.folder)
    in_time = Aim(training, process, rng).wait(life)
    ended = process.kill()
    if not in_time or ended.code >= 0:
        require(ended.code == 0, f"{training.folder}: exit {ended.code}: {ended.err[-600:]!r}")
        return False
    struck.append(where(training, process.pid))
    after = training.newest_step()
    require(after >= before, f"{training.folder}: step {before} was saved, now it is {after}")
    return True


class Aim:
    """A moment in the life of a training, drawn at random."""

    def __init__(self, training: Training, process: Running, rng: random.Random) -> None:
        self._folder = training.checkpoints
        self._process = process
        self._rng = rng
        self._known = self._names()
        self._target = self._latest()
        self._files = self._files_of_steps()

    def wait(self, life: float) -> bool:
        """Wait for the moment; False if the process ended before."""
        aim = self._rng.choice(AIMS)
        if aim == "any moment":
            return self._pause(self._rng.uniform(0, 1.1 * life))
        if not self._process.until(self._has_begun):
            return False
        if aim == "training":
            return self._pause(self._rng.uniform(0, life / 2))
        occasions = {
            "save": self._saving,
            "rename": self._renamed,
            "pointer": self._moved,
            "removal": self._removing,
        }
        for _ in range(self._rng.randint(1, 6)):
            if not self._process.until(occasions[aim], every=0):
                return False
        return self._pause(self._rng.choice([0, 0.001, 0.01]) * self._rng.random())

    def _pause(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        return not seconds or self._process.until(lambda: time.monotonic() >= end)

    def _has_begun(self) -> bool:
        return owner(self._folder) == self._process.pid

    def _saving(self) -> bool:
        return any(n.endswith(".tmp") for n in self._new_names((".epoch", ".step")))

    def _renamed(self) -> bool:
        return bool([n for n in self._new_names("") if not n.startswith(".")])

    def _moved(self) -> bool:
        target, self._target = self._target, self._latest()
        return target != self._target

    def _removing(self) -> bool:
        before, self._files = self._files, self._files_of_steps()
        return any(count > self._files.get(name, 0) for name, count in before.items())

    def _files_of_steps(self) -> Dict[str, int]:
        """How many files each checkpoint inside an epoch has; it goes when a newer one comes."""
        files = {}
        for path in self._folder.glob("step*"):
            try:
                files[path.name] = len(os.listdir(path))
            except FileNotFoundError:
                pass
        return files

    def _new_names(self, prefix: Union[str, Tuple[str, ...]]) -> Set[str]:
        names = self._names()
        new, self._known = names - self._known, names
        return {name for name in new if name.startswith(prefix)}

    def _names(self) -> Set[str]:
        try:
            return set(os.listdir(self._folder))
        except FileNotFoundError:
            return set()

    def _latest(self) -> Optional[str]:
        return reading.pointed_at(self._folder / "latest")


def owner(folder: Path) -> Optional[int]:
    """The pid of the training that has locked a checkpoint folder."""
    try:
        return json.loads((folder / ".owner.json").read_text())["pid"]
    except (OSError, ValueError):
        return None


def where(training: Training, pid: int) -> str:
    """What a killed training was doing, as far as its folder tells."""
    folder = training.checkpoints
    if owner(folder) != pid:
        return "in the start-up"
    if any(list(folder.glob(f".{pointer}.*.tmp")) for pointer in reading.POINTERS):
        return "in setting a pointer"
    if any(folder.glob(".[es]*.tmp")):
        return "in writing a checkpoint"
    paths = sorted(reading.checkpoints_in(folder), key=reading.steps_of)
    if paths and reading.pointed_at(folder / "latest") != paths[-1].name:
        return "between rename and pointer"
    if (
        any(folder.glob(".*.removed"))
        or len([path for path in paths if path.name.startswith("step")]) > 1
    ):
        return "in removing old checkpoints"
    if (folder / "result.json").exists():
        return "after the last epoch"
    return "in a step or an evaluation"


def aside_cases(options: Options, kills: int, rng: random.Random):
    """Start anew, or go on from the first epoch, where three epochs are; kill at the moving."""
    folder, data = options.folder / "aside", data_of(options)
    earlier = Training(folder / "earlier", ONE, data)
    earlier.finish("--set", "checkpoint.keep_last=3")
    epochs = {path.name: _digest(path) for path in earlier.checkpoints.glob("epoch*")}

    def case(number: int) -> None:
        place = folder / str(number)
        shutil.copytree(earlier.folder, place, symlinks=True)
        training = Training(place, ONE, data)
        begin = [] if number % 2 else ["--resume", "checkpoints/epoch1"]
        process = Running("train", "--config", "config.yaml", *begin, cwd=place)
        process.until(lambda: list(training.checkpoints.glob("earlier-*")), every=0)
        time.sleep(rng.choice([0, 0.001, 0.01]) * rng.random())
        process.kill()
        training.newest_step()
        found = {p.name: _digest(p) for p in training.checkpoints.glob("**/epoch[123]")}
        require(epochs.items() <= found.items(), f"{place}: an earlier checkpoint is lost")
        training.finish()
        training.newest_step()
        shutil.rmtree(place)

    return [(f"kill {number}", lambda number=number: case(number)) for number in range(kills)]


def _digest(path: Path) -> str:
    reading.verify(path)
    return hashlib.sha256((path / records.MANIFEST).read_bytes()).hexdigest()


# --- prepare and the cache -------------------------------------------------------------


def prepare_cases(folder: Path, idx: Path, kills: int, rng: random.Random, replacing: bool):
    folder.mkdir()
    whole = {}
    for pixels in ("floats", "integers"):
        path = folder / pixels / "digits.json.gz"
        started = time.monotonic()
        _prepare(path.parent, idx, pixels)
        life = time.monotonic() - started
        whole[pixels] = path.read_bytes()

    def case(number: int) -> None:
        place = folder / str(number)
        place.mkdir()
        target = place / "digits.json.gz"
        allowed = [None, whole["integers"]]
        if replacing:
            target.write_bytes(whole["floats"])
            allowed = [whole["floats"], whole["integers"]]
        _kill(place, _arguments(idx, "integers"), target, rng, life)
        found = target.read_bytes() if target.exists() else None
        require(found in allowed, f"{target} is neither absent nor whole")
        _prepare(place, idx, "integers")
        require(target.read_bytes() == whole["integers"], f"{target}: other bytes")
        left = sorted(p.name for p in place.rglob("*") if not p.name.startswith("std"))
        require(left == [".cache", "digits.json.gz", "digits.json.gz.npz"], f"leftovers: {left}")
        shutil.rmtree(place)

    return _struck(case, kills)


def cache_cases(folder: Path, kills: int, rng: random.Random):
    data = make_data(folder)
    digest = dataset.load(data).sha256
    script = f"from mnist.data import dataset; dataset.load({str(data)!r})"
    started = time.monotonic()
    run("-c", script, cwd=folder, code=0)
    life = time.monotonic() - started
    cache = dataset.cache_path_of(data)
    whole = cache.read_bytes()

    def case(number: int) -> None:
        cache.unlink()
        _kill(folder, ["-c", script], cache, rng, life)
        require(not cache.exists() or cache.read_bytes() == whole, f"{cache} is not whole")
        loaded = dataset.load(data)
        require(loaded.sha256 == digest and _is_right(loaded), "other data")
        require(cache.read_bytes() == whole, f"{cache}: other bytes")
        require([p.name for p in cache.parent.iterdir()] == [cache.name], "leftovers")

    return _struck(case, kills)


class _Missed(Exception):
    """The process ended before it was killed."""


def _struck(case, kills: int):
    """Cases until ``kills`` of them were struck in time."""
    struck = 0

    def attempt(number: int) -> None:
        nonlocal struck
        for other in enough(count(number, kills), kills):
            try:
                return case(other)
            except _Missed:
                continue
        raise Broken("every process ended before it could be killed")

    for number in count():
        if struck == kills:
            return
        struck += 1
        yield f"kill {number}", lambda number=number: attempt(number)


def _kill(place: Path, arguments: List[str], target: Path, rng: random.Random, life: float):
    process = Running(*arguments, cwd=place)
    if rng.random() < 0.5:
        pause = rng.uniform(0, life)
    else:
        # At the writing of the file itself.
        if not process.until(lambda: list(target.parent.glob(f".{target.name}.*.tmp"))):
            process.wait()
            raise _Missed
        pause = rng.choice([0, 0.001, 0.1, 0.4]) * rng.random()
    end = time.monotonic() + pause
    in_time = process.until(lambda: time.monotonic() >= end)
    if process.kill().code == 0 or not in_time:
        raise _Missed


def _arguments(idx: Path, pixels: str) -> List[str]:
    output = ["--output", "digits.json.gz", "--force"]
    return ["prepare", "--source", str(idx), "--pixels", pixels, *output]


def _prepare(place: Path, idx: Path, pixels: str) -> None:
    place.mkdir(exist_ok=True)
    run(*_arguments(idx, pixels), cwd=place, code=0)


def _is_right(loaded) -> bool:
    splits = (loaded.train, loaded.valid, loaded.eval)
    return all(
        hashlib.sha256(ours.images.tobytes()).digest() == hashlib.sha256(images.tobytes()).digest()
        and ours.labels.tolist() == labels.tolist()
        for ours, (images, labels) in zip(splits, small_splits())
    )
