"""The Python that has PyTorch or JAX: one that is named, or one in ``.venv.torch``, ``.venv.jax``.

These are made when missing, from ``requirements-pytorch.txt`` and ``requirements-jax.txt``.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

from common import BENCHMARKS, ROOT, note, run, run_worker


class Framework(NamedTuple):
    """What we compare with: its name, the folder of its environment, the Pythons it takes."""

    name: str
    folder: Path
    # The oldest minor version that the pinned release has wheels for.
    oldest: int

    @property
    def requirements(self) -> Path:
        return BENCHMARKS / f"requirements-{self.name.lower()}.txt"

    @property
    def option(self) -> str:
        return f"--{self.name.lower()}-python"


PYTORCH = Framework("PyTorch", ROOT / ".venv.torch", 10)
JAX = Framework("JAX", ROOT / ".venv.jax", 11)
_NEWEST = 14

_PROBE = "import ensurepip, json, sys, venv; print(json.dumps({'minor': sys.version_info[1]}))"


def add_option(parser: argparse.ArgumentParser, framework: Framework) -> None:
    parser.add_argument(
        framework.option,
        type=Path,
        metavar="PATH",
        help=f"a Python that has {framework.name} [default: that of {framework.folder.name},"
        " which is made if missing]",
    )


def find(framework: Framework, options: argparse.Namespace) -> Path:
    """The interpreter to use; makes the framework's environment if it is needed and missing."""
    given = getattr(options, framework.option[2:].replace("-", "_"))
    if given is not None:
        return Path(given)
    python = framework.folder / "bin" / "python"
    done = framework.folder / ".made-from"
    wanted = framework.requirements.read_text()
    if not done.exists() or done.read_text() != wanted:
        _make(framework, python)
        done.write_text(wanted)
    return python


def _make(framework: Framework, python: Path) -> None:
    base = next(_candidates(framework.oldest), None)
    if base is None:
        sys.exit(
            f"error: no Python 3.{framework.oldest} or newer on PATH, which {framework.name}"
            f" needs; name one that has {framework.name} with {framework.option}"
        )
    note(f"making {framework.folder.name} with {base}, once; {framework.name} is large")
    shutil.rmtree(framework.folder, ignore_errors=True)
    run([base, "-I", "-m", "venv", framework.folder])
    packages = ["-r", framework.requirements]
    run([python, "-I", "-m", "pip", "install", "--no-input", *packages])


def _candidates(oldest: int) -> Iterator[str]:
    names = [f"python3.{minor}" for minor in range(_NEWEST, oldest - 1, -1)]
    for name in [*names, "python3"]:
        for folder in os.get_exec_path():
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK) and _works(path, oldest):
                yield path


def _works(path: str, oldest: int) -> bool:
    """A pyenv shim is on PATH and yet may be no interpreter."""
    try:
        return int(run_worker([path, "-I", "-c", _PROBE])["minor"]) >= oldest
    except (SystemExit, OSError):
        return False
