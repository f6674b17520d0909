"""The temperature: it mends what is overconfident, changes no answer, survives a resume."""

import numpy as np
import pytest
from helpers import small
from hypothesis import given
from hypothesis import strategies as st

from mnist import config as configs
from mnist.checkpoints import reading, records
from mnist.model import calibration
from mnist.train import loop


def drawn(seed, count=4000, sharpness=1.0):
    """Probabilities from random logits, and labels that follow them; then the logits sharpened."""
    rng = np.random.RandomState(seed)
    logits = rng.normal(0, 2, (count, 10))
    honest = softmax(logits)
    labels = np.array([rng.choice(10, p=row) for row in honest])
    return softmax(sharpness * logits), labels


def softmax(logits):
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_was_done_to_honest_logits(sharpness):
    probabilities, labels = drawn(1, sharpness=sharpness)
    assert calibration.fit_temperature(probabilities, labels) == pytest.approx(sharpness, rel=0.06)


def test_the_expected_error_falls():
    probabilities, labels = drawn(2, sharpness=3)
    fitted = calibration.at(probabilities, calibration.fit_temperature(probabilities, labels))
    before = calibration.expected_error(probabilities, labels)
    assert before > 0.1 and calibration.expected_error(fitted, labels) < 0.03


def test_the_expected_error_of_known_cases():
    sure = np.eye(10)[[3, 3, 3, 3]]
    assert calibration.expected_error(sure, np.array([3, 3, 3, 3])) == 0
    assert calibration.expected_error(sure, np.array([3, 3, 3, 1])) == pytest.approx(0.25)
    assert calibration.expected_error(sure, np.array([1, 1, 1, 1])) == 1


@given(st.integers(0, 1000), st.floats(0.05, 20))
def test_no_temperature_changes_an_answer_or_leaves_probabilities(seed, temperature):
    probabilities = softmax(np.random.RandomState(seed).normal(0, 30, (20, 10)))
    mended = calibration.at(probabilities, temperature)
    assert np.array_equal(mended.argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(mended.sum(axis=1), 1)


def test_probabilities_of_exactly_nought_are_finite():
    mended = calibration.at(np.eye(10), 2.0)
    assert np.isfinite(mended).all()
    assert np.isfinite(calibration.fit_temperature(np.eye(10), np.arange(10)))


def run(folder, source=None, **changes):
    values = {
        "model": {"name": "fc", "hidden_sizes": [16], **changes},
        "train": {"epochs": 2},
        "checkpoint": {"dir": str(folder / "checkpoints")},
        "log": {"dir": str(folder / "log")},
    }
    config = configs.Config.model_validate(values)
    loop.train(config, small(), source)
    return reading.load(folder / "checkpoints" / "epoch2").state


def test_training_stores_it_and_a_resumed_run_stores_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "FEWEST", 60)
    straight = run(tmp_path / "straight")
    assert calibration.LOWEST < straight.temperature < calibration.HIGHEST
    first = reading.load(tmp_path / "straight" / "checkpoints" / "epoch1")
    resumed = run(tmp_path / "resumed", first)
    assert resumed.temperature == straight.temperature


def test_on_few_images_none_is_fitted_which_is_said(tmp_path, capsys):
    assert run(tmp_path).temperature is None
    assert "no temperature is fitted on fewer than 2,000 images" in capsys.readouterr().out


def test_a_regression_has_none(tmp_path):
    assert run(tmp_path, loss="square_error").temperature is None


def test_a_checkpoint_from_before_loads(tmp_path):
    state = records.RunState(config={}).model_dump()
    del state["temperature"]
    assert records.RunState.model_validate(state).temperature is None
