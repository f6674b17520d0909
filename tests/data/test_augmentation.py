"""Distortions: the same shapes, little moved, nothing of one image in another."""

import numpy as np
import pytest
from helpers import digits
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist.config.schema import AugmentationConfig
from mnist.data import augmentation

STRENGTHS = st.fixed_dictionaries(
    {
        "shift": st.floats(0, 14),
        "rotation": st.floats(0, 180),
        "scaling": st.floats(0, 1),
        "shear": st.floats(0, 1),
        "elastic": st.floats(0, 14),
        "elastic_grid": st.integers(2, 28),
    }
)


def distorted(images, seed=1, **strengths):
    source = np.random.default_rng(seed)
    maps = augmentation.random_maps(len(images), AugmentationConfig(**strengths), source)
    return augmentation.distort(images, maps)


@pytest.mark.parametrize("count", [1, 7, 1197])
def test_without_any_strength_images_stay_as_they_are(count):
    images = digits().train.images[:count]
    assert np.array_equal(distorted(images), images)


@given(STRENGTHS, st.integers(1, 40))
@settings(max_examples=60)
def test_any_strength_gives_images_and_no_ink_from_a_neighbour(strengths, count):
    images = np.zeros((count, 28, 28), np.uint8)
    images[1::2] = 255
    result = distorted(images, **strengths)
    assert result.shape == images.shape and result.dtype == np.uint8
    assert not result[::2].any()


def centres(images):
    values = images.astype(float)
    mass = values.sum((1, 2))
    rows = (values.sum(2) * np.arange(28)).sum(1) / mass
    columns = (values.sum(1) * np.arange(28)).sum(1) / mass
    return np.stack([rows, columns], 1)


def test_a_shift_moves_as_far_as_it_says_in_all_directions():
    images = digits().train.images[:500]
    moved = centres(distorted(images, shift=2.0)) - centres(images)
    assert np.abs(moved).max() < 2.05 and moved.max() > 1.5 and moved.min() < -1.5
    assert np.abs(moved.mean(0)).max() < 0.2


def test_a_half_turn_and_back_is_what_rotation_means():
    images = digits().train.images[:200]
    source = np.random.default_rng(0)
    x, y = augmentation.random_maps(200, AugmentationConfig(), source)
    turned = augmentation.distort(images, (x[:, ::-1], y[:, ::-1]))
    assert np.array_equal(turned, images[:, ::-1, ::-1])


def test_elastic_distortions_are_smooth_and_as_strong_as_they_say():
    x, _ = augmentation.random_maps(2000, AugmentationConfig(elastic=2.0), np.random.default_rng(3))
    still, _ = augmentation.random_maps(2000, AugmentationConfig(), np.random.default_rng(3))
    moved = (x - still).reshape(-1, 28, 28)
    assert 0.8 < moved.std() < 2.0
    assert np.abs(np.diff(moved, axis=2)).mean() < 0.25 * moved.std()


def test_a_distorted_digit_still_looks_like_itself():
    """Closer to where it came from than to a digit of another class, nearly always."""
    images, labels = digits().train.images[:300], digits().train.labels[:300]
    result = distorted(images, shift=1.0, rotation=8.0, scaling=0.1, elastic=0.6)
    flat, originals = (a.reshape(300, -1).astype(float) for a in (result, images))
    distances = ((flat[:, None] - originals[None]) ** 2).sum(2)
    assert (labels[distances.argmin(1)] == labels).mean() > 0.9
