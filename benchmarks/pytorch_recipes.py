"""Worker of time_to_99.py: what others train for MNIST, written anew from its description.

    python benchmarks/pytorch_recipes.py RECIPE DATA.npz POINTS STEPS SEED

- ``examples``: pytorch/examples, ``mnist/main.py``. Conv 3×3 32, conv 3×3 64, max-pooling,
  dropout 0.25, dense 128, dropout 0.5; Adadelta with rate 1.0; batches of 64.
- ``fast``: tuomaso/train_mnist_fast, the last of its notebooks, made for a GPU. Conv 5×5 24, conv
  3×3 32, each with max-pooling before ReLU, dense 256; Adam (0.7, 0.9) with one cycle of the rate
  up to 0.01; batches of 256, in the file's order.

Both for one epoch, or STEPS of it (0: all), evaluated POINTS times on the way. All images are
tensors in memory from the start, and a batch is one indexing.
"""

import json
import os
import sys
import time
from typing import Any, Callable, NamedTuple

import numpy as np
import torch
from torch import nn


class Recipe(NamedTuple):
    build: Callable[[], Any]
    # A model and the number of steps in; optimizer, and the schedule of its rate if any, out.
    optimize: Callable[[Any, int], Any]
    batch_size: int
    shuffled: bool


def build_examples():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )  # fmt: skip


def build_fast():
    return nn.Sequential(
        nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(24, 32, 3), nn.MaxPool2d(2),
        nn.ReLU(), nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip


def adadelta(model, steps):
    return torch.optim.Adadelta(model.parameters(), lr=1.0), None


def one_cycle_adam(model, steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.7, 0.9))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=steps, cycle_momentum=False
    )
    return optimizer, schedule


RECIPES = {
    "examples": Recipe(build_examples, adadelta, 64, True),
    "fast": Recipe(build_fast, one_cycle_adam, 256, False),
}


def tensors(data, split):
    images = torch.from_numpy(data[f"{split}_images"]).float().div(255).unsqueeze(1)
    return (images - 0.1307) / 0.3081, torch.from_numpy(data[f"{split}_labels"].astype(np.int64))


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        outputs = torch.cat([model(part) for part in images.split(1000)])
    model.train()
    return float((outputs.argmax(dim=1) == labels).float().mean())


def train(recipe, model, images, labels, evaluation, points, most):
    """``[seconds of training, accuracy on eval]``, so many of them, the last at the end."""
    order = torch.randperm(len(images)) if recipe.shuffled else torch.arange(len(images))
    batches = order.split(recipe.batch_size)
    # The rate's cycle is the whole epoch's, also where only its first steps are taken.
    optimizer, schedule = recipe.optimize(model, len(batches))
    batches = batches[: most or None]
    every = -(-len(batches) // points)
    found, seconds, started = [], 0.0, time.perf_counter()
    for number, chosen in enumerate(batches, start=1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        if number % every == 0 or number == len(batches):
            seconds += time.perf_counter() - started
            found.append([seconds, accuracy(model, *evaluation)])
            started = time.perf_counter()
    return found


def main():
    recipe, path = RECIPES[sys.argv[1]], sys.argv[2]
    points, most, seed = map(int, sys.argv[3:])
    torch.manual_seed(seed)
    data = np.load(path)
    training, evaluation = tensors(data, "train"), tensors(data, "eval")
    model = recipe.build()
    # Since the process was started, which has imported PyTorch in the meantime.
    ready = time.clock_gettime(time.CLOCK_BOOTTIME) - started_at()
    found = train(recipe, model, *training, evaluation, points, most)
    seen = (most or len(training[0])) * recipe.batch_size
    print(
        json.dumps(
            {
                "points": [[ready + seconds, value] for seconds, value in found],
                "ready": ready,
                "images": min(len(training[0]), seen),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "threads": torch.get_num_threads(),
                "version": torch.__version__,
            }
        )
    )


def started_at():
    """When this process was started, in seconds since the machine was."""
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
