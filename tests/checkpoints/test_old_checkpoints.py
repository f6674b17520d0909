"""A checkpoint that commit 046f694 wrote, which every later version must go on from."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import digits, dygraph, same, verb

from mnist.checkpoints import foreign, pickles, reading
from mnist.model import opening

OLD = Path(__file__).parents[1] / "material" / "checkpoint-046f694"


def arithmetic():
    """The SHA-256 of three steps of Adam in plain Paddle, with the shapes of the old run's net."""
    with dygraph() as fluid:
        weights = np.random.RandomState(0).normal(0, 0.1, (784, 3)).astype("float32")
        start = fluid.initializer.NumpyArrayInitializer(weights)
        hidden = fluid.dygraph.Linear(784, 3, act="sigmoid", param_attr=start)
        second = np.random.RandomState(1).normal(0, 1, (3, 10)).astype("float32")
        start = fluid.initializer.NumpyArrayInitializer(second)
        last = fluid.dygraph.Linear(3, 10, param_attr=start)
        parameters = [*hidden.parameters(), *last.parameters()]
        optimizer = fluid.optimizer.AdamOptimizer(0.01, parameter_list=parameters)
        for step in range(3):
            images = digits().train.images[step * 50 : step * 50 + 50].reshape(-1, 784)
            labels = digits().train.labels[step * 50 : step * 50 + 50].reshape(-1, 1)
            outputs = last(hidden(fluid.dygraph.to_variable(images.astype("float32") / 255)))
            each = fluid.layers.softmax_with_cross_entropy(
                outputs, fluid.dygraph.to_variable(labels)
            )
            loss = fluid.layers.mean(each)
            loss.backward()
            optimizer.minimize(loss)
            hidden.clear_gradients()
            last.clear_gradients()
        return hashlib.sha256(b"".join(p.numpy().tobytes() for p in parameters)).hexdigest()


def as_links(folder):
    """``best`` and ``latest`` as symbolic links, which is what that version made."""
    for name in ("best", "latest"):
        (folder / name).symlink_to("epoch2")


def as_copies(folder):
    """What ``scp -r`` and ``cp -rL`` make of these."""
    for name in ("best", "latest"):
        shutil.copytree(OLD / "epoch2", folder / name)


def as_copies_alone(folder):
    as_copies(folder)
    shutil.rmtree(folder / "epoch2")


def do_as_told(folder):
    """Rename the copies to their own name, or move them away where that is there already."""
    for name in ("best", "latest"):
        own = folder / "epoch2"
        (folder / name).rename(folder / f"{name}-away" if own.exists() else own)


WAYS = [(as_links, "latest"), (as_copies, "checkpoints/best"), (as_copies_alone, "checkpoints")]


@pytest.fixture(params=WAYS, ids=lambda way: way[0].__name__)
def old(request, tmp_path, monkeypatch):
    """A working directory with the old checkpoint in ``checkpoints``, and a name to resume."""
    make, name = request.param
    folder = tmp_path / "checkpoints"
    shutil.copytree(OLD / "epoch2", folder / "epoch2")
    make(folder)
    monkeypatch.chdir(tmp_path)
    return folder, name


def test_todays_code_goes_on_to_the_same_bits(old):
    folder, name = old
    if not (folder / "best").is_symlink():
        refused = verb("train", "--resume", name, cwd=folder.parent, check=2)
        assert "checkpoints/best and checkpoints/latest: a folder, " in refused.stderr
        do_as_told(folder)
        name = "checkpoints"
    verb("train", "--resume", name, cwd=folder.parent, check=0)
    made = reading.load(folder / "epoch4")
    expected = foreign.read_pair(OLD / "continued").arrays
    if arithmetic() == (OLD / "arithmetic.sha256").read_text().strip():
        assert same(made.parameters, expected)
    else:
        assert all(np.allclose(made.parameters[key], expected[key], 1e-5) for key in expected)
    whole = [path.name for path in reading.checkpoints_in(folder)]
    assert whole == ["epoch2", "epoch3", "epoch4"]
    for pointer in ("best", "latest"):
        assert (folder / pointer).read_text() == "epoch4\n"


@pytest.mark.parametrize(
    "name", ["checkpoints/best", "best", "checkpoints/latest", "checkpoints", None]
)
def test_it_is_read_by_every_name(old, name):
    source = opening.open_checkpoint(name)
    # What commit 046f694 itself says of it.
    assert round(opening.try_one(source, digits().eval).share, 4) == 0.3333
    assert source.state.epoch == 2


def test_todays_own_file_would_be_the_same_bytes():
    """Names and order too, which Paddle's own reader goes by."""
    whole = pickles.load(OLD / "continued.pdparams")
    assert pickles.dump(whole) == (OLD / "continued.pdparams").read_bytes()
