"""The loop, in one process: learning, resuming bit for bit, stopping, refusing."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import needs_kernels, same, small

from mnist.base.errors import Failure, InputError, Interrupted
from mnist.checkpoints import reading, store
from mnist.train import loop
from tests.material.event_files import points
from tests.material.trainings import assert_same_checkpoint, config_for, final, run


def test_a_run_learns_and_leaves_everything_behind(tmp_path):
    result = run(tmp_path, "train.epochs=8", "optimizer.learning_rate=0.01")
    folder = tmp_path / "checkpoints"
    assert result["eval"]["count"] == 60 and result["eval"]["accuracy"] > 0.6
    losses = [record["train_loss"] for record in result["history"]]
    assert losses[-1] < losses[0] / 2
    assert (folder / "epoch1").is_dir()
    assert (folder / "latest").read_text() == "epoch8\n"
    assert (folder / "best").read_text() == f"epoch{result['best']['epoch']}\n"
    assert json.loads((folder / "result.json").read_text()) == json.loads(json.dumps(result))


def test_two_runs_of_one_seed_are_identical_and_of_two_seeds_are_not(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path / name, f"train.seed={seed}", "model.dropout=0.2")
    assert_same_checkpoint(final(tmp_path / "a"), final(tmp_path / "b"))
    assert not same(final(tmp_path / "a").parameters, final(tmp_path / "c").parameters)


def test_every_way_of_loading_trains_the_same(tmp_path):
    modes = ("sync", "batch_generator", "sample_list_generator")
    for mode in modes:
        run(tmp_path / mode, f"data.loader.mode={mode}")
    for mode in modes[1:]:
        assert_same_checkpoint(final(tmp_path / modes[0]), final(tmp_path / mode))


SCHEDULES = {
    "constant": [],
    "polynomial": [],
    "cosine": [],
    "piecewise": [
        "optimizer.schedule.boundaries=[1.5]",
        "optimizer.schedule.factors=[1, 0.1]",
    ],
}


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "adam"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_resuming_after_an_epoch_is_bit_exact(tmp_path, optimizer, schedule):
    overrides = [f"optimizer.name={optimizer}", f"optimizer.schedule.name={schedule}"]
    overrides += [*SCHEDULES[schedule], "optimizer.schedule.warmup_steps=4", "model.dropout=0.2"]
    run(tmp_path, *overrides)
    straight = final(tmp_path)
    run(tmp_path, *overrides, resume="epoch1")
    assert_same_checkpoint(straight, final(tmp_path))


MODELS = [(model, "fluid") for model in ("fc", "lenet", "lenet5", "embedding", "convnet")]
MODELS += [pytest.param(m, "c", marks=needs_kernels) for m in ("lenet", "lenet5", "convnet")]


@pytest.mark.parametrize("model, kernels", MODELS)
def test_resuming_inside_an_epoch_is_bit_exact(tmp_path, model, kernels):
    overrides = [
        f"model.name={model}",
        f"device.kernels={kernels}",
        "model.dropout=0.3",
        "data.batch_size=8",
    ]
    overrides += ["train.epochs=2", "optimizer.schedule.name=cosine", "log.every_steps=1"]
    if model == "convnet":
        overrides += ["data.augmentation.shift=1.0", "data.augmentation.elastic=0.5"]
        overrides += ["train.averaging_decay=0.9", "train.label_smoothing=0.1"]
    run(tmp_path / "straight", *overrides)
    stopped = stop_soon_after_the_start(tmp_path / "stopped", *overrides)
    assert reading.load(stopped).state.step_in_epoch > 0
    run(tmp_path / "stopped", *overrides, resume=stopped.name)
    assert_same_checkpoint(final(tmp_path / "straight", 2), final(tmp_path / "stopped", 2))
    curve = [p for p in points(tmp_path / "stopped" / "log") if "second" not in p[0]]
    assert curve == [p for p in points(tmp_path / "straight" / "log") if "second" not in p[0]]


def stop_soon_after_the_start(folder, *overrides):
    """Train and send this process a real SIGTERM once the first steps are made."""

    def send():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            events = list((folder / "log").glob("events*"))
            if events and events[0].read_bytes().count(b"train/images_per_second") > 2:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            time.sleep(0.002)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(Interrupted, match="--resume") as caught:
        run(folder, *overrides)
    sender.join()
    assert caught.value.exit_code == 143
    return reading.follow(folder / "checkpoints" / "latest")


def test_a_finished_run_that_is_resumed_reports_and_changes_nothing(tmp_path):
    first = run(tmp_path)
    before = points(tmp_path / "log")
    again = run(tmp_path, resume="latest")
    assert again["eval"] == first["eval"]
    assert sorted(points(tmp_path / "log")) == sorted(before)


def test_with_nothing_left_to_train_only_what_is_there_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    averaged = ("train.averaging_decay=0.9", "train.epochs=1")
    first = run(Path("a"), *averaged)
    assert "a/checkpoints/ (best, latest; result.json has" in capsys.readouterr().out
    source = reading.load("a/checkpoints/latest")
    again = loop.train(config_for(Path("b"), *averaged), small(), source)
    assert "b/checkpoints/ (result.json has the figures)" in capsys.readouterr().out
    # Of the average, as the first run's.
    assert again["eval"] == first["eval"]


def test_more_epochs_go_on_where_the_run_ended(tmp_path):
    run(tmp_path / "long", "train.epochs=4")
    run(tmp_path / "short", "train.epochs=2")
    run(tmp_path / "short", "train.epochs=4", resume="latest")
    assert_same_checkpoint(final(tmp_path / "long", 4), final(tmp_path / "short", 4))


@pytest.mark.parametrize(
    "override, named",
    [
        ("data.batch_size=16", "data.batch_size: 32 in the checkpoint, 16 now"),
        ("optimizer.learning_rate=0.5", "optimizer.learning_rate"),
        ("train.seed=9", "train.seed"),
        ("optimizer.name=sgd", "optimizer.name: adam in the checkpoint, sgd now"),
    ],
)
def test_what_would_silently_be_another_run_is_refused(tmp_path, override, named):
    run(tmp_path, "train.epochs=1")
    before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    with pytest.raises(InputError, match=named):
        run(tmp_path, "train.epochs=2", override, resume="epoch1")
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before


def test_changes_that_are_allowed_by_name_go_through(tmp_path):
    run(tmp_path, "train.epochs=1")
    run(tmp_path, "train.epochs=2", "optimizer.learning_rate=0.5", resume="epoch1",
        allow_changes=True)  # fmt: skip
    assert final(tmp_path, 2).state.config["optimizer"]["learning_rate"] == 0.5


def test_another_architecture_is_refused_even_then(tmp_path):
    run(tmp_path, "train.epochs=1")
    with pytest.raises(InputError, match=r"model\.hidden_sizes: \[16\] in the checkpoint, \[8\]"):
        run(tmp_path, "model.hidden_sizes=[8]", resume="epoch1", allow_changes=True)


def test_other_data_is_refused(tmp_path):
    import dataclasses

    run(tmp_path, "train.epochs=1")
    other = dataclasses.replace(small(), sha256="f" * 64)
    with pytest.raises(InputError, match=r"data: .*SHA-256"):
        run(tmp_path, "train.epochs=2", resume="epoch1", data=other)


def test_starting_anew_sets_earlier_checkpoints_and_curves_aside(tmp_path):
    run(tmp_path, "train.epochs=2")
    first = final(tmp_path, 2)
    run(tmp_path, "train.epochs=1", "train.seed=5")
    (aside,) = (tmp_path / "checkpoints").glob("earlier-*")
    assert_same_checkpoint(reading.load(aside / "epoch2"), first)
    assert not (tmp_path / "checkpoints" / "epoch2").exists()
    assert len(list((tmp_path / "log" / aside.name).glob("events*"))) == 1
    assert len(list((tmp_path / "log").glob("events*"))) == 1


def test_going_back_sets_the_later_checkpoints_aside(tmp_path):
    run(tmp_path)
    run(tmp_path, resume="epoch1")
    (aside,) = (tmp_path / "checkpoints").glob("earlier-*")
    assert sorted(path.name for path in aside.glob("epoch*")) == ["epoch2", "epoch3"]
    steps = [step for tag, step, _ in points(tmp_path / "log") if tag == "train/loss"]
    assert steps == sorted(set(steps)) and max(steps) == 21


def test_early_stopping_waits_for_its_patience(tmp_path):
    overrides = ["train.epochs=50", "train.early_stopping_patience=2", "optimizer.name=sgd"]
    result = run(tmp_path, *overrides, "optimizer.learning_rate=1e-6")
    accuracies = [record["valid_accuracy"] for record in result["history"]]
    assert len(accuracies) == accuracies.index(max(accuracies)) + 1 + 2 < 50


def test_a_diverging_run_stops_with_the_last_good_checkpoint_kept(tmp_path):
    run(tmp_path, "train.epochs=1")
    good = final(tmp_path, 1)
    with pytest.raises(Failure, match="learning_rate") as caught:
        run(tmp_path, "train.epochs=9", "optimizer.learning_rate=1e30", resume="epoch1",
            allow_changes=True)  # fmt: skip
    assert "latest" in str(caught.value)
    assert_same_checkpoint(reading.load(tmp_path / "checkpoints" / "latest"), good)


def test_curves_hold_each_step_once_with_what_they_should(tmp_path):
    run(tmp_path, "train.epochs=2")
    found = points(tmp_path / "log")
    tags = {tag for tag, _, _ in found}
    for tag in ("train/loss", "train/accuracy", "train/learning_rate", "train/images_per_second",
                "valid/loss", "valid/accuracy", "eval/accuracy"):  # fmt: skip
        assert tag in tags
    assert len({(tag, step) for tag, step, _ in found}) == len(found)
    assert [step for tag, step, _ in found if tag == "train/loss"] == [3, 6, 9, 12]
    assert [step for tag, step, _ in found if tag == "valid/loss"] == [7, 14]


def test_square_error_regression_learns_too(tmp_path):
    result = run(tmp_path, "model.loss=square_error", "train.epochs=10",
                 "optimizer.learning_rate=0.01")  # fmt: skip
    losses = [record["train_loss"] for record in result["history"]]
    assert losses[-1] < losses[0] / 2
    assert np.isfinite(result["eval"]["loss"])


def test_a_checkpoint_folder_deleted_under_a_running_training(tmp_path):
    """The run ends with a line that names it, or goes on if the config says so."""
    folder = tmp_path / "checkpoints"

    def delete_when_there():
        deadline = time.monotonic() + 60
        while not (folder / "epoch1").exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        folder.rename(tmp_path / "gone")

    def run_with_deletion(*overrides):
        deleter = threading.Thread(target=delete_when_there)
        deleter.start()
        try:
            return run(tmp_path, "train.epochs=40", *overrides)
        finally:
            deleter.join()

    # Deleted between two checkpoints, or before the pointer to the best one is set.
    with pytest.raises(Failure, match=r"cannot be (saved|set|written)"):
        run_with_deletion()
    assert reading.load(tmp_path / "gone" / "epoch1").state.epoch == 1
    shutil.rmtree(tmp_path / "gone")
    result = run_with_deletion("checkpoint.on_failure=warn")
    assert len(result["history"]) == 40
    assert reading.load(tmp_path / "gone" / "epoch1").state.epoch == 1


def test_a_pointer_that_cannot_be_set_is_treated_as_a_checkpoint_that_cannot_be_saved(
    tmp_path, monkeypatch, capsys
):
    def refuse(store, name):
        raise Failure(f"{store.folder / 'best'}: cannot be set (No space left on device)")

    monkeypatch.setattr(store.CheckpointStore, "mark_best", refuse)
    with pytest.raises(Failure, match="cannot be set"):
        run(tmp_path)
    result = run(tmp_path / "on", "checkpoint.on_failure=warn")
    assert result["history"] and "cannot be set" in capsys.readouterr().err


@needs_kernels
@pytest.mark.parametrize(
    "settings",
    [
        ["model.name=lenet", "model.dropout=0.3", "optimizer.clip_norm=0.5"],
        ["model.name=lenet", "optimizer.name=sgd", "optimizer.learning_rate=0.05"],
        ["model.name=convnet", "train.averaging_decay=0.9", "optimizer.name=momentum"],
    ],
    ids=" ".join,
)
def test_with_the_kernels_a_training_is_what_it_is_without(tmp_path, settings):
    """But for the last digits, and so are the observer's norms of gradients and updates."""
    common = [*settings, "train.epochs=1", "data.batch_size=20", "log.norms_every_steps=1"]
    for kernels in ("fluid", "c"):
        run(tmp_path / kernels, *common, f"device.kernels={kernels}")
        assert final(tmp_path / kernels, 1).state.kernels == kernels
    fluid, c = (final(tmp_path / kernels, 1) for kernels in ("fluid", "c"))
    assert list(fluid.parameters) == list(c.parameters)
    for name, values in fluid.parameters.items():
        assert np.allclose(c.parameters[name], values, rtol=1e-2, atol=1e-3)
    drawn = ("train/loss", "train/gradient_norm", "gradient_norm/", "update_ratio/")
    curves = [
        [p for p in points(tmp_path / kernels / "log") if p[0].startswith(drawn)]
        for kernels in ("fluid", "c")
    ]
    assert len({p[0] for p in curves[0]}) > 3
    assert [p[:2] for p in curves[0]] == [p[:2] for p in curves[1]]
    assert np.allclose([p[2] for p in curves[0]], [p[2] for p in curves[1]], rtol=0.02, atol=1e-3)


@needs_kernels
def test_going_on_with_other_kernels_is_a_note(tmp_path, capsys):
    run(tmp_path, "model.name=lenet", "train.epochs=1", "device.kernels=c")
    assert "C kernels (" in capsys.readouterr().out
    run(tmp_path, "model.name=lenet", "train.epochs=2", "device.kernels=fluid", resume="epoch1")
    said = capsys.readouterr().out
    assert "device.kernels: c trained this before, fluid does now" in said
    assert "Paddle's operators" in said and final(tmp_path, 2).state.kernels == "fluid"


def test_kernels_that_cannot_be_had_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"device\.kernels: c, but .*device\.kernels=auto"):
        run(tmp_path, "model.name=fc", "device.kernels=c")
