"""Losses against their definitions in NumPy."""

import numpy as np
import pytest
from helpers import dygraph

from mnist.model import losses


def softmax(scores):
    each = np.exp(scores - scores.max(axis=1, keepdims=True))
    return each / each.sum(axis=1, keepdims=True)


def test_cross_entropy_is_the_mean_negative_log_probability():
    scores = np.random.default_rng(1).normal(0, 3, (8, 10)).astype(np.float32)
    labels = np.arange(8, dtype=np.int64).reshape(-1, 1)
    expected = -np.log(softmax(scores.astype(np.float64))[np.arange(8), np.arange(8)]).mean()
    with dygraph() as fluid:
        variable = fluid.dygraph.to_variable
        loss = losses.compute("softmax_cross_entropy", variable(scores), variable(labels))
        assert loss.shape == [1]
        assert float(loss.numpy()[0]) == pytest.approx(expected, rel=1e-5)


def test_probabilities_for_targets_are_learnt_with_the_gradient_that_they_imply():
    random = np.random.default_rng(4)
    scores = random.normal(0, 3, (8, 10)).astype(np.float32)
    targets = random.dirichlet(np.ones(10), 8).astype(np.float32)
    guessed = softmax(scores.astype(np.float64))
    with dygraph() as fluid:
        outputs, labels, wanted = map(
            fluid.dygraph.to_variable, (scores, np.zeros((8, 1), np.int64), targets)
        )
        outputs.stop_gradient = False
        loss = losses.compute("softmax_cross_entropy", outputs, labels, targets=wanted)
        expected = -(targets * np.log(guessed)).sum(axis=1).mean()
        assert float(loss.numpy()[0]) == pytest.approx(expected, rel=1e-5)
        loss.backward()
        assert np.allclose(outputs.gradient(), (guessed - targets) / 8, atol=1e-6)


def test_cross_entropy_of_extreme_logits_is_finite():
    scores = np.array([[1e4] + [-1e4] * 9], np.float32)
    with dygraph() as fluid:
        variable = fluid.dygraph.to_variable
        for label in (0, 1):
            loss = losses.compute(
                "softmax_cross_entropy", variable(scores), variable(np.array([[label]]))
            )
            assert np.isfinite(loss.numpy()).all()


def test_square_error_compares_one_output_with_the_digit():
    outputs = np.array([[3.5], [7.0]], np.float32)
    labels = np.array([[3], [9]], np.int64)
    with dygraph() as fluid:
        variable = fluid.dygraph.to_variable
        loss = losses.compute("square_error", variable(outputs), variable(labels))
        assert float(loss.numpy()[0]) == pytest.approx((0.25 + 4.0) / 2)


def test_digits_are_the_likeliest_class_or_the_nearest_digit():
    assert losses.digits("softmax_cross_entropy", np.eye(10)[[4, 0]]).tolist() == [4, 0]
    outputs = np.array([[-3.0], [0.4], [6.6], [12.0]])
    assert losses.digits("square_error", outputs).tolist() == [0, 0, 7, 9]


@pytest.mark.parametrize("loss, width", [("softmax_cross_entropy", 10), ("square_error", 1)])
def test_probabilities_sum_to_one_and_agree_with_the_digit(loss, width):
    outputs = np.random.default_rng(2).normal(4, 30, (50, width)).astype(np.float32)
    probabilities = losses.probabilities(loss, outputs)
    assert probabilities.shape == (50, 10)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert np.array_equal(probabilities.argmax(axis=1), losses.digits(loss, outputs))
