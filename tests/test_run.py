"""./run: a copy of the script in a folder of its own, with a stand-in for Python 3.8."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from mnist.__main__ import VERBS

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "run"

# What ./run calls besides Python. Nothing else is on its PATH here, so that no Python 3.8 of
# the machine can be found.
TOOLS = ["bash", "cat", "chmod", "cp", "cut", "df", "dirname", "echo", "env", "grep", "mkdir", "mv"]
TOOLS += ["readlink", "rm", "rmdir", "sh", "sleep", "tail", "true", "uname"]

# Does in a moment what Python does in half a minute, and writes down what it was asked.
STAND_IN = """\
#!/bin/sh
for last; do :; done
case "$*" in
    *ensurepip*) echo probe >>"$CALLS"; [ -z "$INCOMPLETE" ] || exit 4; echo "$0" ;;
    *libgomp.so*) [ -z "$NO_LIBGOMP" ] ;;
    *'-m venv'*) echo venv >>"$CALLS"; mkdir -p "$last/bin" "$last/lib/python3.8/site-packages"
        cp "$0" "$last/bin/python" ;;
    *'-m pip'*) echo pip >>"$CALLS"; sleep "${PIP_SECONDS:-0}"
        [ -z "$PIP_FAILS" ] || { echo "ERROR: $PIP_FAILS"; exit 1; } ;;
    *'-m compileall'*) ;;
    *) exec "$REAL_PYTHON" "$@" ;;
