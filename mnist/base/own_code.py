"""Code of the user's, named ``module:Name``; what the user has not named is never run.

A checkpoint says which code its model is, too, and may be a stranger's: it is no one to name any.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, Tuple

from mnist.base.errors import InputError
from mnist.base.files import PathLike, sha256_of

# Where the module of each name that the user has given may lie, besides where Python looks.
folders: Dict[str, Tuple[str, ...]] = {}


def is_own(name: str) -> bool:
    """Whether a name is of this kind."""
    return ":" in name


def trust(name: str, folder: PathLike = os.curdir) -> None:
    """The user has named ``module:Name``, in ``folder`` or in the working directory; it may run."""
    if not is_own(name):
        raise InputError(f"{name}: write code of your own as module:Name, like my_models:Wide")
    folders[name] = (str(Path(folder).absolute()), os.getcwd())


def name_of(kind: Any) -> str:
    """The name of a class that is there already, as in a notebook, and may be run."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    trust(name)
    return name


def load(name: str) -> Any:
    """What ``name`` names; InputError if the user has not named it, or it cannot be imported."""
    if name not in folders:
        raise InputError(
            f"{name} is code of your own, which no checkpoint has run by naming it; if you trust"
            f" it, add --model {name} (in Python: mnist.register its class)"
        )
    module, _, kind = name.partition(":")
    path = sys.path[:]
    sys.path[:0] = folders[name]
    try:
        return getattr(import_module(module), kind)
    except (Exception, SystemExit) as error:
        places = " or ".join(dict.fromkeys(folders[name]))
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{name} cannot be imported from {places}: {reason}") from error
    finally:
        sys.path[:] = path


def digest(name: str) -> str:
    """The SHA-256 of the file that ``name`` lies in; empty if there is none, as in a notebook."""
    load(name)
    file = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
    return sha256_of(file) if file else ""
