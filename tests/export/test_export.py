"""Leaving with a model: whole or not at all, and every file gives what dygraph gives."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from helpers import PROJECT, digits, dygraph, save_checkpoint, verb
from safetensors.numpy import load_file

from mnist.base import files
from mnist.base.errors import Failure, InputError
from mnist.checkpoints import reading
from mnist.export import bundle, onnx_model, paddle_program
from mnist.fluid import layers
from mnist.fluid.feeding import as_model_input
from mnist.model import architectures, restore
from mnist.model.predictor import Predictor

FILES = [
    "model.json", "model.onnx", "paddle/__model__", "paddle/__params__", "weights.npz",
    "weights.safetensors",
]  # fmt: skip


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def in_onnxruntime(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"images": images})[0]


def in_opencv(path, images):
    net = cv2.dnn.readNetFromONNX(str(path))
    net.setInput(images)
    return net.forward()


def images_of(count):
    return digits().eval.images[:count]


@pytest.fixture(scope="module")
def lenet5(tmp_path_factory):
    """A folder with checkpoints/best and what the verb made of it, and what it printed."""
    folder = tmp_path_factory.mktemp("a model")
    save_checkpoint(folder / "checkpoints", "model.name=lenet5")
    (folder / "checkpoints" / "best").symlink_to("epoch1")
    done = verb("export", cwd=folder, check=0)
    return folder, done


# --- what is published -------------------------------------------------------------------


def test_the_verb_publishes_all_files_and_tells_how_they_agree(lenet5):
    folder, done = lenet5
    assert files_in(folder / "exported") == FILES
    for expected in (
        "checkpoints/best (epoch1): lenet5",
        "images: float32 [N,1,28,28] in 0–1",
        "probabilities: float32 [N,10]",
        "300 images",
        "written to exported/",
    ):
        assert expected in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.rstrip().endswith(" 300")]
    assert [row[-3] for row in rows] == ["fluid.Executor", "predictor", "onnxruntime"]
    assert all(float(row[-2]) < 1e-5 for row in rows)
    assert done.stderr == ""


def test_model_json_describes_the_files(lenet5):
    folder, _ = lenet5
    described = json.loads((folder / "exported" / "model.json").read_text())
    assert sorted(described["files"]) == FILES[1:]
    for name, sha256 in described["files"].items():
        assert files.sha256_of(folder / "exported" / name) == sha256
    source = folder / "checkpoints" / "epoch1" / "model.pdparams"
    assert described["checkpoint"]["parameters_sha256"] == files.sha256_of(source)
    assert described["temperature"] is None and described["model"]["name"] == "lenet5"
    assert described["checked"]["results"][2]["same_digit"] == 300


def test_the_onnx_file_is_valid_and_says_what_goes_in_and_comes_out(lenet5):
    folder, _ = lenet5
    model = onnx.load(str(folder / "exported" / "model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [(v.name, dimensions(v)) for v in model.graph.input] == [("images", ["N", 1, 28, 28])]
    assert [(v.name, dimensions(v)) for v in model.graph.output] == [("probabilities", ["N", 10])]
    assert {row.domain for row in model.opset_import} == {""}
    weights = {tensor.name for tensor in model.graph.initializer}
    assert {"conv1.weight", "conv1.bias", "fc3.weight", "fc3.bias"} <= weights
    metadata = {row.key: row.value for row in model.metadata_props}
    described = json.loads((folder / "exported" / "model.json").read_text())
    assert json.loads(metadata["input"]) == described["input"]
    assert metadata["preprocessing"] == described["preprocessing"]
    assert metadata["temperature"] == "null"
    assert json.loads(metadata["model"]) == described["model"]


def dimensions(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("size", [1, 7, 256])
def test_any_batch_size_gives_the_same_as_predicting(lenet5, size):
    folder, _ = lenet5
    images = images_of(size)
    expected = Predictor(folder / "checkpoints" / "epoch1").probabilities(images)
    for found in (
        in_onnxruntime(folder / "exported" / "model.onnx", as_model_input(images)),
        *(
            load(folder / "exported" / "paddle")(as_model_input(images))
            for load in (paddle_program.in_executor, paddle_program.in_predictor)
        ),
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_export_holds_nothing_of_the_machine_and_is_the_same_again(lenet5, tmp_path):
    folder, _ = lenet5
    for name in FILES:
        content = (folder / "exported" / name).read_bytes()
        assert b".py" not in content and str(folder).encode() not in content
    bundle.export(reading.load(folder / "checkpoints" / "best"), tmp_path / "again")
    # Paddle writes the variables of a program in any order, so two of FILES may differ.
    for name in ("model.onnx", "paddle/__params__", "weights.npz", "weights.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / "exported" / name).read_bytes()


# --- every model, every loss ---------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        *([f"model.name={name}"] for name in architectures.MODELS if name != "lenet5"),
        ["model.name=fc", "model.loss=square_error", "model.activation=tanh", "model.dropout=0.3"],
        ["model.name=embedding", "model.loss=square_error", "model.levels=2"],
    ],
    ids=" ".join,
)
def test_every_model_gives_the_same_in_onnxruntime_and_opencv(tmp_path, settings):
    path = save_checkpoint(tmp_path / "checkpoints", *settings)
    done = bundle.export(reading.load(path), tmp_path / "out")
    results = done["checked"]["results"]
    assert all(map(bundle.holds, results))
    images = images_of(50)
    expected = Predictor(path).probabilities(images)
    for runtime in (in_onnxruntime, in_opencv):
        found = runtime(tmp_path / "out" / "model.onnx", as_model_input(images))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_temperature_divides_the_logits_inside_the_export(tmp_path):
    source = reading.load(save_checkpoint(tmp_path / "checkpoints", "model.name=fc"))
    assert source.temperature is None
    warm = replace(source, state=source.state.model_copy(update={"temperature": 2.5}))
    done = bundle.export(warm, tmp_path / "out")
    assert done["temperature"] == 2.5
    images = as_model_input(images_of(20))
    with dygraph() as fluid:
        logits = restore.load_model(source)(fluid.dygraph.to_variable(images)).numpy()
    powers = np.exp(logits.astype(np.float64) / 2.5)
    expected = powers / powers.sum(axis=1, keepdims=True)
    found = in_onnxruntime(tmp_path / "out" / "model.onnx", images)
    np.testing.assert_allclose(found, expected, atol=1e-6)


# --- weights ---------------------------------------------------------------------------------


def test_the_weights_are_the_checkpoints_and_the_table_names_them(lenet5):
    folder, _ = lenet5
    parameters = reading.load(folder / "checkpoints" / "epoch1").parameters
    with np.load(folder / "exported" / "weights.npz", allow_pickle=False) as arrays:
        in_npz = dict(arrays)
    in_safetensors = load_file(folder / "exported" / "weights.safetensors")
    table = json.loads((folder / "exported" / "model.json").read_text())["parameters"]
    assert list(in_npz) == [row["name"] for row in table]
    assert in_npz.keys() == in_safetensors.keys() == parameters.keys()
    for row in table:
        name = row["name"]
        assert np.array_equal(in_npz[name], parameters[name])
        assert np.array_equal(in_safetensors[name], parameters[name])
        assert row["shape"] == list(parameters[name].shape)
        assert row["torch"] == name
        assert row["torch_transposed"] == (name in ("fc1.weight", "fc2.weight", "fc3.weight"))


def test_the_names_of_a_batch_normalisation_in_pytorch():
    with dygraph() as fluid:
        layer = fluid.dygraph.LayerList([fluid.dygraph.BatchNorm(4), fluid.dygraph.Linear(4, 4)])
        rows = {row["name"]: row for row in bundle.describe_parameters(layer)}
    assert {name: row["torch"] for name, row in rows.items()} == {
        "0.weight": "0.weight",
        "0.bias": "0.bias",
        "0._mean": "0.running_mean",
        "0._variance": "0.running_var",
        "1.weight": "1.weight",
        "1.bias": "1.bias",
    }
    assert [name for name, row in rows.items() if row["torch_transposed"]] == ["1.weight"]


# --- refusals and failures -------------------------------------------------------------------


@pytest.fixture
def small_model(tmp_path):
    path = save_checkpoint(tmp_path / "checkpoints", "model.name=fc", "model.hidden_sizes=[]")
    return reading.load(path)


def test_an_earlier_export_stays_unless_forced(lenet5, tmp_path):
    folder, _ = lenet5
    shutil.copytree(folder, tmp_path / "copy", symlinks=True)
    out = tmp_path / "copy" / "exported"
    (out / "notes.txt").write_text("mine")
    done = verb("export", cwd=tmp_path / "copy", check=2)
    assert done.stderr.startswith("error: exported: holds an earlier export; --force")
    assert files_in(out) == sorted([*FILES, "notes.txt"])
    verb("export", "--force", cwd=tmp_path / "copy", check=0)
    assert files_in(out) == FILES
    assert sorted(p.name for p in (tmp_path / "copy").iterdir()) == ["checkpoints", "exported"]


def test_what_is_no_export_is_never_replaced(tmp_path, small_model):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "one.png").write_bytes(b"a photo")
    (tmp_path / "file").write_bytes(b"a file")
    for target in (folder, tmp_path / "file", tmp_path):
        with pytest.raises(InputError, match="is no export"):
            bundle.export(small_model, target, force=True)
    assert files_in(folder) == ["one.png"]


def test_a_file_that_gives_other_results_is_not_published(lenet5, tmp_path, monkeypatch):
    folder, _ = lenet5
    out = tmp_path / "deep" / "out"
    shutil.copytree(folder / "exported", out)
    right = onnx_model.in_onnxruntime
    monkeypatch.setattr(
        onnx_model, "in_onnxruntime", lambda path: lambda images: right(path)(images)[:, ::-1]
    )
    source = reading.load(folder / "checkpoints" / "best")
    for target in (out, tmp_path / "deep" / "new"):
        with pytest.raises(Failure, match=r"model\.onnx in onnxruntime differs from dygraph"):
            bundle.export(source, target, force=True)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    for name in FILES:
        assert (out / name).read_bytes() == (folder / "exported" / name).read_bytes()


@pytest.mark.parametrize(
    "found, holds",
    [
        ([[0.6, 0.4], [0.1, 0.9]], True),
        ([[0.60005, 0.39995], [0.1, 0.9]], True),
        ([[0.6002, 0.3998], [0.1, 0.9]], False),
        ([[0.4, 0.6], [0.1, 0.9]], False),
        ([[np.nan, 0.4], [0.1, 0.9]], False),
    ],
)
def test_what_counts_as_agreeing(found, holds):
    expected = np.array([[0.6, 0.4], [0.1, 0.9]])
    assert bundle.holds(bundle.compare(expected, np.array(found))) is holds


def test_an_operator_that_has_no_conversion_is_named(tmp_path, monkeypatch):
    def reflected(values, margin):
        padded = layers.fluid.layers.pad2d(values, paddings=[margin] * 4, mode="reflect")
        return padded if margin else values

    monkeypatch.setattr(layers, "pad", reflected)
    source = reading.load(save_checkpoint(tmp_path / "checkpoints", "model.name=lenet5"))
    with pytest.raises(Failure, match=r"cannot convert this model to ONNX: .*pad2d"):
        bundle.export(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_without_its_data_set_random_images_are_compared_loudly(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bundle, "CHECKED_IMAGES", 500)
    path = save_checkpoint(tmp_path / "checkpoints", "model.name=fc", data=tmp_path / "gone.gz")
    (tmp_path / "out").mkdir()  # an empty folder may be filled
    done = bundle.export(reading.load(path), tmp_path / "out")
    assert done["checked"]["results"][0]["images"] == 500
    assert done["checked"]["on"] == "500 random images"
    assert "gone.gz is not there, so checked on random images" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--checkpoint", "nowhere"], "nowhere"),
        (["--data", "nowhere.json.gz"], "nowhere.json.gz"),
        (["--too", "x"], "--too"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(lenet5, arguments, named):
    folder, _ = lenet5
    before = files_in(folder)
    done = verb("export", "--to", "other", *arguments, cwd=folder, check=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and named in line
    assert files_in(folder) == before


def test_what_it_needs_is_named_where_it_is_missing(lenet5, tmp_path):
    folder, _ = lenet5
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'paddle2onnx': raise ImportError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    env = {"PYTHONPATH": f"{tmp_path}:{PROJECT}"}
    done = verb("export", "--to", "other", cwd=folder, env=env, check=2)
    assert (
        done.stderr.startswith("error: not installed: paddle2onnx") and ".[export]" in done.stderr
    )
