"""Full disks, read-only folders, limits and vanished folders: real ones, of the kernel's."""

import ctypes
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Optional

from mnist.data import dataset

from .material import ONE, Training, data_of, make_idx, require, straight_run
from .processes import Ended, Running, limit_file_size, run
from .report import Broken, Options, Row, Skip, tally

# Of the training ``ONE``: about a third of it parameters, two thirds Adam's state.
CHECKPOINT_BYTES = 115_000
EPOCHS_ONLY = ("--set", "checkpoint.every_steps=null", "--set", "checkpoint.keep_last=null")
GO_ON = ("--set", "checkpoint.on_failure=warn")
# Without pictures an epoch's curves take less room than a checkpoint, with them more.
NO_PICTURES = [
    argument
    for key in (
        "pictures_every_epochs", "histograms_every_epochs", "norms_every_steps",
        "projector_points",
    )
    for argument in ("--set", f"log.{key}=null")
] + ["--set", "log.graph=false", "--set", "log.hparams=false"]  # fmt: skip
NO_SPACE, TOO_LARGE, READ_ONLY = "No space left", "File too large", "Read-only file system"
DENIED = "Permission denied"


def rows(options: Options) -> Iterator[Row]:
    world = World(options)
    lost = "exit code 1 with one line; every earlier checkpoint whole; goes on to the same bits"
    yield tally("disk", "full while a checkpoint is saved (tmpfs)", lost, world.full_saves())
    yield tally(
        "disk",
        "full while a checkpoint is saved, `on_failure=warn` (tmpfs)",
        "a warning for each save; the run ends well; every earlier checkpoint whole",
        [("tmpfs", world.full_save_warns)],
    )
    yield tally(
        "disk",
        "full while `prepare` writes (tmpfs)",
        "exit code 1 with one line; nothing left behind; an earlier output is untouched",
        world.full_prepares(),
    )
    if options.thorough:
        yield tally(
            "disk",
            "full while curves are written (tmpfs)",
            "one warning; the same bits as with curves",
            [(size, lambda s=size: world.full_log(s)) for size in ("4k", "8k", "12k")],
        )
        yield tally(
            "disk",
            "full while the cache is written (tmpfs)",
            "a warning; the same bits without the cache; no leftovers",
            [("tmpfs", world.full_cache)],
        )
    yield tally("disk", "a limit on file sizes (RLIMIT_FSIZE)", lost, world.limits())
    yield tally(
        "disk",
        "read-only folders (mounts)",
        "exit code 1 with one line and nothing changed; a read-only data folder is fine",
        world.read_only_folders(),
    )
    yield tally(
        "disk",
        "a checkpoint folder that becomes read-only, vanishes or moves away under a training",
        "exit code 1 with one line, or goes on with `on_failure=warn`; what was moved is whole",
        world.vanishing_folders(),
    )
    yield tally(
        "disk",
        "no permission",
        "exit code 1 (2 for what is read) with one line; nothing changed",
        world.without_permission(),
    )


