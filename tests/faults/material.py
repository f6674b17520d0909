"""What the faults befall: small data sets, and trainings of every kind."""

import gzip
import json
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List

import numpy as np
import yaml
from helpers import digits, same

from mnist.checkpoints import reading
from mnist.data import course_json, idx
from tests.material.event_files import points

from .processes import run
from .report import Broken, Options

EPOCHS = 3

MODELS: Dict[str, Dict[str, Any]] = {
    "lenet": {"filters": [4, 6], "hidden_sizes": [16]},
    "fc": {"hidden_sizes": [32, 16]},
    "lenet5": {},
    "embedding": {"embedding_size": 8},
}
OPTIMIZERS = {"adam": 0.002, "momentum": 0.02, "adagrad": 0.02, "sgd": 0.1}
SCHEDULES: Dict[str, Dict[str, Any]] = {
    "constant": {"name": "constant"},
    "polynomial": {"name": "polynomial", "end_learning_rate": 1e-4},
    "cosine": {"name": "cosine"},
    "piecewise": {"name": "piecewise", "boundaries": [0.7, 2], "factors": [1, 0.3, 0.1]},
    "warm-up": {"name": "polynomial", "warmup_steps": 17},
}
LOADERS = ("batch_generator", "sync", "sample_list_generator")


@dataclass(frozen=True)
class Recipe:
    """One of the 4 × 5 × 4 kinds of training."""

    model: str
    optimizer: str
    schedule: str
    seed: int = 1

    @property
    def kind(self) -> str:
        return f"{self.model}-{self.optimizer}-{self.schedule}"

    def __str__(self) -> str:
        return f"{self.kind}-{self.seed}"

    def config(self, data: Path) -> Dict[str, Any]:
        rate = OPTIMIZERS[self.optimizer]
        return {
            "data": {
                "path": str(data),
                "batch_size": 10,
                "loader": {"mode": LOADERS[self.seed % len(LOADERS)]},
            },
            "model": {"name": self.model, "dropout": 0.2, **MODELS[self.model]},
            "optimizer": {
                "name": self.optimizer,
                "learning_rate": rate,
                "l2_decay": 1e-4,
                "schedule": SCHEDULES[self.schedule],
            },
            "train": {"epochs": EPOCHS, "seed": self.seed},
            "checkpoint": {"every_steps": 5, "keep_last": 2},
            "log": {"every_steps": 1},
        }


def recipes(seed: int) -> Iterator[Recipe]:
    """All kinds over and over: each 20 have every pair of optimizer and schedule, each 80 all."""
    number = 0
    while True:
        shift = number // 20
        yield Recipe(
            list(MODELS)[(number + shift) % 4],
            list(OPTIMIZERS)[number % 4],
            list(SCHEDULES)[number % 5],
            seed + number,
        )
        number += 1


def enough(endless: Iterable, number: int) -> Iterator:
    """As many as ``number`` strikes may need, some of which come too late; never without end."""
    return islice(endless, 20 + 2 * number)


ONE = next(recipes(1))
"""Where the kind of training does not matter."""


def small_splits(train=240, valid=60, evaluation=60, offset=0):
    """A few of the bundled digits: [(images, labels)] of train, valid and eval."""
    whole = digits()
    return [
        (split.images[offset : offset + count], split.labels[offset : offset + count])
        for split, count in ((whole.train, train), (whole.valid, valid), (whole.eval, evaluation))
    ]


def make_data(folder: Path, name: str = "small.json.gz", offset: int = 0) -> Path:
    """A small data set with its cache; made once in each folder."""
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        course_json.write(path, small_splits(offset=offset))
        from mnist.data import dataset

        dataset.load(path)
    return path


def data_of(options: Options) -> Path:
    """The data set that all trainings share."""
    return make_data(options.folder / "data")


def make_idx(folder: Path) -> Path:
    """The four files of MNIST's kind, made of the bundled digits."""
    folder.mkdir(parents=True)
    train, _, evaluation = small_splits(10_000, 1, 10_000)
    for images, labels, (pixels, classes) in (
        (idx.TRAIN_IMAGES, idx.TRAIN_LABELS, train),
        (idx.TEST_IMAGES, idx.TEST_LABELS, evaluation),
    ):
        (folder / images.name).write_bytes(idx_bytes(pixels))
        (folder / f"{labels.name}.gz").write_bytes(gzip.compress(idx_bytes(classes), mtime=0))
    return folder


