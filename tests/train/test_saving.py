"""Room for a run: what is in its way is moved, or nothing is."""

import os

import pytest

from mnist.base.errors import Failure, InputError
from mnist.checkpoints.store import CheckpointStore
from tests.material.trainings import run


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def one_is_a_pipe(log, monkeypatch):
    os.mkfifo(log / "events.out.tfevents.1.pipe")


def no_folder(log, monkeypatch):
    log.rename(log.parent / "former")
    log.write_text("")


def their_place_is_taken(log, monkeypatch):
    """A file has the name of the folder that they would be moved to, whatever second it is."""
    monkeypatch.setattr(CheckpointStore, "name_aside", lambda store: "taken")
    (log / "taken").write_text("")


@pytest.mark.parametrize(
    "spoil, resume, error",
    [
        (one_is_a_pipe, "epoch1", InputError),
        (their_place_is_taken, None, Failure),
        (no_folder, None, Failure),
        (no_folder, "epoch1", Failure),
    ],
)
def test_checkpoints_stay_where_curves_cannot_be_written(
    tmp_path, monkeypatch, spoil, resume, error
):
    run(tmp_path, "train.epochs=2")
    before = names_in(tmp_path / "checkpoints")
    spoil(tmp_path / "log", monkeypatch)
    with pytest.raises(error, match="log"):
        run(tmp_path, "train.epochs=2", resume=resume)
    assert names_in(tmp_path / "checkpoints") == before
