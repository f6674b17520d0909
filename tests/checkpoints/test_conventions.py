"""Pairs as course code writes them, of nets that are not meant as the course's own are."""

import json
import re
import shutil
import subprocess
import sys
from typing import NamedTuple, Tuple

import numpy as np
import pytest
from helpers import DIGITS, PROJECT, digits, dygraph, environment, verb
from hypothesis import given
from hypothesis import strategies as st

from mnist import config as configs
from mnist.base.errors import InputError
from mnist.checkpoints import conventions, reading
from mnist.model import opening, predictor


class Plain(NamedTuple):
    """A net written in plain Paddle: which, and how it is meant."""

    kind: str
    activation: str = "relu"
    pooling: str = "max"
    input_range: Tuple[float, float] = (0, 1)

    @property
    def options(self):
        pooling = [f"pooling={self.pooling}"] if self.kind == "lenet" else []
        blank, full = self.input_range
        given = [f"activation={self.activation}", *pooling, f"input={blank}..{full}"]
        return [text for option in given for text in ("--assume", option)]

    @property
    def name(self):
        return "-".join(map(str, [self.kind, self.activation, self.pooling, *self.input_range]))


NETS = [
    Plain("fc", "sigmoid"),
    Plain("fc", "relu"),
    Plain("fc", "tanh", input_range=(1, -1)),
    Plain("lenet", "tanh"),
    Plain("lenet", pooling="avg"),
    Plain("lenet", input_range=(-1, 1)),
    Plain("lenet", "sigmoid", "avg", (0, 255)),
]
AS_USUAL, RELU, AVERAGE, MINUS_ONE = NETS[0], NETS[1], NETS[4], NETS[5]


def make(fluid, plain):
    """The net, with nothing of ours in it; its last layer makes probabilities, as the course's."""

    class Connected(fluid.dygraph.Layer):
        def __init__(self):
            super().__init__()
            self.fc1 = fluid.dygraph.Linear(784, 60, act=plain.activation)
            self.fc2 = fluid.dygraph.Linear(60, 30, act=plain.activation)
            self.fc3 = fluid.dygraph.Linear(30, 10, act="softmax")

        def forward(self, images):
            return self.fc3(self.fc2(self.fc1(fluid.layers.reshape(images, [-1, 784]))))

    class Convolutional(fluid.dygraph.Layer):
        def __init__(self):
            super().__init__()
            act, pool = plain.activation, plain.pooling
            self.conv1 = fluid.dygraph.Conv2D(1, 4, 5, stride=1, padding=2, act=act)
            self.pool1 = fluid.dygraph.Pool2D(2, pool, 2)
            self.conv2 = fluid.dygraph.Conv2D(4, 6, 5, stride=1, padding=2, act=act)
            self.pool2 = fluid.dygraph.Pool2D(2, pool, 2)
            self.fc = fluid.dygraph.Linear(6 * 7 * 7, 10, act="softmax")

        def forward(self, images):
            values = self.pool2(self.conv2(self.pool1(self.conv1(images))))
            return self.fc(fluid.layers.reshape(values, [-1, 6 * 7 * 7]))

    return Connected() if plain.kind == "fc" else Convolutional()


def inputs(plain, images):
    blank, full = plain.input_range
    scaled = images.astype("float32") / 255 * (full - blank) + blank
    return scaled.reshape(-1, 1, 28, 28).astype("float32")


def train(fluid, plain, net, epochs):
    rate = 0.004 if plain.kind == "fc" else 0.01
    optimizer = fluid.optimizer.AdamOptimizer(rate, parameter_list=net.parameters())
    split = digits().train
    for epoch in range(epochs):
        order = np.random.RandomState(epoch).permutation(len(split))
        for start in range(0, len(order), 50):
            chosen = order[start : start + 50]
            labels = split.labels[chosen].reshape(-1, 1)
            probabilities = net(fluid.dygraph.to_variable(inputs(plain, split.images[chosen])))
            each = fluid.layers.cross_entropy(probabilities, fluid.dygraph.to_variable(labels))
            loss = fluid.layers.mean(each)
            loss.backward()
            optimizer.minimize(loss)
            net.clear_gradients()
    return optimizer


