"""Keys of earlier versions: refused or brought up to date."""

import json
from pathlib import Path

import pytest
from helpers import ROOT

from mnist import config as configs
from mnist.base.errors import InputError
from tests.material.configs import refusal, write


def test_a_former_key_in_a_file_is_told_of_even_with_what_was_its_default(tmp_path):
    path = write(tmp_path, "data: {loader: {iterable: true, capacity: 4}}\n")
    with pytest.raises(InputError) as refused:
        configs.load(path)
    why = "Paddle's DataLoader never heeded it in dygraph; leave it out"
    assert str(refused.value) == (
        f"{path}: data.loader.iterable: there is no such key any more: {why}"
    )


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
def test_a_former_key_is_refused_with_the_way_out(override, way_out):
    key = override.partition("=")[0]
    message = refusal(override)
    assert f"run.yaml with --set: {key}: there is no such key any more: " in message
    assert way_out in message


def saved():
    """The config in a checkpoint that the first version wrote."""
    return json.loads(Path(__file__).with_name("earlier_state.json").read_text())["config"]


def test_a_checkpoint_of_an_earlier_version_has_the_config_it_had(capsys):
    trained_with = configs.load(ROOT / "configs" / "best.yaml")
    assert configs.from_dict(saved(), "state.json") == trained_with
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "cadences, pictures",
    [((3, 3, 3, 3), 3), ((2, 2, 5, 5), 2), ((None, None, 4, None), 4), ((None,) * 4, None)],
)
def test_and_the_cadence_of_its_pictures(cadences, pictures):
    values = saved()
    names = ("confusion", "mistakes", "filters", "pr_curves")
    values["log"].update({f"{n}_every_epochs": c for n, c in zip(names, cadences)})
    values["log"]["inputs_every_epochs"] = None
    assert configs.from_dict(values, "state.json").log.pictures_every_epochs == pictures
