"""Work that comes from many requests, done in batches by the one thread that may do it.

Paddle's models are not made for several threads at once, and a batch of 64 images takes
little longer than four single ones.
"""

import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Callable, Generic, List, Optional, Sequence, Tuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Entry = Tuple[Item, "Future[Result]"]


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
        # None, the last entry, ends the thread.
        self._waiting: queue.SimpleQueue[Optional[Entry[Item, Result]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many items wait for their batch."""
        return self._waiting.qsize()

    def submit(self, item: Item) -> "Future[Result]":
        """Queue an item. A future that is cancelled before its batch is left out of it."""
        future: Future[Result] = Future()
        self._waiting.put((item, future))
        return future

    def close(self) -> None:
        """Finish what was submitted, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        entries: List[Optional[Entry[Item, Result]]] = []
        while None not in entries:
            entries = [self._waiting.get()]
            with suppress(queue.Empty):
                while entries[-1] is not None and len(entries) < self._max_batch:
                    entries.append(self._waiting.get_nowait())
            # From here on a future can no longer be cancelled.
            batch = [
                entry for entry in entries if entry and entry[1].set_running_or_notify_cancel()
            ]
            if batch:
                self._do(batch)

    def _do(self, batch: "List[Entry[Item, Result]]") -> None:
        self._on_batch(len(batch))
        try:
            results = self._work([item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), result in zip(batch, results):
            future.set_result(result)
