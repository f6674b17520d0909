"""The course's pairs, written by real Paddle after other nets were built in the process."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import dygraph, same

from mnist.base.errors import InputError
from mnist.checkpoints import course_pairs, foreign, pickles, reading, shapes

PICKLES = Path(__file__).parents[1] / "material" / "pickles"


def read_pair(prefix):
    """Parameters in the model's order, name table and optimizer state of a pair."""
    found = foreign.read_pair(Path(prefix))
    ours = reading.as_checkpoint(found).parameters
    names = shapes.infer(found.arrays, found.names).names
    return {names[n]: ours[n] for n in ours}, found.names, found.optimizer or None


def infer_model(parameters):
    return shapes.infer(parameters, {}).model


def course_net(fluid, outputs=10):
    """The course's convolutional net, with fewer filters."""

    class MNIST(fluid.dygraph.Layer):
        def __init__(self):
            super().__init__()
            self.conv1 = fluid.dygraph.Conv2D(1, 3, 5, stride=1, padding=2, act="relu")
            self.pool1 = fluid.dygraph.Pool2D(2, "max", 2)
            self.conv2 = fluid.dygraph.Conv2D(3, 4, 5, stride=1, padding=2, act="relu")
            self.pool2 = fluid.dygraph.Pool2D(2, "max", 2)
            self.fc = fluid.dygraph.Linear(4 * 7 * 7, outputs)

        def forward(self, images):
            values = self.pool2(self.conv2(self.pool1(self.conv1(images))))
            return self.fc(fluid.layers.reshape(values, [-1, 4 * 7 * 7]))

    return MNIST()


def connected_net(fluid, sizes):
    """The course's fully connected nets: ``Linear`` layers fc1, fc2, …"""

    class MNIST(fluid.dygraph.Layer):
        def __init__(self):
            super().__init__()
            for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]), start=1):
                setattr(self, f"fc{number}", fluid.dygraph.Linear(inputs, outputs, act="sigmoid"))

        def forward(self, images):
            values = fluid.layers.reshape(images, [-1, 784])
            for number in range(1, len(sizes)):
                values = getattr(self, f"fc{number}")(values)
            return values

    return MNIST()


OPTIMIZERS = {
    "sgd": ("SGDOptimizer", []),
    "momentum": ("MomentumOptimizer", [0.9]),
    "adagrad": ("AdagradOptimizer", []),
    "adam": ("AdamOptimizer", []),
}


def train_and_save(fluid, net, optimizer_name, prefix, decay=True):
    """Two steps; the accumulators as Paddle holds them, by structured name."""
    rate = fluid.dygraph.PolynomialDecay(0.1, 10, 0.01) if decay else 0.1
    kind, arguments = OPTIMIZERS[optimizer_name]
    optimizer = getattr(fluid.optimizer, kind)(rate, *arguments, parameter_list=net.parameters())
    images = np.random.RandomState(0).rand(4, 1, 28, 28).astype("float32")
    for _ in range(2):
        loss = fluid.layers.mean(net(fluid.dygraph.to_variable(images)))
        loss.backward()
        optimizer.minimize(loss)
        net.clear_gradients()
    fluid.save_dygraph(net.state_dict(), str(prefix))
    if optimizer.state_dict():
        fluid.save_dygraph(optimizer.state_dict(), str(prefix))
    names = {parameter.name: name for name, parameter in net.named_parameters()}
    expected = {name: {} for name in names.values()}
    for accumulator, variables in optimizer._accumulators.items():
        for parameter, variable in variables.items():
            expected[names[parameter]][accumulator] = variable.numpy()
    return expected


def after_other_nets(fluid):
    """Move Paddle's counters to conv2d_9 and linear_9 or so: 10 comes before 9 as text."""
    for _ in range(3):
        course_net(fluid)
        connected_net(fluid, [784, 10, 10])
    for _ in range(3):
        fluid.dygraph.Conv2D(1, 1, 5)


