"""A model's weights in files that need no Paddle and no pickle, and what others call them.

The arrays are as Paddle keeps them. Paddle 2 and 3 call them the same; PyTorch keeps the
weight of a ``Linear`` as [out,in] where Paddle has [in,out], and calls a batch normalisation's
moving figures otherwise.
"""

from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import safetensors.numpy

from mnist.base.arrays import Arrays
from mnist.fluid.door import fluid
from mnist.model.architectures import Model

NPZ = "weights.npz"
SAFETENSORS = "weights.safetensors"

# Paddle's name → PyTorch's, of the last part of a parameter's name.
_TORCH_NAMES = {"_mean": "running_mean", "_variance": "running_var"}


def describe(model: Model) -> List[Dict[str, Any]]:
    """A row for each parameter, in the model's order.

    ``name`` (in Paddle 1.8, 2 and 3), ``shape``, ``variable`` (in the inference model's
    program), ``torch`` (in PyTorch), and whether it is transposed there.
    """
    layers = model.named_sublayers()
    linear = {name for name, layer in layers if isinstance(layer, fluid.dygraph.Linear)}
    rows = []
    for name, parameter in model.named_parameters():
        layer, dot, last = name.rpartition(".")
        rows.append(
            {
                "name": name,
                "shape": list(parameter.shape),
                "variable": parameter.name,
                "torch": layer + dot + _TORCH_NAMES.get(last, last),
                "torch_transposed": last == "weight" and layer in linear,
            }
        )
    return rows


def write(arrays: Arrays, folder: Path) -> None:
    """``weights.npz`` and ``weights.safetensors`` of structured name → float32 array."""
    np.savez(folder / NPZ, **arrays)
    layout = {"layout": "paddle: Linear weights are [in,out]"}
    (folder / SAFETENSORS).write_bytes(safetensors.numpy.save(arrays, layout))
