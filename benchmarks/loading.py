"""What asynchronous loading gains over synchronous: a Markdown table.

    ./run python benchmarks/loading.py [--rounds 5]

Trains the course's LeNet for 100 batches of MNIST (of the bundled digits where MNIST is
missing) in each of the three ways of ``data.loader.mode``, one after the other in every round
(A B C A B C), first on plain batches, then on batches that take 20 ms more to make, as with
augmentation or a slow disk. Shows medians, with minimum and maximum, of milliseconds a batch.
"""

import argparse
import statistics
import time
from contextlib import closing
from typing import Dict, Iterator, List

from mnist import config as configs
from mnist import dataset, losses, models, optimizers
from mnist.files import find_input
from mnist.framework import fluid
from mnist.loader import Batches, feed

MODES = ("sync", "batch_generator", "sample_list_generator")
BATCHES = 100
BATCH_SIZE = 100
SLOW_SECONDS = 0.020


class Slow(Batches):
    """The same batches, each of them after a wait that leaves the processor free."""

    def __iter__(self) -> Iterator:
        for batch in super().__iter__():
            time.sleep(SLOW_SECONDS)
            yield batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    split = _split()
    with fluid.dygraph.guard(fluid.CPUPlace()):
        trainer = Steps()
        for name, batches in (("plain", Batches), ("20 ms slower to make", Slow)):
            print(f"\n{name} batches, {BATCHES} of {BATCH_SIZE} images, {rounds} rounds\n")
            print("| way | ms a batch, median (min–max) | against sync |")
            print("| --- | ---: | ---: |")
            _print_rows(_measure(trainer, lambda b=batches: b(split, BATCH_SIZE), rounds))


def _split() -> dataset.Split:
    path = find_input("data/mnist.json.gz")
    data = dataset.load(path if path.exists() else find_input("data/digits.json.gz"))
    images, labels = data.train.images, data.train.labels
    count = BATCHES * BATCH_SIZE
    repeats = -(-count // len(labels))
    return dataset.Split(
        images.repeat(repeats, axis=0)[:count], labels.repeat(repeats, axis=0)[:count]
    )


class Steps:
    """Whole training steps of the course's LeNet with Adam."""

    def __init__(self) -> None:
        config = configs.default()
        self.model = models.build(config.model, seed=1)
        self.optimizer = optimizers.build(config.optimizer, self.model.parameters(), 1000, 100)

    def run(self, batches, mode: str) -> float:
        """Milliseconds a batch over one pass."""
        config = configs.default([f"data.loader.mode={mode}"]).data.loader
        started = time.perf_counter()
        with closing(feed(batches, config, fluid.CPUPlace())) as feeding:
            for images, labels in feeding:
                loss = losses.compute("softmax_cross_entropy", self.model(images), labels)
                loss.backward()
                self.optimizer.minimize(loss)
                self.model.clear_gradients()
                loss.numpy()
        return 1000 * (time.perf_counter() - started) / BATCHES


def _measure(trainer: Steps, make_batches, rounds: int) -> Dict[str, List[float]]:
    trainer.run(make_batches(), "sync")  # warm up
    times: Dict[str, List[float]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode in MODES:
            times[mode].append(trainer.run(make_batches(), mode))
    return times


def _print_rows(times: Dict[str, List[float]]) -> None:
    base = statistics.median(times["sync"])
    for mode, values in times.items():
        middle = statistics.median(values)
        span = f"{middle:.1f} ({min(values):.1f}–{max(values):.1f})"
        print(f"| {mode} | {span} | {middle / base:.2f} × |")


if __name__ == "__main__":
    main()
