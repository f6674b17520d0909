"""A model's convolutions and norms, computed by the library instead of Paddle's operators.

The layers stay Paddle's: their parameters are read, and their gradients written, where Paddle
keeps them. The calls that tell where that is are not documented; Paddle is pinned, and no
address is kept longer than one call of the library.
"""

import ctypes
import math
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from mnist import kernels
from mnist.base.errors import InputError
from mnist.config import DeviceConfig
from mnist.fluid import gradients
from mnist.fluid.door import fluid, to_variable

# A convolution and the batch norm behind it, if there is one.
Pair = Tuple[Any, Optional[Any]]

_FLOAT = fluid.core.VarDesc.VarType.FP32
_CPU = fluid.CPUPlace()
_MOST_LAYERS = 16
_ALIGNMENT = 64
_INTEGERS = (
    "channels", "height", "width", "filters", "size", "padding", "pool", "norm", "relu",
)  # fmt: skip
_ADDRESSES = (
    "weight", "bias", "scale", "shift", "mean", "variance",
    "weight_gradient", "bias_gradient", "scale_gradient", "shift_gradient",
)  # fmt: skip


class _Layer(ctypes.Structure):
    """``Layer`` of kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int) for name in _INTEGERS),
        *((name, ctypes.c_float) for name in ("momentum", "epsilon")),
        *((name, ctypes.c_void_p) for name in _ADDRESSES),
    )


class _Update(ctypes.Structure):
    """``Update`` of update.c."""

    _fields_ = (
        ("count", ctypes.c_long),
        *((name, ctypes.c_void_p) for name in ("parameter", "gradient", "velocity")),
    )


def choose(config: DeviceConfig, place: Any, pairs: Sequence[Pair]) -> "Optional[Engine]":
    """The engine for a model's convolutions, or None where Paddle's operators compute them.

    Raises InputError if ``device.kernels`` is ``c`` and it cannot be.
    """
    missing = _why_not(place, pairs)
    if config.kernels == "c" and missing:
        raise InputError(f"device.kernels: c, but {missing}; use --set device.kernels=auto")
    library = None if config.kernels == "fluid" or missing else kernels.load()
    return None if library is None else Engine(library)


def describe(engine: "Optional[Engine]", config: DeviceConfig) -> str:
    """What computes convolutions and norms, and if it need not be Paddle, the way out."""
    if engine is not None:
        return engine.library.describe()
    if config.kernels == "auto" and kernels.load() is None:
        return "Paddle's operators (C kernels: python -m mnist.kernels.build)"
    return "Paddle's operators"


def _why_not(place: Any, pairs: Sequence[Pair]) -> str:
    """Why the library cannot compute these layers there; empty if it can."""
    if not isinstance(place, fluid.CPUPlace):
        return "the kernels are for the CPU"
    if not pairs or len(pairs) > _MOST_LAYERS or not all(_can_compute(*pair) for pair in pairs):
        return "this model has no convolutions, or ones that the kernels do not compute"
    if kernels.load() is None:
        return "they were not built here (python -m mnist.kernels.build tries and says why)"
    return ""


class Engine:
    """Runs a stack of layers through a library. One per model; not for several threads."""

    def __init__(self, library: kernels.Library) -> None:
        self.library = library
        # Memory to work in that no forward pass keeps for its backward pass.
        self._free: List[Any] = []

    def supports(self, pairs: Sequence[Pair], images: Any) -> bool:
        """Whether these images can go through now, and nobody watches the layers."""
        return (
            images.stop_gradient
            and images.dtype == _FLOAT
            and images.shape[0] > 0
            and images.shape[1] == pairs[0][0]._num_channels
            and min(map(min, _sizes(pairs, images.shape))) > 0
            and not fluid.framework._dygraph_tracer()._enable_program_desc_tracing
            and images.value().get_tensor()._place().is_cpu_place()
            and not any(map(_is_watched, (layer for pair in pairs for layer in pair if layer)))
        )

    def forward(self, owner: Any, pairs: Sequence[Pair], images: Any, training: bool) -> Any:
        """Float32 ``[B, channels, H, W]`` to the last layer's output, ``[B, filters, H', W']``.

        In training the output is a leaf of the graph, which is cut there for ``owner``
        (``mnist.gradients``).
        """
        size = [images.shape[0], pairs[-1][0]._num_filters, *_sizes(pairs, images.shape)[-1]]
        output = to_variable(np.empty(size, np.float32))
        output.stop_gradient = not training
        layers = _describe(pairs, images.shape, gradients_too=False)
        workspace = self._take_workspace(layers, size[0], training)
        library, count = self.library, len(pairs)
        library.call(
            "forward", library.level, layers, count, _address(images, images.shape), size[0],
            training, _address(output, size), _aligned(workspace),
        )  # fmt: skip

        def backward(gradient: Any) -> None:
            library.call(
                "backward", library.level, _describe(pairs, images.shape, gradients_too=True),
                count, _address(images, images.shape), size[0], _address(gradient, size),
                _aligned(workspace),
            )  # fmt: skip
            self._free.append(workspace)

        if training:
            gradients.cut(owner, output, backward)
        else:
            self._free.append(workspace)
        return output

    def minimize(self, optimizer: Any, parameters: Sequence[Any]) -> bool:
        """Momentum's ``optimizer.minimize``, to the last bit; False if it must do it itself."""
        if optimizer.type != "momentum" or optimizer._grad_clip is not None:
            return False
        optimizer._create_global_learning_rate()
        rate = float(optimizer._global_learning_rate().numpy()[0])
        regularizer = optimizer.regularization
        decay = 0.0 if regularizer is None else regularizer._regularization_coeff
        velocities = optimizer._accumulators["velocity"]
        updates = (_Update * len(parameters))()
        for update, parameter in zip(updates, parameters):
            shape = parameter.shape
            update.count = math.prod(shape)
            update.parameter = _address(parameter, shape)
            update.gradient = _address(parameter._grad_ivar(), shape)
            update.velocity = _address(velocities[parameter.name], shape)
        constants = optimizer._momentum, optimizer._use_nesterov
        self.library.call("momentum", updates, len(updates), rate, decay, *constants)
        return True

    def _take_workspace(self, layers: Any, batch: int, training: bool) -> Any:
        floats = self.library.call(
            "workspace", self.library.level, layers, len(layers), batch, training
        )
        floats += _ALIGNMENT // 4
        while self._free:
            found = self._free.pop()
            if len(found) >= floats:
                return found
        return np.empty(floats, np.float32)


