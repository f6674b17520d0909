"""``import mnist`` as docs/library.md has it: in a program, and in a notebook's kernel."""

import re
import shlex
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import DIGITS, PICTURES, ROOT, digits, environment, same, small
from jupyter_client.manager import start_new_kernel
from PIL import Image

import mnist
from mnist.base.errors import InputError
from mnist.checkpoints import reading
from mnist.fluid.environment import _settings as settings_of_paddle

SETTINGS = ["model.name=fc", "model.hidden_sizes=[16]", "train.epochs=2", "data.batch_size=32"]


@pytest.fixture(autouse=True, scope="module")
def dygraph_is_left():
    yield
    from mnist.fluid.door import fluid

    fluid.disable_dygraph()


def config_in(folder, *settings):
    places = f"checkpoint.dir={folder}", f"log.dir={folder}/log"
    return mnist.load_config(None, *SETTINGS, *places, *settings)


def test_importing_it_imports_nothing_and_its_names_are_there():
    script = (
        "import mnist, sys; assert not {'numpy', 'paddle', 'pydantic'} & set(sys.modules);"
        "assert set(mnist.__all__) <= set(dir(mnist));"
        "print([callable(getattr(mnist, name)) for name in mnist.__all__])"
    )
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.stdout == f"{[True] * len(mnist.__all__)}\n", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mnist.nothing  # noqa: B018


def test_a_loop_of_ones_own_is_the_run_that_fit_makes(tmp_path):
    data = small()
    mnist.fit(config_in(tmp_path / "fit"), data)
    trainer = mnist.Trainer(config_in(tmp_path / "own"), data)
    while trainer.state.epoch < 1:
        for images, labels in trainer.batches():
            trainer.train_step(images, labels)
        trainer.end_epoch()
    resumed = mnist.Trainer(config_in(tmp_path / "own"), data, resume="latest")
    for images, labels in resumed.batches():
        loss, accuracy = resumed.train_step(images, labels)
    assert resumed.evaluate(data.valid).accuracy == resumed.end_epoch().accuracy
    assert resumed.state.step == 14 and 0 < loss < 3 and 0 <= accuracy <= 1
    ours, theirs = (reading.load(tmp_path / name / "epoch2") for name in ("own", "fit"))
    assert same(ours.parameters, theirs.parameters)
    assert ours.state.temperature == theirs.state.temperature
    assert all(
        same(ours.accumulators[name], theirs.accumulators[name]) for name in ours.accumulators
    )


def test_the_end_of_a_trainers_epoch_leaves_an_earlier_runs_checkpoints(tmp_path):
    mnist.fit(config_in(tmp_path), small())
    trainer = mnist.Trainer(config_in(tmp_path), small())
    saved = trainer.save()
    assert saved.name == "epoch0"
    (earlier,) = tmp_path.glob("earlier-*")
    assert {"epoch1", "epoch2"} <= {path.name for path in earlier.iterdir()}


def test_a_loaded_model_predicts_files_and_arrays_and_is_evaluated(tmp_path):
    mnist.fit(config_in(tmp_path, "train.epochs=6"), digits())
    model = mnist.load_model(tmp_path)
    images = digits().eval.images[:5]
    found = model.predict(images)
    assert [p.label for p in found] == model.probabilities(images).argmax(1).tolist()
    assert model.predict(images[0]).label == found[0].label
    assert [p.label for p in model.predict(list(images))] == [p.label for p in found]
    one, same_one = model.predict(PICTURES[0]), model.predict([str(PICTURES[0])])[0]
    assert one == same_one and sum(p for _, p in one.ranking) == pytest.approx(1)
    large = np.kron(255 - images[0], np.ones((5, 5), np.uint8))
    assert model.predict(np.stack([large] * 3, axis=-1)).label == found[0].label
    result = model.evaluate(digits().eval)
    assert result.accuracy > 0.7 and result.confusion.sum() == len(digits().eval)
    assert model.predict([]) == []
    assert model.predict(Image.fromarray(large)).label == found[0].label
    blank = np.zeros((0, 5), np.uint8)
    for wrong in (images.astype(np.float32), images[0] / 255, np.zeros(4, np.uint8), blank, None):
        with pytest.raises(InputError, match="must be uint8"):
            model.predict(wrong)


def test_a_model_is_trained_by_plain_fluid():
    model = mnist.create_model("lenet5", seed=3)
    from mnist.fluid.door import fluid

    optimizer = fluid.optimizer.Adam(0.003, parameter_list=model.parameters())
    split = small().train
    losses = []
    for _ in range(15):
        images = fluid.dygraph.to_variable(np.float32(split.images[:64, None] / 255))
        labels = fluid.dygraph.to_variable(split.labels[:64, None])
        each = fluid.layers.softmax_with_cross_entropy(model(images), labels)
        loss = fluid.layers.mean(each)
        loss.backward()
        optimizer.minimize(loss)
        model.clear_gradients()
        losses.append(float(loss.numpy()))
    assert losses[-1] < losses[0] / 2
    with pytest.raises(InputError, match="must be one of fc, lenet"):
        mnist.create_model("lenet6")


