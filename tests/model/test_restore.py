"""What is put into a model fits it, or nothing is."""

import json

import pytest
from helpers import PROJECT, dygraph, same, save_checkpoint, verb

from mnist.base import files
from mnist.base.errors import InputError
from mnist.checkpoints import reading
from mnist.model import restore
from tests.material.checkpoints import arrays, save, training


def with_model(folder, model):
    """A checkpoint whose state has another model, its manifest put right."""
    path = save_checkpoint(folder, "model.name=fc", "model.hidden_sizes=[4]")
    values = json.loads((path / "state.json").read_text())
    values["config"]["model"] = model
    (path / "state.json").write_text(json.dumps(values))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["state.json"] = files.sha256_of(path / "state.json")
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


BAD_MODELS = [
    (None, "config.model: must be a section"),
    ([1], "config.model: must be a section"),
    ("fc", "config.model: must be a section"),
    ({}, "the parameter conv1.weight is missing"),
    ({"name": "fcc"}, "model.name: must be one of"),
    ({"name": ["fc"]}, "model.name: must be one of"),
    ({"name": "fc", "hidden_sizes": ["4"]}, r"model.hidden_sizes\[0\]: must be a valid integer"),
    ({"name": "fc", "hiddensizes": [4]}, "model.hiddensizes: there is no such key"),
    ({"name": "fc", "hidden_sizes": [5]}, r"hidden.0.weight is \[784, 4\]"),
    ({"name": "fc", "hidden_sizes": [4], "input_range": [1, 1]}, "two numbers that differ"),
    ({"name": "lenet", "pooling": "min"}, "model.pooling: must be 'max' or 'avg'"),
]


@pytest.mark.parametrize("model, said", BAD_MODELS, ids=str)
def test_a_bad_model_in_a_state_is_told_in_one_line(tmp_path, model, said):
    path = with_model(tmp_path, model)
    with dygraph(), pytest.raises(InputError, match=said) as caught:
        restore.load_model(reading.load(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["evaluate", "predict", "train"])
def test_verbs_tell_of_a_bad_model_in_one_line(tmp_path, name):
    path = with_model(tmp_path / "checkpoints", {"name": "fcc"})
    option = "--resume" if name == "train" else "--checkpoint"
    pictures = [PROJECT / "data" / "samples"] if name == "predict" else []
    done = verb(name, *pictures, option, path, cwd=tmp_path, check=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}/state.json: model.name: must be one of fc, lenet")


def test_parameters_that_do_not_fit_change_nothing(tmp_path):
    with training() as trained:
        source = reading.load(save(tmp_path, trained))
    with dygraph() as fluid:
        for other in (fluid.dygraph.Linear(4, 5), fluid.dygraph.Sequential(
            fluid.dygraph.Linear(4, 3), fluid.dygraph.Linear(3, 3)
        )):  # fmt: skip
            before = arrays(other)
            with pytest.raises(InputError):
                restore.parameters(other, source)
            assert same(before, arrays(other))
