"""Checkpoints: whole or not at all, verified, readable by Paddle itself."""

import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import PROJECT, dygraph, environment, optimizer_state, same, save_checkpoint, verb

from mnist import config as configs
from mnist.base import files
from mnist.base.errors import Failure, InputError
from mnist.checkpoints import checkpoint
from mnist.checkpoints.checkpoint import CheckpointStore, EpochRecord, RunState
from mnist.model import optimizers, restore


def record(epoch, accuracy, loss=0.1):
    return EpochRecord(
        epoch=epoch, step=epoch * 10, train_loss=0.1, train_accuracy=0.9, valid_loss=loss,
        valid_accuracy=accuracy, learning_rate=0.1, seconds=1.0, images_per_second=10.0,
    )  # fmt: skip


def state(epoch=1, **values):
    model = {"name": "fc", "hidden_sizes": []}
    config = configs.from_dict({"model": model}, "test").model_dump()
    return RunState(config=config, epoch=epoch, step=epoch * 10, **values)


@pytest.fixture
def trained():
    """A model and an Adam that has made a step."""
    with dygraph() as fluid:
        layer = fluid.dygraph.Linear(4, 3)
        config = configs.default().optimizer
        optimizer = optimizers.build(config, layer.parameters(), 10, 5)
        loss = fluid.layers.mean(layer(fluid.dygraph.to_variable(np.ones((2, 4), np.float32))))
        loss.backward()
        optimizer.minimize(loss)
        yield layer, optimizer


def save(folder, trained, name="epoch1", keep_last=None, run_state=None):
    layer, optimizer = trained
    with CheckpointStore(folder, keep_last) as store:
        store.save(name, layer.state_dict(), optimizer.state_dict(), run_state or state())
    return folder / name


def arrays(layer):
    return {name: parameter.numpy() for name, parameter in layer.named_parameters()}


def test_what_was_saved_is_loaded(tmp_path, trained):
    layer, optimizer = trained
    path = save(tmp_path, trained, run_state=state(history=[record(1, 0.5)]))
    loaded = checkpoint.load(path)
    assert same(loaded.parameters, arrays(layer))
    names = {p.name: name for name, p in layer.named_parameters()}
    expected = optimizer_state(optimizer, names)
    assert loaded.accumulators.keys() == expected.keys()
    assert all(same(loaded.accumulators[name], expected[name]) for name in expected)
    assert loaded.state.epoch == 1 and loaded.state.history == [record(1, 0.5)]
    assert loaded.model["name"] == "fc"


def test_paddle_itself_reads_the_pair(tmp_path, trained):
    layer, _ = trained
    path = save(tmp_path, trained)
    with dygraph() as fluid:
        parameters, saved = fluid.load_dygraph(str(path / "model"))
        assert same(parameters, arrays(layer))
        other = fluid.dygraph.Linear(4, 3)
        other.set_dict(parameters)
        assert same(arrays(other), arrays(layer))
    assert {"linear_0.w_0_moment1_0", "linear_0.b_0_beta1_pow_acc_0"} <= saved.keys()


def test_the_files_are_what_paddle_would_have_written(tmp_path, trained):
    import pickle

    layer, optimizer = trained
    path = save(tmp_path, trained)
    with dygraph() as fluid:
        fluid.save_dygraph(layer.state_dict(), str(tmp_path / "paddle"))
        fluid.save_dygraph(optimizer.state_dict(), str(tmp_path / "paddle"))
    for suffix in (".pdparams", ".pdopt"):
        ours, theirs = (
            pickle.loads(file.read_bytes(), encoding="latin1")  # noqa: S301 (our own file)
            for file in (path / f"model{suffix}", tmp_path / f"paddle{suffix}")
        )
        assert list(ours) == list(theirs)
        for key in ours:
            assert np.array_equal(ours[key], theirs[key])


