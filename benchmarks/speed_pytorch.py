"""Worker of speed.py: the same model and batches in PyTorch; or its matrix product.

    python benchmarks/speed_pytorch.py THREADS SECONDS DATA.npz FILTERS FILTERS [HIDDEN_UNITS]
    python benchmarks/speed_pytorch.py THREADS --gemm

All images lie in memory as tensors, and a batch is one indexing with a random permutation: the
quickest that PyTorch can be fed with.
"""

import json
import sys
import time

import numpy as np
import torch
from common import time_steps
from torch import nn

BATCH_SIZE = 100
GEMM_SIZE = 2048
GEMM_TRIES = 20


def build(first, second, hidden):
    # Pooling before the activation: the same numbers, and less work.
    layers = [nn.Conv2d(1, first, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()]
    layers += [nn.Conv2d(first, second, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()]
    sizes = [second * 7 * 7, *hidden]
    for before, after in zip(sizes, sizes[1:]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 10))


def steps(model, images, labels):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    while True:
        for chosen in torch.randperm(len(images)).split(BATCH_SIZE):
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            yield loss.item()


def gemm():
    best = 0.0
    matrix = torch.rand(GEMM_SIZE, GEMM_SIZE)
    for _ in range(GEMM_TRIES):
        started = time.perf_counter()
        matrix @ matrix
        best = max(best, 2 * GEMM_SIZE**3 / (time.perf_counter() - started))
    return best


def main():
    torch.set_num_threads(int(sys.argv[1]))
    if sys.argv[2] == "--gemm":
        print(json.dumps({"flops": gemm(), "version": torch.__version__}))
        return
    seconds, path = float(sys.argv[2]), sys.argv[3]
    first, second, *hidden = map(int, sys.argv[4:])
    data = np.load(path)
    images = torch.from_numpy(data["train_images"]).float().div(255).unsqueeze(1)
    labels = torch.from_numpy(data["train_labels"].astype(np.int64))
    timed = time_steps(steps(build(first, second, hidden), images, labels), seconds)
    print(json.dumps({**timed, "images": timed["steps"] * BATCH_SIZE}))


if __name__ == "__main__":
    main()
