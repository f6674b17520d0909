"""Worker of speed.py: the same model and batches in JAX; or its matrix product.

    python benchmarks/speed_jax.py CORES SECONDS DATA.npz FILTERS FILTERS [HIDDEN_UNITS]
    python benchmarks/speed_jax.py CORES --gemm

A step is one compiled function that gets its parameters' memory back (``donate_argnums``); all
images lie in memory, and the function gathers a batch from a random permutation itself. Channels
come last and pooling is a maximum over a reshaped axis, which is quicker by far on CPUs than
``reduce_window``, whose gradient is a scatter.
"""

import json
import os
import sys
import time
from functools import partial

# XLA makes a thread for each core that it may use when it starts.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from common import time_steps  # noqa: E402
from jax import lax  # noqa: E402

BATCH_SIZE = 100
GEMM_SIZE = 2048
GEMM_TRIES = 20
RATE, BETA1, BETA2, EPSILON = 0.001, 0.9, 0.999, 1e-8


def initial(first, second, hidden):
    """Weights and bias of every layer, uniform as PyTorch draws them."""
    sizes = [second * 7 * 7, *hidden, 10]
    shapes = [(5, 5, 1, first), (5, 5, first, second), *zip(sizes, sizes[1:])]
    source = np.random.default_rng()

    def draw(shape, fan_in):
        return jnp.asarray(source.uniform(-1, 1, shape) / fan_in**0.5, jnp.float32)

    fans = [int(np.prod(shape[:-1])) for shape in shapes]
    return [(draw(shape, fan), draw(shape[-1:], fan)) for shape, fan in zip(shapes, fans)]


def convolve(images, layer):
    """5×5 convolution, 2×2 max-pooling, bias, ReLU: ``[B,H,W,C]`` → ``[B,H/2,W/2,K]``."""
    weights, bias = layer
    maps = lax.conv_general_dilated(
        images, weights, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    count, height, width, channels = maps.shape
    pooled = maps.reshape(count, height // 2, 2, width // 2, 2, channels).max((2, 4))
    return jax.nn.relu(pooled + bias)


def loss_of(parameters, images, labels):
    for layer in parameters[:2]:
        images = convolve(images, layer)
    values = images.reshape(len(images), -1)
    for weights, bias in parameters[2:-1]:
        values = jax.nn.relu(values @ weights + bias)
    weights, bias = parameters[-1]
    logs = jax.nn.log_softmax(values @ weights + bias)
    return -jnp.take_along_axis(logs, labels[:, None], 1).mean()


@partial(jax.jit, donate_argnums=0)
def step(state, images, labels, order, number):
    parameters, means, squares, count = state
    chosen = lax.dynamic_slice_in_dim(order, number * BATCH_SIZE, BATCH_SIZE)
    loss, gradients = jax.value_and_grad(loss_of)(parameters, images[chosen], labels[chosen])
    count += 1
    trees = jax.tree.map
    means = trees(lambda mean, g: BETA1 * mean + (1 - BETA1) * g, means, gradients)
    squares = trees(lambda square, g: BETA2 * square + (1 - BETA2) * g * g, squares, gradients)
    rate = RATE * jnp.sqrt(1 - BETA2**count) / (1 - BETA1**count)
    parameters = trees(
        lambda p, mean, square: p - rate * mean / (jnp.sqrt(square) + EPSILON),
        parameters, means, squares,
    )  # fmt: skip
    return (parameters, means, squares, count), loss


def steps(parameters, images, labels):
    zeros = partial(jax.tree.map, jnp.zeros_like)
    state = parameters, zeros(parameters), zeros(parameters), jnp.float32(0)
    while True:
        order = jnp.asarray(np.random.permutation(len(images)).astype(np.int32))
        for number in range(len(images) // BATCH_SIZE):
            state, loss = step(state, images, labels, order, number)
            yield float(loss)


def gemm():
    best = 0.0
    matrix = jnp.asarray(np.random.default_rng().random((GEMM_SIZE, GEMM_SIZE), np.float32))
    product = jax.jit(lambda values: values @ values)
    for _ in range(GEMM_TRIES):
        started = time.perf_counter()
        product(matrix).block_until_ready()
        best = max(best, 2 * GEMM_SIZE**3 / (time.perf_counter() - started))
    return best


def main():
    if sys.argv[2] == "--gemm":
        print(json.dumps({"flops": gemm(), "version": jax.__version__}))
        return
    seconds, path = float(sys.argv[2]), sys.argv[3]
    first, second, *hidden = map(int, sys.argv[4:])
    data = np.load(path)
    images = jnp.asarray(data["train_images"].astype(np.float32)[..., None] / 255)
    labels = jnp.asarray(data["train_labels"].astype(np.int32))
    timed = time_steps(steps(initial(first, second, hidden), images, labels), seconds)
    print(json.dumps({**timed, "images": timed["steps"] * BATCH_SIZE}))


if __name__ == "__main__":
    main()
