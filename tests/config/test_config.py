"""The config room: what is accepted, what is refused, and how it is said."""

import json
import os

import pytest
import yaml
from helpers import ROOT, verb
from hypothesis import given
from hypothesis import strategies as st

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.base.files import PROJECT_ROOT
from mnist.config import Config

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


def test_an_empty_config_is_the_defaults(tmp_path):
    assert configs.load(write(tmp_path, "")) == configs.default()


def test_overrides_apply_in_order_and_go_deep():
    config = configs.default(
        ["train.epochs=3", "train.epochs=4", "optimizer.schedule.name=cosine", "data.fallback=null"]
    )
    assert config.train.epochs == 4
    assert config.optimizer.schedule.name == "cosine"
    assert config.data.fallback is None


# --- what YAML makes of it -------------------------------------------------------------


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
        ("0123", "write 123"),
        ("0100", "write 100"),
        ("08", "write 8"),
        ("00", "write 0"),
        ("1:30", "write one number"),
        ("1:30:00", "write one number"),
        ("0o17", "write a decimal number"),
        ("1_0", "without quotes, commas and underscores"),
        ("1,000", "without quotes, commas and underscores"),
        ("'3'", "without quotes, commas and underscores"),
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


@pytest.mark.parametrize(
    "text, nested",
    [
        ("train.epochs: 3\n", "train.epochs: .* write train: {epochs: 3}"),
        ("data:\n  loader.mode: sync\n", "data.loader.mode: .* data: {loader: {mode: 'sync'}}"),
        (
            "optimizer:\n  name: sgd\n  schedule.warmup_steps: 5\n",
            "optimizer.schedule.warmup_steps: .* optimizer: {schedule: {warmup_steps: 5}}",
        ),
    ],
)
def test_a_dotted_key_in_a_file_is_told_how_to_nest(tmp_path, text, nested):
    with pytest.raises(InputError, match=nested):
        configs.load(write(tmp_path, text))


