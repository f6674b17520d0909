"""What a config may be, and what makes two of them different runs."""

import pytest
import yaml

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.base.files import PROJECT_ROOT
from mnist.config import Config
from tests.material.configs import refusal

CONFIGS = sorted((PROJECT_ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_project_is_valid_and_says_how_to_run_it(path):
    assert isinstance(configs.load(path), Config)
    assert f"python -m mnist.train --config configs/{path.name}" in path.read_text()


def without(values, key):
    """A copy of nested values without one of them."""
    first, _, rest = key.partition(".")
    return {
        name: without(value, rest) if name == first else value
        for name, value in values.items()
        if name != key
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_project_holds_only_what_differs_from_the_defaults(path):
    values, config = yaml.safe_load(path.read_text()), configs.load(path)
    assert configs.from_dict(values, "whole") == config
    for key in configs.flatten(config):
        rest = without(values, key)
        try:
            assert rest == values or configs.from_dict(rest, "rest") != config, key
        except InputError:
            pass  # What is left does not make sense without it.


def test_the_configs_that_scripts_rely_on_are_there():
    names = "quickstart sgd momentum adagrad adam adam_gpu fc lenet5 embedding".split()
    assert set(names) <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize(
    "override, key",
    [
        ("train.epochs=abc", "train.epochs"),
        ("train.epochs=1.5", "train.epochs"),
        ("train.epochs=true", "train.epochs"),
        ("train.epochs=0", "train.epochs"),
        ("train.epochs=-1", "train.epochs"),
        ("train.seed=-1", "train.seed"),
        ("optimizer.learning_rate=-0.1", "optimizer.learning_rate"),
        ("optimizer.learning_rate=.nan", "optimizer.learning_rate"),
        ("optimizer.learning_rate=.inf", "optimizer.learning_rate"),
        ("data.batch_size=0", "data.batch_size"),
        ("data.path=null", "data.path"),
        ("data.path=", "data.path"),
        ("model.filters=[1]", "model.filters"),
        ("model.filters=[1, 0]", "model.filters[1]"),
        ("model.dropout=1", "model.dropout"),
        ("device.place=tpu", "device.place"),
        ("device.gpu_id=-1", "device.gpu_id"),
        ("optimizer=[1]", "optimizer"),
        ("model=3", "model"),
    ],
)
def test_an_impossible_value_is_refused_with_its_key(override, key):
    assert f" {key}: " in refusal(override)


def test_values_that_do_not_fit_each_other_are_refused():
    assert "end_learning_rate" in refusal(
        "optimizer.schedule.name=polynomial", "optimizer.schedule.end_learning_rate=1.0"
    )
    piecewise = {"name": "piecewise", "boundaries": [2.0, 1.0], "factors": [1.0, 1.0, 1.0]}
    assert "rise" in refusal(optimizer={"schedule": piecewise})
    piecewise = {"name": "piecewise", "boundaries": [1.0], "factors": [1.0]}
    assert "one more" in refusal(optimizer={"schedule": piecewise})
    taught = "train.teachers=[data/pretrained]"
    assert "model.loss" in refusal(taught, "model.loss=square_error")
    assert "label_smoothing" in refusal(taught, "train.label_smoothing=0.1")


def test_differences_name_the_keys_and_which_of_them_matter():
    base = configs.default()
    other = configs.default(["log.dir=elsewhere", "data.batch_size=50", "model.name=fc"])
    changed = {key: new for key, _, new in configs.differences(base, other)}
    assert changed["log.dir"] == "elsewhere" and changed["data.batch_size"] == 50
    assert changed["model.name"] == "fc" and changed["model.filters"] is None
    assert not configs.changes_the_run("log.dir", base)
    assert not configs.changes_the_run("data.loader.capacity", base)
    assert configs.changes_the_run("data.batch_size", base)
    assert configs.changes_the_run("optimizer.learning_rate", base)


def test_more_epochs_change_a_run_only_if_its_schedule_stretches_over_them():
    constant = configs.default()
    cosine = configs.default(["optimizer.schedule.name=cosine"])
    assert not configs.changes_the_run("train.epochs", constant)
    assert configs.changes_the_run("train.epochs", cosine)
