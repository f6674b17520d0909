"""Which installed packages can work together, asked before any of them is imported.

Paddle's own traceback for a wrong set ("Descriptors cannot be created directly", "module
'numpy' has no attribute 'int'") names neither the culprit nor the way out. Only the standard
library, ``mnist.errors`` and ``mnist.ranks`` are imported here, so that any Python 3.6 or newer
can ask. The bounds were measured; docs/dependencies.md says how.
"""

import os
import re
import sys
from importlib.util import find_spec
from typing import Dict, Iterable, List, Mapping, Tuple

from mnist import ranks
from mnist.errors import InputError

PADDLE = "1.8.5"

# What the verbs import: module → the distributions that bring it, the usual one first.
_MODULES = {
    "paddle": ("paddlepaddle", "paddlepaddle-gpu"),
    "numpy": ("numpy",),
    "google.protobuf": ("protobuf",),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "PIL": ("pillow",),
    "scipy": ("scipy",),
    "tb_paddle": ("tb-paddle",),
    "pydantic": ("pydantic",),
    "yaml": ("pyyaml",),
    "click": ("click",),
    "rich": ("rich",),
    "requests": ("requests",),
    "filelock": ("filelock",),
    "simdjson": ("pysimdjson",),
}

# The version of a package that is there but says nothing about itself; it is left alone.
UNKNOWN = "unknown"

_METADATA = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.]*)-(?P<version>\d[^-]*)(-py[\d.]+)?\.(dist|egg)-info", re.ASCII
)


def check_or_exit() -> None:
    """Do as ``check``, but print the line and exit with code 2: for the top of a verb's file.

    A verb calls it before it imports anything that is not in the standard library, since
    in a wrong environment even ``click`` may be missing.
    """
    try:
        check()
    except InputError as error:
        ranks.wait_for_the_main_one()
        who = f"{ranks.member()}: " if ranks.size() > 1 else ""
        print(f"error: {who}{error}", file=sys.stderr, flush=True)
        ranks.end_all(error.exit_code)
        sys.exit(error.exit_code)


def check() -> None:
    """Raise InputError, one line with culprit, version and fix, if Paddle could not work here."""
    found = python_problems(sys.version_info[:3])
    # The pure Python implementation of protobuf 4 and 5 still reads Paddle's descriptors.
    pure_python = os.environ.get("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION") == "python"
    found = found or problems(installed(sys.path), pure_python)
    if found:
        raise InputError("; ".join(found))


def require(extra: str, *modules: str) -> None:
    """Raise InputError unless the modules of an optional feature are installed.

    ``extra`` is the feature's name in ``pyproject.toml``. For rooms that not every user
    needs, before they import what only they use.
    """
    missing = [module for module in modules if not _can_be_found(module)]
    if missing:
        raise InputError(
            f"not installed: {', '.join(missing)}; fix: start it through ./run, or"
            f" `python -m pip install -e '.[{extra}]'` in the project's folder"
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


def problems(versions: Mapping[str, str], pure_python_protobuf: bool = False) -> List[str]:
    """What cannot work in this set of packages, one line each; empty if all is well.

    ``versions`` maps distribution names (lower case, with hyphens) to their versions;
    ``pure_python_protobuf`` says that protobuf will use its pure Python implementation.
    """
    missing = [
        names[0] for names in _MODULES.values() if not any(name in versions for name in names)
    ]
    if missing:
        return [
            f"not installed: {', '.join(missing)}; fix: start it through ./run, or"
            " `python -m pip install -e .` in the project's folder"
        ]
    found = _paddle_problems(versions)
    protobuf, numpy = versions["protobuf"], versions["numpy"]
    if _beyond(protobuf, (3, 21)) and not pure_python_protobuf:
        found.append(
            f"protobuf {protobuf} cannot read PaddlePaddle {PADDLE}'s descriptors (3.20 and older"
            " can); " + _fix("protobuf==3.20.3")
        )
    if _older(protobuf, (3, 12)):
        found.append(
            f"protobuf {protobuf} is too old for TensorBoard's events; " + _fix("protobuf==3.20.3")
        )
    if _beyond(numpy, (1, 24)):
        found.append(
            f"numpy {numpy} no longer has np.int, which PaddlePaddle {PADDLE} uses (1.23 and older"
            " have); " + _fix("numpy==1.23.5")
        )
    if _beyond(versions["pillow"], (10,)):
        found.append(
            f"pillow {versions['pillow']} no longer has Image.ANTIALIAS, which tb-paddle uses (9.5"
            " and older have); " + _fix("Pillow==9.5.0")
        )
    return found


def _paddle_problems(versions: Mapping[str, str]) -> List[str]:
    both = [name for name in _MODULES["paddle"] if name in versions]
    if len(both) == 2:
        return [
            "paddlepaddle and paddlepaddle-gpu are both installed and overwrite each other's"
            " files; fix: python -m pip uninstall -y paddlepaddle paddlepaddle-gpu, then "
            f"install one of them, e.g. python -m pip install paddlepaddle=={PADDLE}"
        ]
    name = both[0]
    numbers = _numbers(versions[name])
    if not numbers or numbers[:3] == _numbers(PADDLE):
        return []
    wanted = f"paddlepaddle=={PADDLE}" if name == "paddlepaddle" else f"{name}=={PADDLE}.post107"
    return [f"{name} {versions[name]} is not {PADDLE}, which all is written for; " + _fix(wanted)]


def installed(paths: Iterable[str]) -> Dict[str, str]:
    """Distribution name (lower case, with hyphens) → version, as an import would find them.

    Read from the names of the ``*.dist-info`` folders, the first on ``paths`` winning:
    ``importlib.metadata`` gives the same after 40 ms of its own imports, this takes 1 ms.
    A module without such a folder counts as there, its version UNKNOWN.
    """
    versions: Dict[str, str] = {}
    for path in paths:
        for entry in _entries(path):
            match = _METADATA.fullmatch(entry)
            if match:
                name = re.sub(r"[-_.]+", "-", match.group("name")).lower()
                versions.setdefault(name, match.group("version"))
    for module, names in _MODULES.items():
        if not any(name in versions for name in names) and _can_be_found(module):
            versions[names[0]] = UNKNOWN
    return versions


def _entries(path: str) -> List[str]:
    try:
        return os.listdir(path or ".")
    except OSError:  # a zip archive, or a folder that is not there
        return []


def _can_be_found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # of a parent, as google in google.protobuf
        return False


def _numbers(version: str) -> Tuple[int, ...]:
    """The leading numbers: "3.20.3" → (3, 20, 3), "1.8.5.post107" → (1, 8, 5)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match.group().split("."))) if match else ()


def _beyond(version: str, bound: Tuple[int, ...]) -> bool:
    return _numbers(version) >= bound


def _older(version: str, bound: Tuple[int, ...]) -> bool:
    return () < _numbers(version) < bound


def _fix(requirement: str) -> str:
    return f"fix: python -m pip install {requirement}"
