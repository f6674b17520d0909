"""How well the house reads the pictures of tests/material, counted on all cores.

Each ``*_of`` function measures one kind; ``Measurer`` gives their parts to worker processes.
"""

import os
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from tests.material import dresses, mnist_c, reader, scenes
from tests.material.reader import PRETRAINED, Reading
from tests.material.scenes import sheets

CHUNK = 25
# A found box is a digit's if they share so much of what both cover together.
OVERLAP = 0.4


class Counts(NamedTuple):
    """So many pictures, of which … (``refused``: doubt was told, or no ink was found)."""

    n: int
    right: int
    no_ink: int
    wrong_and_sure: int
    refused: int
    several: int
    scores: Tuple[float, ...]

    @property
    def share(self) -> float:
        return self.right / max(self.n, 1)

    @property
    def share_refused(self) -> float:
        return self.refused / max(self.n, 1)


class SheetCounts(NamedTuple):
    """Digits that are there, found, read; things that were found."""

    n: int
    found: int
    read: int
    boxes: int
    boxes_right: int


def counts(readings: Sequence[Reading], labels: Sequence[int]) -> Counts:
    """What the readings of pictures with these labels (-1: no digit) come to."""
    pairs = list(zip(readings, labels))
    return Counts(
        n=len(pairs),
        right=sum(reading.digit == label for reading, label in pairs),
        no_ink=sum(reading.digit is None for reading in readings),
        wrong_and_sure=sum(reading.sure and reading.digit != label for reading, label in pairs),
        refused=sum(not reading.sure for reading in readings),
        several=sum("several" in reading.reason for reading in readings),
        scores=tuple(reading.score for reading in readings),
    )


def total(parts: Sequence[Any]) -> Any:
    """Counts of either kind, added up."""
    kind = type(parts[0])
    return kind(*(sum(values[1:], values[0]) for values in zip(*parts)))


def auroc(digits: Sequence[float], others: Sequence[float]) -> float:
    """How often a digit's score is above another picture's; ties count half."""
    ranks = _ranks(np.concatenate([digits, others]))
    n, m = len(digits), len(others)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def _ranks(values: np.ndarray) -> np.ndarray:
    _, where, often = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(often)
    return (last - (often - 1) / 2)[where]


# --- one part, in a worker -------------------------------------------------------------


def _chosen(name: str, start: int, stop: int) -> List[scenes.Digit]:
    """MNIST's eval digits for a kind's pictures with these numbers."""
    images, labels = reader.eval_digits()
    order = scenes.stream("digits", name).permutation(len(images))
    digits = [scenes.Digit(images[i], int(labels[i])) for i in order[: stop + 12]]
    return [digits[i]._replace(others=tuple(digits[i + 1 : i + 12])) for i in range(start, stop)]


def scenes_part(name: str, start: int, stop: int, checkpoint: str) -> Counts:
    """A kind of ``scenes``, with a digit or without."""
    digits = _chosen(name, start, stop)
    files = [scenes.picture(name, d, i) for d, i in zip(digits, range(start, stop))]
    labels = [d.label if name in scenes.KINDS else -1 for d in digits]
    return counts(reader.read(files, checkpoint), labels)


def dresses_part(name: str, start: int, stop: int, checkpoint: str) -> Counts:
    """A dress of the bundled digits."""
    images, labels = (part[start:stop] for part in reader.bundled_digits())
    files = [scenes.encoded(dresses.dressed(name, image)) for image in images]
    return counts(reader.read(files, checkpoint), labels)


def _enlarged(image: np.ndarray) -> np.ndarray:
    return 255 - cv2.resize(image, (200, 200), interpolation=cv2.INTER_LINEAR)


PLAIN: Dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda image: image,
    "black on white": lambda image: 255 - image,
    "black on white, 200 pixels": _enlarged,
}


def plain_part(name: str, start: int, stop: int, checkpoint: str) -> Counts:
    """MNIST's eval digits with nothing about them, as files."""
    images, labels = (part[start:stop] for part in reader.eval_digits())
    files = [scenes.encoded(PLAIN[name](image)) for image in images]
    return counts(reader.read(files, checkpoint), labels)


def corrupted_part(name: str, start: int, stop: int, checkpoint: str) -> Tuple[Counts, Counts]:
    """MNIST-C: straight to the model, and as files."""
    images, labels = (part[start:stop] for part in reader.eval_digits())
    changed = mnist_c.CORRUPTIONS[name](images, scenes.stream(name, start))
    files = [scenes.encoded(image) for image in changed]
    return (
        counts(reader.classify(changed, checkpoint), labels),
        counts(reader.read(files, checkpoint), labels),
    )


def sheets_part(name: str, start: int, stop: int, checkpoint: str) -> SheetCounts:
    """Sheets for ``--many``."""
    results = []
    for number in range(start, stop):
        first = number * sheets.DIGITS_EACH % 9000
        digits = _chosen(f"sheet {name}", first, first + sheets.DIGITS_EACH)
        page = sheets.sheet(name, digits, number)
        results.append(compared(page, reader.find(page.file, checkpoint)))
    return total(results)


def compared(page: sheets.Sheet, found: List[reader.Found]) -> SheetCounts:
    """Each true digit goes to the box that covers it best, each box to one digit."""
    pairs = [
        (_overlap(true, box.box), i, j)
        for i, true in enumerate(page.boxes)
        for j, box in enumerate(found)
    ]
    matched: Dict[int, int] = {}
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap >= OVERLAP and i not in matched and j not in matched.values():
            matched[i] = j
    read = sum(found[j].digit == page.labels[i] for i, j in matched.items())
    return SheetCounts(len(page.boxes), len(matched), read, len(found), len(matched))


def _overlap(one: Sequence[int], other: Sequence[int]) -> float:
    """Intersection over union."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    tall = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(wide, 0) * max(tall, 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


# --- all parts, on all cores -----------------------------------------------------------


def _begin() -> None:
    """A worker is one of several: no threads of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)


class Measurer:
    """Measures kinds with a checkpoint; results come in the order in which they were asked for."""

    def __init__(self, checkpoint: str = PRETRAINED, workers: Optional[int] = None) -> None:
        self.checkpoint = checkpoint
        workers = workers or len(os.sched_getaffinity(0))
        self._pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin)

    def __enter__(self) -> "Measurer":
        return self

    def __exit__(self, *_: Any) -> None:
        self._pool.shutdown()

    def start(self, part: Callable[..., Any], name: str, count: int, chunk: int = CHUNK) -> Any:
        """Give a kind's pictures to the workers; the returned function waits for the sum."""
        futures: List[Future] = [
            self._pool.submit(part, name, start, min(start + chunk, count), self.checkpoint)
            for start in range(0, count, chunk)
        ]
        return lambda: _added([future.result() for future in futures])


def _added(parts: List[Any]) -> Any:
    if isinstance(parts[0], (Counts, SheetCounts)):
        return total(parts)
    return tuple(total(column) for column in zip(*parts))
