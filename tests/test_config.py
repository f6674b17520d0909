"""The config room: what is accepted, what is refused, and how it is said."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mnist import config as configs
from mnist.config import Config
from mnist.errors import InputError
from mnist.files import PROJECT_ROOT

CONFIGS = sorted((PROJECT_ROOT / "configs").glob("*.yaml"))


def write(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def refusal(*overrides, **values):
    with pytest.raises(InputError) as caught:
        configs.from_dict(values, "run.yaml", overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_project_is_valid_and_says_how_to_run_it(path):
    assert isinstance(configs.load(path), Config)
    assert f"python -m mnist.train --config configs/{path.name}" in path.read_text()


def test_the_configs_that_scripts_rely_on_are_there():
    names = "quickstart sgd momentum adagrad adam adam_gpu fc lenet5 embedding".split()
    assert set(names) <= {path.stem for path in CONFIGS}


def test_an_empty_config_is_the_defaults(tmp_path):
    assert configs.load(write(tmp_path, "")) == configs.default()


def test_overrides_apply_in_order_and_go_deep():
    config = configs.default(
        ["train.epochs=3", "train.epochs=4", "optimizer.schedule.name=cosine", "data.fallback=null"]
    )
    assert config.train.epochs == 4
    assert config.optimizer.schedule.name == "cosine"
    assert config.data.fallback is None


@pytest.mark.parametrize("text", ["1e-3", "1E-3", ".001", "0.001", "1.0e-3"])
def test_numbers_are_numbers_however_they_are_written(tmp_path, text):
    path = write(tmp_path, f"optimizer:\n  learning_rate: {text}\n")
    assert configs.load(path).optimizer.learning_rate == 0.001
    assert configs.default([f"optimizer.learning_rate={text}"]).optimizer.learning_rate == 0.001


@pytest.mark.parametrize(
    "override, key, hint",
    [
        ("optimizer.learning_rat=0.1", "optimizer.learning_rat", "optimizer.learning_rate"),
        ("optimizer.lr=0.1", "optimizer.lr", "optimizer.learning_rate"),
        ("model.filterz=[1,2]", "model.filterz", "model.filters"),
        ("seed=1", "seed", "train.seed"),
        ("trian.epochs=1", "trian", "nearest: train"),
        ("model.name=lennet", "model.name", "nearest: lenet"),
    ],
)
def test_an_unknown_key_or_name_is_named_with_the_nearest_valid_one(override, key, hint):
    message = refusal(override)
    assert f"{key}:" in message and hint in message and "run.yaml" in message


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


def test_another_choice_drops_the_keys_of_the_former_one():
    values = {"model": {"name": "lenet", "filters": [8, 20]}, "optimizer": {"beta1": 0.8}}
    config = configs.from_dict(values, "run.yaml", ["model.name=fc", "optimizer.name=sgd"])
    assert config.model.name == "fc" and config.optimizer.name == "sgd"
    assert "filters" in refusal(model={"name": "fc", "filters": [8, 20]})


@pytest.mark.parametrize(
    "text, fault",
    [
        ("train: {epochs: 1", "not valid YAML"),
        ("- 1\n- 2\n", "a list"),
        ("just words", "a text"),
        ("train:\n  epochs: 1\n  epochs: 2\n", "stands twice"),
        ("a: &x 1\ntrain:\n  epochs: *x\n", "aliases"),
        ("1: 2\n", "not a word"),
        ("train: !!python/object/apply:os.system ['touch pwned']\n", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("# " + "x" * 70_000, "too large"),
    ],
)
def test_a_broken_file_is_named_and_nothing_in_it_runs(tmp_path, text, fault, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=fault) as caught:
        configs.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        configs.load(tmp_path / "nowhere.yaml")


def test_a_config_survives_its_way_through_plain_values():
    config = configs.load(PROJECT_ROOT / "configs" / "adam_gpu.yaml")
    assert configs.from_dict(config.model_dump(), "state.json") == config
    assert configs.from_dict(yaml.safe_load(configs.to_yaml(config)), "yaml") == config


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


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "path", "epochs", "schedule", "x"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["data", "model", "optimizer", "train", "device", "x"]), yaml_values
    )
)
def test_any_mapping_is_a_config_or_a_one_line_error(values):
    try:
        assert isinstance(configs.from_dict(values, "run.yaml"), Config)
    except InputError as error:
        assert "\n" not in str(error)


@given(st.text(max_size=40))
def test_any_override_is_applied_or_a_one_line_error(text):
    try:
        configs.default([text])
    except InputError as error:
        assert "\n" not in str(error)