def test_an_optimizer_without_state_leaves_no_pdopt(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        store.save("epoch1", layer.state_dict(), {}, state())
    assert not (tmp_path / "epoch1" / "model.pdopt").exists()
    assert checkpoint.load(tmp_path / "epoch1").accumulators is None


def test_latest_and_best_point_where_they_say(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        for epoch in (1, 2, 3):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
        store.mark_best("epoch2")
    assert (tmp_path / "latest").read_text() == "epoch3\n"
    assert (tmp_path / "best").read_text() == "epoch2\n"
    assert checkpoint.load(tmp_path / "best").state.epoch == 2
    assert checkpoint.locate("latest", tmp_path) == tmp_path / "epoch3"


def test_a_disk_without_links_will_do(tmp_path, trained, monkeypatch):
    """As exFAT and many a network drive answer."""

    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for function in ("symlink", "link"):
        monkeypatch.setattr(os, function, refuse)
    layer, _ = trained
    with CheckpointStore(tmp_path, keep_last=1) as store:
        for epoch in (1, 2, 3):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
            store.mark_best("epoch2" if epoch > 1 else "epoch1")
        assert store.pointers() == {"best": "epoch2", "latest": "epoch3"}
        aside = store.set_aside(checkpoint.checkpoints_in(tmp_path))
        assert store.pointers() == {}
    assert checkpoint.load(aside / "best").path == aside / "epoch2"
    assert checkpoint.load(aside / "best").named == aside / "best"


def two_epochs(folder, trained):
    layer, _ = trained
    with CheckpointStore(folder, None) as store:
        for epoch in (1, 2):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
        store.mark_best("epoch1")
    return folder


def test_links_of_an_earlier_version_are_read_and_replaced(tmp_path, trained):
    layer, _ = trained
    folder = two_epochs(tmp_path, trained)
    for name, pointed in (("best", "epoch1"), ("latest", "epoch2")):
        (folder / name).unlink()
        (folder / name).symlink_to(pointed)
    assert checkpoint.load(folder / "best").path == folder / "epoch1"
    with CheckpointStore(folder, keep_last=1) as store:
        store.save("epoch3", layer.state_dict(), {}, state(3))
        assert store.pointers() == {"best": "epoch1", "latest": "epoch3"}
        assert not (folder / "latest").is_symlink()
        store.set_aside([folder / "epoch1"])
        assert store.pointers() == {"latest": "epoch3"}


def as_copies(folder, *names):
    """What ``cp -rL`` and ``scp -r`` make of links."""
    for name, pointed in (("best", "epoch1"), ("latest", "epoch2")):
        (folder / name).unlink()
        if name in names:
            shutil.copytree(folder / pointed, folder / name)


def test_copies_of_links_become_pointers_and_nothing_is_lost(tmp_path, trained, capsys):
    folder = two_epochs(tmp_path, trained)
    as_copies(folder, "best", "latest")
    shutil.rmtree(folder / "epoch1")  # only the copy is left of it
    assert checkpoint.load(folder / "best").state.epoch == 1
    assert checkpoint.newest(folder) == folder / "epoch2"
    with CheckpointStore(folder, None) as store:
        assert store.pointers() == {"best": "epoch1", "latest": "epoch2"}
    assert checkpoint.load(folder / "epoch1").state.epoch == 1
    assert [path.name for path in checkpoint.checkpoints_in(folder)] == ["epoch1", "epoch2"]
    assert capsys.readouterr().err == ""


def test_what_is_called_best_and_is_no_copy_of_ours_is_kept_aside(tmp_path, trained, capsys):
    folder = two_epochs(tmp_path, trained)
    as_copies(folder, "best", "latest")
    (folder / "epoch1" / "model.pdparams").write_bytes(b"damaged; the copy is whole")
    (folder / "latest" / "state.json").write_text("{}")
    with CheckpointStore(folder, None) as store:
        assert store.pointers() == {}
    assert checkpoint.load(folder / "best-copy").state.epoch == 1
    assert (folder / "latest-copy" / "state.json").read_text() == "{}"
    assert capsys.readouterr().err.count("is no copy of a checkpoint here") == 2


@pytest.mark.parametrize("content", ["", "epoch9", "../epoch1", "best", "epoch1\0", "x" * 200])
def test_a_pointer_at_nothing_says_what_there_is(tmp_path, trained, content):
    folder = two_epochs(tmp_path, trained)
    (folder / "best").write_text(content)
    with pytest.raises(InputError, match="best") as caught:
        checkpoint.load(folder / "best")
    if content == "epoch9":
        assert f"not there; {folder}/ has epoch1, epoch2, best, latest" in str(caught.value)


# --- what a user may call it ---


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
    assert checkpoint.locate(name, "checkpoints") == Path(best)
    assert checkpoint.locate(name, "checkpoints", prefer="latest") == Path(newest)


def test_what_is_not_here_is_found_in_the_project_s_own_folder(project):
    epoch7 = project / "project" / "checkpoints" / "epoch7"
    assert checkpoint.locate("checkpoints/epoch7", "checkpoints") == epoch7
    assert checkpoint.load(checkpoint.locate("checkpoints/epoch7", "x")).state.epoch == 7


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
        checkpoint.locate(name, "checkpoints")
    assert said in str(caught.value)


def test_a_long_list_is_cut_in_the_middle(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        for epoch in range(1, 21):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
    with pytest.raises(InputError, match=r"has epoch1, .*, epoch5, …, epoch17, .*, latest$"):
        checkpoint.locate(str(tmp_path / "epoch21"), "x")


def test_a_newer_format_is_told_before_what_is_new_in_it(tmp_path, trained):
    path = save(tmp_path, trained)
    for name in ("state.json", "manifest.json"):
        whole = (path / name).read_text()
        newer = {**json.loads(whole), "format": 2, "invented": {"later": True}}
        (path / name).write_text(json.dumps(newer))
        with pytest.raises(InputError, match=f"{name}: has format 2, .* reads 1; update mnist"):
            checkpoint.verify(path) if name == "manifest.json" else checkpoint.read_state(path)
        (path / name).write_text(whole)
    assert checkpoint.load(path).state.format == 1


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
        restore.load_model(checkpoint.load(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["evaluate", "predict", "train"])
def test_verbs_tell_of_a_bad_model_in_one_line(tmp_path, name):
    path = with_model(tmp_path / "checkpoints", {"name": "fcc"})
    option = "--resume" if name == "train" else "--checkpoint"
    pictures = [PROJECT / "data" / "samples"] if name == "predict" else []
    done = verb(name, *pictures, option, path, cwd=tmp_path, check=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}/state.json: model.name: must be one of fc, lenet")


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "model.pdparams", "../best"])
def test_a_pipe_is_not_waited_for(tmp_path, trained, name):
    path = save(tmp_path / "c", trained)
    pipe = path / name
    pipe.unlink() if pipe.exists() else None
    os.mkfifo(pipe)
    given = path.parent / "best" if name == "../best" else path
    with pytest.raises(InputError, match="not a regular file"):
        checkpoint.load(given)


def test_keep_last_bounds_the_disk_but_spares_best_and_latest(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, keep_last=2) as store:
        for epoch in range(1, 12):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
            if epoch == 3:
                store.mark_best("epoch3")
    left = [path.name for path in checkpoint.checkpoints_in(tmp_path)]
    assert left == ["epoch3", "epoch10", "epoch11"]


def test_a_checkpoint_inside_an_epoch_goes_when_a_newer_one_is_whole(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        for name in ("step5", "step7", "epoch1"):
            store.save(name, layer.state_dict(), {}, state())
            assert [path.name for path in checkpoint.checkpoints_in(tmp_path)] == [name]


def test_the_best_epoch_is_the_most_accurate_then_the_lowest_loss_then_the_first():
    assert checkpoint.best_record([]) is None
    history = [record(1, 0.8), record(2, 0.9, 0.3), record(3, 0.9, 0.2), record(4, 0.9, 0.2)]
    assert checkpoint.best_record(history).epoch == 3


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
        checkpoint.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert checkpoint.locate(path, tmp_path) == path


def test_the_newest_whole_one_is_found_and_damaged_ones_are_named(tmp_path, trained, capsys):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        for epoch in (2, 9, 10):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
    (tmp_path / "epoch10" / "model.pdparams").write_bytes(b"")
    assert checkpoint.newest(tmp_path) == tmp_path / "epoch9"
    assert "epoch10" in capsys.readouterr().err
    (tmp_path / "epoch9" / "state.json").write_text("{}")
    assert checkpoint.newest(tmp_path) == tmp_path / "epoch2"


def test_without_any_checkpoint_there_is_a_clear_line(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint.newest(tmp_path / "nowhere")


def test_what_a_killed_save_left_is_cleaned_up(tmp_path, trained):
    (tmp_path / ".staging-epoch1-123").mkdir()
    (tmp_path / ".staging-epoch1-123" / "model.pdparams").write_bytes(b"half")
    path = save(tmp_path, trained)
    assert checkpoint.load(path)
    assert not list(tmp_path.glob(".staging*"))


def test_a_manifest_cannot_reach_outside_its_folder(tmp_path, trained):
    path = save(tmp_path, trained)
    (tmp_path / "secret").write_text("secret")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["../secret"] = checkpoint.sha256_of(tmp_path / "secret")
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="no file of a checkpoint"):
        checkpoint.load(path)


def test_a_symlink_inside_a_checkpoint_is_refused(tmp_path, trained):
    path = save(tmp_path, trained)
    (path / "model.pdparams").rename(tmp_path / "elsewhere")
    (path / "model.pdparams").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no file of a checkpoint"):
        checkpoint.load(path)


def test_nan_parameters_are_refused(tmp_path, trained):
    layer, _ = trained
    layer.weight.set_value(np.full((4, 3), np.nan, np.float32))
    path = save(tmp_path, trained)
    with pytest.raises(InputError, match="weight holds NaN"):
        checkpoint.load(path)


def test_parameters_that_do_not_fit_change_nothing(tmp_path, trained):
    source = checkpoint.load(save(tmp_path, trained))
    with dygraph() as fluid:
        for other in (fluid.dygraph.Linear(4, 5), fluid.dygraph.Sequential(
            fluid.dygraph.Linear(4, 3), fluid.dygraph.Linear(3, 3)
        )):  # fmt: skip
            before = arrays(other)
            with pytest.raises(InputError):
                restore.restore_parameters(other, source)
            assert same(before, arrays(other))


def test_earlier_checkpoints_are_set_aside_with_their_pointers(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        for epoch in (1, 2):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
        store.mark_best("epoch1")
        store.write_result({"x": 1})
        aside = store.set_aside(checkpoint.checkpoints_in(tmp_path))
        assert store.set_aside([]) is None
    assert aside.parent == tmp_path
    assert checkpoint.load(aside / "best").state.epoch == 1
    assert checkpoint.load(aside / "latest").state.epoch == 2
    assert (aside / "result.json").exists() and not (tmp_path / "result.json").exists()
    assert not os.path.lexists(tmp_path / "best")


def hold(folder):
    """A process that keeps the store's lock until it is killed."""
    script = """
import sys, time
from pathlib import Path
from mnist.checkpoints.checkpoint import CheckpointStore
with CheckpointStore(Path(sys.argv[1]), None):
    print("held", flush=True)
    time.sleep(120)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        cwd=str(PROJECT), env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_training_is_refused_and_a_dead_ones_lock_does_not_block(tmp_path):
    first = hold(tmp_path)
    try:
        with pytest.raises(Failure) as caught:
            CheckpointStore(tmp_path, None).__enter__()
        assert f"pid {first.pid}" in str(caught.value)
        assert re.search(r"started \d{4}-\d\d-\d\dT", str(caught.value))
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    with CheckpointStore(tmp_path, None):
        pass


def test_a_file_size_limit_harms_no_earlier_checkpoint(tmp_path, trained):
    """A real limit of the kernel's; SIGXFSZ is ignored by CPython, so writes fail."""
    save(tmp_path, trained)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        layer, optimizer = trained
        with pytest.raises(Failure, match="epoch2: cannot be saved"):
            store = CheckpointStore(tmp_path, None)
            with store:
                store.save("epoch2", layer.state_dict(), optimizer.state_dict(), state(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert checkpoint.newest(tmp_path) == tmp_path / "epoch1"
    assert checkpoint.pointed_at(tmp_path / "latest") == "epoch1"
    assert not list(tmp_path.glob(".staging*"))
