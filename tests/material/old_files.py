"""Every kind of file that plain Paddle 1.8.5 writes of a digit net, made by it for real.

``python -m tests.material.old_files FOLDER DIGITS.npz`` trains small nets, in dygraph and in a
static program, saves each in all ways there are, and what each made of the digits to read as
``FOLDER/expected.npz``. Nothing of this project takes part.
"""

import sys
from pathlib import Path

import numpy as np
import paddle.fluid as fluid

BATCH = 50


def batches(digits, epochs):
    images, labels = digits["images"], digits["labels"]
    for epoch in range(epochs):
        order = np.random.RandomState(epoch).permutation(len(images))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            yield images[chosen], labels[chosen].reshape(-1, 1)


def unpadded(filters=(4, 6), activation="relu"):
    """The net of Paddle's own MNIST example: no padding, so 4×4 maps at the end."""

    class Net(fluid.dygraph.Layer):
        def __init__(self):
            super().__init__()
            first, second = filters
            # Made in another order than used.
            self._fc = fluid.dygraph.Linear(second * 16, 10, act="softmax")
            self._second = fluid.dygraph.Conv2D(first, second, 5, act=activation)
            self._first = fluid.dygraph.Conv2D(1, first, 5, act=activation)
            self._pool = fluid.dygraph.Pool2D(2, "max", 2)

        def forward(self, images):
            maps = self._pool(self._second(self._pool(self._first(images))))
            return self._fc(fluid.layers.reshape(maps, [-1, maps.shape[1] * 16]))

    return Net()


def course_lenet():
    """The course's LeNet: its third convolution sees all of a map."""

    class LeNet(fluid.dygraph.Layer):
        def __init__(self):
            super().__init__()
            self.conv1 = fluid.dygraph.Conv2D(1, 6, 5, act="relu")
            self.conv2 = fluid.dygraph.Conv2D(6, 16, 5, act="relu")
            self.conv3 = fluid.dygraph.Conv2D(16, 40, 4, act="relu")
            self.pool = fluid.dygraph.Pool2D(2, "max", 2)
            self.fc1 = fluid.dygraph.Linear(40, 20, act="relu")
            self.fc2 = fluid.dygraph.Linear(20, 10)

        def forward(self, images):
            maps = self.conv3(self.pool(self.conv2(self.pool(self.conv1(images)))))
            return self.fc2(self.fc1(fluid.layers.reshape(maps, [-1, 40])))

    return LeNet()


def normed():
    """The layout of this project's convnet, in plain Paddle."""

    class Net(fluid.dygraph.Layer):
        def __init__(self):
            super().__init__()
            widths, sizes, paddings = [1, 4, 4, 4, 4, 4], [5, 3, 3, 3, 3], [0, 1, 0, 1, 0]
            for n, (size, padding) in enumerate(zip(sizes, paddings)):
                convolution = fluid.dygraph.Conv2D(
                    widths[n], widths[n + 1], size, padding=padding, bias_attr=False
                )
                setattr(self, f"conv{n}", convolution)
                setattr(self, f"norm{n}", fluid.dygraph.BatchNorm(4, act="relu"))
            self.pool = fluid.dygraph.Pool2D(2, "max", 2)
            self.out = fluid.dygraph.Linear(36, 10)

        def forward(self, maps):
            for n, pooled in enumerate([True, False, True, False, False]):
                maps = getattr(self, f"conv{n}")(maps)
                maps = getattr(self, f"norm{n}")(self.pool(maps) if pooled else maps)
            return self.out(fluid.layers.reshape(maps, [-1, 36]))

    return Net()


OPTIMIZERS = {
    "sgd": lambda p, rate: fluid.optimizer.SGD(rate, parameter_list=p),
    "momentum": lambda p, rate: fluid.optimizer.Momentum(rate, 0.9, parameter_list=p),
    "adagrad": lambda p, rate: fluid.optimizer.Adagrad(rate, parameter_list=p),
    "adam": lambda p, rate: fluid.optimizer.Adam(rate, parameter_list=p),
    "rmsprop": lambda p, rate: fluid.optimizer.RMSProp(rate, parameter_list=p),
}


