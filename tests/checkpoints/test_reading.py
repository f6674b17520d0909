"""Checkpoints are found by what users call them, and read only if they are whole."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mnist.base import files
from mnist.base.errors import InputError
from mnist.checkpoints import reading
from mnist.checkpoints.store import CheckpointStore
from tests.material.checkpoints import save, state, two_epochs


@pytest.mark.parametrize("content", ["", "epoch9", "../epoch1", "best", "epoch1\0", "x" * 200])
def test_a_pointer_at_nothing_says_what_there_is(tmp_path, trained, content):
    folder = two_epochs(tmp_path, trained)
    (folder / "best").write_text(content)
    with pytest.raises(InputError, match="best") as caught:
        reading.load(folder / "best")
    if content == "epoch9":
        assert f"not there; {folder}/ has epoch1, epoch2, best, latest" in str(caught.value)


@pytest.fixture
def project(tmp_path, trained, monkeypatch):
    """A working folder with checkpoints and pairs, and another that is the project's own."""
    monkeypatch.setattr(files, "PROJECT_ROOT", tmp_path / "project")
    for name in ("here/checkpoints", "here/other", "project/checkpoints"):
        two_epochs(tmp_path / name, trained)
    save(tmp_path / "project" / "checkpoints", trained, "epoch7", run_state=state(7))
    here = tmp_path / "here"
    (here / "empty").mkdir()
    (here / "mnist").mkdir()  # as the package is called, beside a pair of that name
    for pair in ("mnist", "mnist_epoch3", "checkpoints/mnist_epoch0"):
        shutil.copy(here / "checkpoints" / "epoch1" / "model.pdparams", here / f"{pair}.pdparams")
    monkeypatch.chdir(here)
    return tmp_path


@pytest.mark.parametrize(
    "name, best, newest",
    [
        (None, "checkpoints/best", "checkpoints/epoch2"),
        ("best", "checkpoints/best", "checkpoints/best"),
        ("latest", "checkpoints/epoch2", "checkpoints/epoch2"),
        ("epoch1", "checkpoints/epoch1", "checkpoints/epoch1"),
        ("checkpoints", "checkpoints/best", "checkpoints/epoch2"),
        ("checkpoints/", "checkpoints/best", "checkpoints/epoch2"),
        ("other", "other/best", "other/epoch2"),
        ("other/latest", "other/latest", "other/latest"),
        ("mnist", "mnist", "mnist"),
        ("mnist.pdparams", "mnist.pdparams", "mnist.pdparams"),
        ("checkpoints/mnist_epoch0", "checkpoints/mnist_epoch0", "checkpoints/mnist_epoch0"),
    ],
)
def test_a_checkpoint_is_found_by_what_it_is_called(project, name, best, newest):
    assert reading.locate(name, "checkpoints") == Path(best)
    assert reading.locate(name, "checkpoints", prefer="latest") == Path(newest)


def test_what_is_not_here_is_found_in_the_project_s_own_folder(project):
    epoch7 = project / "project" / "checkpoints" / "epoch7"
    assert reading.locate("checkpoints/epoch7", "checkpoints") == epoch7
    assert reading.load(reading.locate("checkpoints/epoch7", "x")).state.epoch == 7


@pytest.mark.parametrize(
    "name, said",
    [
        ("checkpoints/epoch3", "checkpoints/epoch3: does not exist; checkpoints/ has epoch1,"
         " epoch2, best, latest, mnist_epoch0"),
        ("epoch3", "checkpoints/epoch3: does not exist; checkpoints/ has epoch1, epoch2,"),
        ("mnist_epoch4", "mnist_epoch4: does not exist; ./ has mnist, mnist_epoch3"),
        ("nowhere/epoch1", "nowhere/epoch1: does not exist; no checkpoint is in nowhere/"),
        ("empty", "empty: there is no checkpoint"),
        ("x" * 300, "xxx: does not exist; ./ has mnist, mnist_epoch3"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_is_not_there_is_answered_with_what_is(project, name, said):
    with pytest.raises(InputError) as caught:
        reading.locate(name, "checkpoints")
    assert said in str(caught.value)


def test_a_long_list_is_cut_in_the_middle(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        for epoch in range(1, 21):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
    with pytest.raises(InputError, match=r"has epoch1, .*, epoch5, …, epoch17, .*, latest$"):
        reading.locate(str(tmp_path / "epoch21"), "x")


def test_a_newer_format_is_told_before_what_is_new_in_it(tmp_path, trained):
    path = save(tmp_path, trained)
    for name in ("state.json", "manifest.json"):
        whole = (path / name).read_text()
        newer = {**json.loads(whole), "format": 2, "invented": {"later": True}}
        (path / name).write_text(json.dumps(newer))
        with pytest.raises(InputError, match=f"{name}: has format 2, .* reads 1; update mnist"):
            reading.verify(path) if name == "manifest.json" else reading.read_state(path)
        (path / name).write_text(whole)
    assert reading.load(path).state.format == 1


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "model.pdparams", "../best"])
def test_a_pipe_is_not_waited_for(tmp_path, trained, name):
    path = save(tmp_path / "c", trained)
    pipe = path / name
    pipe.unlink() if pipe.exists() else None
    os.mkfifo(pipe)
    given = path.parent / "best" if name == "../best" else path
    with pytest.raises(InputError, match="not a regular file"):
        reading.load(given)


@pytest.mark.parametrize("name", ["model.pdparams", "model.pdopt", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "empty"])
def test_damage_is_found_and_named(tmp_path, trained, name, damage):
    path = save(tmp_path, trained)
    content = (path / name).read_bytes()
    middle = len(content) // 2
    if damage == "remove":
        (path / name).unlink()
    else:
        new = {
            "truncate": content[:middle],
            "flip": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "empty": b"",
        }[damage]
        (path / name).write_bytes(new)
    with pytest.raises(InputError) as caught:
        reading.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert reading.locate(path, tmp_path) == path


def test_the_newest_whole_one_is_found_and_damaged_ones_are_named(tmp_path, trained, capsys):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        for epoch in (2, 9, 10):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
    (tmp_path / "epoch10" / "model.pdparams").write_bytes(b"")
    assert reading.newest(tmp_path) == tmp_path / "epoch9"
    assert "epoch10" in capsys.readouterr().err
    (tmp_path / "epoch9" / "state.json").write_text("{}")
    assert reading.newest(tmp_path) == tmp_path / "epoch2"


def test_without_any_checkpoint_there_is_a_clear_line(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        reading.newest(tmp_path / "nowhere")


def test_a_manifest_cannot_reach_outside_its_folder(tmp_path, trained):
    path = save(tmp_path, trained)
    (tmp_path / "secret").write_text("secret")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["../secret"] = files.sha256_of(tmp_path / "secret")
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="no file of a checkpoint"):
        reading.load(path)


def test_a_symlink_inside_a_checkpoint_is_refused(tmp_path, trained):
    path = save(tmp_path, trained)
    (path / "model.pdparams").rename(tmp_path / "elsewhere")
    (path / "model.pdparams").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no file of a checkpoint"):
        reading.load(path)


def test_nan_parameters_are_refused(tmp_path, trained):
    layer, _ = trained
    layer.weight.set_value(np.full((4, 3), np.nan, np.float32))
    path = save(tmp_path, trained)
    with pytest.raises(InputError, match="weight holds NaN"):
        reading.load(path)
