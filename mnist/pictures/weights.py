"""The trained networks of ``data/pretrained-finder``, read as checkpoints are, and in use."""

from typing import Any, Callable, Dict, Tuple

import numpy as np

from mnist.base.arrays import Arrays
from mnist.base.errors import InputError
from mnist.base.files import PathLike, find_input, sha256_of
from mnist.checkpoints import pickles, reading
from mnist.fluid import places
from mnist.fluid.door import fluid

FOLDER = "data/pretrained-finder"
STATES = {"finder": "state.json", "refusal": "refusal.json"}


def load(name: str, folder: PathLike = FOLDER) -> Tuple[Arrays, Dict[str, Any]]:
    """A network's weights, and the state that its training wrote beside them.

    Raises InputError for a file that is missing, or has not the SHA-256 that the state says.
    """
    path = find_input(folder) / f"{name}.pdparams"
    state = reading.read_json(path.with_name(STATES[name]))
    hashes = state.get("sha256")
    if not isinstance(hashes, dict) or sha256_of(path) != hashes.get(path.name):
        raise InputError(f"{path}: is damaged (its SHA-256 is not that of {STATES[name]})")
    return pickles.load(path), state


def in_use(network: Callable[[], Any], weights: Arrays) -> Any:
    """A network with its weights, in evaluation mode, on the CPU; InputError unless all fit."""
    with places.inference(), fluid.unique_name.guard():
        made = network()
        parameters = dict(made.named_parameters())
        shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
        if shapes != {name: np.shape(values) for name, values in weights.items()}:
            raise InputError(
                f"{FOLDER}: its weights are another network's; get both from one place"
            )
        for name, parameter in parameters.items():
            parameter.set_value(weights[name].astype(np.float32))
        made.eval()
    return made
