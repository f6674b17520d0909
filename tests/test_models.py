"""The architectures: shapes, parameter counts, initial parameters, dropout."""

import numpy as np
import pytest
from helpers import digits, dygraph

from mnist import config as configs
from mnist import losses, models
from mnist.loader import as_model_input

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
    return models.build(configs.default(overrides).model, seed)


def images(count=4):
    return as_model_input(digits().train.images[:count])


@pytest.mark.parametrize("overrides, count", COUNTS)
def test_parameter_counts_and_output_shapes(overrides, count):
    with dygraph() as fluid:
        model = build(*overrides)
        assert model.count_parameters() == count
        assert sum(row[2] for row in models.summarize(model)) == count
        outputs = model(fluid.dygraph.to_variable(images()))
        width = 1 if "model.loss=square_error" in overrides else 10
        assert outputs.shape == [4, width]


def test_the_registry_and_the_config_know_the_same_names():
    assert set(models.MODELS) == set(configs.CHOICES["model"])


@pytest.mark.parametrize("name", sorted(models.MODELS))
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


@pytest.mark.parametrize("filters", [(20, 20), (8, 20)], ids=["input cut off", "not cut off"])
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
                model.backward(losses.compute("softmax_cross_entropy", ours, labels))
                losses.compute("softmax_cross_entropy", theirs, labels).backward()
                for ours, theirs in ((model.conv1, first), (model.conv2, second)):
                    for name in ("weight", "bias"):
                        expected = getattr(theirs, name).gradient()
                        actual = getattr(ours, name).gradient()
                        assert np.abs(expected).max() > 0
                        assert np.allclose(actual, expected, rtol=1e-4, atol=1e-6)
        finally:
            model.train()


def test_the_input_is_cut_off_where_that_is_quicker_and_nowhere_else():
    with dygraph() as fluid:
        for filters, expected in (([20, 20], True), ([8, 20], False)):
            model = build(f"model.filters={filters}")
            model(fluid.dygraph.to_variable(images(2)))
            assert (model.conv2._input is not None) == expected
            assert model.conv1._input is None  # nobody asks for the gradient of an image


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
            layer = models.Dropout(0.4, seed)
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
