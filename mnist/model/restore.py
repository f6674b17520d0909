"""A checkpoint's model: its architecture built, its parameters put in."""

from dataclasses import replace
from typing import Any, Dict

import numpy as np
from pydantic import TypeAdapter, ValidationError

from mnist import config as configs
from mnist.base.arrays import Arrays
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
        model = architectures.build(_model_config(source), seed=0)
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
    """Put a checkpoint's parameters into a model; InputError unless all fit exactly."""
    expected = dict(model.named_parameters())
    try:
        fill(expected, source.named_as(list(expected)).parameters, "parameter")
    except ValueError as error:
        raise InputError(f"{source.path}: {error}") from error


def fill(expected: Dict[str, Any], given: Arrays, what: str) -> None:
    """Set Paddle's variables to the arrays of the same names; ValueError unless all fit exactly.

    Paddle's own ``set_dict`` stops half-way at a missing name and only warns of an extra
    one; here nothing is set before everything is known to fit.
    """
    for name in {**expected, **given}:
        if name not in given:
            raise ValueError(f"the {what} {name} is missing")
        if name not in expected:
            raise ValueError(f"{name} is no {what} of this model")
        here, wanted = list(given[name].shape), list(expected[name].shape)
        if here != wanted or given[name].dtype != np.float32:
            raise ValueError(f"{name} is {here} ({given[name].dtype}), not {wanted} (float32)")
    for name, variable in expected.items():
        variable.set_value(given[name])
