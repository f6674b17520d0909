"""Curves are read from event files as TensorBoard's own reader finds them."""

import numpy as np
import pytest

from mnist.tensorboard import reader
from mnist.tensorboard.writer import Tracker
from tests.material.event_files import points


def write(folder):
    for first in (1, 11):
        tracker = Tracker(folder)
        for step in range(first, first + 10):
            tracker.scalars({"train/loss": 1 / step, "valid/loss": 2 / step}, step)
        tracker.histograms({"weights/fc": np.arange(9.0)}, first)
        tracker.image("a/picture", np.zeros((4, 4), np.uint8), first)
        tracker.close()


def test_the_curves_of_all_files_are_what_tensorboard_finds(tmp_path):
    write(tmp_path)
    found = reader.curves_in(tmp_path)
    assert set(found) == {"train/loss", "valid/loss"}
    theirs = points(tmp_path)
    for name, curve in found.items():
        assert curve == [(step, value) for tag, step, value in theirs if tag == name]
        assert [step for step, _ in curve] == list(range(1, 21))


def test_a_folder_without_event_files_or_none_at_all_has_no_curves(tmp_path):
    assert reader.curves_in(tmp_path) == reader.curves_in(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("cut", [1, 5, 20, 300])
def test_what_is_whole_is_read_up_to_a_damaged_record(tmp_path, cut):
    write(tmp_path)
    content = reader.event_files(tmp_path)[0].read_bytes()
    whole = [record for record, _ in reader.records(content)]
    assert b"".join(whole) == content
    rest = [record for record, _ in reader.records(content[:-cut])]
    assert rest == whole[: len(rest)] and 0 < len(b"".join(rest)) <= len(content) - cut
    spoiled = content[:-cut] + cut * b"\xff"
    assert [record for record, _ in reader.records(spoiled)][: len(rest)] == rest
