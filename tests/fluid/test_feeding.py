"""Batches, and the three ways in which they reach Paddle."""

import subprocess
import sys
import threading
from contextlib import closing
from itertools import chain, islice

import numpy as np
import pytest
from helpers import ROOT, digits, dygraph, environment, numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist import config as configs
from mnist.config.schema import LoaderConfig
from mnist.fluid.feeding import feed, for_training, in_order
from mnist.fluid.processes import ALONE, Group

MODES = ("batch_generator", "sample_list_generator", "sync")


def training_batches(split, batch_size, seed, epoch, start=0, group=ALONE, overrides=()):
    config = configs.default([f"data.batch_size={batch_size}", *overrides]).data
    return for_training(split, config, seed, epoch, start, group)


class Member(Group):
    """One of several processes; what it says to the others is not asked for here."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size


def numbers(images):
    values = np.rint(np.asarray(images) * 255).astype(int)
    return list(values[:, 0, 0, 0] + 256 * values[:, 0, 0, 1])


@given(st.integers(1, 700), st.integers(1, 300), st.integers(0, 5))
@settings(deadline=None)
def test_every_sample_comes_exactly_once_and_the_short_batch_is_kept(count, batch_size, epoch):
    batches = list(training_batches(numbered(count), batch_size, seed=1, epoch=epoch))
    seen = [number for images, _ in batches for number in numbers(images)]
    sizes = [len(labels) for _, labels in batches]
    assert sorted(seen) == list(range(count))
    assert len(sizes) == -(-count // batch_size)
    assert all(size == batch_size for size in sizes[:-1])


def test_training_is_shuffled_by_seed_and_epoch_and_evaluation_is_not():
    split = numbered(50)

    def order(seed, epoch):
        return [n for images, _ in training_batches(split, 7, seed, epoch) for n in numbers(images)]

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(s, e)) for s in (1, 2) for e in (0, 1)}) == 4
    plain = [n for images, _ in in_order(split, 7) for n in numbers(images)]
    assert plain == list(range(50))


def test_starting_inside_an_epoch_gives_exactly_the_batches_that_are_left():
    split = numbered(50)
    whole = list(training_batches(split, 7, seed=1, epoch=2))
    rest = list(training_batches(split, 7, seed=1, epoch=2, start=3))
    assert len(rest) == len(whole) - 3
    for (images, labels), (other_images, other_labels) in zip(rest, whole[3:]):
        assert np.array_equal(images, other_images) and np.array_equal(labels, other_labels)


@given(st.integers(1, 200), st.integers(1, 60), st.integers(2, 5))
def test_processes_share_every_batch_out_and_its_weights_add_up(count, batch_size, size):
    split = numbered(count)
    whole = [numbers(images) for images, _ in training_batches(split, batch_size, 1, 0)]
    members = [Member(rank, size) for rank in range(size)]
    shares = [
        [numbers(images) for images, _ in training_batches(split, batch_size, 1, 0, group=member)]
        for member in members
    ]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        weights = [member.share(len(batch))[1] for member in members]
        assert sum(weights) == pytest.approx(1)
        if len(batch) < size:
            assert all(part == batch for part in parts)
        else:
            assert sorted(chain.from_iterable(parts)) == sorted(batch)
            assert [len(part) / len(batch) for part in parts] == pytest.approx(weights)


def test_distortions_depend_on_seed_epoch_and_batch_and_not_on_who_shares_the_work():
    split = digits().train
    strong = ("data.augmentation.shift=2.0", "data.augmentation.elastic=1.0")

    def images(epoch, start=0, group=ALONE):
        batches = training_batches(split, 64, 1, epoch, start, group, strong)
        return [images for images, _ in batches]

    whole = images(0)
    assert all(np.array_equal(*pair) for pair in zip(whole, images(0)))
    assert not np.array_equal(whole[0], images(1)[0])
    assert all(np.array_equal(*pair) for pair in zip(whole[5:], images(0, start=5)))
    for rank in range(2):
        for part, batch in zip(images(0, group=Member(rank, 2)), whole):
            assert np.array_equal(part, batch[rank::2])


def test_batches_have_the_models_shape_type_and_scale():
    images, labels = next(in_order(digits().train, 64))
    assert images.shape == (64, 1, 28, 28) and images.dtype == np.float32
    assert labels.shape == (64, 1) and labels.dtype == np.int64
    assert images.min() == 0.0 and 0.9 < images.max() <= 1.0
    assert np.array_equal(images[0, 0], digits().train.images[0] / np.float32(255))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("use_double_buffer", [True, False])
def test_every_way_brings_the_same_batches(mode, use_double_buffer):
    expected = list(in_order(numbered(53), 10))
    config = LoaderConfig(mode=mode, capacity=2, use_double_buffer=use_double_buffer)
    with dygraph() as fluid:
        for _ in range(3):
            fed = feed(in_order(numbered(53), 10), config, fluid.CPUPlace())
            got = [(images.numpy(), labels.numpy()) for images, labels in fed]
            assert len(got) == 6
            for (images, labels), (expected_images, expected_labels) in zip(got, expected):
                assert np.array_equal(images, expected_images)
                assert np.array_equal(labels, expected_labels)


class Broken(Exception):
    pass


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("error", [Broken("sample 3 is bad"), SystemExit(3), KeyboardInterrupt()])
def test_an_exception_in_the_generator_reaches_the_user_as_itself(mode, error):
    def failing():
        yield from islice(in_order(numbered(100), 10), 3)
        raise error

    config = LoaderConfig(mode=mode)
    with dygraph() as fluid:
        for _ in range(5):
            seen = 0
            with pytest.raises(type(error)) as caught:
                for _ in feed(failing(), config, fluid.CPUPlace()):
                    seen += 1
            assert caught.value is error
            assert seen == 3


@pytest.mark.parametrize("mode", MODES)
def test_leaving_early_ends_the_thread(mode):
    with dygraph() as fluid:
        before = threading.active_count()
        for stop_after in range(1, 6):
            endless = in_order(numbered(1000), 10)
            with closing(feed(endless, LoaderConfig(mode=mode), fluid.CPUPlace())) as batches:
                for number, _ in enumerate(batches, 1):
                    if number == stop_after:
                        break
        assert threading.active_count() == before


def test_a_process_that_leaves_an_epoch_early_exits_cleanly():
    """Paddle alone aborts at exit (rc 134) in a third or more of such runs."""
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from contextlib import closing
from itertools import chain
from helpers import dygraph, numbered
from mnist import config as configs
from mnist.config.schema import LoaderConfig
from mnist.fluid.feeding import feed, in_order
with dygraph() as fluid:
    for _ in range(10):
        with closing(feed(in_order(numbered(2000), 10), LoaderConfig(), fluid.CPUPlace())) as b:
            next(b)
"""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script, str(ROOT / "tests")], env=environment(), timeout=120
        )
        assert done.returncode == 0
