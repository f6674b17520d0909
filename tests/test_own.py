"""A model and classes of one's own, from pictures to an export, as their user has them."""

import json
import sys

import cv2
import numpy as np
import pytest
from helpers import DIGITS, same, verb

from mnist.base import own_code
from mnist.base.errors import InputError
from mnist.checkpoints import reading
from mnist.data import dataset
from mnist.train import loop, start

CLASSES = ["A", "B", "三", "Z+"]
SHAPES = ["A", "B", "E", "Z"]
FONTS = [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX]

MODEL = """
from paddle import fluid
from beside import WIDTH

class Wide(fluid.dygraph.Layer):
    def __init__(self, classes, width=WIDTH):
        super().__init__()
        self.conv = fluid.dygraph.Conv2D(1, width, 5, act="relu")
        self.pool = fluid.dygraph.Pool2D(2, "max", 2)
        self.norm = fluid.dygraph.BatchNorm(width)
        self.drop = fluid.dygraph.Dropout(0.3)
        self.first = fluid.dygraph.Linear(width * 144, 24, act="relu")
        self.second = fluid.dygraph.Linear(24, 24, act="relu")
        self.third = fluid.dygraph.Linear(24, 24, act="relu")
        self.last = fluid.dygraph.Linear(24, classes)

    def forward(self, images):
        maps = self.norm(self.pool(self.conv(images)))
        if self.training:
            maps = maps + 0.1 * fluid.layers.gaussian_random([1])
        values = self.first(self.drop(fluid.layers.flatten(maps)))
        return self.last(fluid.layers.dropout(self.third(self.second(values)), 0.1))
"""

CONFIG = """
data: {path: letters.json.gz, batch_size: 20}
model: {name: "my_models:Wide", options: {classes: 4}}
train: {epochs: 2}
"""


