"""What pyproject.toml cannot say: the kernels are compiled, if they can be.

``mnist.kernels.build`` does it, as for ./run: no compiler, or one that fails, is a note.
"""

import sys
from pathlib import Path
from typing import List

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).resolve().parent))
from mnist.kernels import build


class Build(build_ext):
    """Calls our own builder, which compiles every file for its level of processor."""

    def build_extension(self, extension: Extension) -> None:
        if self.inplace or self.editable_mode:
            build.main()
            return
        folder = Path(self.get_ext_fullpath(extension.name)).parent
        folder.mkdir(parents=True, exist_ok=True)
        build.main(folder)

    def get_outputs(self) -> List[str]:
        return []

    def get_output_mapping(self) -> dict:  # type: ignore[type-arg]
        return {}


setup(
    ext_modules=[Extension("mnist.kernels.library", [], optional=True)],
    cmdclass={"build_ext": Build},
)
