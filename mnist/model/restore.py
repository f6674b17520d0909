"""A checkpoint's parameters, put into a model."""

from dataclasses import replace
from typing import Any

from mnist.base.errors import InputError
from mnist.checkpoints.records import Checkpoint


def training_weights(model: Any, source: Checkpoint) -> None:
    """Put the weights that training goes on with into a model."""
    weights = source.parameters if source.training is None else source.training
    parameters(model, replace(source, parameters=weights))


def parameters(model: Any, source: Checkpoint) -> None:
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
