"""Small checkpoints of a layer and an Adam, and what they are made of."""

from contextlib import contextmanager

import numpy as np
from helpers import dygraph

from mnist import config as configs
from mnist.checkpoints.records import EpochRecord, RunState
from mnist.checkpoints.store import CheckpointStore
from mnist.model import optimizers


def record(epoch, accuracy, loss=0.1):
    return EpochRecord(
        epoch=epoch, step=epoch * 10, train_loss=0.1, train_accuracy=0.9, valid_loss=loss,
        valid_accuracy=accuracy, learning_rate=0.1, seconds=1.0, images_per_second=10.0,
    )  # fmt: skip


def state(epoch=1, **values):
    model = {"name": "fc", "hidden_sizes": []}
    config = configs.from_dict({"model": model}, "test").model_dump()
    return RunState(config=config, epoch=epoch, step=epoch * 10, **values)


@contextmanager
def training():
    """A model and an Adam that has made a step."""
    with dygraph() as fluid:
        layer = fluid.dygraph.Linear(4, 3)
        config = configs.default().optimizer
        optimizer = optimizers.build(config, layer.parameters(), 10, 5)
        loss = fluid.layers.mean(layer(fluid.dygraph.to_variable(np.ones((2, 4), np.float32))))
        loss.backward()
        optimizer.minimize(loss)
        yield layer, optimizer


def save(folder, trained, name="epoch1", keep_last=None, run_state=None):
    layer, optimizer = trained
    with CheckpointStore(folder, keep_last) as store:
        store.save(name, layer.state_dict(), optimizer.state_dict(), run_state or state())
    return folder / name


def arrays(layer):
    return {name: parameter.numpy() for name, parameter in layer.named_parameters()}


def two_epochs(folder, trained):
    layer, _ = trained
    with CheckpointStore(folder, None) as store:
        for epoch in (1, 2):
            store.save(f"epoch{epoch}", layer.state_dict(), {}, state(epoch))
        store.mark_best("epoch1")
    return folder
