"""What several tests need: the bundled digits, Paddle's dygraph mode, the verbs."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from mnist import kernels
from mnist.base import files

ROOT = Path(__file__).resolve().parents[1]
"""The repository: its documents, tests and tools."""


def _fresh_clone():
    """What the verbs use of the project, copied to a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="mnist-project-"))
    atexit.register(_remove, folder, os.getpid())
    half_written = shutil.ignore_patterns("*.pyc.*")
    for name in ("mnist", "configs", "data/pretrained", "data/pretrained-finder", "data/samples"):
        shutil.copytree(str(ROOT / name), str(folder / name), ignore=half_written)
    shutil.copy2(str(ROOT / "data" / "digits.json.gz"), str(folder / "data"))
    return folder


def _remove(folder, owner):
    if os.getpid() == owner:  # and not a fork of it
        shutil.rmtree(str(folder), ignore_errors=True)


PROJECT = _fresh_clone()
"""The project as the tests and their processes know it, without anything of its user's.

Relative inputs are also looked for in the project's own folder; there lie, after a training,
the user's data and checkpoints, which are nothing to test with.
"""

files.PROJECT_ROOT = PROJECT

DIGITS = PROJECT / "data" / "digits.json.gz"

SAMPLES = ROOT / "data" / "samples"
PICTURES = sorted(SAMPLES.glob("*.png"))


needs_kernels = pytest.mark.skipif(
    kernels.load() is None, reason="the kernels were not built here, or not for this processor"
)


@lru_cache(maxsize=None)
def digits():
    """The bundled data set."""
    from mnist.data import dataset

    return dataset.load(DIGITS)


def small(train=200, valid=60, evaluation=60):
    """The first few of the bundled digits, as a data set of their own."""
    from mnist.data.dataset import Dataset, Split

    whole = digits()

    def cut(split, count):
        return Split(split.images[:count], split.labels[:count])

    return Dataset(
        train=cut(whole.train, train),
        valid=cut(whole.valid, valid),
        eval=cut(whole.eval, evaluation),
        source=whole.source,
        sha256=whole.sha256,
    )


def numbered(count):
    """A split in which every image says its own number."""
    from mnist.data.dataset import Split

    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 0, 0] = np.arange(count) % 256
    images[:, 0, 1] = np.arange(count) // 256
    return Split(images, np.arange(count, dtype=np.int64) % 10)


@contextmanager
def dygraph():
    """Dygraph on the CPU, with names that start anew."""
    from mnist.fluid.door import fluid

    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.unique_name.guard():
        yield fluid


def save_checkpoint(folder, *settings, data=DIGITS):
    """A checkpoint of a model as it begins, which is as good as any for comparing."""
    from mnist import config as configs
    from mnist.checkpoints.records import RunState
    from mnist.checkpoints.store import CheckpointStore
    from mnist.model import architectures

    config = configs.default(settings)
    with dygraph():
        model = architectures.build(config.model, seed=3)
        state = RunState(
            config=config.model_dump(), epoch=1, data_path=str(data), data_sha256=digits().sha256
        )
        with CheckpointStore(folder, keep_last=None) as store:
            return store.save("epoch1", model.state_dict(), {}, state)


def same(left, right):
    """Whether two dicts of arrays are equal bit for bit."""
    return left.keys() == right.keys() and all(
        np.array_equal(left[key].view(np.uint8), right[key].view(np.uint8)) for key in left
    )


def verb(name, *arguments, cwd, env=None, check=None, timeout=240):
    """Run ``python -m mnist.<name>`` as a user would; returns the finished process."""
    done = subprocess.run(
        [sys.executable, "-m", f"mnist.{name}", *map(str, arguments)],
        cwd=str(cwd),
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    if check is not None:
        assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def environment(extra=None):
    """The environment for a verb run from any folder; None in ``extra`` removes a variable."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    merged = {**os.environ, "PYTHONPATH": path, **(extra or {})}
    return {name: value for name, value in merged.items() if value is not None}


TINY = ["--set", "model.name=fc", "--set", "model.hidden_sizes=[16]", "--set", "train.epochs=3"]
"""A training that takes a moment."""


def one_line(text):
    """The error's line: exactly one, and no traceback."""
    lines = text.strip().splitlines()
    assert lines and lines[-1].startswith("error: ") and "Traceback" not in text, text
    return lines[-1]


def optimizer_state(optimizer, names):
    """The accumulators by parameter; ``names`` maps Paddle's names of those to ours."""
    state = {}
    for accumulator, by_parameter in optimizer._accumulators.items():
        for parameter, variable in by_parameter.items():
            state.setdefault(names[parameter], {})[accumulator] = variable.numpy()
    return state
