"""The Python that has PyTorch: one that is named, or one in ``.venv.torch``, made when missing."""

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Iterator, Optional

from common import BENCHMARKS, ROOT, note, run, run_worker

FOLDER = ROOT / ".venv.torch"
REQUIREMENTS = BENCHMARKS / "requirements-pytorch.txt"
# The oldest and the newest Python that the pinned PyTorch is tried with.
_OLDEST, _NEWEST = 10, 14

_PROBE = "import ensurepip, json, sys, venv; print(json.dumps({'minor': sys.version_info[1]}))"


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pytorch-python",
        type=Path,
        metavar="PATH",
        help="a Python that has PyTorch [default: that of .venv.torch, which is made if missing]",
    )


def find(given: Optional[Path]) -> Path:
    """The interpreter to use; makes ``.venv.torch`` if none is given and it is not there."""
    if given is not None:
        return given
    python = FOLDER / "bin" / "python"
    done = FOLDER / ".made-from"
    if not done.exists() or done.read_text() != REQUIREMENTS.read_text():
        _make(python)
        done.write_text(REQUIREMENTS.read_text())
    return python


def _make(python: Path) -> None:
    base = next(_candidates(), None)
    if base is None:
        sys.exit(
            f"error: no Python 3.{_OLDEST} or newer on PATH, which PyTorch needs; name one that"
            " has PyTorch with --pytorch-python"
        )
    note(f"making {FOLDER.name} with {base}, once; PyTorch is large")
    shutil.rmtree(FOLDER, ignore_errors=True)
    run([base, "-I", "-m", "venv", FOLDER])
    run([python, "-I", "-m", "pip", "install", "--no-input", "-r", REQUIREMENTS])


def _candidates() -> Iterator[str]:
    names = [f"python3.{minor}" for minor in range(_NEWEST, _OLDEST - 1, -1)]
    for name in [*names, "python3"]:
        for folder in os.get_exec_path():
            path = os.path.join(folder, name)
            if os.access(path, os.X_OK) and _works(path):
                yield path


def _works(path: str) -> bool:
    """A pyenv shim is on PATH and yet may be no interpreter."""
    try:
        return int(run_worker([path, "-I", "-c", _PROBE])["minor"]) >= _OLDEST
    except (SystemExit, OSError):
        return False
