"""Convolutions, pooling and batch norms in C, three times as fast as Paddle's: an engine.

``load`` gives the library if there is one that fits sources and processor; ``engine`` runs a
model's stack of layers through it. ``python -m mnist.kernels.build`` makes it.
docs/speed.md tells how the kernels work. Without them all is Paddle's own work.
"""

import ctypes
import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Optional

from mnist.errors import InputError

FOLDER = Path(__file__).parent
SOURCES = ("kernels.h", "convolution.c", "network.c", "update.c", "dispatch.c")
# For tests: another library of the same sources, and a lower level than the processor has.
LIBRARY_VARIABLE = "MNIST_KERNELS_LIBRARY"
LEVEL_VARIABLE = "MNIST_KERNELS_LEVEL"
LEVELS: Dict[int, str] = {3: "AVX2", 4: "AVX-512"}


def source_hash() -> str:
    """What the sources are, in twelve hexadecimal digits."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((FOLDER / name).read_bytes())
    return digest.hexdigest()[:12]


def library_path() -> Path:
    """Where the library of these very sources lies, or would lie."""
    named = os.environ.get(LIBRARY_VARIABLE)
    return Path(named) if named else FOLDER / f"library-{source_hash()}.so"


class Library:
    """The library in memory, at the level at which it computes."""

    def __init__(self, functions: ctypes.CDLL, level: int) -> None:
        self.level = level
        self._functions = functions
        functions.mnist_kernels_workspace.restype = ctypes.c_long

    def workspace(self, layers: Any, batch: int, training: bool) -> int:
        """How many floats ``forward`` and ``backward`` work in."""
        arguments = (self.level, layers, len(layers), batch, int(training))
        return int(self._functions.mnist_kernels_workspace(*arguments))

    def forward(
        self, layers: Any, images: int, batch: int, training: bool, output: int, workspace: int
    ) -> None:
        """From the images to the output, both given by their addresses."""
        self._functions.mnist_kernels_forward(
            self.level, layers, len(layers), ctypes.c_void_p(images), batch, int(training),
            ctypes.c_void_p(output), ctypes.c_void_p(workspace),
        )  # fmt: skip

    def backward(self, layers: Any, images: int, batch: int, gradient: int, workspace: int) -> None:
        """From the output's gradient to the parameters', which are added to."""
        self._functions.mnist_kernels_backward(
            self.level, layers, len(layers), ctypes.c_void_p(images), batch,
            ctypes.c_void_p(gradient), ctypes.c_void_p(workspace),
        )  # fmt: skip

    def momentum(
        self, updates: Any, rate: float, decay: float, momentum: float, nesterov: bool
    ) -> None:
        """One step of SGD with momentum."""
        numbers = map(ctypes.c_float, (rate, decay, momentum))
        self._functions.mnist_kernels_momentum(updates, len(updates), *numbers, int(nesterov))

    def adam(self, updates: Any, rate: float, decay: float, *constants: float) -> None:
        """One step of Adam; ``constants`` are beta1, beta2 and epsilon."""
        numbers = map(ctypes.c_float, (rate, decay, *constants))
        self._functions.mnist_kernels_adam(updates, len(updates), *numbers)

    def describe(self) -> str:
        """``"C kernels (AVX2)"``."""
        return f"C kernels ({LEVELS[self.level]})"


@lru_cache(maxsize=None)
def load() -> Optional[Library]:
    """The library, or None where it was not built, or the processor cannot run it."""
    try:
        functions = ctypes.CDLL(str(library_path()))
        functions.mnist_kernels_source.restype = ctypes.c_char_p
        if functions.mnist_kernels_source() != source_hash().encode():
            return None
        level = int(functions.mnist_kernels_level())
    except (OSError, AttributeError):
        return None
    level = min(level, _asked_level())
    return Library(functions, level) if level in LEVELS else None


def _asked_level() -> int:
    asked = os.environ.get(LEVEL_VARIABLE, str(max(LEVELS)))
    if asked not in map(str, LEVELS):
        raise InputError(f"{LEVEL_VARIABLE}: must be one of {', '.join(map(str, LEVELS))}")
    return int(asked)
