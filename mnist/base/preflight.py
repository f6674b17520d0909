"""Which installed packages can work together, asked before any of them is imported.

Paddle's own traceback for a wrong set ("Descriptors cannot be created directly", "module
'numpy' has no attribute 'int'") names neither the culprit nor the way out. Only the standard
library and its like in this room are imported here, so that any Python 3.6 or newer can ask. The
bounds were measured; docs/dependencies.md says how.
"""

import os
import re
import sys
from contextlib import suppress
from importlib.util import find_spec
from itertools import chain
from typing import Any, Dict, Iterable, List, Mapping, Tuple

from mnist.base import ranks
from mnist.base.errors import InputError

PADDLE = "1.8.5"

_OPENCV = ("python-headless", "python", "contrib-python", "contrib-python-headless")
_OF_THE_SAME_NAME = ("numpy", "scipy", "pydantic", "click", "rich", "requests", "filelock")
# What the verbs import: module → the distributions that bring it, the usual one first.
_MODULES = {
    "paddle": ("paddlepaddle", "paddlepaddle-gpu"),
    **{name: (name,) for name in _OF_THE_SAME_NAME},
    "google.protobuf": ("protobuf",),
    "cv2": tuple(f"opencv-{name}" for name in _OPENCV),
    "PIL": ("pillow",),
    "tb_paddle": ("tb-paddle",),
    "yaml": ("pyyaml",),
    "simdjson": ("pysimdjson",),
}

_OTHER = f"is not {PADDLE}, which all is written for"
# The first version that is right, the first that is not any more, what to install, and why.
_RIGHT = {
    "paddlepaddle": ((1, 8, 5), (1, 8, 6), f"paddlepaddle=={PADDLE}", _OTHER),
    "paddlepaddle-gpu": ((1, 8, 5), (1, 8, 6), f"paddlepaddle-gpu=={PADDLE}.post107", _OTHER),
    "protobuf": ((3, 12), (3, 21), "protobuf==3.20.3",
     f"is too old for TensorBoard's events, or too new for PaddlePaddle {PADDLE}'s descriptors"
     " (3.12 to 3.20 can read both)"),
    "numpy": ((0,), (1, 24), "numpy==1.23.5",
     f"no longer has np.int, which PaddlePaddle {PADDLE} uses (1.23 and older have)"),
    "pillow": ((10, 0, 1), (99,), "Pillow==10.4.0",
     "reads WebP pictures with a libwebp that has a known hole (CVE-2023-4863; 10.0.1 and newer"
     " have none)"),
}  # fmt: skip

# The version of a package that is there but says nothing about itself; it is left alone.
UNKNOWN = "unknown"


def check_or_exit() -> None:
    """Do as ``check``, but print the line and exit with code 2: for the top of a verb's file.

    A verb calls it before it imports anything that is not in the standard library, since
    in a wrong environment even ``click`` may be missing. The working directory, which
    ``python -m`` puts first on ``sys.path``, becomes the last, so that nobody's ``numpy.py``
    or ``random.py`` is taken for what it is not.
    """
    working = [""]
    with suppress(OSError):  # it may have been removed
        working.append(os.getcwd())
    working = [path for path in working if path in sys.path]
    sys.path[:] = [path for path in sys.path if path not in working]
    try:
        check()
    except InputError as error:
        ranks.wait_for_the_main_one()
        who = f"{ranks.member()}: " if ranks.size() > 1 else ""
        print(f"error: {who}{error}", file=sys.stderr, flush=True)
        ranks.end_all(error.exit_code)
        sys.exit(error.exit_code)
    finally:
        sys.path += working


def check() -> None:
    """Raise InputError, one line with culprit, version and fix, if Paddle could not work here."""
    found = python_problems(sys.version_info[:3]) or problems(installed(sys.path))
    if found:
        raise InputError("; ".join(found))


def require(extra: str, *modules: str) -> None:
    """Raise InputError unless the modules of an optional feature are installed.

    ``extra`` is the feature's name in ``pyproject.toml``. For rooms that not every user
    needs, before they import what only they use.
    """
    missing = [module for module in modules if not _can_be_found(module)]
    if missing:
        raise InputError(_not_installed(missing, f"'.[{extra}]'"))


def _not_installed(names: List[str], project: str) -> str:
    return (
        f"not installed: {', '.join(names)}; fix: start it through ./run, or"
        f" `python -m pip install -e {project}` in the project's folder"
    )


def python_problems(version: Tuple[int, ...]) -> List[str]:
    """What is wrong with this Python version (at most one line)."""
    if version[:2] == (3, 8):
        return []
    running = ".".join(map(str, version))
    return [
        f"Python {running} cannot run PaddlePaddle {PADDLE}, whose newest wheels are for Python"
        " 3.8; fix: start it through ./run, which finds a Python 3.8 or says how to get one"
    ]


def problems(versions: Mapping[str, str]) -> List[str]:
    """What cannot work in this set of packages, one line each; empty if all is well.

    ``versions`` maps distribution names (lower case, with hyphens) to their versions.
    """
    missing = [names[0] for names in _MODULES.values() if not any(n in versions for n in names)]
    if missing:
        return [_not_installed(missing, ".")]
    if all(name in versions for name in _MODULES["paddle"]):
        return [
            "paddlepaddle and paddlepaddle-gpu are both installed and overwrite each other's"
            " files; fix: python -m pip uninstall -y paddlepaddle paddlepaddle-gpu, then "
            f"install one of them, e.g. python -m pip install paddlepaddle=={PADDLE}"
        ]
    found = []
    for name, (first, end, requirement, why) in _RIGHT.items():
        # The leading numbers: "3.20.3" → (3, 20, 3), "1.8.5.post107" → (1, 8, 5); none if unknown.
        leading = re.split(r"[^\d.]", versions.get(name, ""), maxsplit=1)[0].split(".")
        numbers = tuple(map(int, filter(None, leading)))
        if numbers and not first <= numbers < end:
            fix = _off_the_path(name) or f"python -m pip install {requirement}"
            found.append(f"{name} {versions[name]} {why}; fix: {fix}")
    return found


def installed(paths: Iterable[str]) -> Dict[str, str]:
    """Distribution name (lower case, with hyphens) → version, as an import would find them.

    Only those that the verbs import. A module without metadata counts as there, its version
    UNKNOWN.
    """
    found = _distributions(paths, chain(*_MODULES.values())).items()
    versions = {name: each.metadata.get("Version") or UNKNOWN for name, each in found}
    for module, names in _MODULES.items():
        if not any(name in versions for name in names) and _can_be_found(module):
            versions[names[0]] = UNKNOWN
    return versions


def _distributions(paths: Iterable[str], names: Iterable[str]) -> Dict[str, Any]:
    """Distribution name → ``importlib.metadata``'s Distribution, the first on ``paths``."""
    # Python has it from 3.8 on; what is older has been told so by now.
    from importlib.metadata import distributions

    path = list(paths)
    firsts = {name: next(iter(distributions(name=name, path=path)), None) for name in names}
    return {name: first for name, first in firsts.items() if first}


def _can_be_found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # of a parent, as google in google.protobuf
        return False


def _off_the_path(name: str) -> str:
    """What to do about a package that PYTHONPATH puts before the installed one, if it does."""
    entries = map(os.path.abspath, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    places = {str(each.locate_file("")) for each in _distributions(sys.path, [name]).values()}
    return "".join(f"take {folder} off PYTHONPATH" for folder in places & set(entries))