@pytest.mark.parametrize(
    "text, fault",
    [
        ("train:\n  epochs：3\n", "fullwidth colon"),
        ("train：\n  epochs： 3\n", "fullwidth colon '：' in line 1"),
        ("train:\n  epochs: 3\n  seed：4\n", "fullwidth colon '：' in line 3"),
        ("# 注释：\ntrain: {epochs: 3， seed: 4}", "fullwidth comma '，' in line 2"),
        ("train:\n\u3000epochs: 3\n", "ideographic space"),
        ("train:\n\u00a0\u00a0epochs: 3\n", "no-break space"),
        ("model: {filters: [8、20]}", "ideographic comma"),
        ("device: {place: ”auto“}", "right double quotation mark"),
        ("train:\n  epochs:3", "a space must follow the colon"),
    ],
)
def test_full_width_punctuation_is_pointed_at(tmp_path, text, fault):
    with pytest.raises(InputError, match=fault) as caught:
        configs.load(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_full_width_punctuation_in_comments_and_names_is_nobody_s_business(tmp_path):
    path = write(tmp_path, "# 训练：五轮。\nlog:\n  dir: 日志（1）  # 目录：\n")
    assert configs.load(path).log.dir == "日志（1）"
    with pytest.raises(InputError) as caught:
        configs.load(write(tmp_path, "# 训练：\ntrain: {epochs: 0}\n"))
    assert "fullwidth" not in str(caught.value)


def test_full_width_punctuation_with_set():
    assert "fullwidth equals sign" in refusal("train.epochs＝3")
    assert "fullwidth comma" in refusal("model.filters=[8，20]")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_in_the_encodings_that_editors_save(tmp_path, encoding):
    path = tmp_path / "run.yaml"
    path.write_bytes("train: {epochs: 3}  # 三\n".encode(encoding))
    assert configs.load(path).train.epochs == 3


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes("train: {epochs: 3}\n# 三\n".encode("gb18030"))
    with pytest.raises(InputError, match=r"run\.yaml: is not in UTF-8 \(byte 0xc8 in line 2\)"):
        configs.load(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.yaml")
    done = verb("train", "--config", "run.yaml", cwd=tmp_path, check=2, timeout=60)
    assert done.stderr == "error: run.yaml: cannot be read (it is not a regular file)\n"


@pytest.mark.parametrize("key", ["data.path", "data.fallback", "checkpoint.dir", "log.dir"])
def test_a_tilde_is_the_home_folder_in_every_path(tmp_path, monkeypatch, key):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert read_both_ways(tmp_path, key, "~/x") == str(tmp_path / "home" / "x")


# --- what is refused -------------------------------------------------------------------


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


@pytest.mark.parametrize("path", list(configs.CHOICES))
def test_a_key_that_is_called_like_a_choice_is_named_in_full(path):
    for chosen in configs.CHOICES[path]:
        settings = [f"{path}.name={chosen}"]
        if chosen == "piecewise":
            settings += [f"{path}.boundaries=[1]", f"{path}.factors=[1, 0.1]"]
        assert configs.default(settings)
        for name, section in configs.CHOICES[path].items():
            if name not in configs.CHOICES[path][chosen].model_fields:
                assert f"{path}.{name}: there is no such key" in refusal(
                    *settings, f"{path}.{name}=1"
                )
            assert section.model_fields["name"].default == name
    message = refusal("optimizer.name=momentum", "optimizer.momentum=2")
    assert "optimizer.momentum: must be less than 1, not 2" in message


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


@pytest.mark.parametrize(
    "text",
    ["None", "1e3", "0123", "1:30", "2024-06-01", "1_000", "no", "null", "=", "a: b", "日志"],
)
def test_a_text_survives_its_way_through_yaml(tmp_path, text):
    config = configs.default([f'log.dir="{text}"'])
    assert config.log.dir == text
    assert configs.load(write(tmp_path, configs.to_yaml(config))) == config
    assert configs.from_dict(yaml.safe_load(configs.to_yaml(config)), "yaml") == config


# --- keys of earlier versions ----------------------------------------------------------


def test_a_former_key_with_its_default_is_passed_over_with_a_note(tmp_path, capsys):
    path = write(tmp_path, "data: {loader: {iterable: true, capacity: 4}}\n")
    config = configs.load(path, ["log.inputs_every_epochs=5"])
    assert config == configs.default(["data.loader.capacity=4"])
    note = f"WARNING: {path}: keys of an earlier version, passed over (they had their defaults): "
    expected = note + "data.loader.iterable, log.inputs_every_epochs\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "override, way_out",
    [
        ("data.loader.feed_list=[image]", "leave it out"),
        ("data.loader.iterable=false", "leave it out"),
        ("data.loader.return_list=false", "leave it out"),
        ("log.confusion_every_epochs=2", "log.pictures_every_epochs"),
        ("log.mistakes_every_epochs=null", "log.pictures_every_epochs"),
        ("log.filters_every_epochs=[x]", "log.pictures_every_epochs"),
        ("log.pr_curves_every_epochs=5", "log.pictures_every_epochs"),
        ("log.inputs_every_epochs=1", "log.pictures_every_epochs"),
    ],
)
def test_a_former_key_with_another_value_is_refused(override, way_out):
    key = override.partition("=")[0]
    message = refusal(override)
    assert f"run.yaml with --set: {key}: there is no such key any more: " in message
    assert way_out in message


def saved(name):
    return json.loads((ROOT / name / "state.json").read_text())["config"]


def test_a_checkpoint_of_an_earlier_version_has_the_config_it_had(capsys):
    trained_with = configs.load(ROOT / "configs" / "best.yaml")
    assert configs.from_dict(saved("data/pretrained"), "state.json") == trained_with
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "cadences, pictures",
    [((3, 3, 3, 3), 3), ((2, 2, 5, 5), 2), ((None, None, 4, None), 4), ((None,) * 4, None)],
)
def test_and_the_cadence_of_its_pictures(cadences, pictures):
    values = saved("data/pretrained")
    names = ("confusion", "mistakes", "filters", "pr_curves")
    values["log"].update({f"{n}_every_epochs": c for n, c in zip(names, cadences)})
    values["log"]["inputs_every_epochs"] = None
    assert configs.from_dict(values, "state.json").log.pictures_every_epochs == pictures


# --- comparing -------------------------------------------------------------------------


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
