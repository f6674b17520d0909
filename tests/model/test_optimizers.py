"""Optimizers, their schedules, and a state that goes from one process to the next."""

import numpy as np
import pytest
from helpers import dygraph, optimizer_state, same

from mnist import config as configs
from mnist.model import optimizers

NAMES = ("sgd", "momentum", "adagrad", "adam")


def optimizer_config(*overrides):
    return configs.default(overrides).optimizer


def rates(overrides, total_steps, steps_per_epoch, count):
    """The learning rates that ``count`` steps really use."""
    config = optimizer_config(*overrides)
    with dygraph() as fluid:
        layer, values = one_layer(fluid)
        optimizer = optimizers.build(config, layer.parameters(), total_steps, steps_per_epoch)
        used = []
        for _ in range(count):
            step(fluid, layer, optimizer, values)
            used.append(float(optimizer.current_step_lr()))
        told = [optimizers.rate_at(optimizer, number) for number in range(count)]
        assert told == pytest.approx(used)
        return used


def one_layer(fluid):
    layer = fluid.dygraph.Linear(3, 2)
    return layer, fluid.dygraph.to_variable(np.ones((4, 3), np.float32))


def step(fluid, layer, optimizer, values):
    loss = fluid.layers.mean(fluid.layers.square(layer(values)))
    loss.backward()
    optimizer.minimize(loss)
    layer.clear_gradients()


@pytest.mark.parametrize("name", NAMES)
def test_each_optimizer_lowers_a_loss(name):
    with dygraph() as fluid:
        layer, values = one_layer(fluid)
        config = optimizer_config(f"optimizer.name={name}", "optimizer.learning_rate=0.05")
        optimizer = optimizers.build(config, layer.parameters(), 50, 10)
        first = np.abs(layer(values).numpy()).mean()
        for _ in range(50):
            step(fluid, layer, optimizer, values)
        assert np.abs(layer(values).numpy()).mean() < first / 2


def test_a_constant_rate_stays():
    assert rates(["optimizer.learning_rate=0.25"], 10, 5, 4) == [0.25] * 4


def test_polynomial_goes_down_to_its_end_over_the_whole_run():
    overrides = ["optimizer.schedule.name=polynomial", "optimizer.learning_rate=0.8"]
    overrides += ["optimizer.schedule.end_learning_rate=0.4"]
    assert rates(overrides, 4, 2, 6) == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4, 0.4])


def test_cosine_is_half_a_cosine():
    overrides = ["optimizer.schedule.name=cosine", "optimizer.learning_rate=1.0"]
    expected = [(1 + np.cos(np.pi * k / 8)) / 2 for k in range(8)]
    assert rates(overrides, 8, 4, 8) == pytest.approx(expected, abs=1e-6)


def test_piecewise_changes_at_epochs():
    overrides = ["optimizer.learning_rate=1.0", "optimizer.schedule.name=piecewise"]
    overrides += ["optimizer.schedule.boundaries=[1, 2.5]"]
    overrides += ["optimizer.schedule.factors=[1, 0.1, 0.01]"]
    assert rates(overrides, 8, 2, 7) == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("schedule", ["constant", "polynomial", "cosine"])