class World:
    """The trainings that the disk fails."""

    def __init__(self, options: Options) -> None:
        self.folder = options.folder / "disk"
        self.folder.mkdir()
        self.data = data_of(options)
        self.rng = random.Random(options.seed)
        self.thorough = options.thorough
        self.straight = straight_run(options)
        self._idx = self.folder / "idx"

    def training(self, name: str, data: Optional[Path] = None) -> Training:
        return Training(self.folder / name, ONE, data or self.data)

    def _some(self, cases: List) -> List:
        """All cases, or just one of them."""
        return cases if self.thorough else [self.rng.choice(cases)]

    # --- full ---

    def full_saves(self):
        # Another byte of another file is the one too many each time.
        sizes = [CHECKPOINT_BYTES * n + self.rng.randrange(CHECKPOINT_BYTES) for n in (1, 1, 2, 2)]
        cases = [(f"size={size}", lambda s=size: self.full_save(f"size={s}")) for size in sizes]
        # Or it is not bytes that run out but names: each checkpoint needs 5, the rest a few.
        for inodes in range(11, 17):
            option = f"nr_inodes={inodes}"
            cases.append((option, lambda o=option: self.full_save(f"size=9m,{o}")))
        return self._some(cases)

    def full_save(self, limit: str) -> None:
        training = self.training(f"full {limit}")
        with tmpfs(training.checkpoints, limit):
            arguments = training.arguments(*EPOCHS_ONLY)
            line = run("train", *arguments, cwd=training.folder).complaint()
            require(NO_SPACE in line, line)
            before = training.newest_step()
            remount(training.checkpoints, "size=9m,nr_inodes=1k")
            training.finish(*EPOCHS_ONLY)
            require(training.newest_step() > before, "did not go on")
            training.require_same_end(self.straight)

    def full_save_warns(self) -> None:
        training = self.training("full warn")
        with tmpfs(training.checkpoints, f"size={CHECKPOINT_BYTES * 5 // 2}"):
            ended = training.finish(*EPOCHS_ONLY, *GO_ON)
            require(ended.err.count("WARNING") == 1 and NO_SPACE in ended.err, ended.err)
            require(training.newest_step() == 48, "the checkpoints before are not whole")

    def full_log(self, size: str) -> None:
        training = self.training(f"full log {size}")
        with tmpfs(training.logs, f"size={size}"):
            if size == "4k":
                (training.logs / "ballast").write_bytes(bytes(4096))
            ended = training.finish(*EPOCHS_ONLY)
            require(ended.err.count("WARNING") == 1 and NO_SPACE in ended.err, ended.err)
            training.require_same_end(self.straight)

    def full_prepares(self):
        sizes = [4096 * self.rng.randint(1, 100) for _ in range(3 if self.thorough else 1)]
        return [
            *((f"new, {size}", lambda s=size: self.full_prepare(s)) for size in sizes),
            *((f"over, {size}", lambda s=size: self.full_prepare(s, 700_000)) for size in sizes),
        ]

    def full_prepare(self, room: int, earlier: int = 0) -> None:
        folder = self.folder / f"prepare {room} {earlier}"
        content = os.urandom(earlier)
        with tmpfs(folder / "out", f"size={room + earlier}"):
            target = folder / "out" / "digits.json.gz"
            if earlier:
                target.write_bytes(content)
            ended = self.prepare(folder, target)
            require(NO_SPACE in ended.complaint(), ended.err)
            left = {path.name: path.read_bytes() for path in target.parent.iterdir()}
            require(left == ({target.name: content} if earlier else {}), f"left: {list(left)}")

    def prepare(self, folder: Path, target: Path, **how) -> Ended:
        if not self._idx.exists():
            make_idx(self._idx)
        arguments = ["--source", self._idx, "--output", target, "--force"]
        return run("prepare", *arguments, cwd=folder, **how)

    def full_cache(self) -> None:
        room = self.data.stat().st_size + 100_000
        with tmpfs(self.folder / "full data", f"size={room}") as folder:
            data = shutil.copy(self.data, folder)
            training = self.training("full cache", Path(data))
            ended = training.finish(*EPOCHS_ONLY)
            require("no cache" in ended.err and NO_SPACE in ended.err, ended.err)
            require(not list(folder.glob(".cache/*")), "leftovers of the cache")
            training.require_same_end(self.straight)

    # --- limits ---

    def limits(self):
        if self.thorough:
            yield "checkpoint", self.limited_save
            yield "curves and checkpoints, on_failure=warn", self.limited_and_warned
        yield "prepare", self.limited_prepare
        yield "cache", self.limited_cache

    def limited_save(self) -> None:
        training = self.training("limited")
        training.finish(*EPOCHS_ONLY, "--set", "train.epochs=1")
        # Between the sizes of parameters and optimizer state, and below both.
        for limit in self._some([50_000, 20_000]):
            ended = run(
                "train", *training.arguments(*EPOCHS_ONLY),
                cwd=training.folder, before=limit_file_size(limit),
            )  # fmt: skip
            require(TOO_LARGE in ended.complaint(), ended.err)
            require(training.newest_step() == 24, "the first checkpoint is lost")
        training.finish(*EPOCHS_ONLY)
        training.require_same_end(self.straight)

    def limited_and_warned(self) -> None:
        training = self.training("limited, warned")
        training.finish(*EPOCHS_ONLY, *NO_PICTURES, "--set", "train.epochs=1")
        ended = run(
            "train", *training.arguments(*EPOCHS_ONLY, *GO_ON),
            cwd=training.folder, before=limit_file_size(10_000), code=0,
        )  # fmt: skip
        require("curves are not written" in ended.err, ended.err)
        require(ended.err.count("going on without this checkpoint") == 2, ended.err)
        require(training.newest_step() == 24, "the first checkpoint is lost")

    def limited_prepare(self) -> None:
        folder = self.folder / "limited prepare"
        folder.mkdir()
        ended = self.prepare(folder, folder / "out.json.gz", before=limit_file_size(20_000))
        require(TOO_LARGE in ended.complaint(), ended.err)
        left = [path.name for path in folder.iterdir() if not path.name.startswith("std")]
        require(not left, f"leftovers: {left}")

    def limited_cache(self) -> None:
        folder = self.folder / "limited data"
        folder.mkdir()
        data = shutil.copy(self.data, folder)
        script = f"from mnist.data import dataset; print(dataset.load({data!r}).sha256)"
        ended = run("-c", script, cwd=folder, code=0, before=limit_file_size(20_000))
        require(ended.out.strip() == dataset.load(self.data).sha256, ended.out)
        require("no cache" in ended.err and not list(folder.glob(".cache/*")), ended.err)

    # --- read-only ---

    def read_only_folders(self):
        yield "prepare", self.read_only_prepare
        if self.thorough:
            yield "checkpoints", self.read_only_checkpoints
            yield "curves", self.read_only_logs
            yield "data", self.read_only_data

    def read_only_checkpoints(self) -> None:
        training = self.training("ro checkpoints")
        training.finish(*EPOCHS_ONLY, "--set", "train.epochs=1")
        with read_only(training.checkpoints):
            before = names(training.checkpoints)
            for arguments in (training.arguments(*EPOCHS_ONLY), ["--config", "config.yaml"]):
                line = run("train", *arguments, cwd=training.folder).complaint()
                require(READ_ONLY in line and "checkpoints" in line, line)
            require(names(training.checkpoints) == before, "something was changed")
        training.finish(*EPOCHS_ONLY)
        training.require_same_end(self.straight)

    def read_only_logs(self) -> None:
        training = self.training("ro logs")
        training.logs.mkdir(parents=True)
        with read_only(training.logs):
            line = run("train", *training.arguments(), cwd=training.folder).complaint()
            require(READ_ONLY in line and "log/data" in line, line)
        require(names(training.checkpoints) <= {".lock"}, "something was left")

    def read_only_prepare(self) -> None:
        folder = self.folder / "ro prepare"
        (folder / "out").mkdir(parents=True)
        with read_only(folder / "out"):
            line = self.prepare(folder, folder / "out" / "digits.json.gz").complaint()
            require(READ_ONLY in line and "digits.json.gz" in line, line)

    def read_only_data(self) -> None:
        folder = self.folder / "ro data"
        folder.mkdir()
        data = Path(shutil.copy(self.data, folder))
        training = self.training("from ro data", data)
        with read_only(folder):
            ended = training.finish(*EPOCHS_ONLY)
            require("no cache" in ended.err, ended.err)
        training.require_same_end(self.straight)

    # --- vanishing ---

    def vanishing_folders(self):
        def away(training):
            training.checkpoints.rename(training.folder / "away")

        def deleted(training):
            # At once, or else the next save would come in between.
            training.checkpoints.rename(training.folder / ".deleted")
            shutil.rmtree(training.folder / ".deleted")

        yield "read-only", self.becoming_read_only
        if self.thorough:
            yield "moved", lambda: self.vanishing("moved", away)
            yield "deleted", lambda: self.vanishing("deleted", deleted)
            yield "moved, warn", lambda: self.vanishing("moved, warned", away, *GO_ON)
            yield "deleted, warn", lambda: self.vanishing("deleted, warned", deleted, *GO_ON)

    def vanishing(self, name: str, do, *more: str) -> None:
        training = self.training(name)
        process = self._struck_after_the_first_epoch(training, *more)
        do(training)
        ended = process.wait()
        if more:
            require(ended.code == 0 and "WARNING" in ended.err, f"{ended.code}: {ended.err}")
        else:
            require("cannot be written" in ended.complaint(), ended.err)
        if (training.folder / "away").exists():
            moved = self.training(name)
            moved.checkpoints = training.folder / "away"
            require(moved.newest_step() >= 24, "what was moved is not whole")

    def becoming_read_only(self) -> None:
        training = self.training("becoming ro")
        process = self._struck_after_the_first_epoch(training)
        # On a busy machine it could be at its end before its folder is read-only.
        process.send(signal.SIGSTOP)
        with read_only(training.checkpoints):
            process.send(signal.SIGCONT)
            line = process.wait().complaint()
            require(READ_ONLY in line, line)
        require(training.newest_step() >= 24, "the first checkpoint is lost")
        training.finish()
        training.require_same_end(self.straight)

    def _struck_after_the_first_epoch(self, training: Training, *more: str) -> Running:
        process = Running("train", *training.arguments(*more), cwd=training.folder)
        first = training.checkpoints / "epoch1"
        require(process.until(first.exists), f"{training.folder}: no first epoch")
        time.sleep(0.05 * self.rng.random())
        return process

    # --- permissions ---

    def without_permission(self):
        yield "prepare", self.forbidden_prepare
        if self.thorough:
            yield "checkpoints", lambda: self.forbidden("checkpoints", 0o500, 1)
            yield "curves", lambda: self.forbidden("log/data", 0o500, 1)
            yield "config", lambda: self.forbidden("config.yaml", 0o200, 2)
            yield (
                "saved parameters",
                lambda: self.forbidden("checkpoints/epoch1/model.pdparams", 0o200, 2),
            )

    def forbidden(self, name: str, mode: int, code: int) -> None:
        training = self.training(f"forbidden {name.replace('/', ' ')}")
        training.finish(*EPOCHS_ONLY, "--set", "train.epochs=1")
        path = training.folder / name
        arguments = training.arguments(*EPOCHS_ONLY)
        if "epoch1" in name:
            arguments = ["--config", "config.yaml", "--resume", "checkpoints/epoch1", *EPOCHS_ONLY]
        with permissions(path, mode):
            before = names(training.checkpoints)
            line = run("train", *arguments, cwd=training.folder, before=obey).complaint(code)
            require(DENIED in line and name in line, line)
            require(names(training.checkpoints) == before, "something was changed")
        training.finish(*EPOCHS_ONLY)
        training.require_same_end(self.straight)

    def forbidden_prepare(self) -> None:
        folder = self.folder / "forbidden prepare"
        (folder / "out").mkdir(parents=True)
        target = folder / "out" / "digits.json.gz"
        with permissions(target.parent, 0o500):
            line = self.prepare(folder, target, before=obey).complaint()
            require(DENIED in line and not names(target.parent), line)


