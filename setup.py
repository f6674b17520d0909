"""What pyproject.toml cannot say: the kernels are compiled, if they can be.

    python setup.py --quiet build_ext --inplace

Without a C compiler, or when it fails, this is one line on standard error and no error: all then
runs on Paddle's own operators. The library is named after its sources' hash; it lies beside them,
or with pip where the package is built.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import List, Sequence, Tuple

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).resolve().parent))
from mnist import kernels
from mnist.base.errors import Failure
from mnist.base.files import atomic_write

# The first that is there is taken; CC in the environment comes before all.
COMPILERS = ("cc", "clang", "gcc")
# No -march=native: the library may be run on another machine than it was built on.
_LEVEL_3 = ["-DLEVEL=3", "-mavx2", "-mfma"]
_LEVEL_4 = ["-DLEVEL=4", *_LEVEL_3[1:], "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"]
# In convolutions every product and sum is one rounding, elsewhere two: always, so that levels
# and compilers agree to the last bit.
_COMPILATIONS: List[Tuple[str, List[str]]] = [
    ("convolution.c", [*_LEVEL_3, "-ffp-contract=fast"]),
    ("convolution.c", [*_LEVEL_4, "-ffp-contract=fast"]),
    ("network.c", [*_LEVEL_3, "-ffp-contract=off"]),
    ("network.c", [*_LEVEL_4, "-ffp-contract=off"]),
    ("update.c", ["-ffp-contract=off"]),
    ("dispatch.c", [f'-DSOURCE="{kernels.source_hash()}"']),
]


def build(to: Path, extra: Sequence[str] = ()) -> Path:
    """Compile the library, with ``extra`` flags, into a folder.

    Returns its path; Failure says why there is none.
    """
    compiler = find_compiler()
    target = to / kernels.library_path().name
    with tempfile.TemporaryDirectory() as folder:
        objects: List[str] = []
        for name, flags in _COMPILATIONS:
            objects.append(f"{folder}/{len(objects)}.o")
            source = str(kernels.FOLDER / name)
            _run([compiler, "-std=c99", "-O3", "-fPIC", "-fvisibility=hidden", *flags, *extra,
                  "-c", source, "-o", objects[-1]])  # fmt: skip
        library = Path(folder) / "library.so"
        _run([compiler, "-shared", *extra, *objects, "-lm", "-o", str(library)])
        # At once: another process may be loading it.
        with atomic_write(target) as file:
            file.write(library.read_bytes())
    for old in set(to.glob("library-*.so")) - {target}:
        with suppress(OSError):
            old.unlink()
    return target


def find_compiler() -> str:
    """The C compiler's name; Failure if there is none."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise Failure(f"the kernels are for x86-64, this is {platform.machine()}")
    for name in (os.environ.get("CC", ""), *COMPILERS):
        if name and shutil.which(name):
            return name
    raise Failure(f"no C compiler ({', '.join(COMPILERS)})")


def _run(command: List[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise Failure(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Failure(f"{command[0]}: {next((x for x in lines if 'error' in x), lines[-1])}")


class Build(build_ext):
    """Compiles every file for its level of processor, or says in one line why not."""

    def run(self) -> None:
        folder = kernels.FOLDER
        if not self.inplace:
            folder = Path(self.get_ext_fullpath(self.extensions[0].name)).parent
            folder.mkdir(parents=True, exist_ok=True)
        try:
            print(f"note: built the C kernels, {build(folder)}", file=sys.stderr)
        except Failure as error:
            print(f"note: no C kernels, Paddle's operators instead: {error}", file=sys.stderr)

    def get_outputs(self) -> List[str]:
        return []

    def get_output_mapping(self) -> dict:  # type: ignore[type-arg]
        return {}


# Pip runs this under the same name.
if __name__ == "__main__":
    setup(
        ext_modules=[Extension("mnist.kernels.library", [], optional=True)],
        cmdclass={"build_ext": Build},
    )
