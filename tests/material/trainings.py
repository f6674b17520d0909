"""Short trainings in this process, and what they leave."""

from helpers import same, small

from mnist import config as configs
from mnist.checkpoints import reading
from mnist.train import loop


def config_for(folder, *overrides):
    return configs.default(
        [
            f"checkpoint.dir={folder / 'checkpoints'}",
            f"log.dir={folder / 'log'}",
            "model.name=fc",
            "model.hidden_sizes=[16]",
            "train.epochs=3",
            "data.batch_size=32",
            "log.every_steps=3",
            *overrides,
        ]
    )


def run(folder, *overrides, resume=None, data=None, allow_changes=False):
    config = config_for(folder, *overrides)
    source = reading.load(folder / "checkpoints" / resume) if resume is not None else None
    return loop.train(config, data or small(), source, allow_changes)


def final(folder, epoch=3):
    return reading.load(folder / "checkpoints" / f"epoch{epoch}")


def assert_same_checkpoint(left, right):
    assert same(left.parameters, right.parameters)
    assert same(left.training or {}, right.training or {})
    assert (left.accumulators is None) == (right.accumulators is None)
    for name, arrays in (left.accumulators or {}).items():
        assert same(arrays, right.accumulators[name])
    for ours, theirs in zip(left.state.history, right.state.history):
        timeless = {"seconds", "images_per_second"}
        assert ours.model_dump(exclude=timeless) == theirs.model_dump(exclude=timeless)
