"""From what was typed to a training: whose config it is, and what may be set on it."""

import hashlib
import json
import shutil

import pytest
from helpers import ROOT, same, verb

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.checkpoints import reading, records
from mnist.config.former import FORMER_KEYS
from mnist.train import start

# After the first of two epochs, written by the version before the keys in FORMER_KEYS went.
EARLIER = ROOT / "tests" / "material" / "earlier" / "epoch1"


@pytest.fixture
def earlier(tmp_path):
    """A folder with that checkpoint, of a model trained with momentum, in ``checkpoints``."""
    shutil.copytree(EARLIER, tmp_path / "checkpoints" / "epoch1")
    return tmp_path


def resume(folder, *settings, check=0, name="checkpoints/epoch1", more=()):
    given = [argument for setting in settings for argument in ("--set", setting)]
    return verb("train", "--resume", name, *given, *more, cwd=folder, check=check)


def test_settings_apply_to_the_config_in_the_checkpoint(earlier):
    # With the defaults, whose optimizer is Adam, there would be no such key.
    resume(earlier, "optimizer.momentum=0.8", "train.epochs=3", "log.every_steps=7")
    state = reading.load(earlier / "checkpoints" / "epoch3").state
    config = configs.from_dict(state.config, "state.json")
    assert (config.optimizer.name, config.optimizer.momentum) == ("momentum", 0.8)
    assert (config.train.epochs, config.log.every_steps) == (3, 7)


def test_what_would_be_another_run_is_refused_unless_it_is_allowed(earlier):
    done = resume(earlier, "optimizer.momentum=0.5", check=2)
    assert "optimizer.momentum: 0.8 in the checkpoint, 0.5 now" in done.stderr
    assert "--allow-changes" in done.stderr and done.stderr.count("\n") == 1
    resume(earlier, "optimizer.momentum=0.5", more=["--allow-changes"])
    state = reading.load(earlier / "checkpoints" / "epoch2").state
    assert state.config["optimizer"]["momentum"] == 0.5


def test_a_wrong_setting_is_told_as_one_on_the_checkpoint(earlier):
    done = resume(earlier, "optimizer.beta1=0.5", check=2)
    state = "checkpoints/epoch1/state.json with --set: optimizer.beta1: there is no such key"
    assert state in done.stderr


def test_the_folder_of_latest_can_be_set(earlier):
    (earlier / "checkpoints" / "latest").symlink_to("epoch1")
    (earlier / "checkpoints").rename(earlier / "elsewhere")
    resume(earlier, "optimizer.momentum=0.8", "checkpoint.dir=elsewhere", name="latest")
    assert reading.load(earlier / "elsewhere" / "epoch2").state.epoch == 2


def with_todays_keys(folder):
    """Rewrite a checkpoint as it would be written today."""
    state = json.loads((folder / records.STATE).read_text())
    state["config"] = configs.from_dict(state["config"], "state.json").model_dump()
    content = json.dumps(state).encode()
    (folder / records.STATE).write_bytes(content)
    manifest = (folder / records.MANIFEST).read_text()
    before = hashlib.sha256((EARLIER / records.STATE).read_bytes()).hexdigest()
    assert before in manifest
    after = manifest.replace(before, hashlib.sha256(content).hexdigest())
    (folder / records.MANIFEST).write_text(after)


def keys_of(values, path=""):
    """The dotted keys of nested values."""
    if not isinstance(values, dict):
        return {path[:-1]}
    return {key for name in values for key in keys_of(values[name], f"{path}{name}.")}


def test_a_checkpoint_of_an_earlier_version_goes_on_bit_for_bit(earlier, tmp_path):
    assert FORMER_KEYS.keys() <= keys_of(reading.load(EARLIER).state.config)
    today = tmp_path / "today"
    shutil.copytree(EARLIER, today / "checkpoints" / "epoch1")
    with_todays_keys(today / "checkpoints" / "epoch1")
    assert resume(earlier).stderr == resume(today).stderr == ""
    left, right = (reading.load(f / "checkpoints" / "epoch2") for f in (earlier, today))
    assert same(left.parameters, right.parameters) and same(left.training, right.training)
    assert left.state.config == right.state.config
    assert not FORMER_KEYS.keys() & keys_of(left.state.config)
    assert left.state.config["log"]["pictures_every_epochs"] == 3


def test_another_number_of_processes_than_mpirun_started_is_refused():
    start.check_workers(1, 2)
    start.check_workers(2, 2)
    with pytest.raises(InputError, match=r"parallel\.workers: 3, but 2 processes"):
        start.check_workers(3, 2)
