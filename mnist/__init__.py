"""Handwritten digits on PaddlePaddle 1.8.5 ``fluid.dygraph``, from data to prediction.

Importing this package imports nothing else: Paddle takes a second or more and must
see its environment variables first (``mnist.fluid.environment``), so every room imports it late.
The names in ``__all__`` come from ``mnist.library.interface`` when they are first used.
"""

from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from mnist.library.interface import *  # noqa: F403

__version__ = "0.1.0"
__all__ = [
    "Trainer", "create_model", "fit", "load_config",  # noqa: F405
    "load_data", "load_model", "register",  # noqa: F405
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mnist' has no attribute {name!r}")
    from mnist.library import interface

    return getattr(interface, name)


def __dir__() -> List[str]:
    return [*globals(), *__all__]
