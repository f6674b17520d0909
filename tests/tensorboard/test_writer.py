"""Event files: each step once, whatever was killed and resumed."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers import PROJECT, environment
from hypothesis import given
from hypothesis import strategies as st

from mnist.base.errors import Failure, InputError
from mnist.tensorboard import reader, writer
from mnist.tensorboard.writer import Tracker
from tests.material.event_files import points


def write(folder, steps, tag="train/loss"):
    tracker = Tracker(folder)
    for step in steps:
        tracker.scalars({tag: step / 10}, step)
    tracker.close()


def test_points_are_read_back_by_tensorboard(tmp_path):
    tracker = Tracker(tmp_path / "log" / "data")
    tracker.scalars({"train/loss": 0.5, "train/accuracy": 0.75}, 100)
    tracker.text("run/config", "train:\n  epochs: 1", 0)
    tracker.close()
    found = points(tmp_path / "log" / "data")
    assert ("train/loss", 100, 0.5) in found and ("train/accuracy", 100, 0.75) in found
    assert any(tag.startswith("run/config") for tag, _, _ in found)


def test_two_writers_in_one_second_keep_their_points(tmp_path):
    write(tmp_path, [1])
    write(tmp_path, [2])
    assert sorted(step for _, step, _ in points(tmp_path)) == [1, 2]


def test_going_on_drops_the_points_that_come_again(tmp_path):
    write(tmp_path, [100, 200, 300, 400])
    writer.purge_after(tmp_path, 200, epoch_finished=True)
    write(tmp_path, [300, 400])
    assert [step for _, step, _ in points(tmp_path)] == [100, 200, 300, 400]


def test_results_at_the_very_step_come_again_unless_they_were_there_before(tmp_path):
    def kept(epoch_finished):
        folder = tmp_path / str(epoch_finished)
        for tag in ("train/loss", "valid/loss", "eval/loss"):
            write(folder, [100], tag)
        writer.purge_after(folder, 100, epoch_finished)
        return {tag for tag, _, _ in points(folder)}

    assert kept(True) == {"train/loss", "valid/loss"}
    assert kept(False) == {"train/loss"}


def test_a_record_that_a_kill_cut_short_is_dropped(tmp_path):
    write(tmp_path, [1, 2, 3])
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for cut in (1, 5, 20):
        file.write_bytes(whole[:-cut])
        writer.purge_after(tmp_path, 10, epoch_finished=True)
        assert [step for _, step, _ in points(tmp_path)] == [1, 2]
    file.write_bytes(whole + b"\0" * 40)
    writer.purge_after(tmp_path, 10, epoch_finished=True)
    assert [step for _, step, _ in points(tmp_path)] == [1, 2, 3]


def test_an_earlier_runs_curves_are_set_aside_whole(tmp_path):
    write(tmp_path, [1, 2])
    assert writer.set_aside(tmp_path, "earlier-x")
    assert not writer.set_aside(tmp_path, "earlier-y")
    write(tmp_path, [5])
    assert [step for _, step, _ in points(tmp_path)] == [5]
    assert [step for _, step, _ in points(tmp_path / "earlier-x")] == [1, 2]


def test_curves_that_cannot_be_moved_or_read_are_told_in_one_line(tmp_path):
    write(tmp_path, [1])
    (tmp_path / "earlier-x").write_text("in the way")
    with pytest.raises(Failure, match=r"curves .* moved to earlier-x; .*log\.dir"):
        writer.set_aside(tmp_path, "earlier-x")
    assert [step for _, step, _ in points(tmp_path)] == [1]
    os.mkfifo(tmp_path / "events.out.tfevents.1.pipe")
    with pytest.raises(InputError, match="not a regular file"):
        writer.purge_after(tmp_path, 0, epoch_finished=True)
    (tmp_path / "a file").write_text("")
    with pytest.raises(Failure, match=r"a file.*log\.dir"):
        Tracker(tmp_path / "a file")


def test_a_full_disk_ends_the_curves_with_a_warning_and_not_the_run(tmp_path):
    """A real limit on the size of files, of which tb-paddle's own thread dies."""
    script = """
import resource, sys
from pathlib import Path
from mnist.tensorboard.writer import Tracker
tracker = Tracker(Path(sys.argv[1]))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
for step in range(500):
    tracker.scalars({"train/loss": 0.5}, step)
tracker.close()
print("went on")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=str(PROJECT), env=environment(),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "went on\n"
    assert done.stderr.count("WARNING") == 1 and "Traceback" not in done.stderr
    assert len(points(tmp_path)) > 5


def test_an_error_that_is_the_last_thing_to_happen_is_told(tmp_path):
    script = """
import resource, sys
from pathlib import Path
import numpy as np
from mnist.tensorboard.writer import Tracker
tracker = Tracker(Path(sys.argv[1]))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
noise = np.random.default_rng(1).integers(0, 255, (200, 200)).astype(np.uint8)
tracker.image("train/inputs", noise, 1)
tracker.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=str(PROJECT), env=environment(),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.count("curves are not written any more (File too large)") == 1
    assert "Exception" not in done.stderr