esac
"""
BROKEN_SHIM = "#!/bin/sh\necho 'pyenv: python3.8: command not found' >&2\nexit 127\n"


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Project:
    """A project folder with nothing but ./run and two locks."""

    def __init__(self, root):
        self.root = root
        self.folder = root / "a folder" / "project"
        self.folder.mkdir(parents=True)
        shutil.copy(RUN, self.folder / "run")
        for lock in ("requirements.lock", "requirements-dev.lock"):
            (self.folder / lock).write_text("# nothing to install\n")
        tools = root / "tools"
        tools.mkdir()
        for tool in TOOLS:
            (tools / tool).symlink_to(shutil.which(tool))
        self.calls = root / "calls"
        self.calls.touch()
        self.home = root / "home"
        self.home.mkdir()
        self.env = {
            "PATH": str(tools),
            "HOME": str(self.home),
            "CALLS": str(self.calls),
            "REAL_PYTHON": sys.executable,
        }

    def add_to_path(self, name, text):
        folder = self.root / f"bin{self.env['PATH'].count(':')}"
        self.env["PATH"] += f":{folder}"
        return write_program(folder / name, text)

    def start(self, *command, cwd=None, script=None, **env):
        return subprocess.Popen(
            [str(script or self.folder / "run"), *command],
            cwd=str(cwd or self.root),
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,
        )

    def run(self, *command, **options):
        process = self.start(*command, **options)
        output, errors = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def count(self, call):
        return self.calls.read_text().split().count(call)

    @property
    def venv(self):
        return self.folder / ".venv"


@pytest.fixture
def bare(tmp_path):
    """A project on a machine without Python 3.8."""
    return Project(tmp_path)


@pytest.fixture
def project(bare):
    """A project on a machine with a Python 3.8 on PATH."""
    bare.add_to_path("python3.8", STAND_IN)
    return bare


def one_line(result):
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert result.stdout == ""
    return lines[0]


def test_the_first_call_makes_the_environment_and_later_ones_use_it(project):
    first = project.run("echo", "hello  world")
    assert (first.returncode, first.stdout) == (0, "hello  world\n")
    assert "making .venv" in first.stderr
    again = project.run("echo", "hello  world")
    assert (again.returncode, again.stdout, again.stderr) == (0, "hello  world\n", "")
    assert project.calls.read_text().split() == ["probe", "venv", "pip"]


def test_the_command_gets_the_environment_and_keeps_its_working_directory(project, tmp_path):
    script = 'echo "$VIRTUAL_ENV"; echo "$PATH"; echo "${PYTHONHOME-unset}"; pwd'
    result = project.run("sh", "-c", script, PYTHONHOME="/nowhere")
    virtual_env, path, python_home, folder = result.stdout.splitlines()
    assert virtual_env == str(project.venv)
    assert path.split(":")[0] == str(project.venv / "bin")
    assert python_home == "unset"
    assert folder == str(tmp_path)


def test_it_works_through_a_symbolic_link_and_by_a_relative_path(project, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("a folder/project/run")
    assert project.run("echo", "1", script=link).stdout == "1\n"
    assert project.run("echo", "2", cwd=project.folder, script="./run").stdout == "2\n"
    assert project.count("pip") == 1


def test_exit_codes_and_signals_pass_through(project):
    assert project.run("sh", "-c", "exit 7").returncode == 7
    assert project.run("sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    assert project.run("no-such-command").returncode == 127


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_alone_it_shows_the_usual_commands_and_makes_nothing(project, arguments):
    result = project.run(*arguments)
    assert result.returncode == 0
    assert "usage: ./run COMMAND" in result.stdout
    for verb in VERBS:
        assert f"python -m mnist.{verb}" in result.stdout
    assert not project.venv.exists()


def test_a_changed_lock_remakes_the_environment(project):
    project.run("true")
    (project.folder / "requirements-dev.lock").write_text("# something else\n")
    result = project.run("true")
    assert result.returncode == 0
    assert "made anew" in result.stderr
    assert project.count("pip") == 2
    assert not (project.folder / ".venv.old").exists()
    assert project.run("true").stderr == ""


def test_a_moved_folder_remakes_the_environment(project):
    project.run("true")
    moved = project.folder.parent / "moved"
    project.folder.rename(moved)
    result = project.run("sh", "-c", "echo $VIRTUAL_ENV", script=moved / "run")
    assert result.stdout == f"{moved}/.venv\n"
    assert project.count("pip") == 2


def test_a_vanished_interpreter_remakes_the_environment(project):
    project.run("true")
    (project.venv / "bin" / "python").unlink()
    assert project.run("true").returncode == 0
    assert project.count("pip") == 2


def test_an_interrupted_installation_starts_over(project):
    process = project.start("true", PIP_SECONDS="60")
    deadline = time.monotonic() + 30
    while not project.count("pip"):
        assert time.monotonic() < deadline, "pip was never called"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert project.venv.exists()
    result = project.run("echo", "done")
    assert (result.returncode, result.stdout) == (0, "done\n")
    assert "interrupted" in result.stderr
    assert project.count("pip") == 2


def test_ctrl_c_leaves_no_half_made_environment(project):
    process = project.start("true", PIP_SECONDS="60")
    while not project.count("pip"):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "interrupted" in errors
    assert not project.venv.exists()


def test_two_at_once_make_one_environment(project):
    processes = [project.start("echo", "hello", PIP_SECONDS="0.5") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [output for output, _ in outputs] == ["hello\n", "hello\n"]
    assert project.count("pip") == 1
    assert sum("waiting" in errors for _, errors in outputs) == 1


def test_a_failing_pip_shows_its_last_lines_and_leaves_nothing(project):
    result = project.run("true", PIP_FAILS="no such wheel")
    assert result.returncode == 1
    assert result.stdout == ""
    last_words, summary = result.stderr.splitlines()[-2:]
    assert last_words == "ERROR: no such wheel"
    assert "making .venv failed" in summary
    assert not project.venv.exists()
    assert project.run("true").returncode == 0


def test_a_failing_pip_keeps_the_previous_environment(project):
    project.run("true")
    lock = project.folder / "requirements.lock"
    before = lock.read_text()
    lock.write_text("# asks for too much\n")
    assert project.run("true", PIP_FAILS="no such wheel").returncode == 1
    lock.write_text(before)
    result = project.run("echo", "still here")
    assert (result.stdout, result.stderr) == ("still here\n", "")


def is_told_of_the_disk(result):
    assert result.returncode == 1
    making, line = result.stderr.splitlines()
    assert "making .venv" in making
    assert "no space left" in line and "make room" in line and "network" not in line


@pytest.mark.parametrize(
    "words", ["[Errno 28] No space left on device", "[Errno 122] Disk quota exceeded: 'x'"]
)
def test_a_full_disk_is_told_as_such(project, words):
    is_told_of_the_disk(project.run("true", PIP_FAILS=words))
    assert not project.venv.exists()


@pytest.mark.parametrize("full", ["project", "tmp"])
def test_a_full_disk_of_which_nobody_speaks_is_told_too(project, full):
    """Where venv fails it keeps the reason to itself; df knows."""
    df = write_program(
        project.root / "first" / "df",
        "#!/bin/sh\nfor last; do :; done\n"
        'case "$last" in */project) free=$PROJECT_FREE ;; *) free=$TMP_FREE ;; esac\n'
        'echo "Filesystem 1024-blocks Used Available Capacity Mounted on"\n'
        'echo "//a host/a share  9999999 9999999   $free  99% /mnt/a disk"\n',
    )
    kilobytes = {"project": {"PROJECT_FREE": "4096"}, "tmp": {"TMP_FREE": "200000"}}[full]
    is_told_of_the_disk(
        project.run(
            "true",
            PATH=f"{df.parent}:{project.env['PATH']}",
            PIP_FAILS="exit status 1",
            **{"PROJECT_FREE": "9000000", "TMP_FREE": "9000000", **kilobytes},
        )
    )


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_a_foreign_environment_is_left_alone(project, kind, tmp_path):
    if kind == "folder":
        project.venv.mkdir()
        (project.venv / "mine").write_text("precious")
    elif kind == "file":
        project.venv.write_text("precious")
    else:
        project.venv.symlink_to(tmp_path / "elsewhere")
    result = project.run("true")
    assert result.returncode == 2
    assert "was not made by ./run" in one_line(result)
    assert os.path.lexists(str(project.venv))
    assert project.count("venv") == 0
    if kind == "folder":
        assert (project.venv / "mine").read_text() == "precious"


def test_an_empty_folder_is_nobodys(project):
    project.venv.mkdir()
    assert project.run("true").returncode == 0


def names_the_three_ways(line):
    assert "no Python 3.8 found" in line and "docs/setup.md" in line
    return all(
        way in line for way in ("pyenv install 3.8", "conda create", "uv python install 3.8")
    )


def test_no_python_says_how_to_get_one(bare):
    result = bare.run("true")
    assert result.returncode == 2
    assert names_the_three_ways(one_line(result))


# Any Python 3 with pip, which can install one thing: a uv that gets a Python 3.8 like STAND_IN.
PIP_STAND_IN = """\
#!/bin/sh
case "$*" in
    *ensurepip*) exit 3 ;;
    *'-m pip --version') ;;
    *'-m pip install'*) echo "pip of another Python" >>"$CALLS"
        [ -z "$NO_NETWORK" ] || { echo "ERROR: No matching distribution found"; exit 1; }
        while [ "$1" != --target ]; do shift; done
        mkdir -p "$2/bin" && cp "$UV" "$2/bin/uv" ;;
    *) exec "$REAL_PYTHON" "$@" ;;
