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
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from mnist import kernels

# The first that is there is taken; CC in the environment comes before all.
COMPILERS = ("cc", "clang", "gcc")
# No -march=native: the library may be run on another machine than it was built on.
FLAGS: Dict[int, List[str]] = {
    3: ["-mavx2", "-mfma"],
    4: ["-mavx2", "-mfma", "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"],
}
# In convolutions every product and sum is one rounding, elsewhere two: always, so that levels
# and compilers agree to the last bit.
CONTRACT = {"convolution.c": "fast", "network.c": "off"}


class BuildFailed(Exception):
    """Why there is no library, in one line."""


def build(to: Optional[Path] = None, extra: Sequence[str] = ()) -> Path:
    """Compile the library, with ``extra`` flags, into a folder: by default the sources' own.

    Returns its path; raises BuildFailed.
    """
    compiler = find_compiler()
    target = (to or kernels.FOLDER) / kernels.library_path().name
    with tempfile.TemporaryDirectory() as folder:
        objects: List[str] = []
        for name, flags in _compilations():
            objects.append(str(Path(folder) / f"{len(objects)}.o"))
            source = str(kernels.FOLDER / name)
            _run([compiler, "-std=c99", "-O3", "-fPIC", "-fvisibility=hidden", *flags, *extra,
                  "-c", source, "-o", objects[-1]])  # fmt: skip
        library = Path(folder) / target.name
        _run([compiler, "-shared", *extra, *objects, "-lm", "-o", str(library)])
        _put(library, target)
    return target


def find_compiler() -> str:
    """The C compiler's path; raises BuildFailed if there is none."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise BuildFailed(f"the kernels are for x86-64, this is {platform.machine()}")
    for name in [os.environ.get("CC", ""), *COMPILERS]:
        found = shutil.which(name) if name else None
        if found:
            return found
    raise BuildFailed(f"no C compiler ({', '.join(COMPILERS)})")


def _compilations() -> List[Tuple[str, List[str]]]:
    levels = [
        (name, [f"-DLEVEL={level}", f"-ffp-contract={contract}", *flags])
        for level, flags in FLAGS.items()
        for name, contract in CONTRACT.items()
    ]
    update = ("update.c", ["-ffp-contract=off"])
    return [*levels, update, ("dispatch.c", [f'-DSOURCE="{kernels.source_hash()}"'])]


def _run(command: List[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildFailed(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise BuildFailed(f"{command[0]}: {next((x for x in lines if 'error' in x), lines[-1])}")


def _put(library: Path, target: Path) -> None:
    """Move it into its place at once: another process may be loading it."""
    try:
        waiting = target.with_suffix(f".{os.getpid()}.tmp")
        shutil.copyfile(library, waiting)
        os.replace(waiting, target)
        for old in set(target.parent.glob("library-*.so")) - {target}:
            old.unlink()
    except OSError as error:
        raise BuildFailed(str(error)) from error


def main(to: Optional[Path] = None) -> None:
    """Build, or say in one line why not."""
    try:
        print(f"note: built the C kernels, {build(to)}", file=sys.stderr)
    except BuildFailed as error:
        print(f"note: no C kernels, Paddle's operators instead: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