def test_a_disk_that_fills_up_while_pictures_and_vectors_are_written(tmp_path):
    """One warning, the run goes on, and the projector is given whole files or none."""
    script = """
import resource, sys
from pathlib import Path
import numpy as np
from mnist.tensorboard.projector import VectorSet
from mnist.tensorboard.writer import Tracker
tracker = Tracker(Path(sys.argv[1]))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
vectors = np.random.default_rng(1).random((100, 50))
names = {"label": range(100), "number": range(100)}
images = np.zeros((100, 28, 28), np.uint8)
tracker.vectors([VectorSet("one", vectors, names, images), VectorSet("two", vectors, names)])
for step in range(50):
    tracker.image("valid/picture", images[0], step)
    tracker.histograms({"weights/fc": vectors}, step)
    tracker.precision_recall("valid/c", vectors[0] > 0.5, vectors[1], step)
    tracker.scalars({"train/loss": 0.5}, step)
tracker.close()
print("went on")
"""
    for limit, whole in ((10_000, False), (60_000, True)):
        folder = tmp_path / str(limit)
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder), str(limit)], cwd=str(PROJECT),
            env=environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.stdout == "went on\n"
        assert done.stderr.count("WARNING") == 1 and "Traceback" not in done.stderr
        assert (folder / "projector_config.pbtxt").exists() == whole
        assert not list(folder.rglob("*.tmp"))


def test_numbers_that_are_not_finite_are_left_out_of_histograms(tmp_path):
    tracker = Tracker(tmp_path)
    some, none = np.array([1.0, np.nan, 2.0, np.inf]), np.array([np.nan])
    tracker.histograms({"weights/some": some, "weights/none": none}, 1)
    tracker.scalars({"train/gradient_norm": float("inf")}, 1)
    tracker.close()
    assert {tag for tag, _, _ in points(tmp_path)} == {"weights/some", "train/gradient_norm"}


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=30))
def test_precision_and_recall_are_counted_at_every_threshold(rows):
    truths = np.array([truth for truth, _ in rows])
    scores = np.array([score for _, score in rows])
    with tempfile.TemporaryDirectory() as folder:
        tracker = Tracker(Path(folder))
        tracker.precision_recall("valid/c", truths, scores, 1)
        tracker.close()
        (file,) = Path(folder).iterdir()
        (*_, (_, event)) = reader.records(file.read_bytes())
    table = np.reshape(event.summary.value[0].tensor.float_val, (6, 64))
    found, false, true_negative, missed, precision, recall = table
    for threshold in (0, 1, 30, 63):
        said_yes = np.floor(scores * 63) >= threshold
        assert found[threshold] == np.sum(said_yes & truths)
        assert false[threshold] == np.sum(said_yes & ~truths)
        assert missed[threshold] == np.sum(~said_yes & truths)
        assert true_negative[threshold] == np.sum(~said_yes & ~truths)
        if found[threshold]:
            assert precision[threshold] == np.float32(np.mean(truths[said_yes]))
            assert recall[threshold] == np.float32(np.sum(said_yes & truths) / np.sum(truths))


def test_all_kinds_are_dropped_when_they_come_again_and_only_then(tmp_path):
    def write_all(step):
        tracker = Tracker(tmp_path)
        for prefix in ("train", "valid", "eval"):
            tracker.image(f"{prefix}/picture", np.zeros((4, 4, 3), np.uint8), step)
            tracker.histograms({f"{prefix}_spread/x": np.arange(3.0)}, step)
            tracker.precision_recall(f"{prefix}_curve/x", np.array([True]), np.ones(1), step)
        tracker.finished(step)
        tracker.close()

    def kept():
        return {(tag.partition("/")[0].partition("_")[0] or tag, step)
                for tag, step, _ in points(tmp_path)}  # fmt: skip

    write_all(10)
    write_all(20)
    end = "_hparams_/session_end_info"
    writer.purge_after(tmp_path, 20, epoch_finished=False)
    assert {("train", 20), ("valid", 10)} <= kept() and ("valid", 20) not in kept()
    writer.purge_after(tmp_path, 10, epoch_finished=True)
    assert kept() == {("train", 10), ("valid", 10)}
    assert end not in {tag for tag, _, _ in points(tmp_path)}


def test_pictures_come_back_pixel_by_pixel(tmp_path):
    rng = np.random.default_rng(1)
    grey, colours = (
        rng.integers(0, 256, (5, 7), np.uint8),
        rng.integers(0, 256, (6, 4, 3), np.uint8),
    )
    tracker = Tracker(tmp_path)
    tracker.image("a/grey", grey, 1)
    tracker.image("a/colours", colours, 1)
    tracker.close()
    script = """
import io, json, sys
from pathlib import Path
import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
(path,) = Path(sys.argv[1]).iterdir()
for event in EventFileLoader(str(path)).Load():
    for value in event.summary.value:
        width, height, png = value.tensor.string_val
        pixels = np.asarray(Image.open(io.BytesIO(png)))
        print(json.dumps([value.tag, int(width), int(height), pixels.tolist()]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=str(PROJECT), env=environment(), stdout=subprocess.PIPE, check=True, timeout=120,
    )  # fmt: skip
    found = {row[0]: row[1:] for row in map(json.loads, done.stdout.splitlines())}
    assert found["a/grey"] == [7, 5, grey.tolist()]
    assert found["a/colours"] == [4, 6, colours.tolist()]


def test_the_table_of_runs_calls_each_run_as_its_curves_are_called(tmp_path):
    """Runs with a name for their group would be averaged where two have the same."""
    from tb_paddle.proto.plugin_data_pb2 import HParamsPluginData

    tracker = Tracker(tmp_path)
    tracker.hyperparameters({"optimizer.name": "sgd"})
    tracker.close()
    (path,) = reader.event_files(tmp_path)
    values = [v for _, event in reader.records(path.read_bytes()) for v in event.summary.value]
    (start,) = [v for v in values if v.tag == "_hparams_/session_start_info"]
    content = HParamsPluginData.FromString(start.metadata.plugin_data.content)
    assert content.session_start_info.hparams["optimizer.name"].string_value == "sgd"
    assert content.session_start_info.group_name == ""
