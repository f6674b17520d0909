"""The architectures: shapes, parameter counts, initial parameters, dropout."""

from contextlib import nullcontext

import numpy as np
import pytest
from helpers import digits, dygraph

from mnist import config as configs
from mnist.config.schema import OWN
from mnist.fluid import gradients
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.feeding import as_model_input
from mnist.model import architectures, losses

COUNTS = [
    (("model.name=fc", "model.hidden_sizes=[]"), 7_850),
    (("model.name=fc", "model.hidden_sizes=[200, 100]"), 178_110),
    (("model.name=fc", "model.hidden_sizes=[10, 10]", "model.loss=square_error"), 7_971),
    (("model.name=lenet",), 20_350),
    (("model.name=lenet", "model.loss=square_error"), 11_521),
    (("model.name=lenet", "model.filters=[8, 20]", "model.hidden_sizes=[100]"), 103_338),
    (("model.name=lenet5",), 61_706),
    (("model.name=convnet",), 61_850),
    (("model.name=convnet", "model.filters=[8, 12, 14, 16, 20]"), 9_422),
    (("model.name=embedding",), 151_242),
]


def build(*overrides, seed=1):
    return architectures.build(configs.default(overrides).model, seed)


def images(count=4):
    return as_model_input(digits().train.images[:count])


@pytest.mark.parametrize("overrides, count", COUNTS)
def test_parameter_counts_and_output_shapes(overrides, count):
    with dygraph() as fluid:
        model = build(*overrides)
        assert model.count_parameters() == count
        assert sum(row[2] for row in architectures.summarize(model)) == count
        outputs = model(fluid.dygraph.to_variable(images()))
        width = 1 if "model.loss=square_error" in overrides else 10
        assert outputs.shape == [4, width]


def test_the_registry_and_the_config_know_the_same_names():
    assert {*architectures.MODELS, OWN} == set(configs.CHOICES["model"])


@pytest.mark.parametrize("name", sorted(architectures.MODELS))
def test_the_seed_decides_the_initial_parameters(name):
    def parameters(seed):
        with dygraph():
            model = build(f"model.name={name}", seed=seed)
            return {key: value.numpy() for key, value in model.named_parameters()}

    first, again, other = parameters(1), parameters(1), parameters(2)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    # A batch norm begins with ones and zeros, whatever the seed.
    weights = [key for key in first if key.endswith("weight") and not key.startswith("norms")]
    assert weights and not any(np.array_equal(first[key], other[key]) for key in weights)


def test_layers_of_one_shape_do_not_start_equal():
    with dygraph():
        model = build("model.name=fc", "model.hidden_sizes=[50, 50, 50]")
        second, third = model.hidden[1].weight.numpy(), model.hidden[2].weight.numpy()
    assert second.shape == third.shape and not np.array_equal(second, third)


def course_block(fluid, ours, padding, act="relu", pool_type="max"):
    """What the course writes for one of our convolutions, with the same parameters."""
    filters, channels, size, _ = ours.weight.shape
    course = fluid.dygraph.Conv2D(channels, filters, size, padding=padding, act=act)
    course.weight.set_value(ours.weight.numpy())
    course.bias.set_value(ours.bias.numpy())
    pool = fluid.dygraph.Pool2D(pool_size=2, pool_type=pool_type, pool_stride=2)
    return course, lambda values: pool(course(values))