def assert_regrouped(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        assert same(found[name], expected[name])


@pytest.mark.parametrize("optimizer", ["momentum", "adagrad", "adam"])
def test_accumulators_come_back_under_their_structured_names(tmp_path, optimizer):
    with dygraph() as fluid:
        after_other_nets(fluid)
        net = course_net(fluid)
        expected = train_and_save(fluid, net, optimizer, tmp_path / "mnist_epoch3")
        weights = {name: parameter.numpy() for name, parameter in net.named_parameters()}
    parameters, name_table, state = read_pair(tmp_path / "mnist_epoch3")
    assert list(parameters) == list(weights)
    assert same(parameters, weights)
    assert name_table["conv1.weight"] == "conv2d_9.w_0"
    assert name_table["conv2.weight"] == "conv2d_10.w_0"
    assert course_pairs.schedule_step(state) == 2
    assert_regrouped(course_pairs.optimizer_by_parameter(state, name_table, parameters), expected)


@pytest.mark.parametrize("table", ["missing", "of another process", "incomplete"])
def test_without_a_fitting_name_table_nothing_is_guessed(tmp_path, table):
    with dygraph() as fluid:
        after_other_nets(fluid)
        net = connected_net(fluid, [784, 10, 10, 10])
        train_and_save(fluid, net, "adam", tmp_path / "mnist")
    parameters, name_table, state = read_pair(tmp_path / "mnist")
    if table == "missing":
        name_table = {}
    elif table == "incomplete":
        del name_table["fc2.weight"]
    else:
        name_table = {name: f"linear_{n}.w_0" for n, name in enumerate(name_table)}
    with pytest.raises(InputError, match=r"of other parameters: its .*; without the \.pdopt"):
        course_pairs.optimizer_by_parameter(state, name_table, parameters)


def test_names_that_begin_with_another_or_look_like_accumulators_are_kept_apart():
    names = ["conv2d_1.w_0", "conv2d_11.w_0", "a", "a_moment_0", "a_moment_0_moment_1"]
    table = {f"layer{n}": name for n, name in enumerate(names)}
    state = {f"{name}_moment_0": np.full(1, n, "float32") for n, name in enumerate(names)}
    parameters = {name: np.zeros(1, "float32") for name in table}
    keys = list(state)
    random.Random(0).shuffle(keys)
    shuffled = {key: state[key] for key in keys}
    found = course_pairs.optimizer_by_parameter(shuffled, table, parameters)
    assert [found[f"layer{n}"]["moment"][0] for n in range(5)] == [0, 1, 2, 3, 4]


def test_sgd_with_a_schedule_has_a_step_and_no_accumulators(tmp_path):
    with dygraph() as fluid:
        train_and_save(fluid, connected_net(fluid, [784, 10]), "sgd", tmp_path / "mnist")
    parameters, name_table, state = read_pair(tmp_path / "mnist")
    assert course_pairs.schedule_step(state) == 2
    assert course_pairs.optimizer_by_parameter(state, name_table, parameters) == {}


def test_sgd_with_a_fixed_rate_has_no_optimizer_file(tmp_path):
    with dygraph() as fluid:
        net = connected_net(fluid, [784, 10])
        train_and_save(fluid, net, "sgd", tmp_path / "mnist", decay=False)
    assert read_pair(tmp_path / "mnist")[2] is None


def accumulators(**shapes):
    return {f"x.w_0_{name}_0": np.zeros(shape, "float32") for name, shape in shapes.items()}


def test_optimizer_state_of_other_parameters_is_refused():
    parameters = {"w": np.zeros((2, 3), "float32")}
    table = {"w": "x.w_0"}
    adam = accumulators(moment1=(2, 3), moment2=(2, 3), beta1_pow_acc=1, beta2_pow_acc=1)
    assert course_pairs.optimizer_by_parameter(adam, table, parameters)
    for state, message in [
        (accumulators(velocity=(3, 2)), r"_velocity_0 is float32 \[3, 2\], not float32 \[2, 3\]"),
        ({**adam, "x.w_0_moment2_0": np.zeros(1, "float32")}, r"moment2_0 is float32 \[1\], not"),
        (accumulators(moment1=(2, 3), moment2=(2, 3)), "moment1 . moment2, not the same whole"),
        ({**adam, **accumulators(velocity=(2, 3))}, "not the same whole set"),
        ({**adam, "y.w_0_velocity_0": np.zeros(1, "float32")}, "its y.w_0_velocity_0 .* none of"),
        ({**adam, "x.w_0_moment1_1": adam["x.w_0_moment1_0"]}, "its x.w_0_moment1_1 .* none of"),
        (accumulators(mean_square=(2, 3)), "holds mean_square, not the"),
        ({"x.w_0_half_0": np.zeros(1, "float32")}, "its x.w_0_half_0 .* none of"),
        ({"x.w_0_velocity_0": np.zeros((2, 3))}, r"is float64 \[2, 3\], not float32 \[2, 3\]"),
        ({"x.w_0_velocity_0": 1.0}, "is float, not float32"),
    ]:
        with pytest.raises(InputError, match=message):
            course_pairs.optimizer_by_parameter(state, table, parameters)
    with pytest.raises(InputError, match=r"holds .*, not the same whole set throughout"):
        course_pairs.optimizer_by_parameter(
            adam, table, {**parameters, "v": np.zeros((2, 3), "float32")}
        )
    with pytest.raises(InputError, match="of other parameters"):
        course_pairs.optimizer_by_parameter(adam, {}, {})


def test_the_schedule_step_of_each_kind_of_file():
    step = np.array([7], "int32")
    for state, expected in [
        ({}, None),
        ({"global_step": step}, 7),
        ({"LR_Scheduler": {"step_num": 7}}, 7),
        ({"LR_Scheduler": {"step_num": np.int64(7)}, "global_step": step}, 7),
        ({"LR_Scheduler": {"epoch_num": 3}, "global_step": step}, None),
    ]:
        assert course_pairs.schedule_step(state) == expected
    for state, message in [
        (
            {"LR_Scheduler": {"step_num": 8}, "global_step": step},
            "in two ways: step_num 8, global_step 7",
        ),
        ({"LR_Scheduler": 8}, "LR_Scheduler holds no schedule"),
        ({"LR_Scheduler": {"step_num": -1}}, "step_num is int, not a step"),
        ({"global_step": step.astype("float32")}, r"global_step is float32 \[1\], not a step"),
    ]:
        with pytest.raises(InputError, match=message):
            course_pairs.schedule_step(state)


# Models.


def zeros(*shapes):
    """Parameters called as those of layers are, weight and bias by turns."""
    names = (f"layer{n // 2}.{'bias' if n % 2 else 'weight'}" for n in range(len(shapes)))
    return {name: np.zeros(shape, "float32") for name, shape in zip(names, shapes)}


@pytest.mark.parametrize("outputs, loss", [(10, "softmax_cross_entropy"), (1, "square_error")])
def test_the_architecture_is_inferred_from_real_nets(outputs, loss):
    with dygraph() as fluid:
        nets = {
            "lenet": course_net(fluid, outputs),
            "fc": connected_net(fluid, [784, 10, 10, outputs]),
            "regression": connected_net(fluid, [784, outputs]),
        }
        found = {
            key: infer_model({n: p.numpy() for n, p in net.named_parameters()})
            for key, net in nets.items()
        }
    assert found == {
        "lenet": {
            "name": "lenet",
            "filters": [3, 4],
            "paddings": [2, 2],
            "hidden_sizes": [],
            "loss": loss,
        },
        "fc": {"name": "fc", "hidden_sizes": [10, 10], "loss": loss},
        "regression": {"name": "fc", "hidden_sizes": [], "loss": loss},
    }


def test_the_course_size_of_lenet_and_one_with_a_hidden_layer():
    convolutions = [(20, 1, 5, 5), (20,), (20, 20, 5, 5), (20,)]
    course = infer_model(zeros(*convolutions, (980, 10), (10,)))
    assert course["filters"] == [20, 20]
    deeper = infer_model(zeros(*convolutions, (980, 50), (50,), (50, 10), (10,)))
    assert deeper["hidden_sizes"] == [50]


def test_every_inferred_model_is_one_that_our_config_accepts():
    from mnist.config.schema import FcConfig, LenetConfig

    lenet = zeros((2, 1, 5, 5), (2,), (3, 2, 5, 5), (3,), (147, 10), (10,))
    assert LenetConfig(**infer_model(lenet)).filters == [2, 3]
    assert FcConfig(**infer_model(zeros((784, 1), (1,)))).loss == "square_error"


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [(784, 10)],
        [(784, 10), (9,)],
        [(784, 7), (7,)],
        [(783, 10), (10,)],
        [(10,), (784, 10)],
        [(784, 10), (10,), (11, 10), (10,)],
        [(784, 10), (10,), ()],
        [(784, 10), ()],
        [(2, 1, 3, 3), (2,), (3, 2, 5, 5), (3,), (147, 10), (10,)],
        [(2, 3, 5, 5), (2,), (3, 2, 5, 5), (3,), (147, 10), (10,)],
        [(2, 1, 5, 5), (2,), (3, 2, 5, 5), (3,), (148, 10), (10,)],
        [(2, 1, 5, 5), (2,), (3, 2, 5, 5), (3,)],
        [(1,)] * 100,
    ],
    ids=lambda shapes: f"{len(shapes)} from {shapes[:1]}",
)
def test_other_shapes_are_refused_with_what_was_found(shapes):
    with pytest.raises(InputError, match="neither lenet") as caught:
        infer_model(zeros(*shapes))
    assert all(str(list(shape)) in str(caught.value) for shape in shapes)
    assert len(str(caught.value)) < 450


