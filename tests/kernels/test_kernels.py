"""The kernels in C against Paddle's operators, between levels, and where they cannot be used."""

import os
import runpy
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, dygraph, needs_kernels, optimizer_state
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mnist import config as configs
from mnist import kernels
from mnist.base import seeding
from mnist.fluid import gradients
from mnist.fluid.door import fluid, paddle, to_variable
from mnist.fluid.layers import Convolution
from mnist.kernels.engine import Engine
from mnist.model import optimizers

pytestmark = needs_kernels

BUILD = ["setup.py", "--quiet", "build_ext", "--inplace"]


def make(shapes, channels, seed, whole=False):
    """Pairs as the engine takes them, from (filters, kernel, padding, pool, norm, relu) each.

    ``whole``: the parameters are small whole numbers, so that sums are exact in any order, and
    equal pixels come to be pooled.
    """
    noise, pairs = np.random.RandomState(seed), []
    for filters, size, padding, pool, norm, relu in shapes:
        act = "relu" if relu else None
        convolution = Convolution(
            channels, filters, size, seeding.layer_seeds(seed), padding, "max" if pool else None,
            None if norm else act, bias=not norm,
        )  # fmt: skip
        pairs.append((convolution, fluid.dygraph.BatchNorm(filters, act=act) if norm else None))
        channels = filters
    for layer in layers_of(pairs):
        for parameter in layer.parameters():
            if whole and isinstance(layer, Convolution):
                parameter.set_value(noise.randint(-1, 2, parameter.shape).astype(np.float32))
            elif len(parameter.shape) == 1:
                more = noise.uniform(0, 0.5, parameter.shape).astype(np.float32)
                parameter.set_value(parameter.numpy() + more)
    return pairs


def layers_of(pairs):
    return [layer for pair in pairs for layer in pair if layer is not None]


def parameters_of(pairs):
    return [parameter for layer in layers_of(pairs) for parameter in layer.parameters()]


def compute(pairs, images, training, engine=None, output_gradient=None):
    """Output, gradients and parameters after one pass, by the engine or by Paddle's operators."""
    before = [parameter.numpy() for parameter in parameters_of(pairs)]
    for layer in layers_of(pairs):
        layer.train() if training else layer.eval()
    values = to_variable(images)
    with gradients.cutting() if engine and training else nullcontext():
        if engine is None:
            for layer in layers_of(pairs):
                values = layer(values)
        else:
            assert engine.supports(pairs, values)
            values = engine.forward(pairs[0][0], pairs, values, training)
        if training:
            if output_gradient is None:
                output_gradient = np.random.RandomState(1).randint(-2, 3, values.shape)
            weights = to_variable(output_gradient.astype(np.float32))
            gradients.backward(fluid.layers.reduce_sum(values * weights))
    found = [values.numpy()]
    for parameter, former in zip(parameters_of(pairs), before):
        if training and parameter.trainable:
            found.append(parameter.gradient())
            parameter.clear_gradient()
        found.append(parameter.numpy())
        parameter.set_value(former)
    pairs[0][0].train()
    return found


def assert_close(found, expected, tolerance=1e-4):
    """Equal but for the last digits, and finite in the same places."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        finite = np.isfinite(theirs)
        assert ours.shape == theirs.shape and np.array_equal(np.isfinite(ours), finite)
        if finite.any():
            scale = np.abs(theirs[finite]).max()
            assert np.abs(ours[finite] - theirs[finite]).max() <= tolerance * scale


def against_paddle(shapes, channels, size, count, seed, training, spoil=None):
    noise = np.random.RandomState(seed)
    images = noise.randint(-2, 3, (count, channels, size, size)).astype(np.float32)
    if spoil is not None:
        images.flat[noise.randint(images.size, size=3)] = spoil
    with dygraph():
        pairs = make(shapes, channels, seed, whole=True)
        engine = Engine(kernels.load())
        expected = compute(pairs, images, training)
        # Where no pixel of a pooling is above -FLT_MAX, Paddle's gradient goes before the map.
        assume(not (expected[0] < -1e38).any())
        found = compute(pairs, images, training, engine)
        again = compute(pairs, images, training, engine)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, again))
    assert_close(found, expected)


# Filters, kernel, padding, pooling, ReLU.
shapes = st.tuples(
    st.integers(1, 64), st.integers(1, 7), st.integers(0, 3), st.booleans(), st.booleans()
)
# How many channels, the maps' size and the batch's.
inputs = st.tuples(st.integers(1, 64), st.integers(6, 28), st.integers(1, 19))


def fits(shape, size):
    _, kernel, padding, pool, _ = shape
    return (size + 2 * padding - kernel + 1) // (2 if pool else 1) > 0


@settings(max_examples=80)
@given(shapes, inputs, st.integers(0, 99), st.booleans())
@example((1, 1, 3, False, False), (1, 6, 1), 0, True)
@example((20, 5, 2, True, True), (20, 14, 13), 0, True)
@example((64, 7, 3, True, True), (64, 28, 9), 0, True)
def test_a_convolution_is_paddles_own(shape, given_input, seed, training):
    """Behind a first layer, so that the gradient goes back to an input, too."""
    channels, size, count = given_input
    assume(fits(shape, size))
    first, second = (channels, 1, 0, False, False, False), (*shape[:4], False, shape[4])
    against_paddle([first, second], 2, size, count, seed, training)


@settings(max_examples=30)
@given(
    shapes,
    st.integers(6, 20),
    st.integers(1, 19),
    st.integers(0, 99),
    st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_what_is_not_finite_is_so_where_it_is_with_paddle(shape, size, count, seed, spoil):
    """In training; in evaluation Paddle's pooling has another rule for NaN."""
    assume(fits(shape, size))
    # Without ReLU, which would hide a pooling without a largest pixel.
    against_paddle([(*shape[:4], False, False)], 3, size, count, seed, True, spoil)


