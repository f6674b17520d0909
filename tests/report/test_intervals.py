"""Calibration and intervals, against what they are by definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mnist.model.calibration import BINS, at, expected_error, negative_log_likelihood
from mnist.report.charts import reliability, wilson_interval


def random_case(seed, count, sharpness=3.0):
    source = np.random.default_rng(seed)
    logits = sharpness * source.standard_normal((count, 10))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return source.integers(0, 10, count), probabilities.argmax(axis=1), probabilities, logits


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_the_error_is_the_weighted_distance_over_the_bins(seed, count):
    labels, digits, probabilities, _ = random_case(seed, count)
    counts, mean_confidences, accuracies, intervals = reliability(probabilities, labels)
    confidences = probabilities.max(axis=1)
    expected, counted = 0.0, 0
    for number in range(BINS):
        inside = (confidences > number / BINS) & (confidences <= (number + 1) / BINS)
        assert inside.sum() == counts[number]
        counted += counts[number]
        low, high = intervals[:, number]
        if inside.any():
            accuracy, confidence = (labels == digits)[inside].mean(), confidences[inside].mean()
            assert low <= accuracy <= high
            assert accuracies[number] == pytest.approx(accuracy)
            assert mean_confidences[number] == pytest.approx(confidence)
            expected += inside.sum() / count * abs(accuracy - confidence)
        else:
            assert (low, high) == (0, 1)
    assert len(counts) == BINS and counted == count
    assert expected_error(probabilities, labels) == pytest.approx(expected)
    log_loss = -np.log(probabilities[range(count), labels]).mean()
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(log_loss)


def test_a_model_that_is_as_sure_as_it_is_right_has_no_error():
    source = np.random.default_rng(1)
    count = 200_000
    _, digits, probabilities, _ = random_case(2, count, sharpness=1.5)
    right = source.random(count) < probabilities.max(axis=1)
    labels = np.where(right, digits, (digits + 1) % 10)
    assert expected_error(probabilities, labels) < 0.005
    assert expected_error(probabilities, (digits + 1) % 10) > 0.3


def test_certainty_is_in_the_last_bin_and_a_certain_error_has_a_finite_loss():
    certain, labels = np.eye(10)[[3, 3]], np.array([3, 4])
    counts, *_ = reliability(certain, labels)
    assert counts[-1] == 2 and expected_error(certain, labels) == pytest.approx(0.5)
    loss = negative_log_likelihood(certain, labels)
    assert np.isfinite(loss) and loss > 100


@given(st.integers(0, 10_000), st.floats(0.2, 10))
def test_a_temperature_divides_the_logits(seed, temperature):
    _, digits, probabilities, logits = random_case(seed, 20)
    tempered = at(probabilities, temperature)
    expected = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tempered, expected, atol=1e-12)
    assert np.array_equal(tempered.argmax(axis=1), digits)


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(case):
    right, count = case
    z = norm.ppf(0.975)
    # Its ends are where the fraction is just z deviations off: (p - end)² n = z² end (1 - end).
    ends = np.roots([1 + z**2 / count, -2 * right / count - z**2 / count, (right / count) ** 2])
    assert wilson_interval(right, count) == pytest.approx(sorted(ends.real), abs=1e-6)


def test_the_interval_of_nothing_is_everything():
    assert wilson_interval(0, 0) == (0.0, 1.0)
