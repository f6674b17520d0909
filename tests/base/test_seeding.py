"""The random streams: the same where they must be, different everywhere else."""

import numpy as np

from mnist.base import seeding


def test_equal_arguments_give_equal_streams():
    first = seeding.stream(7, "dropout", 3, 1).random(5)
    assert np.array_equal(first, seeding.stream(7, "dropout", 3, 1).random(5))


def test_seed_purpose_and_position_each_make_another_stream():
    streams = [
        seeding.stream(1, "shuffle", 1),
        seeding.stream(2, "shuffle", 1),
        seeding.stream(1, "dropout", 1),
        seeding.stream(1, "shuffle", 2),
        seeding.stream(1, "shuffle", 1, 0),
    ]
    drawn = {stream.random(4).tobytes() for stream in streams}
    assert len(drawn) == len(streams)


def test_an_epochs_order_holds_every_sample_once_and_differs_from_epoch_to_epoch():
    orders = [seeding.shuffled(1000, seed=1, epoch=epoch) for epoch in range(3)]
    assert all(np.array_equal(np.sort(order), np.arange(1000)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 3


def test_layer_seeds_differ_and_are_never_zero():
    seeds = seeding.layer_seeds(1)
    drawn = [next(seeds) for _ in range(200)]
    assert len(set(drawn)) == 200 and min(drawn) > 0