def share(probabilities):
    return float(np.mean(probabilities.argmax(axis=1) == digits().eval.labels))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A folder of trained pairs, and what the plain nets themselves make of eval."""
    folder, found = tmp_path_factory.mktemp("pairs"), {}
    for plain in NETS:
        with dygraph() as fluid:
            fluid.default_main_program().random_seed = 3
            net = make(fluid, plain)
            optimizer = train(fluid, plain, net, epochs=10)
            fluid.save_dygraph(net.state_dict(), str(folder / plain.name))
            fluid.save_dygraph(optimizer.state_dict(), str(folder / plain.name))
            net.eval()
            images = fluid.dygraph.to_variable(inputs(plain, digits().eval.images))
            found[plain.name] = net(images).numpy()
    return folder, found


@pytest.mark.parametrize("plain", NETS, ids=lambda plain: plain.name)
def test_a_pair_reads_as_the_plain_net_did_once_its_conventions_are_stated(pairs, plain, capsys):
    folder, found = pairs
    expected = found[plain.name]
    assert share(expected) > 0.8  # It has learnt something that a wrong reading could lose.
    source = opening.open_checkpoint(folder / plain.name, plain.options[1::2])
    assert capsys.readouterr().err == ""
    assert opening.try_one(source, digits().eval).share == share(expected)
    model = predictor.Predictor(folder / plain.name, plain.options[1::2])
    assert np.abs(model.probabilities(digits().eval.images) - expected).max() < 1e-4


@pytest.mark.parametrize("plain", NETS, ids=lambda plain: plain.name)
def test_what_is_assumed_is_said_and_a_bad_reading_is_warned_of_with_the_better_one(
    pairs, plain, capsys
):
    folder, _ = pairs
    source = opening.open_checkpoint(folder / plain.name)
    said = capsys.readouterr().err.splitlines()
    usual = "activation=sigmoid input=0..1" if plain.kind == "fc" else (
        "activation=relu pooling=max input=0..1"
    )  # fmt: skip
    assert "does not say how its net was meant" in said[0] and f"assumed: {usual} " in said[0]
    if opening.try_one(source, digits().valid).share > 0.88:
        assert said[1:] == [] and plain in (AS_USUAL, AVERAGE)
        return
    (warning,) = said[1:]
    assert re.search(r"reads only \d+\.\d% of 300 labelled digits", warning)
    options = re.findall("--assume (\\S+)", warning)
    now = conventions.as_options(conventions.of_model(source.model))
    assert options and not set(options) & set(now)
    better = opening.open_checkpoint(folder / plain.name, options)
    assert opening.try_one(better, digits().eval).share > share(pairs[1][plain.name]) - 0.05


def test_only_what_is_not_stated_is_assumed(pairs, capsys):
    folder, _ = pairs
    opening.open_checkpoint(folder / AVERAGE.name, ["pooling=avg", "input=0..1"])
    assert "assumed: activation=relu (" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"its net \(fc\) has no pooling"):
        opening.open_checkpoint(folder / RELU.name, ["pooling=avg"])


def test_a_net_of_nothing_is_said_to_be_one(tmp_path, capsys):
    with dygraph() as fluid:
        fluid.save_dygraph(make(fluid, AVERAGE).state_dict(), str(tmp_path / "mnist"))
    opening.open_checkpoint(tmp_path / "mnist")
    assert re.search(r"reads only \S+ of 300 labelled digits; it may", capsys.readouterr().err)


def test_a_checkpoint_of_our_own_assumes_nothing(capsys):
    pretrained = PROJECT / "data" / "pretrained"
    assert opening.open_checkpoint(pretrained).model["name"] == "convnet"
    assert capsys.readouterr().err == ""
    opening.open_checkpoint(pretrained, ["activation=tanh"])
    assert "--assume is not used" in capsys.readouterr().err


VERBS = [
    ("predict", PROJECT / "data" / "samples", "--checkpoint"),
    ("evaluate", "--data", DIGITS, "--checkpoint"),
    ("export", "--data", DIGITS, "--force", "--checkpoint"),
    ("report", "--data", DIGITS),
    ("train", "--set", "checkpoint.dir=c", "--set", "train.epochs=1", "--config", "c.yaml",
     "--resume"),
]  # fmt: skip
CONFIG = """
data: {path: data/digits.json.gz}
model: {filters: [4, 6]}
train: {epochs: 1}
log: {graph: false, projector_points: null}
"""


def assert_said(stderr):
    assert stderr.count("assumed: activation=relu pooling=max input=0..1") == 1
    assert stderr.count("reads only") == 1 and "--assume input=-1..1" in stderr


@pytest.mark.parametrize("arguments", VERBS, ids=lambda arguments: arguments[0])
def test_every_verb_says_what_it_assumes_and_takes_what_is_stated(pairs, tmp_path, arguments):
    (tmp_path / "c.yaml").write_text(CONFIG)
    path = pairs[0] / MINUS_ONE.name
    assert_said(verb(*arguments, path, cwd=tmp_path, check=0).stderr)
    stated = verb(*arguments, path, *MINUS_ONE.options, cwd=tmp_path, check=0)
    assert "reads only" not in stated.stderr
    # A config has a value for each: whose it is, the file cannot say.
    assert stated.stderr.count("assumed: ") == (arguments[0] == "train")


def test_the_server_says_it_too(pairs, tmp_path):
    command = [sys.executable, "-m", "mnist.serve", "--port", "0", "--checkpoint"]
    process = subprocess.Popen(
        [*command, str(pairs[0] / MINUS_ONE.name)],
        cwd=str(tmp_path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert "reads digits at" in process.stdout.readline()
    process.terminate()
    assert_said(process.communicate(timeout=60)[1])


def evaluated(path, options, cwd):
    return json.loads(
        verb("evaluate", "--json", "--data", DIGITS, "--checkpoint", path, *options,
             cwd=cwd, check=0).stdout
    )  # fmt: skip


@pytest.mark.parametrize("plain", [NETS[3], AVERAGE, MINUS_ONE], ids=lambda plain: plain.name)
def test_training_goes_on_as_the_net_was_meant_and_its_checkpoint_says_so(pairs, tmp_path, plain):
    folder, found = pairs
    for suffix in (".pdparams", ".pdopt"):
        shutil.copy(folder / (plain.name + suffix), tmp_path / f"mnist_epoch9{suffix}")
    (tmp_path / "c.yaml").write_text(CONFIG)
    settings = ["--set", "train.epochs=11", "--set", "optimizer.learning_rate=0.0005"]
    verb("train", "--config", "c.yaml", *settings, "--resume", "mnist_epoch9", *plain.options,
         cwd=tmp_path, check=0)  # fmt: skip
    model = reading.load(tmp_path / "checkpoints" / "best").model
    assert conventions.of_model(model) == conventions.parse(plain.options[1::2])
    after = evaluated("checkpoints/best", (), tmp_path)["accuracy"]
    assert after > share(found[plain.name]) - 0.02


def test_what_is_exported_reads_as_the_plain_net_did(pairs, tmp_path):
    """The export itself compares every file with dygraph; here with the net it came from."""
    folder, found = pairs
    plain = NETS[-1]
    verb("export", "--data", DIGITS, "--checkpoint", folder / plain.name, *plain.options,
         cwd=tmp_path, check=0)  # fmt: skip
    from mnist.export.onnx_model import in_onnxruntime
    from mnist.fluid.feeding import as_model_input

    exported = in_onnxruntime(tmp_path / "exported" / "model.onnx")
    probabilities = exported(as_model_input(digits().eval.images))
    assert np.abs(probabilities - found[plain.name]).max() < 1e-4


NUMBERS = st.floats(-1e6, 1e6)


@given(
    st.sampled_from([None, *conventions.CHOICES["activation"]]),
    st.sampled_from([None, *conventions.CHOICES["pooling"]]),
    st.none() | st.tuples(NUMBERS, NUMBERS).filter(lambda ends: ends[0] != ends[1]),
)
def test_every_range_and_choice_is_read_and_reaches_the_model(activation, pooling, ends):
    items = [f"activation={activation}"] * (activation is not None)
    items += [f"pooling={pooling}"] * (pooling is not None)
    items += [f"input={ends[0]!r}..{ends[1]!r}"] if ends else []
    stated = conventions.parse(items)
    wanted = {"activation": activation, "pooling": pooling, "input_range": ends and list(ends)}
    assert stated == {key: value for key, value in wanted.items() if value is not None}
    settings = [f"model.{key}={value}" for key, value in stated.items()]
    config = configs.default(["model.filters=[1, 1]", *settings])
    assert conventions.of_model(config.model.model_dump()) == {
        "activation": activation or "relu",
        "pooling": pooling or "max",
        "input_range": list(ends or (0, 1)),
    }


@pytest.mark.parametrize(
    "item",
    ["activation=gelu", "pooling=mean", "colour=red", "relu", "", "input_range=0..1", "input=1",
     "input=0..0", "input=0..nan", "input=0..inf", "input=0..1e7", "input=0..1..2"],
)  # fmt: skip
def test_what_cannot_be_assumed_is_refused(item):
    with pytest.raises(InputError, match=re.escape(f"--assume {item}: ")) as caught:
        conventions.parse([item])
    assert "activation=relu, sigmoid or tanh, pooling=max or avg, or" in str(caught.value)
    assert "two numbers like input=-1..1" in str(caught.value)