def test_a_warm_up_rises_linearly_and_then_hands_over(schedule):
    overrides = ["optimizer.learning_rate=1.0", f"optimizer.schedule.name={schedule}"]
    alone = rates(overrides, 6, 3, 6)
    warmed = rates([*overrides, "optimizer.schedule.warmup_steps=4"], 10, 5, 10)
    assert warmed[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert warmed[4:] == pytest.approx(alone)


def test_l2_decay_pulls_every_parameter_towards_zero():
    def after(*overrides):
        config = optimizer_config("optimizer.name=sgd", "optimizer.learning_rate=0.1", *overrides)
        with dygraph() as fluid:
            layer, values = one_layer(fluid)
            weight = np.arange(6, dtype=np.float32).reshape(3, 2)
            layer.weight.set_value(weight)
            layer.bias.set_value(np.ones(2, np.float32))
            optimizer = optimizers.build(config, layer.parameters(), 10, 5)
            step(fluid, layer, optimizer, values)
            return weight, layer.weight.numpy(), layer.bias.numpy()

    weight, plain, plain_bias = after()
    _, decayed, decayed_bias = after("optimizer.l2_decay=0.5")
    assert np.allclose(decayed, plain - 0.1 * 0.5 * weight, atol=1e-5)
    assert np.allclose(decayed_bias, plain_bias - 0.1 * 0.5 * 1.0, atol=1e-5)


def test_clipping_bounds_the_global_norm_of_the_gradients():
    def moved(*overrides):
        config = optimizer_config("optimizer.name=sgd", "optimizer.learning_rate=1.0", *overrides)
        with dygraph() as fluid:
            layer, values = one_layer(fluid)
            layer.weight.set_value(np.full((3, 2), 5, np.float32))
            before = [p.numpy() for p in layer.parameters()]
            optimizer = optimizers.build(config, layer.parameters(), 10, 5)
            step(fluid, layer, optimizer, values)
            changes = [p.numpy() - b for p, b in zip(layer.parameters(), before)]
            return np.sqrt(sum(np.sum(change**2) for change in changes))

    assert moved() > 1
    assert moved("optimizer.clip_norm=0.5") == pytest.approx(0.5, rel=1e-4)


SCHEDULES = {
    "constant": [],
    "polynomial": [],
    "cosine": [],
    "piecewise": [
        "optimizer.schedule.boundaries=[0.5]",
        "optimizer.schedule.factors=[1, 0.5]",
    ],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 5])
def test_a_state_taken_over_goes_on_bit_for_bit(name, schedule, warmup):
    """Three steps, state to another optimizer whose names differ, three steps = six steps."""
    overrides = [f"optimizer.name={name}", f"optimizer.schedule.name={schedule}"]
    overrides += [*SCHEDULES[schedule], f"optimizer.schedule.warmup_steps={warmup}"]
    config = optimizer_config(*overrides, "optimizer.l2_decay=0.01")

    def run(fluid, steps, taken_over=None):
        layer, values = one_layer(fluid)
        layer.weight.set_value(np.arange(6, dtype=np.float32).reshape(3, 2) / 7)
        optimizer = optimizers.build(config, layer.parameters(), 8, 4)
        names = {p.name: key for key, p in layer.named_parameters()}
        if taken_over:
            parameters, state, done = taken_over
            for key, parameter in layer.named_parameters():
                parameter.set_value(parameters[key])
            optimizers.set_state(optimizer, names, state, done)
        for _ in range(steps):
            step(fluid, layer, optimizer, values)
        parameters = {key: p.numpy() for key, p in layer.named_parameters()}
        return parameters, optimizer_state(optimizer, names), steps

    with dygraph() as fluid:
        straight, straight_state, _ = run(fluid, 6)
        half = run(fluid, 3)
        resumed, resumed_state, _ = run(fluid, 3, half)
    assert same(straight, resumed)
    assert straight_state.keys() == resumed_state.keys()
    assert all(same(straight_state[key], resumed_state[key]) for key in straight_state)


@pytest.mark.parametrize(
    "damage, fault",
    [
        (lambda state: state["weight"].pop("moment1"), "moment1 of weight is missing"),
        (lambda state: state["weight"].update(extra=np.zeros(1, np.float32)), "extra of weight"),
        (lambda state: state["bias"].update(moment2=np.zeros(9, np.float32)), "moment2 of bias"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(damage, fault):
    with dygraph() as fluid:
        layer, _ = one_layer(fluid)
        optimizer = optimizers.build(optimizer_config(), layer.parameters(), 8, 4)
        names = {p.name: key for key, p in layer.named_parameters()}
        state = optimizer_state(optimizer, names)
        damage(state)
        with pytest.raises(ValueError, match=fault):
            optimizers.set_state(optimizer, names, state, 0)
