"""The data set that a config names: there, made, or the one to fall back to."""

import os

import numpy as np
import pytest

from mnist.base.errors import Failure, InputError
from mnist.config.schema import DataConfig
from mnist.data import course_json, obtain


@pytest.fixture
def no_mirrors(monkeypatch):
    monkeypatch.setenv("MNIST_MIRRORS", "http://127.0.0.1:9/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.json.gz"
    images, labels = np.full((2, 28, 28), 7, np.uint8), np.array([1, 2])
    course_json.write(path, [(images, labels)] * 3)
    return path


def test_obtains_the_file_that_is_there(small, capsys):
    data = obtain.obtain(DataConfig(path=str(small), fallback="other"))
    assert (len(data.train), data.source, data.fallback) == (2, small, None)
    assert capsys.readouterr() == ("", "")


def test_falls_back_loudly_when_nothing_can_be_downloaded(tmp_path, small, no_mirrors, capsys):
    missing = str(tmp_path / "mnist.json.gz")
    data = obtain.obtain(DataConfig(path=missing, fallback=str(small)))
    assert data.source == small
    reason = "does not exist and cannot be made (no mirror of MNIST"
    assert data.fallback.startswith(f"{missing} {reason}")
    warning = capsys.readouterr().err
    assert warning.startswith(f"WARNING: NOT TRAINING ON {missing}, which {reason}")
    assert str(small) in warning and warning.count("\n") == 1


def test_falls_back_at_once_if_nothing_is_to_be_prepared(tmp_path, small, capsys):
    missing = str(tmp_path / "mnist.json.gz")
    config = DataConfig(path=missing, fallback=str(small), prepare=False)
    data = obtain.obtain(config)
    assert data.source == small
    assert data.fallback == f"{missing} does not exist (python -m mnist.prepare makes it)"
    assert capsys.readouterr().out == ""


def test_without_a_fallback_a_missing_file_is_an_error(tmp_path, no_mirrors):
    missing = str(tmp_path / "mnist.json.gz")
    with pytest.raises(Failure, match="no mirror of MNIST can be reached"):
        obtain.obtain(DataConfig(path=missing))
    with pytest.raises(InputError, match=r"does not exist .*data\.fallback"):
        obtain.obtain(DataConfig(path=missing, prepare=False))
    assert os.listdir(tmp_path) == []


def test_a_mistyped_name_brings_no_download_under_it(small):
    mistyped = small.parent / "smal.json.gz"
    with pytest.raises(InputError, match=f"nearest: {small}"):
        obtain.obtain(DataConfig(path=str(mistyped)))


@pytest.mark.parametrize(
    "name", ["fashion-mnist.json.gz", "MNIST.json.gz", "mnist2.json.gz", "mnist.json", "mnist.gz"]
)
def test_mnist_is_made_under_its_own_name_only(tmp_path, no_mirrors, name):
    nearest = tmp_path / "mnist.json.gz"
    with pytest.raises(InputError, match=rf"does not exist \(nearest: {nearest}\)"):
        obtain.obtain(DataConfig(path=str(tmp_path / name)))
    assert os.listdir(tmp_path) == []


def test_a_damaged_file_is_never_covered_up_by_the_fallback(tmp_path, small):
    damaged = tmp_path / "mnist.json.gz"
    damaged.write_bytes(small.read_bytes()[:-1])
    with pytest.raises(InputError, match="file ended before the end"):
        obtain.obtain(DataConfig(path=str(damaged), fallback=str(small)))
