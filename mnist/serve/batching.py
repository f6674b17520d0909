"""Work that comes from many requests, done in batches by the one thread that may do it.

Paddle's models are not made for several threads at once, and a batch of 64 images takes
little longer than four single ones.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Generic, List, Sequence, Tuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Hands what is submitted to ``work``, in order, several items at a time, on one thread.

    A batch is what waits when the one before is done, ``max_batch`` items at most. ``work``
    returns one result an item; if it raises, every item of the batch gets the exception.
    ``on_batch`` is told the size of each batch.
    """

    def __init__(
        self, work: Callable[[List[Item]], Sequence[Result]], max_batch: int,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:  # fmt: skip
        self._work = work
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._waiting: Deque[Tuple[Item, Future[Result]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batcher")

    def __len__(self) -> int:
        """How many items wait for their batch."""
        return len(self._waiting)

    def submit(self, item: Item) -> "Future[Result]":
        """Queue an item. A future that is cancelled before its batch is left out of it."""
        future: Future[Result] = Future()
        self._waiting.append((item, future))
        # Once for each item, so that none is forgotten; most find that a batch had theirs already.
        self._thread.submit(self._do_next)
        return future

    def close(self) -> None:
        """Finish what was submitted, and end the thread."""
        self._thread.shutdown()

    def _do_next(self) -> None:
        count = min(len(self._waiting), self._max_batch)
        entries = [self._waiting.popleft() for _ in range(count)]
        # From here on a future can no longer be cancelled.
        batch = [entry for entry in entries if entry[1].set_running_or_notify_cancel()]
        if not batch:
            return
        self._on_batch(len(batch))
        try:
            results = self._work([item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), result in zip(batch, results):
            future.set_result(result)
