"""Arrays → batches → Paddle variables, synchronously or in a background thread.

``in_order`` and ``for_training`` cut a split; ``feed`` carries the batches to the place. Both paths
of Paddle's ``DataLoader.from_generator`` are here, and the plain synchronous one.
"""

from functools import partial
from typing import Any, Generator, Iterator, List, Tuple

import numpy as np

from mnist.base import seeding
from mnist.base.arrays import Array
from mnist.config.schema import DataConfig, LoaderConfig
from mnist.data import augmentation
from mnist.data.dataset import Split
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.processes import Group

Batch = Tuple[Array, Array]
Feed = Generator[List[Any], None, None]


def in_order(split: Split, batch_size: int) -> Iterator[Batch]:
    """The batches of one pass over a split, in its order.

    They are ``(images, labels)``: float32 ``[B,1,28,28]`` in 0–1 and int64 ``[B,1]``. Every sample
    comes exactly once; the last batch may be short.
    """
    for start in range(0, len(split), batch_size):
        chosen = slice(start, start + batch_size)
        yield _finished(split.images[chosen], split.labels[chosen])


def _finished(images: Array, labels: Array) -> Batch:
    return as_model_input(images), labels.astype(np.int64).reshape(-1, 1)


def for_training(
    split: Split, config: DataConfig, seed: int, epoch: int, start: int, group: Group
) -> Iterator[Batch]:
    """One epoch's batches, in an order and with distortions that (seed, epoch) decide.

    ``start`` leaves out the batches before it, as resuming inside an epoch needs. Of each
    batch only the share of this process in its ``group`` comes, with whatever the whole
    batch would have had: how many share the work changes no image.
    """
    size, order = config.batch_size, seeding.shuffled(len(split), seed, epoch)
    for number in range(start, count_batches(len(split), size)):
        whole = order[number * size : (number + 1) * size]
        rows, _ = group.share(len(whole))
        images = split.images[whole[rows]]
        if config.augmentation.active:
            source = seeding.stream(seed, "augmentation", epoch, number)
            x, y = augmentation.random_maps(len(whole), config.augmentation, source)
            images = augmentation.distort(images, (x[rows], y[rows]))
        yield _finished(images, split.labels[whole[rows]])


def count_batches(samples: int, batch_size: int) -> int:
    """How many batches a pass takes, the last short one included."""
    return -(-samples // batch_size)


def as_model_input(images: Array) -> Array:
    """uint8 ``[N,28,28]`` → float32 ``[N,1,28,28]`` in the models' scale, 0–1."""
    return np.divide(images[:, np.newaxis], 255, dtype=np.float32)


def feed(batches: Iterator[Batch], config: LoaderConfig, place: Any) -> Feed:
    """Yield each batch as ``[images, labels]`` VarBases on ``place``.

    Must run inside ``fluid.dygraph.guard``. An exception raised by ``batches`` reaches the
    caller as itself, after the batches before it. Close the iterator (``contextlib.closing``)
    when leaving it early: that ends the background thread.
    """
    if config.mode == "sync":
        for images, labels in batches:
            yield [to_variable(images), to_variable(labels)]
        return
    caught: List[BaseException] = []
    kept = partial(_keeping_errors, batches, caught)
    loader = fluid.io.DataLoader.from_generator(
        capacity=config.capacity, use_double_buffer=config.use_double_buffer, return_list=True
    )
    if config.mode == "sample_list_generator":
        lists = lambda: (list(zip(*batch)) for batch in kept())  # noqa: E731
        loader.set_sample_list_generator(lists, places=place)
    else:
        loader.set_batch_generator(kept, places=place)
    try:
        yield from loader
        if caught:
            raise caught[0]
    finally:
        # Without this, a loop that was left early aborts the process at its exit (rc 134).
        # Unlike Paddle's _reset() it may be called twice and after the end.
        loader._wait_thread_ends()


def _keeping_errors(batches: Iterator[Batch], caught: List[BaseException]) -> Iterator[Batch]:
    """The batches up to where one raises; the exception is kept.

    Paddle prints a reader's exception on its thread, drops batches that were ready and
    raises "Blocking queue is killed" in the consumer; SystemExit hangs it for ever.
    """
    try:
        yield from batches
    except GeneratorExit:
        raise
    except BaseException as error:
        caught.append(error)