@settings(max_examples=40)
@given(shapes, inputs, st.integers(0, 99), st.booleans())
@example((12, 5, 0, True, True), (1, 28, 50), 0, True)
def test_a_batch_norm_is_paddles_own(shape, given_input, seed, training):
    channels, size, count = given_input
    assume(fits(shape, size))
    noise = np.random.RandomState(seed)
    images = noise.randint(-2, 3, (count, channels, size, size)).astype(np.float32)
    with dygraph():
        pairs = make([(*shape[:4], True, shape[4])], channels, seed, whole=True)
        norm, engine = pairs[0][1], Engine(kernels.load())
        activation, norm._act = norm._act, None
        linear = compute(pairs, images, training)[0]
        norm._act = activation
        # Where a value is zero but for rounding, its gradient is anybody's.
        assume(np.abs(linear).min() > 1e-4)
        # A map whose values are all equal has a deviation of nearly nothing to divide by.
        assume(linear.std(axis=(0, 2, 3)).min() > 0.01)
        assert_close(compute(pairs, images, training, engine), compute(pairs, images, training))


STACKS = {
    "lenet": ([(20, 5, 2, True, False, True), (20, 5, 2, True, False, True)], 100),
    "lenet, ragged": ([(8, 5, 2, True, False, True), (20, 5, 2, True, False, True)], 9),
    "convnet": (
        [(12, 5, 0, True, True, True), (20, 3, 1, False, True, True), (20, 3, 0, True, True, True),
         (32, 3, 1, False, True, True), (40, 3, 0, False, True, True)], 50,
    ),
}  # fmt: skip


def stack(name):
    shapes, count = STACKS[name]
    pairs = make(shapes, 1, seed=3)
    return pairs, np.random.RandomState(3).rand(count, 1, 28, 28).astype(np.float32)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", STACKS)
def test_the_models_stacks_are_paddles_own(name, training):
    with dygraph():
        pairs, images = stack(name)
        found = compute(pairs, images, training, Engine(kernels.load()))
        assert_close(found, compute(pairs, images, training))


@pytest.mark.skipif(kernels.load().level < 4 if kernels.load() else True, reason="no AVX-512 here")
@pytest.mark.parametrize("name", STACKS)
def test_all_levels_give_the_same_bits(name):
    with dygraph():
        pairs, images = stack(name)
        results = []
        for level in kernels.LEVELS:
            engine = Engine(kernels.Library(kernels.library_path(), level))
            results.append(compute(pairs, images, True, engine))
        assert all(np.array_equal(a, b) for a, b in zip(*results))


def test_gradients_are_added_to_those_that_are_there():
    with dygraph():
        pairs, images = stack("lenet, ragged")
        engine = Engine(kernels.load())
        for _ in range(2):
            with gradients.cutting():
                output = engine.forward(pairs[0][0], pairs, to_variable(images), True)
                gradients.backward(fluid.layers.reduce_sum(output))
        twice = [parameter.gradient() for parameter in parameters_of(pairs)]
        for parameter in parameters_of(pairs):
            parameter.clear_gradient()
        once = compute(pairs, images, True, engine, np.ones(output.shape))[1::2]
    assert_close(twice, [2 * gradient for gradient in once], 1e-6)


# --- where it is built, and where it is not used ---------------------------------------


def test_a_library_of_other_sources_is_not_loaded(tmp_path, monkeypatch):
    old = kernels.library_path().read_bytes()
    monkeypatch.setattr(kernels, "source_hash", lambda: "0" * 12)
    monkeypatch.setattr(kernels, "library_path", lambda: tmp_path / "library.so")
    assert kernels.load.__wrapped__() is None
    for content in (b"not a library", old):
        (tmp_path / "library.so").write_bytes(content)
        assert kernels.load.__wrapped__() is None
        (tmp_path / "library.so").unlink()


