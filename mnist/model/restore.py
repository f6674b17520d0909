"""A checkpoint's model: its architecture built, its parameters put in."""

from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.checkpoints.records import STATE, Checkpoint
from mnist.config.schema import DeviceConfig, ModelConfig
from mnist.fluid.door import fluid
from mnist.kernels.engine import choose as choose_engine
from mnist.model import architectures
from mnist.model.architectures import Model

_DEVICE = DeviceConfig()
_MODEL_CONFIG: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)


def load_model(source: Checkpoint, device: DeviceConfig = _DEVICE) -> Model:
    """The checkpoint's architecture with its parameters, in evaluation mode.

    Must run inside ``fluid.dygraph.guard``.
    """
    with fluid.unique_name.guard():
        model = architectures.build(_model_config(source), 0, source.classes)
    parameters(model, source)
    place = fluid.framework._current_expected_place()
    model.engine = choose_engine(device, place, model.convolutions_and_norms())
    model.eval()
    return model


def _model_config(source: Checkpoint) -> ModelConfig:
    try:
        return _MODEL_CONFIG.validate_python(source.model)
    except ValidationError:
        # Read as part of a whole config, which takes longer, it is complained of in one line.
        where = str(source.path / STATE)
        return configs.from_dict({"model": source.model}, where).model


def training_weights(model: Model, source: Checkpoint) -> None:
    """Put the weights that training goes on with into a model."""
    weights = source.parameters if source.training is None else source.training
    parameters(model, replace(source, parameters=weights))


def parameters(model: Model, source: Checkpoint) -> None:
    """Put a checkpoint's parameters into a model; InputError unless all fit exactly.

    Paddle's own ``set_dict`` stops half-way at a missing name and only warns of an extra
    one; here nothing is set before everything is known to fit.
    """
    expected = dict(model.named_parameters())
    given = source.named_as(list(expected)).parameters
    for name in expected:
        if name not in given:
            raise InputError(f"{source.path}: the parameter {name} is missing")
    for name, array in given.items():
        if name not in expected:
            raise InputError(f"{source.path}: {name} is no parameter of the model")
        here, wanted = list(array.shape), list(expected[name].shape)
        if here != wanted:
            raise InputError(f"{source.path}: {name} is {here}, the model's is {wanted}")
    for name, parameter in expected.items():
        parameter.set_value(given[name])
