"""The whole course in one file of plain Paddle 1.8.5, to be read from top to bottom.

Data, LeNet, Adam with L2 decay and PolynomialDecay, training, saving, resuming, prediction:

    python docs/course/lesson.py                # five epochs, saved as mnist_epoch1 … mnist_epoch5
    python docs/course/lesson.py mnist_epoch3   # go on after the third

Nothing of this project is imported, and yet the parameters are, bit for bit, those of
``python -m mnist.train --config configs/lesson.yaml``; tests/test_course.py compares them.
"""

import gzip
import json
import os
import sys
import zlib
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read at Paddle's import, and part of the result
import numpy as np
import paddle.fluid as fluid
from paddle.fluid.dygraph import Conv2D, Layer, Linear, PolynomialDecay, Pool2D, to_variable

DIGITS = Path(__file__).resolve().parents[2] / "data" / "digits.json.gz"
SEED, EPOCHS, BATCH_SIZE, LEARNING_RATE, L2_DECAY = 1, 5, 50, 0.002, 1e-4


# --- Data: [[images, labels], …] for train, valid and eval; an image is 784 numbers, 0–255.
def load(path):
    """The three splits, each images float32 [N,1,28,28] in 0–1 and labels int64 [N,1]."""
    with gzip.open(path) as file:
        splits = json.load(file)
    return [
        (np.array(images, np.float32).reshape(-1, 1, 28, 28) / 255, np.array(labels).reshape(-1, 1))
        for images, labels in splits
    ]


def random(purpose, *position):
    """A random stream for one purpose, at one place of the run: resuming draws what it must."""
    return np.random.default_rng([SEED, zlib.crc32(purpose.encode()), len(position), *position])


def batches(images, labels, epoch):
    """All samples of an epoch, shuffled; the last batch may be short."""
    order = random("shuffle", epoch).permutation(len(images))
    for start in range(0, len(order), BATCH_SIZE):
        chosen = order[start : start + BATCH_SIZE]
        yield to_variable(images[chosen]), to_variable(labels[chosen])


# --- Model: each layer's weights from a seed of its own; with one seed, like shapes start alike.
class Stage(Layer):
    """A 5×5 convolution and 2×2 max-pooling, then bias and ReLU, on a quarter of the values."""

    def __init__(self, channels, filters, seed):
        super().__init__()
        weights = fluid.ParamAttr(initializer=fluid.initializer.MSRA(uniform=False, seed=seed))
        self.conv = Conv2D(channels, filters, 5, padding=2, param_attr=weights, bias_attr=False)
        self.pool = Pool2D(pool_size=2, pool_type="max", pool_stride=2)  # the default stride is 1
        self.bias = self.create_parameter([filters], is_bias=True)

    def forward(self, maps):
        maps = self.pool(self.conv(maps))
        return fluid.layers.relu(fluid.layers.elementwise_add(maps, self.bias, axis=1))


class LeNet(Layer):
    """Two stages and one layer on their maps; ten logits, whose softmax is in the loss."""

    def __init__(self):
        super().__init__()
        source = random("initial parameters")
        seeds = [int(source.integers(1, 2**31 - 1)) for _ in range(3)]
        self.stage1 = Stage(1, 8, seeds[0])
        self.stage2 = Stage(8, 20, seeds[1])
        weights = fluid.ParamAttr(initializer=fluid.initializer.Xavier(seed=seeds[2]))
        self.fc = Linear(20 * 7 * 7, 10, param_attr=weights)

    def forward(self, images):
        return self.fc(fluid.layers.flatten(self.stage2(self.stage1(images))))


def predict(model, images):
    """The likeliest digit of each image. Switches autograd off, until model.train()."""
    model.eval()
    return model(to_variable(images)).numpy().argmax(axis=1)


# --- Training.
def train(model, optimizer, data, first_epoch):
    """Forward, loss, backward, minimize, clear; each epoch is evaluated and saved."""
    for epoch in range(first_epoch, EPOCHS):
        model.train()
        for images, labels in batches(*data[0], epoch):
            each = fluid.layers.softmax_with_cross_entropy(model(images), labels)
            loss = fluid.layers.mean(each)
            loss.backward()
            optimizer.minimize(loss)
            model.clear_gradients()
        images, labels = data[1]
        print(f"epoch {epoch + 1}: {np.mean(predict(model, images) == labels[:, 0]):.2%} of valid")
        fluid.save_dygraph(model.state_dict(), f"mnist_epoch{epoch + 1}")  # .pdparams
        fluid.save_dygraph(optimizer.state_dict(), f"mnist_epoch{epoch + 1}")  # .pdopt


with fluid.dygraph.guard(fluid.CPUPlace()):  # Paddle's generated names start anew in it
    data, model = load(DIGITS), LeNet()
    steps = -(-len(data[0][0]) // BATCH_SIZE) * EPOCHS
    rate = PolynomialDecay(LEARNING_RATE, steps, end_learning_rate=0.0)
    decay = fluid.regularizer.L2Decay(L2_DECAY)
    optimizer = fluid.optimizer.Adam(rate, parameter_list=model.parameters(), regularization=decay)
    if sys.argv[1:]:  # load_dygraph runs what a file says: only those that you saved yourself
        parameters, state = fluid.load_dygraph(sys.argv[1])
        model.set_dict(parameters)
        optimizer.set_dict(state)
    train(model, optimizer, data, first_epoch=int(sys.argv[1][-1]) if sys.argv[1:] else 0)
    print("eval:", *predict(model, data[2][0][:20]), "are", *data[2][1][:20, 0])
