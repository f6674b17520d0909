"""The first line in a broken environment names the culprit and the fix."""

import glob
import os
import subprocess
import sys

import pytest
from helpers import DIGITS, ROOT, verb

from mnist.base import preflight

GOOD = {
    "paddlepaddle": "1.8.5",
    "numpy": "1.23.5",
    "protobuf": "3.20.3",
    "opencv-python-headless": "4.10.0.84",
    "pillow": "10.4.0",
    "scipy": "1.10.1",
    "tb-paddle": "0.4.0",
    "pydantic": "2.10.6",
    "pyyaml": "6.0.3",
    "click": "8.1.8",
    "rich": "14.3.4",
    "requests": "2.32.4",
    "filelock": "3.16.1",
    "pysimdjson": "5.0.2",
}
GPU = {**GOOD, "paddlepaddle-gpu": "1.8.5.post107"}
del GPU["paddlepaddle"]


def without(*names):
    return {name: version for name, version in GOOD.items() if name not in names}


@pytest.mark.parametrize(
    "versions",
    [
        GOOD,
        GPU,
        {**GOOD, "protobuf": "3.20.0", "numpy": "1.19.5"},
        {**GOOD, "protobuf": "3.12.0", "numpy": "1.17.3"},
        {**GOOD, "pillow": "11.0.0"},
        {**without("opencv-python-headless"), "opencv-python": "4.2.0.32"},
        dict.fromkeys(GOOD, preflight.UNKNOWN),
    ],
)
def test_sets_that_work_are_let_through(versions):
    assert preflight.problems(versions) == []


@pytest.mark.parametrize(
    ("name", "version", "fix"),
    [
        ("paddlepaddle", "2.6.2", "paddlepaddle==1.8.5"),
        ("paddlepaddle", "1.8.4", "paddlepaddle==1.8.5"),
        ("paddlepaddle", "1.8.50", "paddlepaddle==1.8.5"),
        ("protobuf", "3.21.0", "protobuf==3.20.3"),
        ("protobuf", "4.25.0", "protobuf==3.20.3"),
        ("protobuf", "5.29.5", "protobuf==3.20.3"),
        ("protobuf", "3.8.0", "protobuf==3.20.3"),
        ("numpy", "1.24.0", "numpy==1.23.5"),
        ("numpy", "1.24.4", "numpy==1.23.5"),
        ("numpy", "2.0.0rc1", "numpy==1.23.5"),
        ("pillow", "9.5.0", "Pillow==10.4.0"),
        ("pillow", "10.0.0", "Pillow==10.4.0"),
    ],
)
def test_a_wrong_version_is_named_with_its_fix(name, version, fix):
    (problem,) = preflight.problems({**GOOD, name: version})
    assert problem.startswith(f"{name} {version} ")
    assert problem.endswith(f"fix: python -m pip install {fix}")


def test_a_wrong_gpu_build_is_named_with_its_fix():
    (problem,) = preflight.problems({**GPU, "paddlepaddle-gpu": "2.0.0.post100"})
    assert "paddlepaddle-gpu 2.0.0.post100" in problem
    assert problem.endswith("pip install paddlepaddle-gpu==1.8.5.post107")


def test_two_builds_of_paddle_at_once_are_named():
    (problem,) = preflight.problems({**GOOD, **GPU})
    assert "both installed" in problem
    assert "pip uninstall -y paddlepaddle paddlepaddle-gpu" in problem


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_package_is_named(name):
    (problem,) = preflight.problems(without(name))
    assert problem.startswith(f"not installed: {name};")
    assert "./run" in problem


def test_all_missing_packages_are_in_one_line():
    (problem,) = preflight.problems({})
    assert all(name in problem for name in GOOD)
    assert "\n" not in problem


def test_two_wrong_versions_are_both_named():
    found = preflight.problems({**GOOD, "numpy": "1.24.4", "protobuf": "4.25.0"})
    assert len(found) == 2


@pytest.mark.parametrize("version", [(3, 7, 16), (3, 9, 18), (3, 11, 7), (2, 7, 18), (4, 0, 0)])
def test_another_python_is_named(version):
    (problem,) = preflight.python_problems(version)
    assert problem.startswith("Python {}.{}.{} ".format(*version))
    assert "./run" in problem


def test_python_38_is_right():
    assert preflight.python_problems((3, 8, 18)) == []


def test_this_environment_passes():
    preflight.check()


