"""A model's convolutions and norms, computed by the library instead of Paddle's operators.

The layers stay Paddle's: their parameters are read, and their gradients written, where Paddle
keeps them. The calls that tell where that is are not documented; Paddle is pinned, and no
parameter's address is kept longer than from a forward pass to its backward pass.
"""

import ctypes
import math
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from mnist import kernels
from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.config.schema import DeviceConfig
from mnist.fluid import gradients
from mnist.fluid.door import fluid, to_variable

# A convolution and the batch norm behind it, if there is one.
Pair = Tuple[Any, Optional[Any]]

_FLOAT = fluid.core.VarDesc.VarType.FP32
_CPU = fluid.CPUPlace()
_MOST_LAYERS = 16
_ALIGNMENT = 16  # floats
_GRADIENTS = ("weight_gradient", "bias_gradient", "scale_gradient", "shift_gradient")


def _fields(kind: Any, *names: str) -> List[Tuple[str, Any]]:
    return [(name, kind) for name in names]


class _Layer(ctypes.Structure):
    """``Layer`` of kernels.h."""

    _fields_ = [
        *_fields(ctypes.c_int, "channels", "height", "width", "filters", "size", "padding"),
        *_fields(ctypes.c_int, "pool", "norm", "relu"),
        *_fields(ctypes.c_float, "momentum", "epsilon"),
        *_fields(ctypes.c_void_p, "weight", "bias", "scale", "shift", "mean", "variance"),
        *_fields(ctypes.c_void_p, *_GRADIENTS),
    ]


class _Update(ctypes.Structure):
    """``Update`` of update.c."""

    _fields_ = [
        ("count", ctypes.c_long),
        *_fields(ctypes.c_void_p, "parameter", "gradient", "velocity"),
    ]


def choose(config: DeviceConfig, place: Any, pairs: Sequence[Pair]) -> "Optional[Engine]":
    """The engine for a model's convolutions, or None where Paddle's operators compute them.

    Raises InputError if ``device.kernels`` is ``c`` and it cannot be.
    """
    library = kernels.load()
    missing = ""
    if not isinstance(place, fluid.CPUPlace):
        missing = "the kernels are for the CPU"
    elif not 0 < len(pairs) <= _MOST_LAYERS or not all(_can_compute(*pair) for pair in pairs):
        missing = "this model has no convolutions, or ones that the kernels do not compute"
    elif library is None:
        missing = f"they were not built here ({kernels.BUILD} tries and says why)"
    if config.kernels == "c" and missing:
        raise InputError(f"device.kernels: c, but {missing}; use --set device.kernels=auto")
    return None if config.kernels == "fluid" or missing or not library else Engine(library)


def describe(engine: "Optional[Engine]", config: DeviceConfig) -> str:
    """What computes convolutions and norms, and if it need not be Paddle, the way out."""
    if engine is not None:
        return engine.library.describe()
    if config.kernels == "auto" and kernels.load() is None:
        return f"Paddle's operators (C kernels: {kernels.BUILD})"
    return "Paddle's operators"


class Engine:
    """Runs a stack of layers through a library. One per model; not for several threads."""

    def __init__(self, library: kernels.Library) -> None:
        self.library = library
        # Memory to work in that no forward pass keeps for its backward pass.
        self._free: List[Array] = []

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
        (``mnist.fluid.gradients``).
        """
        shape, call, level = images.shape, self.library.call, self.library.level
        size = [shape[0], pairs[-1][0]._num_filters, *_sizes(pairs, shape)[-1]]
        output = to_variable(np.empty(size, np.float32))
        output.stop_gradient = not training
        layers = _describe(pairs, shape)
        count, batch = len(pairs), shape[0]
        floats = call("workspace", level, layers, count, batch, training)
        workspace = self._take_workspace(floats)
        call(
            "forward", level, layers, count, _address(images, shape), batch, training,
            _address(output, size), workspace.ctypes.data,
        )  # fmt: skip

        def backward(gradient: Any) -> None:
            _tell_gradients(layers, pairs)
            call(
                "backward", level, layers, count, _address(images, shape), batch,
                _address(gradient, size), workspace.ctypes.data,
            )  # fmt: skip
            self._free.append(workspace)

        if training:
            gradients.cut(owner, output, backward)
        else:
            self._free.append(workspace)
        return output

    def _take_workspace(self, floats: int) -> Array:
        """Aligned memory of at least so many floats."""
        workspace = self._free.pop() if self._free else np.empty(0, np.float32)
        if len(workspace) < floats:
            memory = np.empty(floats + _ALIGNMENT, np.float32)
            workspace = memory[-memory.ctypes.data // memory.itemsize % _ALIGNMENT :]
        return workspace

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
        for index, parameter in enumerate(parameters):
            variables = parameter, parameter._grad_ivar(), velocities[parameter.name]
            shape = parameter.shape
            updates[index] = _Update(math.prod(shape), *(_address(v, shape) for v in variables))
        constants = optimizer._momentum, optimizer._use_nesterov
        self.library.call("momentum", updates, len(updates), rate, decay, *constants)
        return True


def _can_compute(convolution: Any, norm: Optional[Any]) -> bool:
    plain = norm is None or (convolution._activation is None and not norm._use_global_stats)
    return convolution.pool != "avg" and plain and _activation(convolution, norm) in (None, "relu")


def _activation(convolution: Any, norm: Optional[Any]) -> Any:
    return convolution._activation if norm is None else norm._act


def _is_watched(layer: Any) -> bool:
    """Whether a hook wants to see what goes in or comes out, or a parameter is not trained."""
    frozen = any(p is not None and p.stop_gradient for p in (layer.weight, layer.bias))
    return bool(frozen or layer._forward_pre_hooks or layer._forward_post_hooks)


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


def _describe(pairs: Sequence[Pair], shape: Sequence[int]) -> Any:
    """The layers as an array of ``Layer``, but for where gradients go."""
    layers = (_Layer * len(pairs))()
    for index, ((convolution, norm), size) in enumerate(zip(pairs, _sizes(pairs, shape))):
        filters, channels = convolution._num_filters, convolution._num_channels
        side, bias = convolution._filter_size, convolution.bias
        values: List[Any] = [channels, *size, filters, side, convolution._margin]
        values += [convolution.pool is not None, norm is not None]
        values += [_activation(convolution, norm) == "relu"]
        values += [0, 0] if norm is None else [norm._momentum, norm._epsilon]
        values += [_address(convolution.weight, [filters, channels, side, side])]
        values += [None if bias is None else _address(bias, [filters])]
        if norm is not None:
            of_norm = norm.weight, norm.bias, norm._mean, norm._variance
            values += [_address(variable, [filters]) for variable in of_norm]
        layers[index] = _Layer(*values)
    return layers


def _tell_gradients(layers: Any, pairs: Sequence[Pair]) -> None:
    """Put down where the gradients of the described layers go."""
    for layer, (convolution, norm) in zip(layers, pairs):
        parameters = [convolution.weight, convolution.bias]
        parameters += [] if norm is None else [norm.weight, norm.bias]
        for name, parameter in zip(_GRADIENTS, parameters):
            if parameter is not None:
                setattr(layer, name, _address(_gradient_of(parameter), parameter.shape))


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
    if tensor.shape() != shape or tensor._dtype() != _FLOAT:
        raise RuntimeError(f"{variable.name} is not float32 {shape}: {tensor.shape()}")
    return int(tensor._mutable_data(_CPU, _FLOAT))
