"""A plain Paddle 1.8.5 script goes on from a checkpoint of ours: the files are Paddle's own."""

import subprocess
import sys

import numpy as np
import pytest
from helpers import environment, verb

from mnist.checkpoints import pickles

# Nothing of this project is in it, and the layers are called as the course calls them.
SCRIPT = """
import sys
import numpy as np
import paddle.fluid as fluid

class MNIST(fluid.dygraph.Layer):
    def __init__(self):
        super().__init__()
        self.conv1 = fluid.dygraph.Conv2D(1, 3, 5, padding=2, act="relu")
        self.pool = fluid.dygraph.Pool2D(2, "max", 2)
        self.conv2 = fluid.dygraph.Conv2D(3, 4, 5, padding=2, act="relu")
        self.fc = fluid.dygraph.Linear(4 * 7 * 7, 10, act="softmax")

    def forward(self, images):
        maps = self.pool(self.conv2(self.pool(self.conv1(images))))
        return self.fc(fluid.layers.reshape(maps, [-1, 4 * 7 * 7]))

with fluid.dygraph.guard():
    net = MNIST()
    rate = fluid.dygraph.PolynomialDecay(0.01, 1000)
    optimizer = getattr(fluid.optimizer, sys.argv[2])(rate, *map(float, sys.argv[3:]),
                                                      parameter_list=net.parameters())
    parameters, state = fluid.load_dygraph(sys.argv[1])
    net.set_dict(parameters)
    optimizer.set_dict(state)
    images = np.random.RandomState(0).rand(4, 1, 28, 28).astype("float32")
    loss = fluid.layers.mean(net(fluid.dygraph.to_variable(images))[:, 0])
    loss.backward()
    gradients = {p.name: p.gradient() for p in net.parameters()}
    optimizer.minimize(loss)
    fluid.save_dygraph(net.state_dict(), "plain")
    fluid.save_dygraph(optimizer.state_dict(), "plain")
    np.savez("gradients.npz", **gradients)
"""

# What the optimizer makes of its first accumulator in a step, given the gradient.
STEPS = {
    "adam": (["AdamOptimizer"], "moment1", lambda m, g: 0.9 * m + 0.1 * g),
    "momentum": (["MomentumOptimizer", "0.9"], "velocity", lambda v, g: 0.9 * v + g),
    "adagrad": (["AdagradOptimizer"], "moment", lambda m, g: m + g * g),
}


@pytest.mark.parametrize("name", STEPS)
def train(folder, *settings):
    """One epoch here, of the net that the script has too."""
    settings = [
        "model.name=lenet", "model.filters=[3, 4]", "train.epochs=1", "optimizer.l2_decay=0",
        "optimizer.schedule.name=polynomial", *settings,
    ]  # fmt: skip
    given = [word for setting in settings for word in ("--set", setting)]
    verb("train", "--config", "configs/quickstart.yaml", *given, cwd=folder, check=0)


def go_on(folder, *arguments):
    subprocess.run(
        [sys.executable, "-c", SCRIPT, "checkpoints/epoch1/model", *arguments],
        cwd=str(folder), env=environment(), check=True, timeout=240,
    )  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_a_plain_script_goes_on_with_weights_optimizer_and_schedule(tmp_path, name):
    arguments, accumulator, step = STEPS[name]
    train(tmp_path, f"optimizer.name={name}")
    go_on(tmp_path, *arguments)
    before = pickles.load(tmp_path / "checkpoints" / "epoch1" / "model.pdopt")
    after = pickles.load(tmp_path / "plain.pdopt")
    gradients = np.load(tmp_path / "gradients.npz")
    assert after["LR_Scheduler"]["step_num"] == before["LR_Scheduler"]["step_num"] + 1
    for parameter in gradients.files:
        key = f"{parameter}_{accumulator}_0"
        expected = step(before[key], gradients[parameter])
        np.testing.assert_allclose(after[key], expected, rtol=1e-5, atol=1e-8)
        assert np.abs(before[key]).max() > 0


def test_what_the_script_saves_is_gone_on_from_here(tmp_path):
    train(tmp_path, "optimizer.name=adam")
    go_on(tmp_path, "AdamOptimizer")
    done = verb("adopt", "plain", "--to", "back", cwd=tmp_path, check=0)
    assert "optimizer: adam with its state" in done.stdout
    verb("train", "--resume", "back", cwd=tmp_path, check=0)
