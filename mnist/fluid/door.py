"""The one door through which Paddle comes in.

Every room that computes imports ``fluid`` from here, so that the installed packages have
been checked and the environment has been set before Paddle is loaded, whoever asks first.
"""

import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, Iterator

from mnist.base import preflight
from mnist.fluid import environment

preflight.check()
if not environment.chosen:
    environment.prepare()
# Paddle's import puts a handler of its own on SIGTERM; ours comes back after it.
_on_terminate = signal.getsignal(signal.SIGTERM)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Paddle's import from what it does not need, which takes time or makes it fail.

    It loads fourteen example data sets and for them NLTK and SciPy's statistics, half of its time.
    A package ``paddle.dataset`` that is there already, and finds the modules in it that Paddle
    itself needs, is all that it asks for; who imports that later still gets it.
    It makes ``~/.cache/paddle/dataset``, which a home that cannot be written refuses; and it
    takes any word on ``ldd``'s standard error, such as a shell's on a locale that is not
    installed (ssh brings ``LC_ALL`` along), for no glibc at all.
    """
    found, name = find_spec("paddle"), "paddle.dataset"
    folders = found.submodule_search_locations if found else None
    placeholder = ModuleType(name)
    placeholder.__path__ = [str(Path(p) / "dataset") for p in folders or []]
    makedirs, locale = os.makedirs, os.environ.get("LC_ALL")

    def makedirs_if_possible(*arguments: Any, **options: Any) -> None:
        with suppress(OSError):
            makedirs(*arguments, **options)

    is_first = sys.modules.setdefault(name, placeholder) is placeholder
    os.makedirs = makedirs_if_possible
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if is_first:
            del sys.modules[name]
        os.makedirs = makedirs
        del os.environ["LC_ALL"]
        if locale is not None:
            os.environ["LC_ALL"] = locale


import numpy as np  # noqa: E402

from mnist.base.arrays import Array, Arrays  # noqa: E402

with _undisturbed():
    import paddle as paddle
    from paddle import fluid as fluid

if threading.current_thread() is threading.main_thread() and _on_terminate is not None:
    signal.signal(signal.SIGTERM, _on_terminate)


def _left_in_order(guard: Callable[..., Any]) -> Callable[..., Any]:
    """One of Paddle's guards that puts back what it has changed behind an exception, too.

    Paddle's own do not: dygraph would stay switched on for all that the process does later.
    """

    @contextmanager
    def guarded(*arguments: Any, **options: Any) -> Iterator[None]:
        own = guard(*arguments, **options)
        own.__enter__()
        try:
            yield
        finally:
            own.__exit__(None, None, None)

    return guarded


_GUARDS = (fluid.dygraph, "guard"), (fluid.unique_name, "guard"), (fluid, "scope_guard")
for _room, _name in _GUARDS:
    setattr(_room, _name, _left_in_order(getattr(_room, _name)))


def to_variable(array: Array) -> Any:
    """A VarBase that owns its memory.

    On the CPU Paddle's own ``to_variable`` shares the NumPy buffer by default: writing to
    the array later would change the variable.
    """
    return fluid.dygraph.to_variable(array, zero_copy=False)


def fill(expected: Dict[str, Any], given: Arrays, what: str) -> None:
    """Set Paddle's variables to the arrays of the same names; ValueError unless all fit exactly.

    Paddle's own ``set_dict`` stops half-way at a missing name and only warns of an extra
    one; here nothing is set before everything is known to fit.
    """
    for name in {**expected, **given}:
        if name not in given:
            raise ValueError(f"the {what} {name} is missing")
        if name not in expected:
            raise ValueError(f"{name} is no {what} of this model")
        here, wanted = list(given[name].shape), list(expected[name].shape)
        if here != wanted or given[name].dtype != np.float32:
            raise ValueError(f"{name} is {here} ({given[name].dtype}), not {wanted} (float32)")
    for name, variable in expected.items():
        variable.set_value(given[name])
