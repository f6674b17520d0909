"""What holds for every verb."""

import importlib
import re
import subprocess
import sys

import click
import pytest
from helpers import TINY, environment, verb


@pytest.mark.parametrize(
    "name", ["train", "predict", "evaluate", "prepare", "report", "export", "serve"]
)
def test_help_needs_no_paddle(tmp_path, name):
    script = f"""
import sys
sys.argv = ["mnist.{name}", "--help"]
import runpy
try:
    runpy.run_module("mnist.{name}", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code
heavy = [m for m in ("paddle", "numpy", "pydantic", "requests", "cv2") if m in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=str(tmp_path), env=environment(),
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.parametrize(
    "name", ["train", "prepare", "predict", "evaluate", "report", "export", "serve"]
)
def test_a_tilde_is_the_home_folder_wherever_a_path_is_given(name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    module = importlib.import_module(f"mnist.{name}.__main__")
    command = next(value for value in vars(module).values() if isinstance(value, click.Command))
    is_path = re.compile("FILE|DIR|CHECKPOINT|FOLDER|RUN")
    paths = [param for param in command.params if is_path.search(param.metavar or "")]
    assert paths
    for param in paths:
        assert param.type.convert("~/x", param, None) == "/home/somebody/x", param.name


def test_what_is_written_goes_into_the_home_folder(tmp_path):
    home = {"HOME": str(tmp_path / "home")}
    paths = ["--set", "checkpoint.dir=~/c", "--set", "log.dir=~/l"]
    verb("train", "--config", "configs/quickstart.yaml", *TINY, *paths, cwd=tmp_path, env=home,
         check=0)  # fmt: skip
    verb("report", "~/c/best", "--output=~/r.html", cwd=tmp_path, env=home, check=0)
    assert sorted(path.name for path in (tmp_path / "home").glob("[!.]*")) == ["c", "l", "r.html"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
