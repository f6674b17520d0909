"""``mnist.adopt``: every kind of file is read, adopted, resumed and converted as docs say."""

import gzip
import os
import re
import subprocess
import zlib
from pathlib import Path
from typing import NamedTuple, Tuple

import numpy as np
import pytest
import safetensors.numpy
from helpers import (
    DIGITS,
    ROOT,
    digits,
    dygraph,
    one_line,
    same,
    save_checkpoint,
    verb,
)

from mnist import config as configs
from mnist.adopt.output import print_adoption
from mnist.base.errors import InputError
from mnist.checkpoints import foreign, pickles, reading
from mnist.export import bundle
from mnist.model.predictor import Predictor

MATERIAL = ROOT / "tests" / "material"
NEWER = MATERIAL / "newer"


class Kind(NamedTuple):
    """A kind of file: where it is, whose answers its net gives, and what its optimizer was.

    ``is_named``: whether the names of its parameters are in it.
    """

    path: str
    net: str
    optimizer: str = ""
    is_named: bool = True


KINDS = {
    "dygraph pair": Kind("unpadded_epoch3", "unpadded_epoch3", "adam"),
    "dygraph pair, the course's LeNet": Kind("lenet", "lenet", "momentum"),
    "dygraph pair, batch norm": Kind("normed", "normed", "adagrad"),
    "dygraph pair, SGD": Kind("unpadded_sgd", "unpadded_sgd"),
    "dygraph pair, RMSProp": Kind("lenet_rmsprop", "lenet_rmsprop", "rmsprop"),
    "`fluid.save`": Kind("static/mnist", "static", "adam"),
    "`save_params`": Kind("save_params", "static"),
    "`save_params`, one file": Kind("save_params_one", "static", is_named=False),
    "`save_persistables`": Kind("persistables", "static", "adam"),
    "`save_inference_model`": Kind("model", "static"),
    "`save_inference_model`, one file": Kind("inference_one", "static"),
    "`paddle.save` 2.6": Kind(str(NEWER / "paddle2.6.2" / "net_epoch5"), "2.6.2", "adam"),
    "`paddle.save` 3.3": Kind(str(NEWER / "paddle3.3.1" / "net_epoch5"), "3.3.1", "adam"),
    "`paddle.save` 2.6, nested": Kind(str(NEWER / "paddle2.6.2" / "nested.pdparams"), "2.6.2"),
    "`paddle.save` 3.3, nested": Kind(str(NEWER / "paddle3.3.1" / "nested.pdparams"), "3.3.1"),
    "`paddle.jit.save` 2.6": Kind(str(NEWER / "paddle2.6.2" / "jit"), "2.6.2"),
    "`paddle.jit.save` 3.3": Kind(str(NEWER / "paddle3.3.1" / "jit"), "3.3.1", is_named=False),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def located(old, kind):
    return str(old[0] / kind.path)


def answers(old, kind):
    """Which digits the net itself has read, in the Paddle that wrote the file."""
    if kind.net in old[1]:
        return old[1][kind.net]
    return np.load(str(NEWER / f"paddle{kind.net}" / "expected.npz"))["newer"]


def adopt(path, to=None, write=None, names="kept", assume=(), data=None):
    print_adoption(str(path), to and str(to), write and str(write), names, assume, data)


def as_paddle_reads(prefix):
    with dygraph() as fluid:
        return fluid.load_dygraph(str(prefix))


@each_kind
def test_it_is_read(old, kind, capsys):
    found = foreign.read(located(old, kind))
    adopt(located(old, kind))
    printed = capsys.readouterr().out
    assert all(name in printed for name in found.arrays)
    assert any(name.startswith("unnamed") for name in found.arrays) != kind.is_named
    assert bool(found.optimizer) == bool(kind.optimizer)
    if kind.net == "static" and kind.is_named:
        expected = pickles.load(old[0] / "static" / "mnist.pdparams")
        assert same(dict(sorted(found.arrays.items())), dict(sorted(expected.items())))
    if kind.path in ("persistables", "static/mnist"):
        assert found.optimizer.keys() >= {f"{n}_moment1_0" for n in expected}


@each_kind
def test_it_is_adopted_and_reads_every_digit_as_it_did(old, kind, tmp_path, capsys):
    adopt(located(old, kind), to=tmp_path / "made")
    probabilities = Predictor(tmp_path / "made").probabilities(digits().eval.images)
    assert probabilities.argmax(axis=1).tolist() == answers(old, kind).tolist()
    said = capsys.readouterr()
    if kind.optimizer == "rmsprop" or not kind.optimizer:
        assert "Adam begins anew" in said.out
    else:
        assert f"optimizer: {kind.optimizer} with its state" in said.out
    if kind.net == "static" and kind.optimizer:
        assert "the schedule's step_num, 137, is not used beyond that" in said.out


@each_kind
def test_its_optimizer_goes_on_with_what_it_had(old, kind, tmp_path):
    adopt(located(old, kind), to=tmp_path / "made")
    source = reading.load(tmp_path / "made" / "best")
    config = configs.from_dict(source.state.config, "test")
    accumulators = source.accumulators
    if kind.optimizer in ("", "rmsprop"):
        assert config.optimizer.name == "adam"
        assert all((a["moment1"] == 0).all() for a in accumulators.values())
        return
    assert config.optimizer.name == kind.optimizer
    found = foreign.read(located(old, kind)).optimizer
    kept = {tuple(np.sort(value.ravel())) for value in found.values() if np.ndim(value) > 0}
    for by_name in accumulators.values():
        for array in by_name.values():
            assert tuple(np.sort(array.ravel())) in kept


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pdparams"])
@each_kind
def test_it_is_converted(old, kind, suffix, tmp_path):
    found = foreign.read(located(old, kind))
    adopt(located(old, kind), write=tmp_path / f"it{suffix}")
    written = {
        ".npz": lambda path: dict(np.load(str(path))),
        ".safetensors": lambda path: safetensors.numpy.load(path.read_bytes()),
        ".pdparams": lambda path: as_paddle_reads(path.with_suffix(""))[0],
    }[suffix](tmp_path / f"it{suffix}")
    assert same(dict(sorted(written.items())), dict(sorted(found.arrays.items())))
    if suffix == ".pdparams" and kind.optimizer:
        optimizer = pickles.load(tmp_path / "it.pdopt")
        assert optimizer.keys() == found.optimizer.keys()


def test_a_folder_named_model_of_2019(old, tmp_path):
    done = verb("adopt", "model", cwd=old[0], check=0)
    first = done.stdout
    assert first.startswith("model: tensors of a static program (fluid.io.save_inference_model")
    assert "activation (told)" in done.stdout and "taken as    activation=tanh" in done.stdout
    verb("adopt", "model", "--write", tmp_path / "model.pdparams", cwd=old[0], check=0)
    verb("adopt", "model", "--to", tmp_path / "checkpoints", cwd=old[0], check=0)
    done = verb("train", "--resume", "latest", "--set", "train.epochs=1", cwd=tmp_path, check=0)
    assert "best on valid" in done.stdout


@pytest.mark.parametrize("kind", ["dygraph pair, the course's LeNet", "dygraph pair, batch norm"])
def test_what_was_adopted_is_trained_on_exported_and_evaluated(old, kind, tmp_path):
    verb("adopt", located(old, KINDS[kind]), "--to", "made", cwd=tmp_path, check=0)
    done = verb("train", "--resume", "made", "--set", "train.epochs=1", cwd=tmp_path, check=0)
    assert "best on valid" in done.stdout
    verb("evaluate", "--checkpoint", "made", cwd=tmp_path, check=0)
    verb("export", "--checkpoint", "made", "--to", "exported", cwd=tmp_path, check=0)
    verb("adopt", "exported", cwd=tmp_path, check=0)


@pytest.mark.parametrize("python", ["MNIST_PADDLE2_PYTHON", "MNIST_PADDLE3_PYTHON"])
def test_paddle_2_and_3_load_what_is_written(old, python, tmp_path):
    if python not in os.environ:
        pytest.skip(f"{python} names no Python with the package")
    verb("adopt", "model", "--write", tmp_path / "it.pdparams", "--names", "model", cwd=old[0],
         check=0)  # fmt: skip
    script = """
import paddle
import paddle.nn.functional as F
import numpy as np

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv1 = paddle.nn.Conv2D(1, 4, 5)
        self.conv2 = paddle.nn.Conv2D(4, 6, 5)
        self.fc = paddle.nn.Linear(96, 10)

    def forward(self, images):
        maps = F.avg_pool2d(paddle.tanh(self.conv1(images)), 2)
        maps = F.avg_pool2d(paddle.tanh(self.conv2(maps)), 2)
        return self.fc(paddle.flatten(maps, 1))

net = Net()
assert net.set_state_dict(paddle.load("it.pdparams")) in (([], []), None)
np.save("read.npy", net(paddle.to_tensor(np.load("in.npy"))).numpy().argmax(axis=1))
"""
    images = (digits().eval.images.astype("float32") / 255).reshape(-1, 1, 28, 28)
    np.save(str(tmp_path / "in.npy"), images)
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([os.environ[python], "-c", script], cwd=str(tmp_path), env=clean, check=True,
                   timeout=240)  # fmt: skip
    assert np.load(str(tmp_path / "read.npy")).tolist() == old[1]["static"].tolist()


def test_names_of_the_model_s_own(old, tmp_path):
    path = located(old, KINDS["dygraph pair, batch norm"])
    adopt(path, write=tmp_path / "it.npz", names="model")
    written, here = np.load(str(tmp_path / "it.npz")), foreign.read(path).arrays
    assert np.array_equal(written["fc.weight"], here["out.weight"])
    assert np.array_equal(written["norms.0._mean"], here["norm0._mean"])
    assert "norm0._mean" not in written.files


@pytest.mark.parametrize(
    "pack", [zlib.compress, gzip.compress, lambda data: zlib.compress(data, 0)]
)
def test_packed_files_are_as_the_others(old, pack, tmp_path):
    content = (old[0] / "unpadded_sgd.pdparams").read_bytes()
    (tmp_path / "packed.pdparams").write_bytes(pack(content))
    assert same(
        foreign.read(tmp_path / "packed").arrays, foreign.read(old[0] / "unpadded_sgd").arrays
    )


def test_what_unpacks_to_far_more_is_refused(tmp_path):
    (tmp_path / "bomb.pdparams").write_bytes(zlib.compress(bytes(100 << 20)))
    with pytest.raises(InputError, match="unpacks to more than 50 times its size"):
        foreign.read(tmp_path / "bomb")


def test_python_2_s_are_read():
    found = foreign.read(MATERIAL / "pickles" / "py27_lenet")
    assert "Python 2" in found.kind and len(found.arrays) == 6


def test_checkpoints_and_exports_of_our_own(tmp_path, capsys):
    path = save_checkpoint(tmp_path / "checkpoints", "model.name=embedding")
    for given in path, path.parent, path.parent / "latest":
        adopt(given)
        assert "a checkpoint of this project" in capsys.readouterr().out
    found = foreign.read(path)
    assert "of this project" in found.kind and "embedding.weight" in found.arrays
    assert reading.as_checkpoint(found).model["embedding_size"] == 64
    bundle.export(reading.load(path), tmp_path / "exported", str(DIGITS))
    exported = foreign.read(tmp_path / "exported").arrays
    assert {a.tobytes() for a in exported.values()} == {a.tobytes() for a in found.arrays.values()}


def test_halves_are_taken_as_float32(tmp_path, capsys):
    adopt(NEWER / "paddle3.3.1" / "half.pdparams", to=tmp_path / "made")
    assert "float16" in capsys.readouterr().out
    parameters = reading.load(tmp_path / "made" / "best").parameters
    assert {array.dtype.name for array in parameters.values()} == {"float32"}


def test_parameters_that_are_no_net_for_digits_are_converted(tmp_path, capsys):
    arrays = {"table": np.arange(12).reshape(3, 4), "half": np.ones(2, "float16")}
    (tmp_path / "other.pdparams").write_bytes(pickles.dump(arrays))
    adopt(tmp_path / "other", write=tmp_path / "other.npz")
    assert "no net for digits of ours" in capsys.readouterr().out
    assert same(dict(np.load(str(tmp_path / "other.npz"))), arrays)
    with pytest.raises(InputError, match=r"table is int64 \[3, 4\], not a float32"):
        adopt(tmp_path / "other", to=tmp_path / "made")


OTHERS = {
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n",
    "a web page": b"\n<!DOCTYPE html><html><title>404</title>",
    "a PyTorch file": b"PK\x03\x04" + bytes(26) + b"archive/data.pkl" + bytes(99),
    "a NumPy archive": b"PK\x03\x04" + bytes(26) + b"a.npy" + bytes(99),
    "a zip archive": b"PK\x03\x04" + bytes(26) + b"a.txt" + bytes(99),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(99),
    "a NumPy array": b"\x93NUMPY\x01\x00",
    "an ONNX model": b"\x08\x07\x12\x07pytorch\x1a\x05",
    "empty": b"",
    "text": b"learning_rate: 0.1\n",
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("name", ["it.pdparams", "it", "folder/weights"])
def test_other_files_are_called_what_they_look_like(tmp_path, what, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / name).write_bytes(OTHERS[what])
    with pytest.raises(InputError, match=f"(is|holds no parameters) .*{what}|{what}"):
        foreign.read(tmp_path / name)
    if name.startswith("folder") and what != "text":
        with pytest.raises(InputError, match=f"holds no parameters .weights is {what}"):
            foreign.read(tmp_path / "folder")


def test_a_folder_of_several_pairs_asks_which(old):
    with pytest.raises(InputError, match=r"holds several pairs; name one: .*normed"):
        foreign.read(old[0])


def test_a_program_alone_has_no_parameters(old, tmp_path):
    (tmp_path / "__model__").write_bytes((old[0] / "model" / "__model__").read_bytes())
    with pytest.raises(InputError, match="holds no parameters"):
        foreign.read(tmp_path)


def test_an_unreadable_optimizer_is_a_warning_where_nothing_is_resumed(old, tmp_path):
    (tmp_path / "mnist.pdparams").write_bytes((old[0] / "unpadded_sgd.pdparams").read_bytes())
    (tmp_path / "mnist.pdopt").write_bytes(b"no pickle")
    done = verb("evaluate", "--checkpoint", "mnist", "--data", DIGITS, cwd=tmp_path, check=0)
    assert "nothing but resuming needs it" in done.stderr and "mnist.adopt" in done.stderr
    done = verb("adopt", "mnist", "--to", "made", cwd=tmp_path, check=0)
    assert "mnist.pdopt" in done.stderr and "Adam begins anew" in done.stdout
    config = ["--config", "configs/quickstart.yaml", "--set", "model.name=lenet"]
    done = verb("train", *config, "--resume", "mnist", cwd=tmp_path, check=2)
    assert "mnist.pdopt" in one_line(done.stderr)


def test_a_folder_with_checkpoints_is_not_written_into(old, tmp_path):
    adopt(located(old, KINDS["dygraph pair"]), to=tmp_path / "made")
    with pytest.raises(InputError, match="has checkpoints in it; name another"):
        adopt(located(old, KINDS["dygraph pair"]), to=tmp_path / "made")


def test_what_is_told_or_stated_is_not_tried_otherwise(old, capsys):
    adopt(located(old, KINDS["dygraph pair"]), assume=["activation=tanh", "pooling=avg"])
    assert "taken as    activation=tanh pooling=avg input=" in capsys.readouterr().out
    with pytest.raises(InputError, match="has no pooling"):
        adopt(located(old, KINDS["dygraph pair, batch norm"]), assume=["pooling=avg"], to="made")


def test_the_files_of_a_checkpoint_mean_the_checkpoint(tmp_path):
    path = save_checkpoint(tmp_path / "checkpoints", "model.name=lenet5")
    for given in path / "model", path / "model.pdparams":
        assert reading.locate(given, tmp_path) == path
    assert reading.load(reading.locate(path / "model", tmp_path)).model["name"] == "lenet5"


def test_a_folder_with_nothing_but_pairs_names_one(old):
    with pytest.raises(InputError, match=r"no checkpoint; it holds the pair .*/lenet; train"):
        reading.locate(old[0], "checkpoints")


def rows(text) -> Tuple[str, ...]:
    return tuple(re.findall(r"^\| ([^|]+?) \|.*\| (?:yes|no|—|是|否)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["adopting.md", "adopting.zh-CN.md"])
def test_the_table_in_the_docs_has_every_kind(name):
    text = Path(ROOT / "docs" / name).read_text()
    for label, kind in KINDS.items():
        (line,) = [row for row in text.splitlines() if row.startswith(f"| {label} |")]
        *_, resumed, _ = [cell.strip() for cell in line.strip("|").split("|")]
        keeps = kind.optimizer not in ("", "rmsprop")
        assert resumed.startswith(("with its state", "保留状态") if keeps else ("anew", "重新开始"))
