"""configs/schema.json, by which editors check a config: current, and of one mind with ``load``."""

import importlib.util
import json

import pytest
import yaml
from helpers import ROOT
from jsonschema import Draft7Validator

from mnist import config as configs
from mnist.base.errors import InputError

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
SCHEMA = json.loads((ROOT / "configs" / "schema.json").read_text())


def tool():
    spec = importlib.util.spec_from_file_location("make_schema", ROOT / "tools" / "make_schema.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_what_the_tool_makes_of_the_code():
    assert (ROOT / "configs" / "schema.json").read_text() == tool().make(), (
        "make it anew: ./run python tools/make_schema.py"
    )
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_names_the_schema_and_fits_it(path):
    first, _ = path.read_text().split("\n", 1)
    named = first.partition("$schema=")[2]
    assert first == f"# yaml-language-server: $schema={named}" and (path.parent / named).exists()
    assert not list(Draft7Validator(SCHEMA).iter_errors(yaml.safe_load(path.read_text())))


def every_choice():
    for section, choices in configs.CHOICES.items():
        for name in choices:
            settings = [f"{section}.name={name}"]
            if name == "piecewise":
                settings += [f"{section}.boundaries=[1]", f"{section}.factors=[1, 0.1]"]
            yield configs.default(settings).model_dump(mode="json")


# Values, and whether they make a config.
SAMPLES = [
    ({}, True),
    ({"optimizer": {"learning_rate": 0.1}}, True),  # no name: the default one
    ({"optimizer": {"name": "sgd"}, "model": {"name": "fc", "hidden_sizes": []}}, True),
    ({"optimizer": {"schedule": {"name": "polynomial", "power": 2}}}, True),
    ({"optimizer": {"momentum": 0.9}}, False),  # of another than the default one
    ({"optimizer": {"name": "sgd", "momentum": 0.9}}, False),
    ({"optimizer": {"name": "sdg"}}, False),
    ({"model": {"filters": [8, 20, 3]}}, False),
    ({"model": {"filters": [8, 20]}}, True),
    ({"train": {"epoch": 3}}, False),
    ({"train": {"epochs": 0}}, False),
    ({"train": {"epochs": "3"}}, False),
    ({"training": {}}, False),
    ({"data": {"path": ""}}, False),
    ({"data": {"fallback": None}}, True),
]


@pytest.mark.parametrize("values, good", SAMPLES + [(values, True) for values in every_choice()])
def test_an_editor_and_the_code_say_the_same(values, good):
    assert (not list(Draft7Validator(SCHEMA).iter_errors(values))) == good
    if good:
        configs.from_dict(values, "sample")
    else:
        with pytest.raises(InputError):
            configs.from_dict(values, "sample")


def test_every_key_says_what_it_means():
    def keys(schema):
        for name, key in schema.get("properties", {}).items():
            if "$ref" not in key and "oneOf" not in key:
                yield name, key

    for section in [SCHEMA, *SCHEMA["$defs"].values()]:
        assert all(key.get("description") for _, key in keys(section)), section["title"]