def idx_bytes(values) -> bytes:
    """uint8 ``[N, 28, 28]`` or labels ``[N]`` in the IDX format."""
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


class Training:
    """A folder in which a recipe is trained, by as many processes as it takes."""

    def __init__(self, folder: Path, recipe: Recipe, data: Path) -> None:
        self.folder = folder
        self.recipe = recipe
        self.checkpoints = folder / "checkpoints"
        self.logs = folder / "log" / "data"
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(recipe.config(data))
        (folder / "config.yaml").write_text(text)

    def arguments(self, *more: str) -> List[str]:
        """``mnist.train``'s: go on from the latest checkpoint, or start where there is none."""
        resume = ["--resume", "latest"] if reading.checkpoints_in(self.checkpoints) else []
        return ["--config", "config.yaml", *resume, *more]

    def finish(self, *more: str):
        """Train to the end."""
        return run("train", *self.arguments(*more), cwd=self.folder, code=0)

    @property
    def seconds(self) -> float:
        """How long a straight run took, from the start of its process to the end."""
        return float((self.folder / "seconds").read_text())

    def newest_step(self) -> int:
        """The newest checkpoint's step; Broken if any that can be seen is not whole."""
        paths = reading.checkpoints_in(self.checkpoints)
        pointers = [self.checkpoints / name for name in ("best", "latest")]
        try:
            for path in [*paths, *(p for p in pointers if p.exists())]:
                reading.load(path)
        except Exception as error:
            raise Broken(f"{self.folder}: a visible checkpoint is not whole: {error}") from error
        return max((reading.steps_of(path) for path in paths), default=-1)

    def require_same_end(self, straight: "Training") -> None:
        """Broken unless this training ended exactly as the one that was never disturbed."""
        ours, theirs = (t.last() for t in (self, straight))
        require(same(ours.parameters, theirs.parameters), f"{self.folder}: other parameters")
        require(
            _flat(ours.accumulators).keys() == _flat(theirs.accumulators).keys()
            and same(_flat(ours.accumulators), _flat(theirs.accumulators)),
            f"{self.folder}: another optimizer state",
        )
        require(_history(ours) == _history(theirs), f"{self.folder}: another history")
        require(self._result() == straight._result(), f"{self.folder}: another result")
        hidden = [p.name for p in self.checkpoints.iterdir() if p.name.startswith(".")]
        require(hidden == [".lock"], f"{self.folder}: leftovers {hidden}")

    def require_same_curves(self, straight: "Training") -> None:
        """Broken unless each point of the curves is there once, with the same value."""
        ours, theirs = (_timeless(points(t.logs)) for t in (self, straight))
        places = [(tag, step) for tag, step, _ in ours]
        require(len(set(places)) == len(places), f"{self.folder}: a step stands twice in a curve")
        require(ours == theirs, f"{self.folder}: other curves")

    def last(self):
        """The checkpoint of the last epoch."""
        return reading.load(self.checkpoints / f"epoch{EPOCHS}")

    def _result(self):
        result = json.loads((self.checkpoints / "result.json").read_text())
        return result["eval"], result["best"]["epoch"], result["data"]["sha256"]


def straight_run(options: Options, recipe: Recipe = ONE) -> "Training":
    """The training that was never disturbed; made once for each recipe."""
    folder = options.folder / "straight" / str(recipe)
    is_there = folder.exists()
    training = Training(folder, recipe, data_of(options))
    if not is_there:
        started = time.monotonic()
        training.finish()
        (folder / "seconds").write_text(str(time.monotonic() - started))
    return training


def require(held: bool, what: str) -> None:
    if not held:
        raise Broken(what)


def _flat(accumulators):
    pairs = (accumulators or {}).items()
    return {f"{name} {key}": array for name, arrays in pairs for key, array in arrays.items()}


def _history(source):
    timeless = {"seconds", "images_per_second"}
    return [record.model_dump(exclude=timeless) for record in source.state.history]


def _timeless(curve):
    return sorted(point for point in curve if not point[0].endswith("images_per_second"))
