"""What is inside a model: its graph, filters, features and table; and that looking is free."""

import numpy as np
import pytest
from helpers import digits, dygraph

from mnist import config as configs
from mnist.config.classes import DIGITS
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.feeding import as_model_input
from mnist.model import architectures, inside, losses

MODELS = sorted(architectures.MODELS)


def build(name, *overrides):
    return architectures.build(configs.default([f"model.name={name}", *overrides]).model, seed=1)


def gradients(model):
    """What one backward pass makes; nothing if autograd is switched off."""
    images = to_variable(as_model_input(digits().train.images[:8]))
    labels = to_variable(digits().train.labels[:8].reshape(-1, 1))
    model.backward(losses.compute(model.config.loss, model(images), labels))
    found = [parameter.gradient() for parameter in model.trained_parameters()]
    model.clear_gradients()
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_has_the_models_layers_and_nothing_else_changes(name):
    with dygraph():
        model = build(name)
        model.train()
        before = gradients(model)
        fluid.unique_name.generate("probe")
        program = inside.trace(model)
        assert fluid.unique_name.generate("probe") == "probe_1"
        assert model.training and not fluid.framework._dygraph_tracer()._enable_program_desc_tracing
        assert all(map(np.array_equal, before, gradients(model)))
        variables = program.global_block().vars
        for parameter, _ in model.named_parameters():
            layer, _, own = parameter.rpartition(".")
            assert f"{layer}/{own}" in variables
        assert "images" in variables
        scopes = {op.attr("op_namescope") for op in program.global_block().ops}
        layers = {n.rpartition(".")[0] for n, _ in model.named_parameters()}
        assert scopes <= {"/", *(f"/{layer}/" for layer in layers)}
        assert scopes >= {f"/{layer}/" for layer in layers}


def test_in_the_graph_paddings_and_poolings_lie_outside_the_layers():
    with dygraph():
        outside = {
            op.type
            for op in inside.trace(build("lenet")).global_block().ops
            if op.attr("op_namescope") == "/"
        }
    assert {"pad2d", "pool2d"} <= outside and not {"conv2d", "relu", "matmul"} & outside


def test_a_trace_that_fails_leaves_nothing_switched_on():
    class Deaf(architectures.FullyConnected):
        def forward(self, images):
            return super().forward(to_variable(np.zeros((1, 1, 28, 28), np.float32)))

    with dygraph():
        model = Deaf(configs.default(["model.name=fc"]).model, 1, DIGITS)
        model.train()
        with pytest.raises(fluid.core.EnforceNotMet):
            inside.trace(model)
        assert not fluid.framework._dygraph_tracer()._enable_program_desc_tracing
        assert model.training
        # The next one is whole again.
        assert inside.trace(build("fc")).global_block().ops


def test_evaluation_mode_is_left_however_it_ends():
    with dygraph():
        model = build("lenet5")
        model.train()
        with pytest.raises(RuntimeError), architectures.evaluating(model):
            assert not model.training
            raise RuntimeError
        assert model.training and all(g is not None for g in gradients(model))


def test_the_first_layer_is_filters_or_weights_on_pixels():
    with dygraph():
        lenet, dense = build("lenet5"), build("fc")
        assert inside.first_filters(lenet).shape == (6, 5, 5)
        assert np.array_equal(inside.first_filters(lenet)[2], lenet.conv1.weight.numpy()[2, 0])
        filters = inside.first_filters(dense)
        assert filters.shape == (200, 28, 28)
        assert filters[7, 3, 4] == dense.hidden[0].weight.numpy()[3 * 28 + 4, 7]
        assert inside.first_filters(build("embedding")) is None


@pytest.mark.parametrize("name", MODELS)
def test_features_are_what_the_last_layer_gets(name):
    with dygraph():
        model = build(name, "model.dropout=0.5")
        model.train()
        images = digits().eval.images[:260]
        features = inside.features(model, images)
        last = model.fc3 if name == "lenet5" else model.fc
        with architectures.evaluating(model):
            outputs = model(to_variable(as_model_input(images))).numpy()
        again = features @ last.weight.numpy() + last.bias.numpy()
        assert features.shape[0] == 260 and np.allclose(again, outputs, atol=1e-4)
        assert model.training and all(g is not None for g in gradients(model))


def test_rows_of_the_table_are_named_after_the_pixels_they_stand_for():
    with dygraph():
        model = build("embedding", "model.levels=4")
        table = inside.embedding_table(model)
        assert np.array_equal(table, model.embedding.weight.numpy())
        assert inside.embedding_table(build("fc")) is None
        for row, column, level in ((0, 0, 1), (13, 9, 2), (27, 27, 3)):
            image = np.zeros((1, 1, 28, 28), np.float32)
            image[0, 0, row, column] = level / 3
            (token,) = model.tokens(image)[0]
            assert inside.place_of_row(model, int(token)) == (row, column, level)
        assert inside.place_of_row(model, 0) is None
