"""Make the kernels' library with the C compiler that is there.

    python -m mnist.kernels.build

Without a compiler, or when it fails, this is one line on standard error and no error: all then
runs on Paddle's own operators. The library lies beside its sources, named after their hash.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

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


def build(to: Optional[Path] = None, extra: Sequence[str] = ()) -> Path:
    """Compile the library, with ``extra`` flags, into a folder: by default the sources' own.

    Returns its path; Failure says why there is none.
    """
    compiler = find_compiler()
    target = (to or kernels.FOLDER) / kernels.library_path().name
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
    for old in set(target.parent.glob("library-*.so")) - {target}:
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


def main() -> None:
    """Build, or say in one line why not."""
    try:
        print(f"note: built the C kernels, {build()}", file=sys.stderr)
    except Failure as error:
        print(f"note: no C kernels, Paddle's operators instead: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
