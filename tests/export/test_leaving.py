"""docs/leaving.md: what it shows is run, where the other side is installed."""

import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from helpers import PROJECT, ROOT, digits, environment, save_checkpoint

from mnist.checkpoints import reading
from mnist.export import bundle
from mnist.model.predictor import Predictor

TEXT = (ROOT / "docs" / "leaving.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
(PAGE,) = re.findall(r"^```html\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)

# Where to find what this project does not install.
TORCH = "MNIST_TORCH_PYTHON"
PADDLE = "MNIST_PADDLE2_PYTHON"
PADDLE_3 = "MNIST_PADDLE3_PYTHON"
NODE_MODULES = "MNIST_NODE_MODULES"
CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with ``exported`` and ``digit.npy``, and that digit's probabilities."""
    folder = tmp_path_factory.mktemp("leaving")
    path = save_checkpoint(folder / "checkpoints", "model.name=lenet5")
    bundle.export(reading.load(path), folder / "exported")
    digit = digits().eval.images[:1]
    np.save(folder / "digit.npy", digit[0])
    return folder, Predictor(path).probabilities(digit)[0]


def snippet_with(text):
    (snippet,) = [snippet for snippet in PYTHON if text in snippet]
    return snippet


def run(python, snippet, folder, env):
    done = subprocess.run(
        [python, "-c", snippet],
        cwd=str(folder),
        env=env,
        text=True,
        timeout=240,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def assert_it_says(expected, printed):
    digit, probability = printed.split()[:2]
    assert int(digit) == expected.argmax()
    assert abs(float(probability) - expected.max()) < 1e-4


def python_from(variable):
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no Python with the package")
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return python, clean


@pytest.mark.parametrize("needed", ["import onnxruntime", "import cv2", "load_inference_model(",
                                    "create_paddle_predictor("])  # fmt: skip
def test_what_runs_here(exported, needed):
    folder, expected = exported
    snippet = snippet_with(needed)
    assert_it_says(expected, run(sys.executable, snippet, folder, environment()))


def test_a_picture_in_mnist_form(tmp_path):
    (tmp_path / "data").symlink_to(PROJECT / "data")
    snippet = snippet_with("read_digit")
    run(sys.executable, snippet, tmp_path, environment())
    digit = np.load(tmp_path / "digit.npy")
    assert digit.shape == (28, 28) and digit.dtype == np.uint8


@pytest.mark.parametrize("needed", ["create_predictor(", "class LeNet5(paddle"])
@pytest.mark.parametrize("variable", [PADDLE, PADDLE_3])
def test_paddle_2_and_3(exported, needed, variable):
    folder, expected = exported
    snippet = snippet_with(needed)
    python, env = python_from(variable)
    assert_it_says(expected, run(python, snippet, folder, env))


@pytest.mark.parametrize("variable", [PADDLE, PADDLE_3])
def test_paddle_2_and_3_read_with_the_pretrained_model(exported, variable):
    folder, _ = exported
    python, env = python_from(variable)
    (folder / "data").exists() or (folder / "data").symlink_to(PROJECT / "data")
    digit = np.load(folder / "digit.npy")
    expected = Predictor(PROJECT / "data" / "pretrained").probabilities(digit[None])[0].argmax()
    assert run(python, snippet_with("class ConvNet"), folder, env).split() == [str(expected)]


def test_pytorch(exported):
    folder, expected = exported
    snippet = snippet_with("import torch")
    python, env = python_from(TORCH)
    assert_it_says(expected, run(python, snippet, folder, env))


def test_every_snippet_is_in_a_test():
    assert len(PYTHON) == 9


def test_the_page_in_a_browser(exported, tmp_path):
    modules = os.environ.get(NODE_MODULES)
    if not modules:
        pytest.skip(f"{NODE_MODULES} names no folder with onnxruntime-web")
    if not CHROMIUM or not CHROMEDRIVER:
        pytest.skip("chromium or chromedriver is not installed")
    folder, expected = exported
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text(PAGE)
    (tmp_path / "site" / "exported").symlink_to(folder / "exported")
    (tmp_path / "site" / "node_modules").symlink_to(modules)
    digit = digits().eval.images[0]
    with serving(tmp_path / "site") as address, chromium(tmp_path / "profile") as browser:
        browser.get(address)
        wait_until(browser, lambda: answer(browser) == "draw a digit")
        found = browser.execute_async_script(
            "probabilities(arguments[0]).then(arguments[1])", digit.ravel().tolist()
        )
        np.testing.assert_allclose(found, expected, atol=1e-4)
        draw_a_seven(browser)
        wait_until(browser, lambda: re.fullmatch(r"\d \(\d+\.\d%\)", answer(browser)))


@contextmanager
def serving(folder):
    """A folder on a port of 127.0.0.1, for as long as the ``with`` block lasts."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def chromium(profile):
    """A headless Chromium with a new profile, for as long as the ``with`` block lasts."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(flag)
    browser = webdriver.Chrome(service=Service(CHROMEDRIVER), options=options)
    try:
        yield browser
    finally:
        browser.quit()


def answer(browser):
    return browser.find_element("id", "answer").text


def wait_until(browser, is_so):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(lambda _: is_so())


def draw_a_seven(browser):
    from selenium.webdriver.common.action_chains import ActionChains

    paper = browser.find_element("id", "paper")
    stroke = ActionChains(browser, duration=20)
    stroke.move_to_element_with_offset(paper, -70, -90).click_and_hold()
    for x, y in ((0, -90), (60, -90), (40, -30), (10, 40), (-10, 100)):
        stroke.move_to_element_with_offset(paper, x, y)
    stroke.release().perform()
