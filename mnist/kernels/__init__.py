"""Convolutions, pooling and batch norms in C, three times as fast as Paddle's: an engine.

``load`` gives the library if there is one that fits sources and processor; ``engine`` runs a
model's stack of layers through it. ``setup.py`` makes it.
docs/speed.md tells how the kernels work. Without them all is Paddle's own work.
"""

import ctypes
import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Optional

from mnist.base.errors import InputError

# How to make it, from the project's folder.
BUILD = "python setup.py build_ext --inplace"
FOLDER = Path(__file__).parent
# For tests: another library of the same sources, and a lower level than the processor has.
LIBRARY_VARIABLE = "MNIST_KERNELS_LIBRARY"
LEVEL_VARIABLE = "MNIST_KERNELS_LEVEL"
LEVELS: Dict[int, str] = {3: "AVX2", 4: "AVX-512"}


def source_hash() -> str:
    """What the sources are, in twelve hexadecimal digits."""
    sources = sorted(FOLDER.glob("*.[ch]"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def library_path() -> Path:
    """Where the library of these very sources lies, or would lie."""
    named = os.environ.get(LIBRARY_VARIABLE)
    return Path(named) if named else FOLDER / f"library-{source_hash()}.so"


_INT, _LONG, _FLOAT, _ADDRESS = ctypes.c_int, ctypes.c_long, ctypes.c_float, ctypes.c_void_p
# Each function's result and arguments; dispatch.c and update.c have their names.
_FUNCTIONS: Dict[str, Any] = {
    "source": (ctypes.c_char_p, []),
    "level": (_INT, []),
    "workspace": (_LONG, [_INT, _ADDRESS, *[_INT] * 3]),
    "forward": (None, [_INT, _ADDRESS, _INT, _ADDRESS, _INT, _INT, _ADDRESS, _ADDRESS]),
    "backward": (None, [_INT, _ADDRESS, _INT, _ADDRESS, _INT, _ADDRESS, _ADDRESS]),
    "momentum": (None, [_ADDRESS, _INT, *[_FLOAT] * 3, _INT]),
}


class Library:
    """The library's functions, and the level at which they are to compute."""

    def __init__(self, path: Path, level: Optional[int] = None) -> None:
        self._library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self._library, f"mnist_kernels_{name}")
            function.restype, function.argtypes = result, arguments
        self.level = min(self.call("level"), level or max(LEVELS))

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function by its name in C, without ``mnist_kernels_``."""
        return getattr(self._library, f"mnist_kernels_{name}")(*arguments)

    def describe(self) -> str:
        """``"C kernels (AVX2)"``."""
        return f"C kernels ({LEVELS[self.level]})"


@lru_cache(maxsize=None)
def load() -> Optional[Library]:
    """The library, or None where it was not built, or the processor cannot run it."""
    level = os.environ.get(LEVEL_VARIABLE, str(max(LEVELS)))
    if level not in map(str, LEVELS):
        raise InputError(f"{LEVEL_VARIABLE}: must be one of {', '.join(map(str, LEVELS))}")
    try:
        library = Library(library_path(), int(level))
    except (OSError, AttributeError):
        return None
    fits = library.call("source") == source_hash().encode() and library.level in LEVELS
    return library if fits else None
