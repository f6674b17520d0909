"""Arrays → batches → Paddle variables, synchronously or in a background thread.

``Batches`` cuts a split; ``feed`` carries the batches to the place. Both paths of Paddle's
``DataLoader.from_generator`` are here, and the plain synchronous one.
"""

from typing import Any, Callable, Generator, Iterable, Iterator, List, Optional, Tuple

import numpy as np

from mnist import seeding
from mnist.config import LoaderConfig
from mnist.dataset import Split
from mnist.framework import fluid, paddle, to_variable

Batch = Tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
Feed = Generator[List[Any], None, None]


class Batches:
    """The batches of one pass over a split.

    Iterating yields ``(images, labels)``: float32 ``[B,1,28,28]`` in 0–1 and int64
    ``[B,1]``. Every sample comes exactly once; the last batch may be short. ``start``
    leaves out the batches before it, as resuming inside an epoch needs.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        order: "Optional[np.ndarray[Any, Any]]" = None,
        start: int = 0,
    ) -> None:
        self._split = split
        self.batch_size = batch_size
        self._order = order
        self._start = start

    def __len__(self) -> int:
        return count_batches(len(self._split), self.batch_size) - self._start

    def __iter__(self) -> Iterator[Batch]:
        for first in range(self._start * self.batch_size, len(self._split), self.batch_size):
            span = slice(first, first + self.batch_size)
            chosen = span if self._order is None else self._order[span]
            yield self._cut(chosen)

    def _cut(self, chosen: Any) -> Batch:
        images = as_model_input(self._split.images[chosen])
        labels = self._split.labels[chosen].astype(np.int64).reshape(-1, 1)
        return images, labels


def count_batches(samples: int, batch_size: int) -> int:
    """How many batches a pass takes, the last short one included."""
    return -(-samples // batch_size)


def as_model_input(images: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """uint8 ``[N,28,28]`` → float32 ``[N,1,28,28]`` in the models' scale, 0–1."""
    return np.divide(images[:, np.newaxis], 255, dtype=np.float32)


def training_batches(
    split: Split, batch_size: int, seed: int, epoch: int, start: int = 0
) -> Batches:
    """One epoch's batches, in an order that (seed, epoch) alone decide."""
    return Batches(split, batch_size, seeding.shuffled(len(split), seed, epoch), start)


def feed(batches: Batches, config: LoaderConfig, place: Any) -> Feed:
    """Yield each batch as ``[images, labels]`` VarBases on ``place``.

    Must run inside ``fluid.dygraph.guard``. An exception raised by ``batches`` reaches the
    caller as itself, after the batches before it. Close the iterator (``contextlib.closing``)
    when leaving it early: that ends the background thread.
    """
    if config.mode == "sync":
        for images, labels in batches:
            yield [to_variable(images), to_variable(labels)]
    else:
        yield from _feed_from_thread(batches, config, place)


def _feed_from_thread(batches: Batches, config: LoaderConfig, place: Any) -> Feed:
    caught: List[BaseException] = []
    loader = fluid.io.DataLoader.from_generator(
        feed_list=config.feed_list,
        capacity=config.capacity,
        use_double_buffer=config.use_double_buffer,
        iterable=config.iterable,
        return_list=config.return_list,
    )
    if config.mode == "sample_list_generator":
        reader = paddle.batch(_samples(batches), batch_size=batches.batch_size, drop_last=False)
        loader.set_sample_list_generator(_keeping_errors(reader, caught), places=place)
    else:
        loader.set_batch_generator(_keeping_errors(lambda: batches, caught), places=place)
    try:
        yield from loader
        if caught:
            raise caught[0]
    finally:
        # Without this, a loop that was left early aborts the process at its exit (rc 134).
        # Unlike Paddle's _reset() it may be called twice and after the end.
        loader._wait_thread_ends()


def _keeping_errors(
    reader: Callable[[], Iterable[Any]], caught: List[BaseException]
) -> Callable[[], Iterator[Any]]:
    """A reader that ends where ``reader`` raises, and keeps the exception.

    Paddle prints a reader's exception on its thread, drops batches that were ready and
    raises "Blocking queue is killed" in the consumer; SystemExit hangs it for ever.
    """

    def read() -> Iterator[Any]:
        try:
            yield from reader()
        except GeneratorExit:
            raise
        except BaseException as error:
            caught.append(error)

    return read


def _samples(batches: Batches) -> Callable[[], Iterator[Batch]]:
    """A Paddle reader: a function whose result yields one (image, label) at a time."""

    def read() -> Iterator[Batch]:
        for images, labels in batches:
            yield from zip(images, labels)

    return read