def test_the_first_folder_on_the_path_wins(tmp_path):
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
    fake(tmp_path / "first", "Tb_Paddle-1.0")
    fake(tmp_path / "second", "tb_paddle-2.0")
    fake(tmp_path / "second", "~umpy-3.1.4")
    (tmp_path / "second" / "click-7.0.dist-info").mkdir()  # what a broken removal leaves
    older = tmp_path / "second" / "PyYAML-3.1.4-py3.8.egg-info"
    older.mkdir()
    (older / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: PyYAML\nVersion: 3.1.4\n")
    paths = [str(tmp_path / "first"), str(tmp_path / "none"), str(tmp_path / "second")]
    found = preflight.installed(paths)
    assert (found["tb-paddle"], found["pyyaml"]) == ("1.0", "3.1.4")
    assert (found["click"], found["numpy"]) == (preflight.UNKNOWN, preflight.UNKNOWN)


def test_a_package_without_metadata_counts_as_there(tmp_path, monkeypatch):
    (tmp_path / "tb_paddle.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = preflight.installed([str(tmp_path)])
    assert found["tb-paddle"] == preflight.UNKNOWN


def in_a_subprocess(code, *flags, python=sys.executable, **env):
    return subprocess.run(
        [python, *flags, "-c", code],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )


CHECK = "from mnist.base import preflight; preflight.check_or_exit(); print('passed')"


def fake(folder, distribution):
    """A distribution that is first on PYTHONPATH, as a broken upgrade would leave it."""
    metadata = folder / f"{distribution}.dist-info"
    metadata.mkdir()
    name, version = distribution.split("-")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return os.pathsep.join([str(folder), str(ROOT)])


@pytest.mark.parametrize("distribution", ["protobuf-4.25.0", "numpy-1.24.4", "paddlepaddle-2.6.2"])
def test_a_wrong_distribution_on_the_path_ends_the_process_with_one_line(tmp_path, distribution):
    result = in_a_subprocess(CHECK, PYTHONPATH=fake(tmp_path, distribution))
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: {} {} ".format(*distribution.split("-")))
    assert line.endswith(f"; fix: take {tmp_path} off PYTHONPATH")


def test_what_lies_in_the_working_directory_hides_nothing(tmp_path):
    """A learner's own files have the names of what we, or Paddle, import."""
    for name in ("numpy", "paddle", "yaml", "click", "random", "queue", "cv2"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not what was meant')\n")
    pretrained = ROOT / "data" / "pretrained"
    verb("evaluate", "--checkpoint", pretrained, "--data", DIGITS, cwd=tmp_path, check=0)
    done = verb("train", "--help", cwd=tmp_path, env={"PYTHONPATH": f":{ROOT}"}, check=0)
    assert done.stdout.startswith("Usage: ")


def test_check_raises_for_those_who_import(tmp_path):
    code = (
        "from mnist.base import errors, preflight\n"
        "try:\n    preflight.check()\n"
        "except errors.InputError as error:\n    print(error.exit_code, error)"
    )
    result = in_a_subprocess(code, PYTHONPATH=fake(tmp_path, "protobuf-4.25.0"))
    assert result.stdout.startswith("2 protobuf 4.25.0 ")


def test_nothing_installed_at_all_is_one_line_too():
    result = in_a_subprocess(CHECK, "-S", PYTHONPATH=str(ROOT))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: not installed: paddlepaddle, numpy,")


def test_the_check_imports_nothing_that_might_be_broken():
    code = CHECK + "; import sys; print(sorted(sys.modules))"
    result = in_a_subprocess(code, PYTHONPATH=str(ROOT))
    assert result.stdout.startswith("passed\n")
    for module in ("paddle", "numpy", "click", "PIL", "cv2"):
        assert f"'{module}'" not in result.stdout


def other_pythons():
    """Interpreters of other versions on this machine that really start, by full path."""
    names = [f"python3.{minor}" for minor in (6, 7, 9, 10, 11, 12, 13, 14)]
    places = [os.path.expanduser("~/.pyenv/versions/*/bin"), *os.environ["PATH"].split(os.pathsep)]
    found = [path for place in places for name in names for path in glob.glob(f"{place}/{name}")]
    return [path for path in found if in_a_subprocess("", python=path).returncode == 0]


@pytest.mark.parametrize("verb", ["train", "predict", "evaluate"])
def test_a_verb_under_another_python_says_so_first(verb):
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no Python other than 3.8 on this machine")
    for python in {pythons[0], pythons[-1]}:
        result = subprocess.run(
            [python, "-m", f"mnist.{verb}", "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 2
        assert result.stderr.startswith("error: Python 3.")
        assert len(result.stderr.splitlines()) == 1


def run_package(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "mnist", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip


def test_the_package_alone_lists_its_verbs():
    result = run_package()
    for name in ("prepare", "train", "evaluate", "predict"):
        assert f"\n  {name} " in result.stdout + result.stderr


def test_a_verb_given_to_the_package_is_that_verb():
    result = run_package("train")
    assert result.returncode == 2
    assert "name a --config to train" in result.stderr
