"""Batching: nothing lost, nothing twice, whatever the threads do."""

import threading
from concurrent.futures import wait

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist.serve.batching import Batcher


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    max_batch=st.integers(1, 16),
)
def test_every_item_of_every_thread_gets_its_own_result_in_batches(counts, max_batch):
    sizes, seen = [], []

    def work(items):
        seen.extend(items)
        return [(item, "done") for item in items]

    batcher = Batcher(work, max_batch, sizes.append)
    futures = {}

    def submit(thread, count):
        for number in range(count):
            futures[thread, number] = batcher.submit((thread, number))

    threads = [threading.Thread(target=submit, args=pair) for pair in enumerate(counts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batcher.close()
    assert all(future.result(0) == (item, "done") for item, future in futures.items())
    assert len(seen) == len(futures) == sum(sizes) == sum(counts)
    assert max(sizes, default=1) <= max_batch
    for thread in range(len(counts)):
        own = [number for source, number in seen if source == thread]
        assert own == sorted(own)


class Held:
    """Work that waits until it is let go, so that what comes meanwhile queues up."""

    def __init__(self):
        self.batches = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, items):
        self.batches.append(items)
        self.begun.set()
        assert self.go.wait(30)
        return items


def test_what_queues_up_meanwhile_is_one_batch_and_closing_finishes_it():
    work = Held()
    batcher = Batcher(work, max_batch=8)
    futures = [batcher.submit(0)]
    assert work.begun.wait(30)
    futures += [batcher.submit(number) for number in range(1, 11)]
    assert len(batcher) == 10
    work.go.set()
    batcher.close()
    assert work.batches == [[0], [1, 2, 3, 4, 5, 6, 7, 8], [9, 10]]
    assert [future.result(0) for future in futures] == list(range(11))


def test_what_nobody_waits_for_is_left_out():
    work = Held()
    batcher = Batcher(work, max_batch=8)
    first = batcher.submit(0)
    assert work.begun.wait(30)
    given_up, kept = batcher.submit(1), batcher.submit(2)
    assert given_up.cancel()
    work.go.set()
    assert wait([first, kept], timeout=30).not_done == set()
    batcher.close()
    assert work.batches == [[0], [2]]


def test_an_error_reaches_all_of_its_batch_and_the_next_one_works():
    def work(items):
        if "bad" in items:
            raise ValueError("no such thing")
        return items

    batcher = Batcher(work, max_batch=1)
    bad, good = batcher.submit("bad"), batcher.submit("good")
    with pytest.raises(ValueError, match="no such thing"):
        bad.result(30)
    assert good.result(30) == "good"
    batcher.close()