def test_it_trains_on_a_thread_without_handlers(tmp_path):
    results = []
    config = config_in(tmp_path)
    thread = threading.Thread(target=lambda: results.append(mnist.fit(config, small())))
    thread.start()
    thread.join(120)
    assert results[0]["eval"]["count"] == 60


def test_what_needs_processes_says_so(tmp_path):
    with pytest.raises(InputError, match=r"need python -m mnist\.train"):
        mnist.fit(config_in(tmp_path, "parallel.workers=2"), small())


class Kernel:
    """A notebook's kernel, as JupyterLab starts it; ``run`` gives a cell's text and its error."""

    def __init__(self, folder):
        # Not what this process has set for itself.
        nothing = dict.fromkeys(settings_of_paddle(1))
        variables = environment({**nothing, "FORCE_COLOR": "1"})
        self._manager, self._client = start_new_kernel(
            kernel_name="python3", cwd=str(folder), env=variables
        )

    def run(self, cell, until=None, timeout=240):
        number = self._client.execute(cell)
        text, error, asked = "", None, False
        deadline = time.monotonic() + timeout
        while True:
            message = self._client.get_iopub_msg(timeout=deadline - time.monotonic())
            if message["parent_header"].get("msg_id") != number:
                continue
            content, kind = message["content"], message["msg_type"]
            if kind == "status" and content["execution_state"] == "idle":
                return text, error
            if kind == "error":
                error = f"{content['ename']}: {content['evalue']}"
            shown = content.get("data", {})
            # A notebook shows the richer of the two.
            html = re.sub("<[^>]*>", "", shown.get("text/html", ""))
            text += content.get("text", "") or html or shown.get("text/plain", "")
            if until and until in text and not asked:
                asked = True
                self._manager.interrupt_kernel()

    def stop(self):
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("notebook"))
    yield kernel
    kernel.stop()


FIRST_CELL = f"""
import numpy, paddle
import mnist
config = mnist.load_config(None, "data.path={DIGITS}", "log.every_steps=1", "train.epochs=2")
data = mnist.load_data("{DIGITS}")
"""


def test_an_interrupted_cell_saves_and_the_kernel_lives(kernel):
    assert kernel.run(FIRST_CELL)[1] is None
    _, error = kernel.run("mnist.fit(config, data)", until="step 2/")
    assert error is not None and error.startswith("Interrupted: stopped by SIGINT"), error
    text, error = kernel.run("result = mnist.fit(config, data, resume='latest')")
    assert error is None and "resumed from checkpoints/step" in text
    assert "\x1b" not in text
    text, error = kernel.run("print(mnist.load_model().evaluate(data.eval).accuracy > 0.8)")
    assert (text, error) == ("True\n", None)


def test_a_paddle_that_was_there_first_gets_its_threads_and_says_so(kernel):
    text, _ = kernel.run(
        FIRST_CELL + "from mnist.fluid import environment, door\n"
        "print(environment.describe(), environment.threads_now())"
    )
    assert text.startswith("1 thread(s); Paddle was imported first; set after that: threads=1")
    assert "FLAGS_use_pinned_memory=0" in text and "too late for GLOG_minloglevel" in text
    text, _ = kernel.run("environment.prepare(2); print(environment.threads_now())")
    assert text == "2\n"


def test_what_the_document_says_runs_in_an_empty_folder(kernel):
    text = (ROOT / "docs" / "library.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    printed = []
    for block in ["%reset -f\n%mkdir anew\n%cd anew", *blocks]:
        output, error = kernel.run(block)
        assert error is None, (block, error)
        printed.append(output)
    accuracy, seven, labels, row = printed[1].splitlines()[-4:]
    assert float(accuracy) > 0.5 and seven.startswith("7 ") and labels.count(",") == 4
    assert row.startswith("{'digit': 0, 'support': ")
    assert [line.split()[:2] for line in printed[2].splitlines()] == [["1", "24"], ["2", "48"]]


def test_a_verb_in_a_cell_prints_what_a_notebook_can_show(kernel):
    settings = f"--set data.path={DIGITS} --set train.epochs=1 --set checkpoint.dir=other"
    text, _ = kernel.run(
        f"!{shlex.quote(sys.executable)} -m mnist.train --config configs/fast.yaml {settings}"
    )
    assert "epoch 1/1  train loss" in text
    assert "\x1b" not in text and "\r\r" not in text
