"""What asynchronous loading gains over synchronous: a Markdown table.

    ./run python benchmarks/loading.py [--rounds 5]

Trains the course's LeNet for 100 batches of MNIST (of the bundled digits where MNIST is
missing) in each of the three ways of ``data.loader.mode``, one after the other in every round
(A B C A B C), first on plain batches, then on batches that take 20 ms more to make, as with
augmentation or a slow disk. Shows medians, with minimum and maximum, of milliseconds a batch.
"""

import argparse
import time
from contextlib import closing
from functools import partial
from typing import Callable, Iterator

from common import MNIST, ratios, spread, table, take_turns

from mnist import config as configs
from mnist.base.files import PROJECT_ROOT
from mnist.data import dataset
from mnist.fluid import gradients
from mnist.fluid.door import fluid
from mnist.fluid.feeding import feed, in_order
from mnist.model import architectures, losses, optimizers

MODES = ("sync", "batch_generator", "sample_list_generator")
BATCHES = 100
BATCH_SIZE = 100
SLOW_SECONDS = 0.020


def slow(split: dataset.Split, batch_size: int) -> Iterator:
    """The same batches, each of them after a wait that leaves the processor free."""
    for batch in in_order(split, batch_size):
        time.sleep(SLOW_SECONDS)
        yield batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    split = _split()
    with fluid.dygraph.guard(fluid.CPUPlace()):
        trainer = Steps()
        for name, batches in (("Plain", in_order), ("20 ms slower to make", slow)):
            make = partial(batches, split, BATCH_SIZE)
            trainer.run(make(), "sync")  # warm up
            times = take_turns({mode: partial(_run, trainer, make, mode) for mode in MODES}, rounds)
            print(f"\n{name}: {BATCHES} batches of {BATCH_SIZE} images, {rounds} rounds\n")
            rows = [
                (mode, spread(values, "{:.1f}"), spread(ratios(values, times["sync"])) + " ×")
                for mode, values in times.items()
            ]
            print(table(["way", "ms a batch, median (min–max)", "against sync"], rows))


def _run(trainer: "Steps", make: Callable[[], Iterator], mode: str) -> float:
    return trainer.run(make(), mode)


def _split() -> dataset.Split:
    digits = PROJECT_ROOT / "data" / "digits.json.gz"
    data = dataset.load(MNIST if MNIST.exists() else digits)
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
        self.model = architectures.build(config.model, seed=1)
        self.optimizer = optimizers.build(config.optimizer, self.model.parameters(), 1000, 100)

    def run(self, batches, mode: str) -> float:
        """Milliseconds a batch over one pass."""
        config = configs.default([f"data.loader.mode={mode}"]).data.loader
        started = time.perf_counter()
        with closing(feed(batches, config, fluid.CPUPlace())) as feeding:
            for images, labels in feeding:
                with gradients.cutting():
                    loss = losses.compute("softmax_cross_entropy", self.model(images), labels)
                    self.model.backward(loss)
                self.optimizer.minimize(loss)
                self.model.clear_gradients()
                loss.numpy()
        return 1000 * (time.perf_counter() - started) / BATCHES


if __name__ == "__main__":
    main()