# --- the faults themselves -------------------------------------------------------------


@contextmanager
def tmpfs(folder: Path, options: str):
    """A file system of its own at ``folder``; Skip where mounting is not allowed."""
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", options, "tmpfs", folder)
    try:
        yield folder
    finally:
        _unmount(folder)


def remount(folder: Path, options: str) -> None:
    _mount("-o", f"remount,{options}", folder)


@contextmanager
def read_only(folder: Path):
    """The same folder, not to be written to; what was open before stays open."""
    _mount("--bind", folder, folder)
    try:
        _until_not_busy("-o", "remount,bind,ro", folder)
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def permissions(path: Path, mode: int):
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def obey() -> None:
    """For ``Running``'s ``before``: let permissions mean something even to root."""
    drop_capability, overrides = 24, (1, 2)  # PR_CAPBSET_DROP; CAP_DAC_OVERRIDE, …_READ_SEARCH
    if os.geteuid() == 0:
        for capability in overrides:
            ctypes.CDLL(None).prctl(drop_capability, capability, 0, 0, 0)


def names(folder: Path):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _mount(*arguments) -> None:
    try:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    except OSError as error:
        raise Skip(f"there is no mount command ({error.strerror})") from error
    if done.returncode:
        raise Skip(f"mounting is not allowed here ({' '.join(done.stderr.split())})")


def _until_not_busy(*arguments) -> None:
    """Mount when a training that writes there has just no file open."""
    for _ in range(1000):
        try:
            return _mount(*arguments)
        except Skip as reason:
            if "busy" not in str(reason):
                raise
    raise Broken(f"{arguments[-1]} is busy all the time")


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
