"""A clone works whatever Git is told about line endings."""

import subprocess
import sys

import pytest
from helpers import ROOT, environment


def git(*arguments, cwd=ROOT):
    done = subprocess.run(
        ["git", *map(str, arguments)], cwd=str(cwd), capture_output=True, text=True, timeout=120
    )
    return done.stdout if done.returncode == 0 else None


@pytest.fixture(scope="module", params=["core.autocrlf=true", "core.eol=crlf"])
def clone(request, tmp_path_factory):
    try:
        top = git("rev-parse", "--show-toplevel")
    except FileNotFoundError:
        top = None
    if top is None or top.rstrip("\n") != str(ROOT):
        pytest.skip("this is no clone, or Git is not here")
    folder = tmp_path_factory.mktemp("clone") / "project"
    git("clone", "--quiet", "--config", request.param, ROOT, folder)
    return folder


def test_no_file_of_a_clone_has_the_line_endings_of_windows(clone):
    rows = [line.split() for line in git("ls-files", "--eol", cwd=clone).splitlines()]
    assert len(rows) > 200
    assert [row[-1] for row in rows if row[1] in ("w/crlf", "w/mixed")] == []
    assert git("status", "--porcelain", cwd=clone) == ""


def test_run_starts_in_a_clone(clone):
    done = subprocess.run([str(clone / "run")], stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage: ./run")


def test_the_pretrained_checkpoint_of_a_clone_is_whole(clone):
    code = "import sys; from mnist.checkpoints import reading; reading.load(sys.argv[1])"
    path = clone / "data" / "pretrained"
    subprocess.run([sys.executable, "-c", code, str(path)], env=environment(), check=True)