def dygraph_pair(make, name, optimizer, digits, folder, epochs=6, rate=0.01):
    with fluid.dygraph.guard():
        fluid.default_main_program().random_seed = 5
        net = make()
        step = OPTIMIZERS[optimizer](net.parameters(), rate)
        for images, labels in batches(digits, epochs):
            outputs = net(fluid.dygraph.to_variable(images))
            outputs = outputs if name.startswith("unpadded") else fluid.layers.softmax(outputs)
            loss = fluid.layers.mean(
                fluid.layers.cross_entropy(outputs, fluid.dygraph.to_variable(labels))
            )
            loss.backward()
            step.minimize(loss)
            net.clear_gradients()
        fluid.save_dygraph(net.state_dict(), str(folder / name))
        if step.state_dict():
            fluid.save_dygraph(step.state_dict(), str(folder / name))
        net.eval()
        return net(fluid.dygraph.to_variable(digits["read"])).numpy().argmax(axis=1)


def static(digits, folder):
    """The book's convolutional net, without its batch norm: 4 and 6 filters, average pooling."""
    main, startup = fluid.Program(), fluid.Program()
    main.random_seed = startup.random_seed = 5
    with fluid.program_guard(main, startup), fluid.unique_name.guard():
        images = fluid.data("img", [None, 1, 28, 28])
        labels = fluid.data("label", [None, 1], "int64")
        maps = images
        for filters in (4, 6):
            maps = fluid.nets.simple_img_conv_pool(
                maps, filters, 5, pool_size=2, pool_stride=2, pool_type="avg", act="tanh"
            )
        outputs = fluid.layers.fc(maps, 10, act="softmax")
        loss = fluid.layers.mean(fluid.layers.cross_entropy(outputs, labels))
        test = main.clone(for_test=True)
        rate = fluid.layers.exponential_decay(0.01, 1000, 0.9)
        fluid.optimizer.Adam(rate).minimize(loss)
    executor = fluid.Executor(fluid.CPUPlace())
    executor.run(startup)
    for image, label in batches(digits, 6):
        executor.run(main, feed={"img": image, "label": label})
    io, inference = fluid.io, (["img"], [outputs], executor, main)
    fluid.save(main, str(folder / "static" / "mnist"))
    io.save_params(executor, str(folder / "save_params"), main)
    io.save_params(executor, str(folder / "save_params_one"), main, filename="params")
    io.save_persistables(executor, str(folder / "persistables"), main)
    io.save_persistables(executor, str(folder / "persistables_one"), main, filename="all")
    io.save_inference_model(str(folder / "model"), *inference)
    io.save_inference_model(
        str(folder / "inference_one"), *inference,
        model_filename="__model__", params_filename="__params__",
    )  # fmt: skip
    ignored = np.zeros((len(digits["read"]), 1), np.int64)
    (read,) = executor.run(test, {"img": digits["read"], "label": ignored}, [outputs])
    return read.argmax(axis=1)


def main(folder, digits):
    folder.mkdir(parents=True, exist_ok=True)
    expected = {
        name: dygraph_pair(make, name, optimizer, digits, folder, *rest)
        for make, name, optimizer, *rest in [
            (unpadded, "unpadded_epoch3", "adam"),
            (course_lenet, "lenet", "momentum", 8, 0.02),
            (course_lenet, "lenet_rmsprop", "rmsprop", 4, 0.003),
            (normed, "normed", "adagrad", 6, 0.05),
            (lambda: unpadded((20, 50)), "unpadded_sgd", "sgd", 4, 0.1),
        ]
    }
    expected["static"] = static(digits, folder)
    np.savez(str(folder / "expected.npz"), **expected)


if __name__ == "__main__":
    main(Path(sys.argv[1]), np.load(sys.argv[2]))
