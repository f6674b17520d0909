"""A checkpoint's model: its architecture built, its parameters put in."""

from dataclasses import replace

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.checkpoints.records import STATE, Checkpoint
from mnist.config.schema import DeviceConfig
from mnist.fluid.door import fill, fluid
from mnist.kernels.engine import choose as choose_engine
from mnist.model import architectures
from mnist.model.architectures import Model

_DEVICE = DeviceConfig()


def load_model(source: Checkpoint, device: DeviceConfig = _DEVICE) -> Model:
    """The checkpoint's architecture with its parameters, in evaluation mode.

    Must run inside ``fluid.dygraph.guard``.
    """
    config = configs.from_dict({"model": source.model}, str(source.path / STATE)).model
    with fluid.unique_name.guard():
        model = architectures.build(config, 0, source.classes)
    parameters(model, source)
    place = fluid.framework._current_expected_place()
    model.engine = choose_engine(device, place, model.convolutions_and_norms())
    model.eval()
    return model


def training_weights(model: Model, source: Checkpoint) -> None:
    """Put the weights that training goes on with into a model."""
    weights = source.parameters if source.training is None else source.training
    parameters(model, replace(source, parameters=weights))


def parameters(model: Model, source: Checkpoint) -> None:
    """Put a checkpoint's parameters into a model; InputError unless all fit exactly."""
    expected = dict(model.named_parameters())
    try:
        fill(expected, source.named_as(list(expected)).parameters, "parameter")
    except ValueError as error:
        raise InputError(f"{source.path}: {error}") from error
