"""A model's convolutions and norms, computed by the library instead of Paddle's operators.

The layers stay Paddle's: their parameters are read, and their gradients written, where Paddle
keeps them. The calls that tell where that is are not documented; Paddle is pinned, and no
address is kept longer than one call.
"""

import ctypes
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from mnist import kernels
from mnist.framework import fluid, to_variable

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


class Pending:
    """A forward pass whose gradient has yet to be carried on from its output."""

    def __init__(self, engine: "Engine", pairs: Sequence[Pair], images: Any, output: Any) -> None:
        self._engine = engine
        self._pairs = pairs
        self._images = images
        self._output = output
        self.workspace: Any = None

    def backward(self) -> None:
        """Add to the parameters' gradients, once the output has one of its own."""
        gradient = self._output._grad_ivar()
        if gradient is not None and self.workspace is not None:
            self._engine._backward(self._pairs, self._images, gradient, self.workspace)
        self.workspace = None


class Engine:
    """Runs stacks of layers through a library. One per model; not for several threads."""

    def __init__(self, library: kernels.Library) -> None:
        self._library = library
        # Memory to work in that no forward pass waits with for its backward.
        self._free: List[Any] = []

    def supports(self, pairs: Sequence[Pair], images: Any) -> bool:
        """Whether the library can do what these layers do to these images, here and now."""
        tracer = fluid.framework._dygraph_tracer()
        return (
            tuple(images.shape[1:2]) == (pairs[0][0]._num_channels,)
            and images.dtype == _FLOAT
            and images.stop_gradient
            and images.shape[0] > 0
            and len(pairs) <= _MOST_LAYERS
            and not tracer._enable_program_desc_tracing
            and images.value().get_tensor()._place().is_cpu_place()
            and all(_is_plain(*pair) for pair in pairs)
            and _output_size(pairs, images.shape) is not None
        )

    def forward(
        self, pairs: Sequence[Pair], images: Any, training: bool
    ) -> Tuple[Any, Optional[Pending]]:
        """The last layer's output, ``[B, filters, H, W]``, a leaf; in training what is pending."""
        layers = _describe(pairs, images.shape, training)
        size = _output_size(pairs, images.shape)
        output = to_variable(np.empty((images.shape[0], *(size or ())), np.float32))
        output.stop_gradient = not training
        workspace = self._workspace(layers, images.shape[0], training)
        self._library.forward(
            layers, _address(images, images.shape), images.shape[0], training,
            _address(output, output.shape), _aligned(workspace),
        )  # fmt: skip
        if not training:
            self._free.append(workspace)
            return output, None
        pending = Pending(self, pairs, images, output)
        pending.workspace = workspace
        return output, pending

    def _backward(self, pairs: Sequence[Pair], images: Any, gradient: Any, workspace: Any) -> None:
        self._library.backward(
            _describe(pairs, images.shape, True), _address(images, images.shape), images.shape[0],
            _address(gradient, [images.shape[0], *(_output_size(pairs, images.shape) or ())]),
            _aligned(workspace),
        )  # fmt: skip
        self._free.append(workspace)

    def _workspace(self, layers: Any, batch: int, training: bool) -> Any:
        floats = self._library.workspace(layers, batch, training) + _ALIGNMENT // 4
        found = self._free.pop() if self._free else None
        return found if found is not None and len(found) >= floats else np.empty(floats, np.float32)


def _is_plain(convolution: Any, norm: Optional[Any]) -> bool:
    """Whether nobody watches these layers, and they do nothing that the kernels cannot."""
    activation = convolution._activation if norm is None else norm._act
    layers = [convolution] if norm is None else [convolution, norm]
    return (
        activation in (None, "relu")
        and (norm is None or convolution._activation is None)
        and not (norm is not None and norm._use_global_stats)
        and not any(
            layer._forward_pre_hooks or layer._forward_post_hooks for layer in layers
        )
        and not any(
            parameter.stop_gradient
            for layer in layers
            for parameter in layer.parameters()
            if parameter.trainable
        )
    )


def _sizes(pairs: Sequence[Pair], shape: Sequence[int]) -> List[Tuple[int, int]]:
    """Height and width before each layer, and behind the last."""
    height, width = shape[2:]
    sizes = [(height, width)]
    for convolution, _ in pairs:
        more = 2 * convolution._margin - convolution._filter_size + 1
        step = 1 if convolution._pool is None else 2
        height, width = (height + more) // step, (width + more) // step
        sizes.append((height, width))
    return sizes


def _output_size(pairs: Sequence[Pair], shape: Sequence[int]) -> Optional[Tuple[int, int, int]]:
    """Filters, height and width behind the last layer; None if a map would have no pixels."""
    sizes = _sizes(pairs, shape)
    if min(map(min, sizes)) < 1:
        return None
    return (pairs[-1][0]._num_filters, *sizes[-1])


# --- what the library is told ----------------------------------------------------------


def _describe(pairs: Sequence[Pair], shape: Sequence[int], training: bool) -> Any:
    """The layers as an array of ``Layer``, every address taken now."""
    layers = (_Layer * len(pairs))()
    for layer, (convolution, norm), (height, width) in zip(layers, pairs, _sizes(pairs, shape)):
        filters, size = convolution._num_filters, convolution._filter_size
        layer.channels, layer.height, layer.width = convolution._num_channels, height, width
        layer.filters, layer.size, layer.padding = filters, size, convolution._margin
        layer.pool, layer.norm = convolution._pool is not None, norm is not None
        activation = convolution._activation if norm is None else norm._act
        layer.relu = activation == "relu"
        weights = [filters, convolution._num_channels, size, size]
        _point(layer, "weight", convolution.weight, weights, training)
        if convolution.bias is not None:
            _point(layer, "bias", convolution.bias, [filters], training)
        if norm is not None:
            layer.momentum, layer.epsilon = norm._momentum, norm._epsilon
            _point(layer, "scale", norm.weight, [filters], training)
            _point(layer, "shift", norm.bias, [filters], training)
            layer.mean = _address(norm._mean, [filters])
            layer.variance = _address(norm._variance, [filters])
    return layers


def _point(layer: Any, name: str, parameter: Any, shape: List[int], training: bool) -> None:
    setattr(layer, name, _address(parameter, shape))
    if training:
        setattr(layer, f"{name}_gradient", _address(_gradient_of(parameter), shape))


def _gradient_of(parameter: Any) -> Any:
    """The parameter's gradient, made as zeros if no backward pass has made it yet."""
    if parameter._grad_ivar() is None:
        # Names that Paddle generates here must not count: a checkpoint's depend on the counters.
        with fluid.unique_name.guard():
            fluid.layers.reduce_sum(parameter).backward()
        parameter.clear_gradient()
    return parameter._grad_ivar()


def _address(variable: Any, shape: Sequence[int]) -> int:
    """Where a variable's numbers lie now, after a look at what lies there."""
    tensor = variable.value().get_tensor()
    found = tensor.shape(), tensor._dtype(), tensor._is_initialized()
    if found != (list(shape), _FLOAT, True) or not tensor._place().is_cpu_place():
        raise RuntimeError(f"{variable.name} is not float32{list(shape)} on the CPU: {found}")
    return int(tensor._mutable_data(_CPU, _FLOAT))


def _aligned(workspace: Any) -> int:
    address = workspace.ctypes.data
    return int(address + -address % _ALIGNMENT)