# Files.


def test_a_pair_of_python_2_whose_dicts_had_no_order_reads_in_the_model_s_order():
    parameters, name_table, state = read_pair(PICKLES / "py27_lenet")
    assert list(parameters) == [
        f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc") for kind in ("weight", "bias")
    ]
    assert infer_model(parameters)["filters"] == [2, 1]
    assert course_pairs.schedule_step(state) == 2
    found = course_pairs.optimizer_by_parameter(state, name_table, parameters)
    for name, arrays in found.items():
        assert arrays["velocity"] is state[f"{name_table[name]}_velocity_0"]


@pytest.mark.parametrize("named", ["by their layers", "by Paddle"])
def test_parameters_in_any_order_are_put_in_the_model_s(tmp_path, named):
    with dygraph() as fluid:
        fluid.dygraph.Linear(1, 1)
        net = connected_net(fluid, [784, 10, 10, 10, 10])
        state = net.state_dict()
        if named == "by Paddle":
            for layer, new in ("fc1", "z"), ("fc2", "m"), ("fc3", "y"), ("fc4", "a"):
                for kind in "weight", "bias":
                    state[f"{new}.{kind}"] = state.pop(f"{layer}.{kind}")
        keys = list(state)
        expected = {key: state[key].numpy() for key in keys}
        for seed in range(10):
            random.Random(seed).shuffle(keys)
            fluid.save_dygraph({key: state[key] for key in keys}, str(tmp_path / "mnist"))
            parameters, _, _ = read_pair(tmp_path / "mnist")
            assert list(parameters) == list(expected)
            assert same(parameters, expected)