esac
"""
UV_STAND_IN = """\
#!/bin/sh
case "$(pwd) $*" in
    *--version) exit 0 ;;
    '/ python find 3.8') exit 2 ;;
    '/ python install 3.8') echo "uv install" >>"$CALLS"
        [ -z "$NO_DOWNLOAD" ] || { printf 'error: no luck\\n  Caused by: HTTP 404\\n' >&2; exit 1; }
        root=${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}/cpython-3.8.20-linux/bin
        mkdir -p "$root" && cp "$STAND_IN" "$root/python3.8" ;;
esac
"""


@pytest.fixture
def without(bare):
    """A project on a machine without Python 3.8 and with what can get one."""
    for name, text in (("UV", UV_STAND_IN), ("STAND_IN", STAND_IN)):
        bare.env[name] = str(write_program(bare.root / "stand-ins" / name, text))
    return bare


def test_where_there_is_no_python_38_any_other_gets_one_once(without):
    without.add_to_path("python3", PIP_STAND_IN)
    first = without.run("echo", "hello")
    assert (first.returncode, first.stdout) == (0, "hello\n"), first.stderr
    getting, making = first.stderr.splitlines()[:2]
    assert "no Python 3.8 found" in getting and f"into {without.folder}/.python" in getting
    assert f"making .venv with {without.folder}/.python/cpython-3.8.20-linux" in making
    assert without.count("uv") == 1 and not (without.folder / ".venv.log").exists()
    shutil.rmtree(str(without.venv))
    again = without.run("true")
    assert again.returncode == 0 and "getting one" not in again.stderr
    assert without.count("uv") == 1


def test_the_uv_that_is_there_is_used_and_keeps_its_own_place(without):
    without.add_to_path("python3", PIP_STAND_IN)
    without.add_to_path("uv", UV_STAND_IN)
    result = without.run("true")
    assert result.returncode == 0, result.stderr
    assert "uv gets one" in result.stderr and f"{without.home}/.local/share/uv" in result.stderr
    assert without.calls.read_text().split("\n")[0] == "uv install"
    assert not (without.folder / ".python").exists()


def test_a_shim_that_is_no_uv_is_passed_over(without):
    without.add_to_path("uv", BROKEN_SHIM)
    without.add_to_path("python3", PIP_STAND_IN)
    assert without.run("true").returncode == 0


def test_another_python_without_pip_gets_nothing(without):
    without.add_to_path("python3", '#!/bin/sh\necho "No module named pip" >&2; exit 1\n')
    result = without.run("true")
    assert result.returncode == 2 and names_the_three_ways(one_line(result))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("NO_NETWORK", "ERROR: No matching distribution"), ("NO_DOWNLOAD", "Caused by: HTTP 404")],
)
def test_what_cannot_be_got_is_one_line_with_the_reason_and_the_three_ways(without, fault, reason):
    without.add_to_path("python3", PIP_STAND_IN)
    result = without.run("true", **{fault: "1"})
    _, line = result.stderr.splitlines()
    assert result.returncode == 2 and reason in line and names_the_three_ways(line)
    assert without.run("true").returncode == 0


def test_two_at_once_get_one_python(without):
    without.add_to_path("python3", PIP_STAND_IN)
    processes = [without.start("echo", "hello", PIP_SECONDS="0.5") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [output for output, _ in outputs] == ["hello\n", "hello\n"], outputs
    assert without.calls.read_text().count("pip of another Python") == 1


def test_a_shim_that_is_no_interpreter_is_passed_over(bare):
    for name in ("python3.8", "python3", "python"):
        bare.add_to_path(name, BROKEN_SHIM)
    assert bare.run("true").returncode == 2
    real = bare.add_to_path("python3.8", STAND_IN)
    assert str(real) in bare.run("true").stderr


def test_another_version_is_passed_over(bare):
    program = '#!/bin/sh\nexec "$REAL_PYTHON" -c "import sys; sys.exit(3)"\n'
    bare.add_to_path("python3", program)
    assert "no Python 3.8 found" in one_line(bare.run("true"))


PLACES = [
    "home/.pyenv/versions/3.8.18/bin/python3.8",
    "pyenv root/versions/3.8.2/bin/python3.8",
    "home/.local/share/uv/python/cpython-3.8.20-linux-x86_64-gnu/bin/python3.8",
    "home/miniconda3/envs/old/bin/python3.8",
    "home/anaconda3/bin/python3.8",
    "home/miniforge3/envs/py38/bin/python3.8",
    "active conda/bin/python3.8",
]


@pytest.mark.parametrize("place", PLACES)
def test_interpreters_off_the_path_are_found(bare, place):
    found = write_program(bare.root / place, STAND_IN)
    variables = {"PYENV_ROOT": "pyenv root", "CONDA_PREFIX": "active conda"}
    env = {name: str(bare.root / folder) for name, folder in variables.items()}
    result = bare.run("true", **env)
    assert result.returncode == 0, result.stderr
    assert str(found) in result.stderr


def test_conda_and_uv_are_asked(bare):
    base = bare.root / "conda base"
    write_program(base / "envs" / "py38" / "bin" / "python3.8", STAND_IN)
    asked = bare.add_to_path("conda", f"#!/bin/sh\n[ \"$*\" = 'info --base' ] && echo '{base}'\n")
    assert f"{base}/envs/py38" in bare.run("true").stderr
    asked.unlink()
    shutil.rmtree(str(bare.venv))
    of_uv = write_program(bare.root / "uv's" / "python3.8", STAND_IN)
    answer = f'#!/bin/sh\n[ "$(pwd) $*" = "/ python find 3.8" ] && echo "{of_uv}"\n'
    bare.add_to_path("uv", answer)
    assert str(of_uv) in bare.run("true").stderr


def test_a_python_without_venv_is_named(project):
    result = project.run("true", INCOMPLETE="1")
    assert result.returncode == 2
    assert "python3.8-venv" in one_line(result)


@pytest.mark.parametrize("machine", ["Darwin arm64", "Darwin x86_64", "Linux aarch64"])
def test_another_kind_of_machine_is_refused_first(project, machine):
    uname = f'#!/bin/sh\n[ "$1" = -s ] && echo {machine.split()[0]} || echo {machine.split()[1]}\n'
    write_program(project.root / "first" / "uname", uname)
    result = project.run("true", PATH=f"{project.root}/first:{project.env['PATH']}")
    assert result.returncode == 2
    assert f"runs on Linux x86_64 and nothing else, and this is {machine}" in one_line(result)
    assert project.calls.read_text() == ""


def test_a_missing_libgomp_is_named_before_the_installation_with_what_to_type(project):
    result = project.run("true", NO_LIBGOMP="1")
    assert result.returncode == 2
    sudo = "sudo " if os.geteuid() else ""
    assert f"'{sudo}apt-get update && {sudo}apt-get install -y libgomp1'" in one_line(result)
    assert not project.venv.exists()


def test_a_missing_lock_is_named(project):
    (project.folder / "requirements.lock").unlink()
    result = project.run("true")
    assert result.returncode == 2
    assert "requirements.lock is missing" in one_line(result)


@pytest.mark.parametrize(
    "name", [b"a:b", b"a $HOME", b"$1", b'"', b"`id`", b"a\nb", b"a\rb", b"it'''s", b"\xff"]
)
def test_a_folders_name_that_an_environment_cannot_stand_is_refused(project, name):
    moved = os.path.join(os.fsencode(project.folder.parent), name)
    os.rename(project.folder, moved)
    result = project.run("true", script=os.fsdecode(moved + b"/run"))
    assert result.returncode == 2
    assert "rename the folder" in one_line(result)
    assert project.count("venv") == 0 and not os.path.exists(moved + b"/.venv")


@pytest.mark.parametrize("name", ["it's", "a\\b", "a;b&c|d", "*?[a]", "100% #1~!", "数字", "-n"])
def test_any_other_folders_name_will_do(project, name):
    moved = project.folder.parent / name
    project.folder.rename(moved)
    result = project.run("sh", "-c", 'printf "%s" "$VIRTUAL_ENV"', script=moved / "run")
    assert (result.returncode, result.stdout) == (0, f"{moved}/.venv"), result.stderr


@pytest.mark.parametrize("kind", ["mnist.py", "mnist/__init__.py"])
@pytest.mark.parametrize("place", ["the working directory", "PYTHONPATH"])
def test_what_hides_the_package_is_named(project, tmp_path, kind, place):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    found = tmp_path / ("here" if place == "the working directory" else "there") / kind
    write_program(found, "print('not ours')\n")
    options = {"cwd": tmp_path / "here", "PYTHONPATH": f"/nowhere:{tmp_path / 'there'}"}
    for command in (
        "python -m mnist.train",
        "mpirun -n 2 python -m mnist.train",
        "python -m mnist",
    ):
        result = project.run(*command.split(), **options)
        assert result.returncode == 2
        shown = f"./{kind}" if place == "the working directory" else str(found)
        assert one_line(result).startswith(f"run: {shown} hides the package mnist")
    assert project.run("echo", "-m", "other", **options).returncode == 0


def test_the_projects_own_folder_and_folders_of_data_hide_nothing(project, tmp_path):
    (project.folder / "mnist").mkdir()
    (project.folder / "mnist" / "__init__.py").write_text("")
    (tmp_path / "mnist").mkdir()
    for options in ({"cwd": project.folder}, {"PYTHONPATH": str(project.folder)}, {}):
        result = project.run("sh", "-c", "exit 7", "-m", "mnist.train", **options)
        assert result.returncode == 7, result.stderr


def test_with_a_real_python_the_package_is_found_from_any_folder(bare, tmp_path):
    """The whole way once, with nothing to install: venv, pip, .pth file and byte code."""
    (bare.root / "bin").mkdir()
    (bare.root / "bin" / "python3.8").symlink_to(sys.executable)
    bare.env["PATH"] += f":{bare.root / 'bin'}"
    package = bare.folder / "mnist"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "hello.py").write_text("import sys\nprint(sys.prefix)\n")
    result = bare.run("python", "-m", "mnist.hello", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{bare.venv}\n"
    assert list(package.glob("__pycache__/hello.*.pyc"))
    # The command `mnist` takes nothing from the working directory.
    (package / "__main__.py").write_text("import sys\ndef main():\n    print(sys.argv[1:])\n")
    (tmp_path / "mnist.py").write_text("raise SystemExit('not ours')\n")
    assert bare.run("mnist", "a b", cwd=tmp_path).stdout == "['a b']\n"
    (bare.venv / "bin" / "mnist").unlink()
    assert bare.run("mnist", "again", cwd=tmp_path).stdout == "['again']\n"
    hiding = bare.run("mnist", "x", PYTHONPATH=str(tmp_path))
    assert hiding.returncode == 2 and "hides the package mnist" in one_line(hiding)


# --- a real Python 3.8 by a real uv, of mirrors in folders -------------------------------

RELEASE = "20240107"
ARCHIVE = f"cpython-3.8.18+{RELEASE}-x86_64-unknown-linux-gnu-install_only.tar.gz"
DOWNLOADS = "https://github.com/astral-sh/python-build-standalone/releases/download"
NOT_NEEDED = {"test", "site-packages", "__pycache__", "idlelib", "tkinter", "lib2to3"}


@pytest.fixture(scope="module")
def python_mirror(tmp_path_factory):
    """The running Python as uv would find it on a mirror; returns uv's settings for that."""
    folder = tmp_path_factory.mktemp("mirror of Pythons")
    base = Path(os.path.realpath(sys.base_prefix))
    archive = folder / RELEASE / ARCHIVE
    archive.parent.mkdir()

    def needed(entry):
        return None if NOT_NEEDED & set(entry.name.split("/")) else entry

    with tarfile.open(str(archive), "w:gz", compresslevel=1) as file:
        for path in [base / "bin/python3.8", base / "lib/python3.8", *base.glob("lib/libpython3*")]:
            file.add(str(path), f"python/{path.relative_to(base)}", filter=needed)
    entry = {
        "name": "cpython", "arch": {"family": "x86_64", "variant": None}, "os": "linux",
        "libc": "gnu", "major": 3, "minor": 8, "patch": 18, "prerelease": "", "variant": None,
        "url": f"{DOWNLOADS}/{RELEASE}/{ARCHIVE.replace('+', '%2B')}", "build": RELEASE,
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
    }  # fmt: skip
    (folder / "downloads.json").write_text(json.dumps({"cpython-3.8.18-linux-x86_64-gnu": entry}))
    return {
        "UV_PYTHON_INSTALL_MIRROR": folder.as_uri(),
        "UV_PYTHON_DOWNLOADS_JSON_URL": str(folder / "downloads.json"),
    }


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """The pinned uv in a package index of its own; returns pip's setting for that."""
    folder = tmp_path_factory.mktemp("index") / "simple"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--quiet"]
    command += ["-r", str(ROOT / "requirements-uv.lock"), "-d", str(folder / "uv")]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        pytest.skip(f"the package index cannot be reached: {done.stderr.splitlines()[-1]}")
    (wheel,) = (folder / "uv").iterdir()
    (folder / "uv" / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    return {"PIP_INDEX_URL": folder.as_uri()}


@pytest.fixture
def other(bare):
    """A machine whose one Python is another, with pip; everything else is hidden."""
    works = "import sys, pip; sys.exit(sys.version_info[:2] == (3, 8))"
    places = [Path("/usr/bin/python3"), *Path.home().glob(".pyenv/versions/3.*/bin/python3")]
    found = [
        path
        for path in places
        if path.exists()
        and not subprocess.run([str(path), "-c", works], stderr=subprocess.DEVNULL).returncode
    ]
    if not found:
        pytest.skip("there is no other Python 3 with pip here")
    bare.add_to_path("python3", f'#!/bin/sh\nexec "{found[0]}" "$@"\n')
    shutil.copy(str(ROOT / "requirements-uv.lock"), str(bare.folder))
    return bare


@pytest.mark.slow
def test_a_real_uv_from_a_mirror_gets_a_real_python_from_a_mirror(other, index, python_mirror):
    there = sorted(other.home.rglob("*"))
    result = other.run("python", "-c", "import ssl, sys; print(sys.version, sys.base_prefix)",
                       **index, **python_mirror)  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("3.8.") and f"{other.folder}/.python/" in result.stdout
    assert sorted(other.home.rglob("*")) == there  # Nothing is left outside the project's folder.
    shutil.rmtree(str(other.venv))
    assert "getting one" not in other.run("true").stderr


@pytest.mark.slow
@pytest.mark.parametrize("wall", ["no index", "no mirror", "another file"])
def test_behind_a_wall_it_says_what_was_refused(other, index, python_mirror, wall, tmp_path):
    settings = {**index, **python_mirror}
    if wall == "no index":
        settings["PIP_INDEX_URL"] = "http://127.0.0.1:9/simple"
    elif wall == "no mirror":
        settings["UV_PYTHON_INSTALL_MIRROR"] = "http://127.0.0.1:9"
    else:
        settings["UV_PYTHON_INSTALL_MIRROR"] = tmp_path.as_uri()
        (tmp_path / RELEASE).mkdir()
        (tmp_path / RELEASE / ARCHIVE).write_bytes(b"something else")
    result = other.run("true", **settings)
    _, line = result.stderr.splitlines()
    assert result.returncode == 2 and names_the_three_ways(line)
    assert re.search(r"and none could be got \((ERROR|error|Caused by): .+\)", line)
    assert not other.venv.exists()


@pytest.mark.slow
def test_the_readmes_first_command_trains_where_there_is_no_python_38(other, index, python_mirror):
    """All of the project as Git has it, its real locks, and a training."""
    files = subprocess.check_output(["git", "ls-files", "-z"], cwd=str(ROOT), text=True)
    for name in filter(None, files.split("\0")):
        (other.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(ROOT / name), str(other.folder / name))
    for tool in ("awk", "ldd"):  # with which Paddle's import asks for glibc's version
        (other.root / "tools" / tool).symlink_to(shutil.which(tool))
    # uv from the folder, the packages from the index of this machine, if need be from pip's cache.
    cache = subprocess.check_output([sys.executable, "-m", "pip", "cache", "dir"], text=True)
    settings = {"PIP_EXTRA_INDEX_URL": index["PIP_INDEX_URL"], "PIP_CACHE_DIR": cache.strip()}
    settings.update({name: value for name, value in os.environ.items() if name.startswith("PIP_")})
    command = re.search(r"^\$ \./run (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE).group(
        1
    )
    process = other.start(*command.split(), cwd=other.folder, **settings, **python_mirror)
    output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    assert "no Python 3.8 found" in errors and "best on valid" in output
    assert (other.folder / "checkpoints" / "best").exists()
