"""Teachers: what they make of images, and trainings that learn from them."""

import shutil

import numpy as np
import pytest
from helpers import ROOT, dygraph, needs_kernels, same, small

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.base.files import sha256_of
from mnist.fluid.feeding import as_model_input
from mnist.model import losses
from mnist.model.distillation import Teachers
from mnist.train import loop
from tests.material.trainings import assert_same_checkpoint, config_for, final, run

PRETRAINED = ROOT / "data" / "pretrained"
STUDENT = ("model.name=lenet", "model.filters=[2, 4]", "model.dropout=0.2")
DISTORTED = ("data.augmentation.shift=1.0", "data.augmentation.elastic=0.5")


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """Checkpoints of three kinds of model; the last one's answers are no softmax of its own."""
    folder = tmp_path_factory.mktemp("teachers")
    run(folder / "fc", "train.epochs=2")
    run(folder / "lenet", "model.name=lenet", "train.epochs=1")
    run(folder / "line", "model.loss=square_error", "train.epochs=1")
    return [folder / name / "checkpoints" for name in ("fc", "lenet", "line")]


def taught(*teachers):
    return f"train.teachers=[{', '.join(map(str, teachers))}]"


@pytest.mark.parametrize("kernels", ["fluid", pytest.param("c", marks=needs_kernels)])
def test_targets_are_the_mean_of_the_teachers_probabilities(teachers, kernels):
    images = as_model_input(small().train.images[:30])
    with dygraph() as fluid:
        batch = fluid.dygraph.to_variable(images)
        watched = fluid.dygraph.to_variable(images)
        watched.stop_gradient = False
        setting = f"device.kernels={kernels}"
        each = [Teachers(configs.default([setting, taught(path)])) for path in teachers]
        together = Teachers(configs.default([setting, taught(*teachers)])).targets(batch).numpy()
        alone = np.array([one.targets(batch).numpy() for one in each])
        model = each[0].models[0]
        expected = losses.softmax(model(batch).numpy().astype(np.float64))
        assert (each[1].models[0].engine is None) == (kernels == "fluid")
        # Autograd is as it was, though evaluation mode switches it off.
        assert not fluid.layers.scale(watched, 2.0).stop_gradient
    assert np.allclose(alone[0], expected, atol=1e-7)
    assert together.dtype == np.float32 and np.allclose(together.sum(axis=1), 1, atol=1e-6)
    assert np.allclose(together, alone.mean(axis=0), atol=1e-7)
    assert not np.allclose(alone[0], alone[1], atol=0.01)


def test_a_student_learns_what_its_teacher_says_and_not_the_labels(teachers, tmp_path):
    """From a teacher that turns every digit into the next one."""
    import dataclasses

    data = small()
    turned = dataclasses.replace(data.train, labels=(data.train.labels + 1) % 10)
    wrong = dataclasses.replace(data, train=turned, valid=turned)
    run(tmp_path / "teacher", "train.epochs=15", "optimizer.learning_rate=0.01", data=wrong)
    settings = taught(tmp_path / "teacher" / "checkpoints"), "optimizer.learning_rate=0.01"
    result = run(tmp_path / "student", *settings, "train.epochs=15")
    assert result["eval"]["accuracy"] < 0.1
    assert result["history"][-1]["train_loss"] < 1 and result["history"][-1]["valid_loss"] > 3


KERNELS = ["fluid", pytest.param("c", marks=needs_kernels)]


@pytest.mark.parametrize("kernels", KERNELS)
def test_resuming_is_bit_exact_and_the_checkpoint_names_its_teachers(
    teachers, tmp_path, kernels, capsys
):
    settings = [*STUDENT, *DISTORTED, f"device.kernels={kernels}", taught(*teachers)]
    run(tmp_path, *settings)
    straight = final(tmp_path)
    digests = [sha256_of(path / "epoch1" / "model.pdparams") for path in teachers[1:]]
    assert straight.state.teachers[1:] == digests
    assert f"teacher {teachers[1]} (SHA-256 {digests[0][:12]}…)" in capsys.readouterr().out
    run(tmp_path, *settings, resume="epoch1")
    assert_same_checkpoint(straight, final(tmp_path))
    run(tmp_path / "untaught", *settings, "train.teachers=[]")
    assert not same(straight.parameters, final(tmp_path / "untaught").parameters)


def test_going_on_with_the_teachers_elsewhere_is_the_same_run_and_with_others_is_not(
    teachers, tmp_path
):
    run(tmp_path, *STUDENT, taught(*teachers[:2]), "train.epochs=1")
    for others, now in (
        ([], "none"),
        (teachers[1::-1], "SHA-256 .*"),
        (teachers[:1], "SHA-256 .*"),
    ):
        with pytest.raises(InputError, match=rf"train\.teachers: .*in the checkpoint, {now} now"):
            run(tmp_path, *STUDENT, taught(*others), "train.epochs=2", resume="epoch1")
    shutil.copytree(teachers[0], tmp_path / "moved")
    run(tmp_path, *STUDENT, taught(tmp_path / "moved", teachers[1]), "train.epochs=2",
        resume="epoch1")  # fmt: skip
    run(tmp_path, *STUDENT, "train.epochs=3", resume="epoch2", allow_changes=True)
    assert final(tmp_path, 3).state.teachers == []


def test_a_teacher_that_cannot_be_used_is_named_before_anything_is_written(teachers, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(PRETRAINED, damaged)
    with (damaged / "model.pdparams").open("ab") as file:
        file.write(b"more")
    for teacher, fault in (
        (tmp_path / "nowhere", r"train\.teachers: .*nowhere: does not exist"),
        (damaged, r"train\.teachers: .*model\.pdparams: is damaged"),
        (ROOT / "configs" / "adam.yaml", r"train\.teachers: .*adam\.yaml"),
    ):
        with pytest.raises(InputError, match=fault) as caught:
            run(tmp_path / "student", taught(teachers[0], teacher))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "student").exists()


def test_a_teacher_among_the_runs_own_checkpoints_is_refused(tmp_path):
    run(tmp_path, "train.epochs=1")
    for name in ("", "best", "epoch1"):
        with pytest.raises(InputError, match=r"is in checkpoint\.dir.*--set checkpoint\.dir"):
            run(tmp_path, taught(tmp_path / "checkpoints" / name))
    assert (tmp_path / "checkpoints" / "epoch1").is_dir()


def test_the_bundled_checkpoint_teaches_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_for(tmp_path, *STUDENT, taught("data/pretrained"), "train.epochs=1")
    result = loop.train(config, small())
    assert result["teachers"] == [sha256_of(PRETRAINED / "model.pdparams")]