def test_layers_of_equal_shape_are_not_exchanged(tmp_path):
    with dygraph() as fluid:
        state = connected_net(fluid, [784, 10, 10, 10, 10]).state_dict()
        names = list(state)
        swapped = [*names[:2], *names[4:6], *names[2:4], *names[6:]]
        fluid.save_dygraph({name: state[name] for name in swapped}, str(tmp_path / "mnist"))
        arrays = {name: variable.numpy() for name, variable in state.items()}
    assert list(read_pair(tmp_path / "mnist")[0]) == names
    crossed = [*names[:3], names[5], names[4], names[3], *names[6:]]
    without_table = pickles.dump({name: arrays[name] for name in crossed})
    (tmp_path / "old.pdparams").write_bytes(without_table)
    parameters, name_table, _ = read_pair(tmp_path / "old")
    assert (list(parameters), name_table) == (names, {})


def test_a_pair_is_found_by_its_prefix_or_either_file(tmp_path, monkeypatch):
    for suffix in ".pdparams", ".pdopt":
        shutil.copy(PICKLES / f"py27_lenet{suffix}", tmp_path / f"run1.5_epoch3{suffix}")
    monkeypatch.chdir(tmp_path)
    for given in "run1.5_epoch3", "run1.5_epoch3.pdparams", Path("run1.5_epoch3.pdopt"):
        parameters, _, state = read_pair(given)
        assert len(parameters) == 6 and state is not None
    (tmp_path / "run1.5_epoch3.pdopt").unlink()
    assert read_pair("run1.5_epoch3")[2] is None
    with pytest.raises(InputError, match=r"^run1\.5_epoch3\.pdopt: does not exist"):
        read_pair("run1.5_epoch3.pdopt")
    with pytest.raises(InputError, match=r"^run1\.pdparams: does not exist; give a checkpoint"):
        read_pair("run1")


@pytest.mark.parametrize(
    "prefix, epochs",
    [
        ("mnist_epoch0", 1),
        ("a/mnist_epoch3.pdparams", 4),
        ("mnist_epoch12.pdopt", 13),
        ("mnist", None),
        ("epoch3/mnist", None),
        ("mnist_epoch3_old", None),
    ],
)
def test_the_course_counts_epochs_from_0(prefix, epochs):
    assert course_pairs.epochs_done(prefix) == epochs


def test_a_file_of_other_content_is_no_pair_s(tmp_path):
    shutil.copy(PICKLES / "py38_paddle1.8.5.pdopt", tmp_path / "state.pdparams")
    with pytest.raises(
        InputError, match=r"state\.pdparams: global_step is int32 \[1\], not a float32"
    ):
        read_pair(tmp_path / "state")
    shutil.copy(PICKLES / "py27_numpy1.16_protocol2.pdopt", tmp_path / "types.pdparams")
    with pytest.raises(InputError, match=r"types\.pdparams: .*, not a float32 parameter"):
        read_pair(tmp_path / "types")
    (tmp_path / "text.pdparams").write_text("no pickle")
    with pytest.raises(InputError, match=r"text\.pdparams: is text"):
        read_pair(tmp_path / "text")


def test_a_name_table_that_is_none_is_refused(tmp_path):
    for table in 1, {"a": 1}, {"a": {"b": "c"}}:
        data = pickles.dump({"a": np.zeros(1, "float32"), pickles.NAME_TABLE: table})
        (tmp_path / "a.pdparams").write_bytes(data)
        with pytest.raises(InputError, match="is no table of names"):
            read_pair(tmp_path / "a")
    (tmp_path / "a.pdparams").write_bytes(pickles.dump({pickles.NAME_TABLE: {}}))
    with pytest.raises(InputError, match="holds no parameters"):
        read_pair(tmp_path / "a")