def draw(path, letter, source):
    picture = np.full((60, 80), 235, np.uint8)
    place = int(source.integers(5, 35)), int(source.integers(40, 55))
    size, grey = source.uniform(1, 1.6), int(source.integers(10, 90))
    font, thick = FONTS[source.integers(3)], int(source.integers(1, 4))
    cv2.putText(picture, letter, place, font, size, grey, thick, cv2.LINE_AA)
    path.parent.mkdir(parents=True, exist_ok=True)
    # OpenCV cannot write to every name.
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder: pictures by class, the data set made of them, a model, a config."""
    folder = tmp_path_factory.mktemp("own")
    source = np.random.default_rng(1)
    for name, shape in zip(CLASSES, SHAPES):
        for number in range(60):
            draw(folder / "letters" / name / f"{number}.png", shape, source)
    (folder / "my_models.py").write_text(MODEL)
    (folder / "beside.py").write_text("WIDTH = 4\n")
    (folder / "own.yaml").write_text(CONFIG)
    done = verb(
        "prepare", "--source", "letters", "--output", "letters.json.gz", cwd=folder, check=0
    )
    assert "192 train, 24 valid, 24 eval images of 4 classes (A, B, Z+, 三)" in done.stdout
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    done = verb("train", "--config", "own.yaml", "--set", "train.epochs=4", cwd=folder, check=0)
    assert "4 classes: A, B, Z+, 三" in done.stdout
    return folder / "checkpoints"


def test_trained_models_read_pictures_of_their_classes(folder, trained):
    pictures = [f"letters/{name}/{number}.png" for name in CLASSES for number in range(5)]
    named = "--checkpoint", str(trained), "--model", "my_models:Wide"
    done = verb("predict", *named, "--json", *pictures, cwd=folder, check=0)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    right = [row["class"] == row["path"].split("/")[1] for row in found]
    assert sum(right) >= 18
    rows = verb(
        "predict", *named, "--format", "csv", "--top", "9", *pictures[:1], cwd=folder, check=0
    )
    heading, row = rows.stdout.splitlines()
    assert heading.startswith("path,class,confidence,class_2,confidence_2")
    assert heading.count(",") == row.count(",") and "is_digit" not in heading
    refused = verb("predict", *named, "--many", pictures[0], cwd=folder, check=2)
    assert "--many finds digits" in refused.stderr


def test_they_are_evaluated_reported_and_exported_under_their_names(folder, trained):
    named = "--model", "my_models:Wide"
    done = verb("evaluate", "--checkpoint", "checkpoints", *named, "--json", cwd=folder, check=0)
    found = json.loads(done.stdout)
    assert found["accuracy"] > 0.8
    assert [row["class"] for row in found["per_class"]] == ["A", "B", "Z+", "三"]
    other = verb("evaluate", *named, "--data", DIGITS, cwd=folder, check=2)
    assert "has the classes 0, 1" in other.stderr and "tells apart A, B" in other.stderr
    assert "per class" in verb("evaluate", *named, cwd=folder, check=0).stdout
    verb("report", "checkpoints", *named, cwd=folder, check=0)
    page = (folder / "report.html").read_text()
    assert '<th scope="row">三</th>' in page and "Class by class" in page
    assert "digit" not in page.split("<body", 1)[-1].replace('id="digits"', "").replace(
        "#digits", ""
    )
    verb("export", "--checkpoint", "checkpoints", *named, "--to", "exported", cwd=folder, check=0)
    described = json.loads((folder / "exported" / "model.json").read_text())
    assert described["output"]["classes"] == ["A", "B", "Z+", "三"]
    assert described["output"]["shape"] == ["N", 4]
    assert "digit" not in described["preprocessing"]


def test_the_page_to_draw_on_is_for_digits(folder, trained):
    named = "--checkpoint", str(trained), "--model", "my_models:Wide"
    refused = verb("serve", *named, "--port", "0", cwd=folder, check=2)
    assert "reads digits" in refused.stderr


def test_a_checkpoint_has_no_code_run_that_its_user_has_not_named(folder, trained):
    (folder / "beside.py").write_text("WIDTH = 4\nprint('I was run')\n")
    for name, *more in (("predict", "letters/A/0.png"), ("evaluate",), ("train",)):
        option = "--resume" if name == "train" else "--checkpoint"
        refused = verb(name, option, "checkpoints", *more, cwd=folder, check=2)
        assert "--model my_models:Wide" in refused.stderr
        assert "I was run" not in refused.stdout
    (folder / "beside.py").write_text("WIDTH = 4\n")


def train(folder, run, *settings, resume=None):
    """Train in this process as the config says; the checkpoint of the last epoch."""
    for name in ("my_models", "beside"):  # as a new process would
        sys.modules.pop(name, None)
    where = [f"checkpoint.dir={folder / run}", f"log.dir={folder / run / 'log'}"]
    config = start.read_config(folder / "own.yaml", [*where, *settings])
    data = dataset.load(folder / "letters.json.gz")
    loop.train(config, data, reading.load(folder / run / resume) if resume else None)
    return reading.load(folder / run / "latest")


def equal(left, right):
    pairs = zip(left.accumulators.values(), right.accumulators.values())
    return same(left.parameters, right.parameters) and all(same(*pair) for pair in pairs)


def test_two_runs_of_one_seed_are_equal_whatever_their_layers(folder):
    first, second = train(folder, "first"), train(folder, "second")
    assert equal(first, second)
    assert not equal(first, train(folder, "other", "train.seed=2"))


def test_a_resumed_run_is_the_unbroken_one(folder):
    train(folder, "broken", "train.epochs=1")
    assert equal(train(folder, "broken", resume="epoch1"), train(folder, "unbroken"))


def test_layers_of_one_shape_start_differently_and_masks_change(folder):
    from mnist.fluid.door import fluid, to_variable
    from mnist.model import architectures

    config = start.read_config(folder / "own.yaml", [])
    with fluid.dygraph.guard(fluid.CPUPlace()):
        model = architectures.build(config.model, 1, CLASSES)
        second, third = model.net.second.weight.numpy(), model.net.third.weight.numpy()
        assert not np.array_equal(second, third)
        images = to_variable(np.ones((2, 1, 28, 28), np.float32))
        outputs = []
        for step in (0, 1, 0):
            model.begin_step(step)
            outputs.append(model(images).numpy())
    assert np.array_equal(outputs[0], outputs[2])
    assert not np.array_equal(outputs[0], outputs[1])


def test_a_run_does_not_go_on_with_other_code(folder):
    train(folder, "changed", "train.epochs=1")
    source = folder / "my_models.py"
    try:
        source.write_text(MODEL.replace("0.3", "0.4"))
        with pytest.raises(InputError, match=r"my_models:Wide: .* in the checkpoint"):
            train(folder, "changed", resume="epoch1")
    finally:
        source.write_text(MODEL)


LAST, FOUR = "return self.last", "{classes: 4}"


@pytest.mark.parametrize(
    "code, options, message",
    [
        ("1 / 0", "{}", "cannot be imported .*ZeroDivisionError"),
        ("Wide = 3", "{}", "cannot be made"),
        ("class Narrow: pass", "{}", "has no attribute 'Wide'"),
        ("class Wide: pass", "{}", "is no fluid.dygraph.Layer"),
        (MODEL, "{classes: 5}", r"gives \[2, 5\] for 2 images; 4 numbers"),
        (MODEL.replace(LAST, "return 1, self.last"), FOUR, r"gives \['tuple'\] for 2 images"),
        (MODEL.replace(LAST, "return {}['late'] + self.last"), FOUR, "Wide: KeyError: 'late'"),
        (MODEL.replace(LAST, "raise SystemExit(3); self.last"), FOUR, "Wide: SystemExit: 3"),
        (MODEL, "{size: 5}", "unexpected keyword argument 'size'"),
    ],
)
def test_what_is_wrong_with_a_model_is_said_in_a_line(folder, tmp_path, code, options, message):
    (tmp_path / "my_models.py").write_text(code)
    (tmp_path / "beside.py").write_text("WIDTH = 4")
    (tmp_path / "letters.json.gz").write_bytes((folder / "letters.json.gz").read_bytes())
    (tmp_path / "own.yaml").write_text(CONFIG)
    with pytest.raises(InputError, match=message):
        train(tmp_path, "run", f"model.options={options}")


def test_a_model_without_a_file_or_a_name_is_refused(tmp_path):
    own_code.trust("nowhere:Net", tmp_path)
    with pytest.raises(InputError, match="No module named 'nowhere'"):
        own_code.load("nowhere:Net")
    with pytest.raises(InputError, match="--model stranger:Net"):
        own_code.load("stranger:Net")
