"""Files that Paddle 2 or 3 writes of a digit net: ``python newer_files.py FOLDER DIGITS.npz``.

To be run by a Python that has it; nothing of this project takes part.
"""

import sys
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F


class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv1 = paddle.nn.Conv2D(1, 4, 5)
        self.conv2 = paddle.nn.Conv2D(4, 6, 5)
        self.fc = paddle.nn.Linear(96, 10)

    def forward(self, images):
        maps = F.max_pool2d(F.relu(self.conv1(images)), 2)
        maps = F.max_pool2d(F.relu(self.conv2(maps)), 2)
        return self.fc(paddle.flatten(maps, 1))


def main(folder, digits):
    folder.mkdir(parents=True, exist_ok=True)
    paddle.seed(5)
    net = Net()
    rate = paddle.optimizer.lr.PolynomialDecay(0.01, 1000)
    optimizer = paddle.optimizer.Adam(rate, parameters=net.parameters())
    images, labels = digits["images"], digits["labels"]
    for epoch in range(6):
        order = np.random.RandomState(epoch).permutation(len(images))
        for start in range(0, len(order) - 49, 50):
            chosen = order[start : start + 50]
            outputs = net(paddle.to_tensor(images[chosen]))
            F.cross_entropy(outputs, paddle.to_tensor(labels[chosen])).backward()
            optimizer.step()
            optimizer.clear_grad()
            rate.step()
    paddle.save(net.state_dict(), str(folder / "net_epoch5.pdparams"))
    paddle.save(optimizer.state_dict(), str(folder / "net_epoch5.pdopt"))
    paddle.save({"model": net.state_dict(), "epoch": 5}, str(folder / "nested.pdparams"))
    halves = {name: tensor.astype("float16") for name, tensor in net.state_dict().items()}
    paddle.save(halves, str(folder / "half.pdparams"))
    net.eval()
    spec = paddle.static.InputSpec([None, 1, 28, 28], "float32", "img")
    paddle.jit.save(net, str(folder / "jit" / "net"), [spec])
    read = net(paddle.to_tensor(digits["read"])).numpy().argmax(axis=1)
    np.savez(str(folder / "expected.npz"), newer=read)


if __name__ == "__main__":
    main(Path(sys.argv[1]), np.load(sys.argv[2]))
