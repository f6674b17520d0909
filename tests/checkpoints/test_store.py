"""Checkpoints are written whole or not at all, and Paddle itself reads them."""

import errno
import os
import re
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers import PROJECT, dygraph, environment, optimizer_state, same

from mnist.base.errors import Failure, InputError
from mnist.checkpoints import reading
from mnist.checkpoints.store import CheckpointStore
from tests.material.checkpoints import arrays, record, save, state, two_epochs


def test_what_was_saved_is_loaded(tmp_path, trained):
    layer, optimizer = trained
    path = save(tmp_path, trained, run_state=state(history=[record(1, 0.5)]))
    loaded = reading.load(path)
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
    assert reading.load(tmp_path / "epoch1").accumulators is None


def test_latest_and_best_point_where_they_say(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        for epoch in (1, 2, 3):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
        store.mark_best("epoch2")
    assert (tmp_path / "latest").read_text() == "epoch3\n"
    assert (tmp_path / "best").read_text() == "epoch2\n"
    assert reading.load(tmp_path / "best").state.epoch == 2
    assert reading.locate("latest", tmp_path) == tmp_path / "epoch3"


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
        aside = store.set_aside(reading.checkpoints_in(tmp_path))
        assert store.pointers() == {}
    assert reading.load(aside / "best").path == aside / "epoch2"
    assert reading.load(aside / "best").named == aside / "best"


def test_links_of_an_earlier_version_are_read_and_replaced(tmp_path, trained):
    layer, _ = trained
    folder = two_epochs(tmp_path, trained)
    for name, pointed in (("best", "epoch1"), ("latest", "epoch2")):
        (folder / name).unlink()
        (folder / name).symlink_to(pointed)
    assert reading.load(folder / "best").path == folder / "epoch1"
    with CheckpointStore(folder, keep_last=1) as store:
        store.save("epoch3", layer.state_dict(), {}, state(3))
        assert store.pointers() == {"best": "epoch1", "latest": "epoch3"}
        assert not (folder / "latest").is_symlink()
        store.set_aside([folder / "epoch1"])
        assert store.pointers() == {"latest": "epoch3"}


def test_copies_of_links_are_read_and_no_run_writes_over_them(tmp_path, trained):
    """What ``cp -rL`` and ``scp -r`` make of links; only the copy of the best is left here."""
    folder = two_epochs(tmp_path, trained)
    for name in ("best", "latest"):
        (folder / name).unlink()
    shutil.copytree(folder / "epoch2", folder / "latest")
    (folder / "epoch1").rename(folder / "best")
    assert reading.load(folder / "best").state.epoch == 1
    assert reading.newest(folder) == folder / "epoch2"
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError, match=r"best and .*latest: a folder, .*; fix: rename it to"):
        CheckpointStore(folder, None).__enter__()
    assert sorted(folder.rglob("*")) == before
    (folder / "best").rename(folder / "epoch1")
    shutil.rmtree(folder / "latest")
    with CheckpointStore(folder, None) as store:
        assert store.pointers() == {}
    assert [path.name for path in reading.checkpoints_in(folder)] == ["epoch1", "epoch2"]


def test_keep_last_bounds_the_disk_but_spares_best_and_latest(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, keep_last=2) as store:
        for epoch in range(1, 12):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
            if epoch == 3:
                store.mark_best("epoch3")
    left = [path.name for path in reading.checkpoints_in(tmp_path)]
    assert left == ["epoch3", "epoch10", "epoch11"]


def test_a_checkpoint_inside_an_epoch_goes_when_a_newer_one_is_whole(tmp_path, trained):
    layer, _ = trained
    with CheckpointStore(tmp_path, None) as store:
        for name in ("step5", "step7", "epoch1"):
            store.save(name, layer.state_dict(), {}, state())
            assert [path.name for path in reading.checkpoints_in(tmp_path)] == [name]


LEFTOVERS = (
    ".epoch1.1.0a.tmp",
    ".epoch9.1.0a.replaced",
    ".step9.1.0a.removed",
)


@pytest.mark.parametrize("name", LEFTOVERS)
def test_what_a_killed_save_left_is_cleaned_up(tmp_path, trained, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "model.pdparams").write_bytes(b"half")
    path = save(tmp_path, trained)
    assert reading.load(path)
    assert sorted(os.listdir(tmp_path)) == [".lock", "epoch1", "latest"]


def test_earlier_checkpoints_are_set_aside_with_their_pointers(tmp_path, trained):
    with CheckpointStore(two_epochs(tmp_path, trained), None) as store:
        store.write_result({"x": 1})
        aside = store.set_aside(reading.checkpoints_in(tmp_path))
        assert store.set_aside([]) is None
    assert aside.parent == tmp_path
    assert reading.load(aside / "best").state.epoch == 1
    assert reading.load(aside / "latest").state.epoch == 2
    assert (aside / "result.json").exists() and not (tmp_path / "result.json").exists()
    assert not os.path.lexists(tmp_path / "best")


def hold(folder):
    """A process that keeps the store's lock until it is killed."""
    script = """
import sys, time
from pathlib import Path
from mnist.checkpoints.store import CheckpointStore
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
        with pytest.raises(Failure, match="epoch2: cannot be written"):
            store = CheckpointStore(tmp_path, None)
            with store:
                store.save("epoch2", layer.state_dict(), optimizer.state_dict(), state(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert reading.newest(tmp_path) == tmp_path / "epoch1"
    assert reading.pointed_at(tmp_path / "latest") == "epoch1"
    assert not list(tmp_path.glob(".epoch*"))