@pytest.mark.parametrize(
    "compiler, said",
    [
        ("exit 1", "exit code 1"),
        ("echo 'x.c:1:1: error: no such thing' >&2; exit 1", "x.c:1:1: error: no such thing"),
    ],
)
def test_a_compiler_that_fails_is_a_note_and_no_error(tmp_path, compiler, said):
    script = tmp_path / "compiler"
    script.write_text(f"#!/bin/sh\n{compiler}\n")
    script.chmod(0o755)
    done = subprocess.run(
        [sys.executable, *BUILD], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "CC": str(script)},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("note: no C kernels")
    assert said in done.stderr


def test_no_compiler_is_a_note(tmp_path):
    done = subprocess.run(
        [sys.executable, *BUILD], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "CC": "", "PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0 and "no C compiler (cc, clang, gcc)" in done.stderr


@pytest.mark.parametrize("asked, said", [("3", "C kernels (AVX2)"), ("9", "must be one of 3, 4")])
def test_a_lower_level_can_be_asked_for(asked, said):
    code = "from mnist import kernels; print(kernels.load().describe())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, kernels.LEVEL_VARIABLE: asked},
    )  # fmt: skip
    assert said in done.stdout + done.stderr


def test_layers_that_somebody_watches_are_left_to_paddle():
    with dygraph():
        pairs, images = stack("convnet")
        engine, values = Engine(kernels.load()), to_variable(images)
        assert engine.supports(pairs, values)
        hook = pairs[2][1].register_forward_post_hook(lambda layer, inputs, output: None)
        assert not engine.supports(pairs, values)
        hook.remove()
        values.stop_gradient = False
        assert not engine.supports(pairs, values)


OPTIMIZERS = [
    ["optimizer.name=momentum", "optimizer.learning_rate=0.001"],
    ["optimizer.name=momentum", "optimizer.learning_rate=0.001", "optimizer.use_nesterov=true",
     "optimizer.l2_decay=0.01", "optimizer.schedule.name=cosine"],
]  # fmt: skip


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=" ".join)
def test_an_optimizers_steps_are_paddles_own(settings):
    results = []
    for engine in (None, Engine(kernels.load())):
        with dygraph():
            layers = [fluid.dygraph.Linear(61, 37), fluid.dygraph.Linear(37, 5)]
            noise = np.random.RandomState(0)
            parameters = [p for layer in layers for p in layer.parameters()]
            for parameter in parameters:
                parameter.set_value(noise.uniform(-1, 1, parameter.shape).astype(np.float32))
            optimizer = optimizers.build(configs.default(settings).optimizer, parameters, 20, 5)
            optimizers.create_state(optimizer, parameters)
            images = to_variable(noise.rand(16, 61).astype(np.float32))
            for _ in range(20):
                outputs = layers[1](layers[0](images))
                loss = fluid.layers.mean(fluid.layers.square(outputs))
                loss.backward()
                if engine is None:
                    optimizer.minimize(loss)
                else:
                    assert engine.minimize(optimizer, parameters)
                for parameter in parameters:
                    parameter.clear_gradient()
            state = optimizer_state(optimizer, {p.name: p.name for p in parameters})
            found = [value for name in sorted(state) for _, value in sorted(state[name].items())]
            results.append([*(p.numpy() for p in parameters), *found])
    assert all(np.array_equal(a, b) for a, b in zip(*results))


@pytest.mark.parametrize("setting", ["optimizer.name=adam", "optimizer.clip_norm=1.0"])
def test_other_optimizers_do_their_own_steps(setting):
    with dygraph():
        parameters = fluid.dygraph.Linear(3, 2).parameters()
        config = configs.default([setting]).optimizer
        optimizer = optimizers.build(config, parameters, 20, 5)
        assert not Engine(kernels.load()).minimize(optimizer, parameters)


def test_what_does_not_lie_in_memory_as_it_must_is_an_error():
    with dygraph():
        pairs, images = stack("lenet, ragged")
        shape = [8, 1, 5, 5]
        pairs[0][0].weight.value().get_tensor().set(np.zeros(shape, np.int32), fluid.CPUPlace())
        with pytest.raises(RuntimeError, match="is not float32"):
            Engine(kernels.load()).forward(pairs[0][0], pairs, to_variable(images), False)


@pytest.mark.slow
def test_the_sanitizers_find_nothing(tmp_path):
    """The tests above once more, with AddressSanitizer and UndefinedBehaviorSanitizer."""
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g"]
    setup = runpy.run_path(str(ROOT / "setup.py"))
    library = setup["build"](tmp_path, flags)
    runtime = [
        subprocess.check_output([setup["find_compiler"](), f"-print-file-name={name}"], text=True)
        for name in ("libasan.so", "libubsan.so")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "paddle"],
        cwd=ROOT, capture_output=True, text=True,
        env={
            **os.environ,
            "LD_PRELOAD": " ".join(path.strip() for path in runtime),
            "ASAN_OPTIONS": "detect_leaks=0",
            # Under AddressSanitizer a library is not looked for beside the one that asks for it.
            "LD_LIBRARY_PATH": str(Path(paddle.__file__).parent / "libs"),
            kernels.LIBRARY_VARIABLE: str(library),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "runtime error" not in done.stderr
