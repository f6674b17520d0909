"""What a checkpoint costs: milliseconds a save, and what ``every_steps`` adds to a step.

    ./run python benchmarks/checkpoint_cost.py [--saves 50]

Saves the course's LeNet with Adam's state (60,000 numbers), fsyncs included, in the working
directory's file system, with training steps in between, and relates the one to the other.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from common import spread, table

from mnist import config as configs
from mnist.checkpoints.records import RunState
from mnist.checkpoints.store import CheckpointStore
from mnist.fluid import gradients
from mnist.fluid.door import fluid, to_variable
from mnist.model import architectures, losses, optimizers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saves", type=int, default=50)
    saves = parser.parse_args().saves
    with fluid.dygraph.guard(fluid.CPUPlace()), tempfile.TemporaryDirectory(dir=".") as folder:
        step_times, save_times = _measure(Path(folder), saves)
    step, save = statistics.median(step_times), statistics.median(save_times)
    print(f"A training step of 100 images: {spread(step_times, '{:.1f}')} ms. A save:")
    print(f"{spread(save_times, '{:.1f}')} ms. Medians of {saves} with minimum and maximum.\n")
    rows = [
        (every, f"{save / every:.2f}", f"{100 * save / every / step:.1f}%")
        for every in (1, 10, 50, 100, 500)
    ]
    print(table(["checkpoint.every_steps", "ms added to a step", "share"], rows, left=0))


def _measure(folder: Path, saves: int):
    config = configs.default()
    model = architectures.build(config.model, seed=1)
    optimizer = optimizers.build(config.optimizer, model.parameters(), 1000, 100)
    images = to_variable(np.random.rand(100, 1, 28, 28).astype(np.float32))
    labels = to_variable(np.random.randint(0, 10, (100, 1)))
    step_times, save_times = [], []
    with CheckpointStore(folder, keep_last=3) as store:
        for number in range(saves):
            started = time.perf_counter()
            with gradients.cutting():
                loss = losses.compute("softmax_cross_entropy", model(images), labels)
                model.backward(loss)
            optimizer.minimize(loss)
            model.clear_gradients()
            trained = time.perf_counter()
            state = RunState(config=config.model_dump(), step=number + 1)
            store.save(f"step{number + 1}", model.state_dict(), optimizer.state_dict(), state)
            step_times.append(1000 * (trained - started))
            save_times.append(1000 * (time.perf_counter() - trained))
    return step_times, save_times


if __name__ == "__main__":
    main()
