"""What TensorBoard shows of a run: everything, each step once, and without changing the run."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import PROJECT, dygraph, environment, small

from mnist import config as configs
from mnist.base.errors import Interrupted
from mnist.checkpoints.records import RunState
from mnist.config.classes import DIGITS
from mnist.config.schema import LogConfig
from mnist.fluid.door import fluid, to_variable
from mnist.model import architectures
from mnist.model.evaluation import evaluate
from mnist.tensorboard import drawing, hparams
from mnist.tensorboard.observer import Observer
from mnist.train import loop
from tests.material.event_files import points
from tests.material.trainings import assert_same_checkpoint, config_for, final, run

CADENCES = [name for name in LogConfig.model_fields if name not in ("dir", "every_steps")]
OFF = [f"log.{name}={'false' if name in ('graph', 'hparams') else 'null'}" for name in CADENCES] + [
    "log.every_steps=1000"
]
ON = ["log.norms_every_steps=1", "log.every_steps=1"]


def shown(folder):
    """{(tag, step): (plugin, shape)} of all that TensorBoard's own reader finds."""
    script = """
import json, sys
from pathlib import Path
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray
rows = []
for path in sorted(Path(sys.argv[1]).glob("events.out.tfevents.*")):
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            plugin = value.metadata.plugin_data.plugin_name
            rows.append([value.tag, event.step, plugin, make_ndarray(value.tensor).shape])
print(json.dumps(rows))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=str(PROJECT), env=environment(), stdout=subprocess.PIPE, check=True, timeout=120,
    )  # fmt: skip
    rows = json.loads(done.stdout)
    found = {(tag, step): (plugin, tuple(shape)) for tag, step, plugin, shape in rows}
    assert len(found) == len(rows), "a step stands twice"
    return found


def steps_of(found, tag):
    return [step for name, step in found if name == tag]


# 200 digits in batches of 32 are 7 steps an epoch.


def test_every_tab_has_what_it_should_at_the_steps_where_it_should(tmp_path):
    run(tmp_path, "model.name=lenet", "train.epochs=2", "log.norms_every_steps=5")
    found = shown(tmp_path / "log")
    expected = {
        "run/config": ([0], "text"),
        "__run_graph__": ([0], "graph_run_metadata_graph"),
        "_hparams_/experiment": ([0], "hparams"),
        "_hparams_/session_start_info": ([0], "hparams"),
        "_hparams_/session_end_info": ([14], "hparams"),
        "train/loss": ([3, 6, 9, 12], "scalars"),
        "train/gradient_norm": ([5, 10], "scalars"),
        "train/update_norm": ([5, 10], "scalars"),
        "gradient_norm/conv1.weight": ([5, 10], "scalars"),
        "update_ratio/fc.bias": ([5, 10], "scalars"),
        "train/inputs": ([1, 8], "images"),
        "train/first_layer": ([0, 7, 14], "images"),
        "weights/conv2.weight": ([0, 7, 14], "histograms"),
        "gradients/conv2.weight": ([7, 14], "histograms"),
        "valid/loss": ([7, 14], "scalars"),
        "valid_accuracy_of_digit/3": ([7, 14], "scalars"),
        "valid/confusion_matrix": ([7, 14], "images"),
        "valid/worst_mistakes": ([7, 14], "images"),
        "valid_precision_recall/9": ([7, 14], "pr_curves"),
        "eval/accuracy": ([14], "scalars"),
        "eval/confusion_matrix": ([14], "images"),
        "eval/worst_mistakes": ([14], "images"),
        "eval_precision_recall/0": ([14], "pr_curves"),
    }
    shapes = {"images": (3,), "pr_curves": (6, 64), "scalars": ()}
    for tag, (steps, plugin) in expected.items():
        assert steps_of(found, tag) == steps, tag
        for step in steps:
            kind, shape = found[tag, step]
            if tag != "__run_graph__":
                assert kind == plugin, tag
            if kind in shapes:
                assert shape == shapes[kind], tag
            if kind == "histograms":
                assert shape[1] == 3 and 1 <= shape[0] <= 65, tag


def test_the_cadences_are_the_configs(tmp_path):
    run(tmp_path, "model.name=lenet", "train.epochs=4", *OFF, "log.pictures_every_epochs=2",
        "log.histograms_every_epochs=3")  # fmt: skip
    found = shown(tmp_path / "log")
    assert steps_of(found, "train/first_layer") == [0, 14, 28]
    assert steps_of(found, "gradients/fc.bias") == [21]
    assert steps_of(found, "train/inputs") == [1, 15]
    assert steps_of(found, "valid/confusion_matrix") == [14, 28]
    assert steps_of(found, "valid/worst_mistakes") == [14, 28]
    assert steps_of(found, "valid_precision_recall/0") == [14, 28]


def test_all_of_it_can_be_off(tmp_path):
    run(tmp_path, "train.epochs=2", *OFF)
    plugins = {plugin for plugin, _ in shown(tmp_path / "log").values()}
    assert plugins == {"text", "scalars"}
    assert not (tmp_path / "log" / "projector").exists()


@pytest.mark.parametrize("model", ["lenet", "embedding"])
def test_looking_changes_no_bit_of_the_training(tmp_path, model):
    overrides = [f"model.name={model}", "model.dropout=0.3", "train.epochs=2"]
    overrides += ["optimizer.clip_norm=1.0", "optimizer.l2_decay=1e-4"]
    results = [
        run(tmp_path / name, *overrides, *given) for name, given in (("on", ON), ("off", OFF))
    ]
    assert_same_checkpoint(final(tmp_path / "on", 2), final(tmp_path / "off", 2))
    assert results[0]["eval"] == results[1]["eval"]


def curves(folder):
    """All that is shown of a run but its speed; each point must be there once."""
    found = sorted(p for p in points(folder / "log") if "second" not in p[0])
    assert len({(tag, step) for tag, step, _ in found}) == len(found)
    return found


def test_a_resumed_run_shows_each_step_once_and_the_same(tmp_path):
    overrides = ["model.name=lenet5", "train.epochs=2", *ON]
    run(tmp_path, *overrides)
    straight = curves(tmp_path)
    run(tmp_path, *overrides, resume="epoch1")
    assert curves(tmp_path) == straight


def test_so_does_one_that_was_stopped_while_valid_was_evaluated(tmp_path, monkeypatch):
    overrides = ["train.epochs=1", *ON]
    run(tmp_path / "straight", *overrides)

    def stopped(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(loop, "evaluate", stopped)
        run(tmp_path / "stopped", *overrides)
    checkpoints = tmp_path / "stopped" / "checkpoints"
    shutil.copytree(checkpoints / "step7", tmp_path / "kept")
    # The second time there is all that the first one drew at the very step it starts from.
    for _ in range(2):
        shutil.rmtree(checkpoints)
        shutil.copytree(tmp_path / "kept", checkpoints / "step7")
        run(tmp_path / "stopped", *overrides, resume="step7")
        assert curves(tmp_path / "stopped") == curves(tmp_path / "straight")


def test_going_on_elsewhere_introduces_the_run_there(tmp_path):
    run(tmp_path, "train.epochs=2")
    run(tmp_path, "train.epochs=2", f"log.dir={tmp_path / 'other'}", resume="epoch1")
    found = shown(tmp_path / "other")
    for tag in ("run/config", "_hparams_/session_start_info", "__run_graph__"):
        assert len(steps_of(found, tag)) == 1
    assert steps_of(found, "weights/fc.weight") == [7, 14]


# --- the projector ---------------------------------------------------------------------


def projector_files(folder):
    files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    return sorted(name for name in files if name.startswith("projector"))


def test_the_projector_has_digits_with_labels_and_pictures_and_the_table(tmp_path):
    run(tmp_path, "model.name=embedding", "model.levels=3", "log.projector_points=50")
    log = tmp_path / "log"
    listed = (log / "projector_config.pbtxt").read_text()
    for name in projector_files(log):
        assert name in listed or name == "projector_config.pbtxt"
    vectors = np.loadtxt(log / "projector" / "eval_digits" / "vectors.tsv")
    assert vectors.shape == (50, 64)
    lines = (log / "projector" / "eval_digits" / "labels.tsv").read_text().splitlines()
    assert lines[0].split("\t")[:3] == ["reading", "label", "read as"] and len(lines) == 51
    chosen = np.linspace(0, 59, 50).astype(int)
    labels = [int(line.split("\t")[1]) for line in lines[1:]]
    assert labels == list(small().eval.labels[chosen])
    table = np.loadtxt(log / "projector" / "embedding_table" / "vectors.tsv")
    rows = (log / "projector" / "embedding_table" / "labels.tsv").read_text().splitlines()
    assert table.shape == (1569, 64) and len(rows) == 1570
    norms = np.linalg.norm(table, axis=1)
    assert np.all(norms[:-1] >= norms[1:] - 1e-3)


def test_projector_files_of_a_run_that_goes_on_are_made_anew_and_of_another_set_aside(tmp_path):
    run(tmp_path, "train.epochs=1")
    log = tmp_path / "log"
    before = projector_files(log)
    assert len(before) == 4
    run(tmp_path, "train.epochs=2", "log.projector_points=null", resume="latest")
    assert projector_files(log) == []
    run(tmp_path, "train.epochs=1", "train.seed=3")
    run(tmp_path, "train.epochs=1", "train.seed=4")
    (aside,) = {path.parent for path in log.glob("earlier*/projector_config.pbtxt")}
    assert projector_files(aside) == before == projector_files(log)


# --- odd arrays ------------------------------------------------------------------------


class Recorder:
    """A tracker that keeps what it is given."""

    def __init__(self):
        self.seen = {}

    def scalars(self, values, step):
        self.seen.update(values)

    def histograms(self, arrays, step):
        self.seen.update(arrays)

    def image(self, name, pixels, step):
        self.seen[name] = pixels


def test_parameters_without_gradients_are_drawn_and_have_no_norms(tmp_path):
    class Normed(architectures.FullyConnected):
        def __init__(self, config, seed):
            super().__init__(config, seed, DIGITS)
            self.norm = fluid.dygraph.BatchNorm(10)

        def forward(self, images):
            return self.norm(super().forward(images))

    config = config_for(tmp_path, *ON)
    with dygraph():
        model = Normed(config.model, 1)
        model.train()
        state = RunState(config={}, step=0)
        recorder = Recorder()
        observer = Observer(config, small(), model, state, 1, recorder)
        optimizer = fluid.optimizer.SGD(0.1, parameter_list=model.parameters())
        images = to_variable(np.random.rand(4, 1, 28, 28).astype(np.float32))
        labels = to_variable(np.zeros((4, 1), np.int64))
        loss = fluid.layers.mean(model(images))
        loss.backward()
        with observer.step(images, labels):
            optimizer.minimize(loss)
    trained = {name for name, p in model.named_parameters() if not p.stop_gradient}
    assert {"norm._mean", "norm.weight"} <= {name for name, _ in model.named_parameters()}
    assert {f"weights/{name}" for name, _ in model.named_parameters()} <= set(recorder.seen)
    for group in ("gradients", "gradient_norm", "update_ratio"):
        drawn = {tag for tag in recorder.seen if tag.startswith(group + "/")}
        assert drawn == {f"{group}/{name}" for name in trained}


def test_norms_are_of_the_gradients_and_of_what_the_step_changed(tmp_path):
    config = config_for(tmp_path, *ON)
    with dygraph():
        model = architectures.build(config.model, 1)
        recorder = Recorder()
        observer = Observer(config, small(), model, RunState(config={}), 9, recorder)
        optimizer = fluid.optimizer.SGD(0.5, parameter_list=model.parameters())
        images = to_variable(np.random.rand(4, 1, 28, 28).astype(np.float32))
        loss = fluid.layers.mean(model(images))
        loss.backward()
        with observer.step(images, to_variable(np.zeros((4, 1), np.int64))):
            optimizer.minimize(loss)
        gradients = [p.gradient() for p in model.parameters()]
    total = np.sqrt(sum(np.square(g.astype(np.float64)).sum() for g in gradients))
    assert np.isclose(recorder.seen["train/gradient_norm"], total, rtol=1e-4)
    assert np.isclose(recorder.seen["train/update_norm"], 0.5 * total, rtol=1e-3)


def test_inputs_are_drawn_as_the_model_sees_them(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        drawing, "tiles",
        lambda images, captions, *_: drawn.append((images, captions)) or np.zeros((1, 1)),
    )  # fmt: skip
    with dygraph():
        config = config_for(tmp_path)
        model = architectures.build(config.model, 1)
        observer = Observer(config, small(), model, RunState(config={}), 9, Recorder())
        images = np.random.rand(4, 1, 28, 28).astype(np.float32) * 3 - 1
        labels = np.array([[3], [1], [4], [1]])
        with observer.step(to_variable(images), to_variable(labels)):
            pass
    ((shown_images, captions),) = drawn
    assert captions == ["3", "1", "4", "1"]
    assert np.array_equal(shown_images, np.rint(np.clip(images[:, 0], 0, 1) * 255).astype(np.uint8))


# --- hyperparameters -------------------------------------------------------------------


def test_every_run_declares_the_columns_of_every_other():
    columns = hparams.columns()
    for section, choices in configs.CHOICES.items():
        for name in choices:
            overrides = [f"{section}.name={name}", "optimizer.clip_norm=1"]
            if name == "piecewise":
                overrides += [f"{section}.boundaries=[1]", f"{section}.factors=[1, 0.1]"]
            for key, value in hparams.values(configs.default(overrides)).items():
                column = columns[key]
                assert isinstance(value, (column, int) if column is float else column), key
    assert columns["optimizer.name"] is str and columns["model.input_range"] is str
    assert not any(key.startswith(("log.", "checkpoint.", "device.")) for key in columns)


def test_the_columns_that_are_shown_first_are_keys():
    keys = set(configs.flatten(configs.default()))
    assert set(hparams._FIRST) <= keys
