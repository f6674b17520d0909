"""What YAML and --set make of a config."""

import os

import pytest
import yaml
from helpers import verb
from hypothesis import given
from hypothesis import strategies as st

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.base.files import PROJECT_ROOT
from mnist.config import Config
from tests.material.configs import refusal, write


def test_an_empty_config_is_the_defaults(tmp_path):
    assert configs.load(write(tmp_path, "")) == configs.default()


def test_overrides_apply_in_order_and_go_deep():
    config = configs.default(
        ["train.epochs=3", "train.epochs=4", "optimizer.schedule.name=cosine", "data.fallback=null"]
    )
    assert config.train.epochs == 4
    assert config.optimizer.schedule.name == "cosine"
    assert config.data.fallback is None


def read_both_ways(tmp_path, key, text):
    """What a key is with a text in a file (or the error), and with --set, which is the same."""
    section, _, name = key.partition(".")
    path = write(tmp_path, f"{section}:\n  {name}: {text}\n")
    in_file, by_set = value_or_error(key, path), value_or_error(key, None, f"{key}={text}")
    if isinstance(in_file, InputError):
        assert isinstance(by_set, InputError)
        assert "\n" not in str(in_file) and str(path) in str(in_file)
    else:
        assert (in_file, type(in_file)) == (by_set, type(by_set))
    return in_file


def value_or_error(key, path, *overrides):
    try:
        config = configs.load(path) if path else configs.default(overrides)
        return configs.flatten(config)[key]
    except InputError as error:
        return error


@pytest.mark.parametrize("text", ["1e-3", "1E-3", ".001", "0.001", "1.0e-3", "+1e-3", "1.e-3"])
def test_numbers_are_numbers_however_they_are_written(tmp_path, text):
    assert read_both_ways(tmp_path, "optimizer.learning_rate", text) == 0.001


@pytest.mark.parametrize(
    "text, number", [("12", 12), ("+12", 12), ("0x1F", 31), ("0b101", 5), ("1_000", 1000)]
)
def test_so_are_whole_ones(tmp_path, text, number):
    assert read_both_ways(tmp_path, "train.epochs", text) == number


@pytest.mark.parametrize(
    "text, way_out",
    [
        *(
            (text, "write a decimal number without quotes, leading zeros, colons, commas and _")
            for text in (
                "0123",
                "0100",
                "08",
                "00",
                "1:30",
                "1:30:00",
                "0o17",
                "1_0",
                "1,000",
                "'3'",
            )
        ),
        ("yes", "yes, no, on and off are true and false"),
        ("off", "yes, no, on and off are true and false"),
        ("None", "write null"),
        ("2024-06-01", "must be a valid integer, not '2024-06-01'"),
        ("３", "fullwidth digit three"),
    ],
)
def test_what_is_a_number_to_few_is_refused_and_the_way_out_named(tmp_path, text, way_out):
    # YAML 1.1 takes the first six for 83, 64, a text, 0, 90 and 5400.
    assert way_out in str(read_both_ways(tmp_path, "train.epochs", text))


@pytest.mark.parametrize("text", ["0100", "1:30", "2024-06-01", "2024_06_01", "08.5", "0o7", "="])
def test_where_a_text_is_due_it_is_one(tmp_path, text):
    assert read_both_ways(tmp_path, "log.dir", text) == text


@pytest.mark.parametrize("text", ["2024", "1e3", "no", "0x1F", "1_000"])
def test_but_not_where_it_is_a_number_or_a_yes_or_no(tmp_path, text):
    assert "put quotes around a text" in str(read_both_ways(tmp_path, "log.dir", text))
    assert read_both_ways(tmp_path, "log.dir", f'"{text}"') == text


@pytest.mark.parametrize(
    "text, value", [("yes", True), ("On", True), ("no", False), ("off", False)]
)
def test_yes_and_no_are_what_they_say(tmp_path, text, value):
    assert read_both_ways(tmp_path, "log.graph", text) is value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_in_the_encodings_that_editors_save(tmp_path, encoding):
    path = tmp_path / "run.yaml"
    path.write_bytes("train: {epochs: 3}  # 三\n".encode(encoding))
    assert configs.load(path).train.epochs == 3


@pytest.mark.parametrize("key", ["data.path", "data.fallback", "checkpoint.dir", "log.dir"])
def test_a_tilde_is_the_home_folder_in_every_path(tmp_path, monkeypatch, key):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert read_both_ways(tmp_path, key, "~/x") == str(tmp_path / "home" / "x")


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes("train: {epochs: 3}\n# 三\n".encode("gb18030"))
    with pytest.raises(InputError, match=r"run\.yaml: is not in UTF-8 \(byte 0xc8 in line 2\)"):
        configs.load(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.yaml")
    done = verb("train", "--config", "run.yaml", cwd=tmp_path, check=2, timeout=60)
    assert done.stderr == "error: run.yaml: cannot be read (it is not a regular file)\n"


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


@pytest.mark.parametrize(
    "text",
    ["None", "1e3", "0123", "1:30", "2024-06-01", "1_000", "no", "null", "=", "a: b", "日志"],
)
def test_a_text_survives_its_way_through_yaml(tmp_path, text):
    config = configs.default([f'log.dir="{text}"'])
    assert config.log.dir == text
    assert configs.load(write(tmp_path, configs.to_yaml(config))) == config
    assert configs.from_dict(yaml.safe_load(configs.to_yaml(config)), "yaml") == config


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
