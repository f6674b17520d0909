"""Processors and OpenCV's threads, and what else has one place in the code."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers import ROOT, environment, small

from mnist import config as configs
from mnist.base import processors
from mnist.pictures import files
from mnist.train import loop


@pytest.fixture(autouse=True)
def opencv_with_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def opencv_threads(_):
    return cv2.getNumThreads()


def test_only_processors_that_this_process_may_use_are_counted():
    allowed = os.sched_getaffinity(0)
    assert processors.count() == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert processors.count() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_an_import_leaves_opencv_as_it_is():
    script = "import cv2; cv2.setNumThreads(3); import mnist.train.loop; print(cv2.getNumThreads())"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), check=True, capture_output=True,
        text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "3\n"


def test_predicts_workers_take_one_thread_each_also_after_opencvs_threads_were_at_work():
    cv2.GaussianBlur(np.zeros((2000, 2000), np.float32), (0, 0), 9)
    names = ["x"] * files.FEW
    with files.reading(names, opencv_threads) as results:
        assert list(results) == [("x", 1)] * len(names)


def test_a_training_takes_one(tmp_path):
    settings = ["train.epochs=1", f"checkpoint.dir={tmp_path}/c", f"log.dir={tmp_path}/l"]
    loop.train(configs.default(settings), small())
    assert cv2.getNumThreads() == 1


@pytest.mark.parametrize(
    "text, only",
    [
        ("cpu_count", []),
        ("sched_getaffinity", ["processors.py"]),
        ("setNumThreads", ["processors.py"]),
        # Paddle's own shares its memory with the array.
        ("dygraph.to_variable(", ["door.py"]),
    ],
)
def test_what_is_easily_done_wrong_is_done_in_one_place(text, only):
    found = [path.name for path in (ROOT / "mnist").rglob("*.py") if text in path.read_text()]
    assert found == only