@pytest.mark.parametrize("filters", [(20, 20), (8, 20)], ids=["may be cut", "is never cut"])
@pytest.mark.parametrize("meant", [("relu", "max", [0, 1]), ("tanh", "avg", [1, -1])], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_lenet_computes_what_the_course_writes(filters, training, meant):
    """Same outputs, same gradients, whatever the order of the work inside our layers."""
    with dygraph() as fluid:
        act, pool, (blank, full) = meant
        model = build(
            f"model.filters={list(filters)}", f"model.activation={act}", f"model.pooling={pool}",
            f"model.input_range=[{blank}, {full}]",
        )  # fmt: skip
        first, first_block = course_block(fluid, model.conv1, 2, act, pool)
        second, second_block = course_block(fluid, model.conv2, 2, act, pool)
        values = fluid.dygraph.to_variable(images(8))
        labels = fluid.dygraph.to_variable(digits().train.labels[:8].reshape(-1, 1))

        def course_model(values):
            values = values * (full - blank) + blank
            return model.fc(fluid.layers.flatten(second_block(first_block(values))))

        model.train() if training else model.eval()
        try:
            ours, theirs = model(values), course_model(values)
            assert np.allclose(ours.numpy(), theirs.numpy(), atol=1e-5)
            if training:
                losses.compute("softmax_cross_entropy", ours, labels).backward()
                losses.compute("softmax_cross_entropy", theirs, labels).backward()
                for ours, theirs in ((model.conv1, first), (model.conv2, second)):
                    for name in ("weight", "bias"):
                        expected = getattr(theirs, name).gradient()
                        actual = getattr(ours, name).gradient()
                        assert np.abs(expected).max() > 0
                        assert np.allclose(actual, expected, rtol=1e-4, atol=1e-6)
        finally:
            model.train()


class Course(fluid.dygraph.Layer):
    """What the course writes where our models have a ``Convolution``: Paddle's own layers."""

    def __init__(
        self, channels, filters, filter_size, seeds, padding=0, pool=False, activation=None,
        bias=True,
    ):  # fmt: skip
        super().__init__()
        conv = fluid.dygraph.Conv2D(
            channels, filters, filter_size, padding=padding, act=activation,
            bias_attr=None if bias else False,
        )  # fmt: skip
        self.weight, self.bias, self._conv = conv.weight, conv.bias, [conv]
        self._pool = [fluid.dygraph.Pool2D(2, "max", pool_stride=2)] if pool else []

    def forward(self, values):
        for layer in (*self._conv, *self._pool):
            values = layer(values)
        return values


PLAIN = [
    ("model.name=fc",),
    ("model.name=lenet",),
    ("model.name=lenet", "model.filters=[8, 20]", "model.hidden_sizes=[100]"),
    ("model.name=lenet", "model.loss=square_error"),
    ("model.name=lenet5",),
    ("model.name=lenet5", "model.activation=sigmoid"),
    ("model.name=convnet",),
    ("model.name=convnet", "model.filters=[20, 20, 20, 20, 20]"),
    ("model.name=embedding",),
]


def step(model, settings, three_lines, steps=2):
    """Train on noise for some steps; the last gradients, and the parameters after them."""
    config = configs.default(settings).model
    noise = np.random.RandomState(0)
    optimizer = fluid.optimizer.Momentum(0.05, 0.9, parameter_list=model.trained_parameters())
    model.train()
    for number in range(steps):
        values = to_variable(noise.rand(16, 1, 28, 28).astype(np.float32))
        labels = to_variable(noise.randint(0, 10, (16, 1)))
        model.begin_step(number)
        with nullcontext() if three_lines else gradients.cutting():
            loss = losses.compute(config.loss, model(values), labels)
            loss.backward() if three_lines else model.backward(loss)
        optimizer.minimize(loss)
        found = {n: p.gradient() for n, p in model.named_parameters() if p.trainable}
        model.clear_gradients()
    return found, {name: p.numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("settings", PLAIN, ids=lambda settings: " ".join(settings))
@pytest.mark.parametrize("three_lines", [True, False])
def test_every_model_trains_as_it_would_of_paddles_own_layers(settings, three_lines, monkeypatch):
    """With the course's three lines, and with what the trainer switches on."""
    with dygraph():
        ours = build(*settings)
        before = {name: p.numpy() for name, p in ours.named_parameters()}
        found, after = step(ours, settings, three_lines)
    monkeypatch.setattr(architectures, "Convolution", Course)
    with dygraph():
        theirs = build(*settings)
        for name, parameter in theirs.named_parameters():
            parameter.set_value(before[name])
        expected, expected_after = step(theirs, settings, three_lines=True)
    assert found.keys() == expected.keys() and after.keys() == expected_after.keys()
    for name, gradient in expected.items():
        assert np.abs(gradient).max() > 0 and not np.array_equal(after[name], before[name])
        assert np.allclose(found[name], gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())
    for name, values in expected_after.items():
        assert np.allclose(after[name], values, rtol=1e-3, atol=1e-5)


def forward(model):
    labels = to_variable(digits().train.labels[:8].reshape(-1, 1))
    return losses.compute("softmax_cross_entropy", model(to_variable(images(8))), labels)


def test_the_graph_is_cut_where_that_is_quicker_and_nowhere_else(monkeypatch):
    asked = []
    monkeypatch.setattr(gradients, "carry_to", lambda values, gradient: asked.append(values.shape))
    with dygraph():
        for filters in ([20, 20], [8, 20]):
            model = build(f"model.filters={filters}")
            forward(model).backward()
            assert model.conv1.weight.gradient().any()
            with gradients.cutting():
                model.backward(forward(model))
    # Once, at the second convolution: nobody asks for the gradient of an image.
    assert asked == [[8, 20, 14, 14]]


FORGOTTEN = r"conv.* cut the graph, .* call model\.backward\(loss\), not loss\.backward\(\)"


def test_a_cut_that_is_not_carried_on_is_an_error():
    with dygraph():
        model = build()
        optimizer = fluid.optimizer.SGD(0.1, parameter_list=model.parameters())
        with pytest.raises(RuntimeError, match=FORGOTTEN), gradients.cutting():
            loss = forward(model)
            loss.backward()
            optimizer.minimize(loss)
        for next_one in (lambda: model.begin_step(2), lambda: forward(model)):
            with gradients.cutting():
                loss = forward(model)
                loss.backward()
                with pytest.raises(RuntimeError, match=FORGOTTEN):
                    next_one()
                model.backward(loss * 1.0)


def test_an_error_inside_is_told_and_not_what_it_leaves_undone():
    with dygraph():
        model = build()
        with pytest.raises(ZeroDivisionError), gradients.cutting():
            forward(model)
            raise ZeroDivisionError
        assert not gradients.may_cut()
        forward(model).backward()
        assert model.conv1.weight.gradient().any()


def test_what_cannot_be_carried_on_rightly_is_an_error():
    """Paddle overwrites gradients, so two ways to a value would be one of them, silently."""
    with dygraph():
        model = build()
        with pytest.raises(RuntimeError, match="used by another layer"), gradients.cutting():
            values = model.conv1(to_variable(images(8)))
            both = model.conv2(values)
            model.backward(fluid.layers.reduce_sum(both) + fluid.layers.reduce_sum(values))
        with pytest.raises(RuntimeError, match="the loss is not behind it"), gradients.cutting():
            values = model.conv1(to_variable(images(8)))
            model.conv2(values)
            model.backward(fluid.layers.reduce_sum(values))


def test_the_embedding_is_the_one_the_course_names():
    with dygraph():
        model = build("model.name=embedding", "model.scale=0.3")
        table = model.embedding.weight
        assert table.name == "embedding_para"
        assert np.abs(table.numpy()).max() <= 0.3 and np.abs(table.numpy()).max() > 0.29


def test_embedding_tokens_are_the_position_and_level_of_the_ink():
    pixels = np.zeros((3, 1, 28, 28), np.float32)
    pixels[0, 0, 0, :4] = [0.0, 0.34, 0.66, 1.0]
    pixels[1, 0, 27, 27] = 1.0
    with dygraph() as fluid:
        model = build("model.name=embedding", "model.levels=4")
        tokens = model.tokens(pixels)
        assert tokens.tolist() == [[3 + 1, 6 + 2, 9 + 3], [783 * 3 + 3, 0, 0], [0, 0, 0]]
        blank = model(fluid.dygraph.to_variable(pixels[2:]))
        assert np.array_equal(blank.numpy()[0], model.fc.bias.numpy())


def test_dropout_masks_follow_from_seed_and_step():
    ones = np.ones((100, 50), np.float32)

    def mask(seed, step, uses=1):
        with dygraph() as fluid:
            layer = architectures.Dropout(0.4, seed)
            layer.begin_step(step)
            for _ in range(uses):
                result = layer(fluid.dygraph.to_variable(ones)).numpy()
            return result

    first = mask(1, 5)
    assert np.array_equal(first, mask(1, 5))
    for other in (mask(2, 5), mask(1, 6), mask(1, 5, uses=2)):
        assert not np.array_equal(first, other)
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.6)}
    assert 0.35 < np.mean(first == 0) < 0.45


def test_dropout_does_nothing_in_evaluation():
    with dygraph() as fluid:
        model = build("model.dropout=0.5")
        values = fluid.dygraph.to_variable(images())
        model.train()
        model.begin_step(0)
        trained = model(values).numpy()
        model.eval()
        first, second = model(values).numpy(), model(values).numpy()
        model.train()
    assert np.array_equal(first, second) and not np.array_equal(trained, first)
