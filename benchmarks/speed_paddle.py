"""Worker of speed.py: Paddle 1.8.5 as it comes, in the code that its course teaches.

    python benchmarks/speed_paddle.py SECONDS DATA.npz FIRST_FILTERS SECOND_FILTERS [HIDDEN_UNITS]

Nothing of ``mnist`` is imported: no environment variable is set, and everything is written as
in the course, from the generator that builds lists to the softmax in the last layer.
"""

import json
import random
import sys

import numpy as np
import paddle.fluid as fluid
from common import time_steps
from paddle.fluid.dygraph import Conv2D, Linear, Pool2D

BATCH_SIZE = 100


class MNIST(fluid.dygraph.Layer):
    def __init__(self, first, second, hidden):
        super().__init__()
        self.conv1 = Conv2D(1, first, filter_size=5, stride=1, padding=2, act="relu")
        self.pool1 = Pool2D(pool_size=2, pool_stride=2, pool_type="max")
        self.conv2 = Conv2D(first, second, filter_size=5, stride=1, padding=2, act="relu")
        self.pool2 = Pool2D(pool_size=2, pool_stride=2, pool_type="max")
        self.features = second * 7 * 7
        sizes = [self.features, *hidden]
        self.hidden = fluid.dygraph.LayerList(
            [Linear(before, after, act="relu") for before, after in zip(sizes, sizes[1:])]
        )
        self.fc = Linear(sizes[-1], 10, act="softmax")

    def forward(self, inputs):
        x = self.pool1(self.conv1(inputs))
        x = self.pool2(self.conv2(x))
        x = fluid.layers.reshape(x, [x.shape[0], self.features])
        for layer in self.hidden:
            x = layer(x)
        return self.fc(x)


def batches(images, labels):
    order = list(range(len(images)))
    random.shuffle(order)
    image_list, label_list = [], []
    for i in order:
        image_list.append(np.reshape(images[i], [1, 28, 28]).astype("float32"))
        label_list.append(np.reshape(labels[i], [1]).astype("int64"))
        if len(image_list) == BATCH_SIZE:
            yield np.array(image_list), np.array(label_list)
            image_list, label_list = [], []


def steps(model, optimizer, images, labels):
    while True:
        for image_data, label_data in batches(images, labels):
            image = fluid.dygraph.to_variable(image_data)
            label = fluid.dygraph.to_variable(label_data)
            predict = model(image)
            loss = fluid.layers.cross_entropy(predict, label)
            avg_loss = fluid.layers.mean(loss)
            avg_loss.backward()
            optimizer.minimize(avg_loss)
            model.clear_gradients()
            yield avg_loss.numpy()


def main():
    seconds, path = float(sys.argv[1]), sys.argv[2]
    first, second, *hidden = map(int, sys.argv[3:])
    data = np.load(path)
    images = data["train_images"].astype(np.float32) / 255
    with fluid.dygraph.guard():
        model = MNIST(first, second, hidden)
        model.train()
        optimizer = fluid.optimizer.Adam(learning_rate=0.001, parameter_list=model.parameters())
        timed = time_steps(steps(model, optimizer, images, data["train_labels"]), seconds)
    print(json.dumps({**timed, "images": timed["steps"] * BATCH_SIZE}))


if __name__ == "__main__":
    main()
