"""How the files in this folder were made. It runs on Python 2.7 and 3.

    python make_pickles.py numpy py312_numpy2     # 3.12 with NumPy 2.5.5: protocols 0 to 5
    python make_pickles.py numpy py27_numpy1.16   # 2.7.18 with NumPy 1.16.6: protocols 0 to 2
    python make_pickles.py paddle py27_paddle1.8.5
    python make_pickles.py paddle py38_paddle1.8.5
    python make_pickles.py lenet py27_lenet       # 2.7.18: dicts have no order there

``numpy`` pickles ``content()``; ``paddle`` and ``lenet`` train a small net for two steps and
save it with ``fluid.save_dygraph``. ``*.json`` is what plain unpickling gave right after.
"""

# Python 2 has neither f-strings nor super() without arguments.
# ruff: noqa: UP008, UP032

import binascii
import json
import pickle
import sys
from collections import OrderedDict

import numpy as np


def content():
    """A dict such as ``fluid.save_dygraph`` writes, with every type that occurs in one."""
    return OrderedDict(
        [
            ("fc.weight", np.linspace(-1, 1, 6).astype("float32").reshape(3, 2)),
            ("fc.bias", np.array([0.5, 256.25], "float32")),
            ("half", np.array([[1.5]], "float16")),
            ("double", np.array([1e-300, 255.0], "float64")),
            ("bytes", np.arange(250, 256).astype("uint8")),
            ("flags", np.array([True, False])),
            ("long", np.array([2**40, -1], "int64")),
            ("global_step", np.array([7], "int32")),
            ("LR_Scheduler", {"step_num": 7, "best_loss": np.float32(0.25), "none": None}),
            ("StructuredToParameterName@@", {"fc.weight": "linear_0.w_0"}),
        ]
    )


def write_with_numpy(prefix):
    protocols = range(3 if sys.version_info[0] == 2 else 6)
    for protocol in protocols:
        with open("{}_protocol{}.pdopt".format(prefix, protocol), "wb") as file:
            pickle.dump(dict(content()), file, protocol=protocol)


def write_with_paddle(prefix):
    import paddle.fluid as fluid

    with fluid.dygraph.guard(fluid.CPUPlace()):
        fluid.dygraph.Linear(5, 5)  # so that the counters are not at 0
        net = fluid.dygraph.Linear(3, 2)
        rate = fluid.dygraph.ReduceLROnPlateau(0.125, patience=0)
        optimizer = fluid.optimizer.Adam(rate, parameter_list=net.parameters())
        value = fluid.dygraph.to_variable(np.ones((4, 3), "float32"))
        for _ in range(2):
            rate.step(train_step(fluid, net, optimizer, value))
        save(fluid, net, optimizer, prefix)


def write_lenet(prefix):
    import paddle.fluid as fluid

    class LeNet(fluid.dygraph.Layer):
        def __init__(self):
            super(LeNet, self).__init__()
            self.conv1 = fluid.dygraph.Conv2D(1, 2, 5, padding=2, act="relu")
            self.pool1 = fluid.dygraph.Pool2D(2, "max", 2)
            self.conv2 = fluid.dygraph.Conv2D(2, 1, 5, padding=2, act="relu")
            self.pool2 = fluid.dygraph.Pool2D(2, "max", 2)
            self.fc = fluid.dygraph.Linear(49, 10)

        def forward(self, images):
            values = self.pool2(self.conv2(self.pool1(self.conv1(images))))
            return self.fc(fluid.layers.reshape(values, [-1, 49]))

    with fluid.dygraph.guard(fluid.CPUPlace()):
        LeNet()  # so that the counters are not at 0
        net = LeNet()
        rate = fluid.dygraph.PolynomialDecay(0.125, 10, 0.0)
        optimizer = fluid.optimizer.Momentum(rate, 0.5, parameter_list=net.parameters())
        images = np.random.RandomState(0).rand(2, 1, 28, 28).astype("float32")
        for _ in range(2):
            train_step(fluid, net, optimizer, fluid.dygraph.to_variable(images))
        save(fluid, net, optimizer, prefix)


def train_step(fluid, net, optimizer, value):
    loss = fluid.layers.mean(net(value))
    loss.backward()
    optimizer.minimize(loss)
    net.clear_gradients()
    return loss


def save(fluid, net, optimizer, prefix):
    fluid.save_dygraph(net.state_dict(), prefix)
    fluid.save_dygraph(optimizer.state_dict(), prefix)
    for suffix in (".pdparams", ".pdopt"):
        with open(prefix + suffix, "rb") as file:
            loaded = pickle.load(file)  # noqa: S301 (just written here)
        with open(prefix + suffix + ".json", "w") as file:
            json.dump(as_json(loaded), file, sort_keys=True, separators=(",", ":"))


def as_json(value):
    """Arrays and NumPy numbers as [dtype, shape, hexadecimal bytes]."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        data = binascii.hexlify(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return [str(value.dtype), list(value.shape), data]
    return value


if __name__ == "__main__":
    writers = {"numpy": write_with_numpy, "paddle": write_with_paddle, "lenet": write_lenet}
    writers[sys.argv[1]](sys.argv[2])
