"""What holds for every verb."""

import importlib
import os
import re
import shlex
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete
from helpers import ROOT, SAMPLES, TINY, environment, one_line, verb

from mnist import config as configs
from mnist.__main__ import VERBS, verbs


def command_of(name):
    return importlib.import_module(f"mnist.{name}.__main__").main


def mnist(*arguments, cwd, check):
    """``python -m mnist …``, as the command ``mnist`` runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "mnist", *map(str, arguments)],
        cwd=str(cwd), env=environment(), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == check, done.stderr
    return done


@pytest.mark.parametrize("name", VERBS)
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


@pytest.mark.parametrize("name", VERBS)
def test_a_tilde_is_the_home_folder_wherever_a_path_is_given(name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    command = command_of(name)
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


@pytest.mark.parametrize("name", VERBS)
def test_help_ends_with_two_examples_that_the_verb_accepts(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    command = command_of(name)
    shown = command.get_help(click.Context(command, info_name=f"python -m mnist.{name}"))
    examples = shown.partition("\n  Examples:\n")[2].splitlines()
    assert len(examples) == 2
    for example in examples:
        python, *arguments = shlex.split(example)
        assert [python, *arguments[:2]] == ["python", "-m", f"mnist.{name}"]
        found = command.make_context(name, arguments[2:]).params
        if found.get("config_path"):
            assert configs.load(found["config_path"])


def test_the_command_mnist_has_all_verbs_each_with_a_whole_sentence(tmp_path):
    shown = mnist("--help", cwd=tmp_path, check=0).stdout
    listed = re.findall(r"^  (\w+)  +(\S.+)$", shown.partition("Commands:")[2], re.MULTILINE)
    assert [name for name, _ in listed] == VERBS
    assert not [says for _, says in listed if "..." in says]
    folders = {path.parent.name for path in ROOT.glob("mnist/*/__main__.py")}
    assert folders == set(VERBS)


def test_the_command_mnist_does_what_the_verb_does(tmp_path):
    arguments = [SAMPLES / "seven.png", "--checkpoint", ROOT / "data" / "pretrained", "--json"]
    alone = verb("predict", *arguments, cwd=tmp_path, check=0)
    assert mnist("predict", *arguments, cwd=tmp_path, check=0).stdout == alone.stdout
    refused = mnist("train", "--config", "nowhere.yaml", "--debug", cwd=tmp_path, check=2)
    assert "Traceback" in refused.stderr


def test_several_processes_are_started_by_the_command_mnist_too(tmp_path):
    settings = [*TINY, "--set", "parallel.workers=2", "--set", "train.epochs=1"]
    done = mnist("train", "--config", "configs/quickstart.yaml", *settings, cwd=tmp_path, check=0)
    assert "best on valid" in done.stdout and done.stdout.count("device ") == 1


@pytest.mark.parametrize(
    "arguments, nearest",
    [
        (["trian"], "(nearest: train)"),
        (["train", "--confg", "x"], "Did you mean --config?"),
        (["train", "--config", "configs/quikstart.yaml"], "(nearest: configs/quickstart.yaml)"),
        (["train", "--config", "adm"], "(nearest: configs/adam.yaml)"),
        (["train", "--config", "mine.yml"], "(nearest: mine2.yaml)"),
        (["train", "--config", "configs/best.yaml", "--model", "lenet4"], "'lenet', 'lenet5'"),
        (["evaluate", "--split", "evla"], "'train', 'valid', 'eval'"),
    ],
)
def test_what_is_mistyped_gets_the_nearest(tmp_path, arguments, nearest):
    (tmp_path / "mine2.yaml").write_text("")
    assert nearest in one_line(mnist(*arguments, cwd=tmp_path, check=2).stderr)


def test_models_and_optimizers_to_choose_from_are_those_of_the_config():
    options = {param.name: param for param in command_of("train").params}
    for name in ("model", "optimizer"):
        ours = [choice for choice in configs.CHOICES[name] if ":" not in choice]
        assert options[name].type.choices == ours


def test_a_chosen_model_and_optimizer_are_trained(tmp_path):
    choices = ["--model", "fc", "--optimizer", "sgd", "--set", "train.epochs=1", "--seed", "3"]
    verb("train", "--config", "configs/quickstart.yaml", *choices, cwd=tmp_path, check=0)
    kept = (tmp_path / "checkpoints" / "epoch1" / "state.json").read_text()
    assert '"name": "fc"' in kept and '"name": "sgd"' in kept and '"seed": 3' in kept


@pytest.mark.parametrize(
    "words, incomplete, expected",
    [
        ([], "e", ["evaluate", "export"]),
        (["train"], "--mod", ["--model"]),
        (["train", "--model"], "le", ["lenet", "lenet5"]),
        (["evaluate", "--split"], "", ["train", "valid", "eval"]),
    ],
)
def test_tab_completes_verbs_options_and_choices(words, incomplete, expected):
    completing = ShellComplete(verbs, {}, "mnist", "_MNIST_COMPLETE")
    assert [item.value for item in completing.get_completions(words, incomplete)] == expected


def test_tab_completes_files():
    completing = ShellComplete(verbs, {}, "mnist", "_MNIST_COMPLETE")
    (item,) = completing.get_completions(["train", "--config"], "con")
    assert item.type == "file"


def test_before_anything_is_trained_pictures_are_read_by_the_model_of_the_project(tmp_path):
    done = verb("predict", SAMPLES / "seven.png", cwd=tmp_path, check=0)
    assert done.stdout.startswith(f"{SAMPLES / 'seven.png'}: 7 ")
    (said,) = done.stderr.splitlines()
    assert said.startswith("WARNING: no checkpoint in ") and "data/pretrained is used" in said
    # Once there is one, even a damaged one, nothing is read by another.
    os.makedirs(str(tmp_path / "checkpoints" / "epoch1"))
    damaged = verb("predict", SAMPLES / "seven.png", cwd=tmp_path, check=2)
    assert "there is no whole checkpoint" in damaged.stderr