def _can_compute(convolution: Any, norm: Optional[Any]) -> bool:
    if convolution.pool == "avg":
        return False
    if norm is None:
        return convolution._activation in (None, "relu")
    plain = convolution._activation is None and not norm._use_global_stats
    return plain and norm._act in (None, "relu")


def _is_watched(layer: Any) -> bool:
    """Whether a hook wants to see what goes in or comes out, or a parameter is not trained."""
    return bool(
        layer._forward_pre_hooks
        or layer._forward_post_hooks
        or layer.weight.stop_gradient
        or (layer.bias is not None and layer.bias.stop_gradient)
    )


def _sizes(pairs: Sequence[Pair], shape: Sequence[int]) -> List[Tuple[int, int]]:
    """Height and width before each layer, and behind the last."""
    height, width = shape[2:]
    sizes = [(height, width)]
    for convolution, _ in pairs:
        more = 2 * convolution._margin - convolution._filter_size + 1
        step = 1 if convolution.pool is None else 2
        height, width = (height + more) // step, (width + more) // step
        sizes.append((height, width))
    return sizes


# --- what the library is told ----------------------------------------------------------


def _describe(pairs: Sequence[Pair], shape: Sequence[int], gradients_too: bool) -> Any:
    """The layers as an array of ``Layer``, every address taken now."""
    layers = (_Layer * len(pairs))()
    for layer, (convolution, norm), size in zip(layers, pairs, _sizes(pairs, shape)):
        layer.height, layer.width = size
        filters, channels = convolution._num_filters, convolution._num_channels
        layer.channels, layer.filters, layer.padding = channels, filters, convolution._margin
        layer.size = convolution._filter_size
        layer.pool, layer.norm = convolution.pool is not None, norm is not None
        layer.relu = (convolution._activation if norm is None else norm._act) == "relu"
        parameters = [("weight", convolution.weight, [filters, channels, layer.size, layer.size])]
        if convolution.bias is not None:
            parameters.append(("bias", convolution.bias, [filters]))
        if norm is not None:
            parameters += [("scale", norm.weight, [filters]), ("shift", norm.bias, [filters])]
            layer.momentum, layer.epsilon = norm._momentum, norm._epsilon
            layer.mean = _address(norm._mean, [filters])
            layer.variance = _address(norm._variance, [filters])
        for name, parameter, dimensions in parameters:
            setattr(layer, name, _address(parameter, dimensions))
            if gradients_too:
                gradient = _address(_gradient_of(parameter), dimensions)
                setattr(layer, f"{name}_gradient", gradient)
    return layers


def _gradient_of(parameter: Any) -> Any:
    """The parameter's gradient, made as zeros if no backward pass has made it yet."""
    if parameter._grad_ivar() is None:
        # Names that Paddle generates here must not count: a checkpoint's depend on the counters.
        with fluid.unique_name.guard():
            fluid.layers.reduce_sum(parameter).backward()
        parameter.clear_gradient()
    return parameter._grad_ivar()


def _address(variable: Any, shape: Sequence[int]) -> int:
    """Where a variable's numbers lie now, after a look at what lies there.

    Paddle 1.8.5 has no other tensors than contiguous ones.
    """
    tensor = variable.value().get_tensor()
    if tensor.shape() != shape or tensor._dtype() != _FLOAT or not tensor._is_initialized():
        raise RuntimeError(f"{variable.name} is not float32 {shape}: {tensor.shape()}")
    return int(tensor._mutable_data(_CPU, _FLOAT))


def _aligned(workspace: Any) -> int:
    address = workspace.ctypes.data
    return int(address + -address % _ALIGNMENT)
