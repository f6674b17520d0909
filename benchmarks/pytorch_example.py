"""Worker of time_to_99.py: the network and settings of pytorch/examples, ``mnist/main.py``.

    python benchmarks/pytorch_example.py DATA.npz EVALUATE_EVERY STEPS SEED

Conv 3×3 32, conv 3×3 64, max-pooling, dropout 0.25, dense 128, dropout 0.5; Adadelta with rate
1.0, falling by 0.7 an epoch; batches of 64; one epoch, or STEPS of it (0: all). Unlike there, all
images are tensors in memory from the start, and a batch is one indexing.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn

BATCH_SIZE = 64


def build():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )  # fmt: skip


def tensors(data, split):
    images = torch.from_numpy(data[f"{split}_images"]).float().div(255).unsqueeze(1)
    return (images - 0.1307) / 0.3081, torch.from_numpy(data[f"{split}_labels"].astype(np.int64))


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        outputs = torch.cat([model(part) for part in images.split(1000)])
    model.train()
    return float((outputs.argmax(dim=1) == labels).float().mean())


def train(model, images, labels, evaluation, every, most):
    """``[seconds of training, accuracy on eval]`` every so many steps and at the end."""
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    batches = torch.randperm(len(images)).split(BATCH_SIZE)[: most or None]
    points, seconds, started = [], 0.0, time.perf_counter()
    for number, chosen in enumerate(batches, start=1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
        if number % every == 0 or number == len(batches):
            seconds += time.perf_counter() - started
            points.append([seconds, accuracy(model, *evaluation)])
            started = time.perf_counter()
    return points


def main():
    path, every, most, seed = sys.argv[1], *map(int, sys.argv[2:])
    torch.manual_seed(seed)
    data = np.load(path)
    training, evaluation = tensors(data, "train"), tensors(data, "eval")
    model = build()
    # Since the process was started, which has imported PyTorch in the meantime.
    ready = time.clock_gettime(time.CLOCK_BOOTTIME) - started_at()
    points = train(model, *training, evaluation, every, most)
    print(
        json.dumps(
            {
                "points": [[ready + seconds, value] for seconds, value in points],
                "images": min(len(training[0]), (most or len(training[0])) * BATCH_SIZE),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "threads": torch.get_num_threads(),
                "version": torch.__version__,
            }
        )
    )


def started_at():
    """When this process was started, in seconds since the machine was."""
    import os

    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
