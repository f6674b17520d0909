"""The layers that models are made of, in the forms that Paddle 1.8.5 computes fast on a CPU.

Each computes what Paddle's own layer does; only the order of the work differs, and
docs/speed.md has what each change is worth. On a GPU, where cuDNN does better, they are
Paddle's own operators.
"""

from functools import partial
from typing import Any, Iterator, Optional

from mnist.fluid import gradients
from mnist.fluid.door import fluid

_ops = fluid.core.ops


def linear(inputs: int, outputs: int, seeds: Iterator[int], activation: Any = None) -> Any:
    """A ``Linear`` with weights after Glorot and Bengio 2010, its seed its own."""
    weights = fluid.initializer.Xavier(uniform=True, seed=next(seeds))
    return fluid.dygraph.Linear(
        inputs, outputs, act=activation, param_attr=fluid.ParamAttr(initializer=weights)
    )


class Convolution(fluid.dygraph.Conv2D):
    """A convolution, then 2×2 pooling if ``pool`` ("max" or "avg"), bias and activation.

    Float32 ``[B, channels, H, W]`` → ``[B, filters, H', W']``; weights after He et al. 2015,
    their seed their own. ``padding`` is in pixels on every side.

    - Bias and activation come after max-pooling, on a quarter of the values. Both rise with
      their argument, so the largest value stays the largest: same outputs, same gradients.
      A mean does not, and is taken at the end.
    - The padding is an operator of its own, because Paddle's quick im2col is for
      convolutions without padding only.
    - Inside ``gradients.cutting`` the gradient for the input is computed as a convolution
      where that is quicker than Paddle's way.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        filter_size: int,
        seeds: Iterator[int],
        padding: int = 0,
        pool: Optional[str] = None,
        activation: Optional[str] = None,
        bias: bool = True,
    ) -> None:
        weights = fluid.initializer.MSRA(uniform=False, seed=next(seeds))
        # As Paddle's own layer calls them: an optimizer's state is saved and asked for by that.
        name = fluid.unique_name.generate("conv2d")
        super().__init__(
            num_channels=channels,
            num_filters=filters,
            filter_size=filter_size,
            param_attr=fluid.ParamAttr(name=f"{name}.w_0", initializer=weights),
            bias_attr=fluid.ParamAttr(name=f"{name}.b_0") if bias else False,
        )
        self._margin = padding
        # The stride must be said: its default in 1.8.5 is 1.
        self._pool: Any = fluid.dygraph.Pool2D(2, pool, pool_stride=2) if pool else None
        self.pool = pool
        self._activation = activation

    def forward(self, values: Any) -> Any:
        cuts = self.training and gradients.may_cut() and self._should_cut(values)
        # The operator's defaults are a stride of 1 and no padding.
        maps = _ops.conv2d(pad(values.detach() if cuts else values, self._margin), self.weight)
        if cuts:
            gradients.cut(self, maps, partial(self._carry_to, values))
        if self.pool == "max" and self.training and on_cpu():
            # Notes where each maximum was. The gradient of ``Pool2D`` looks for the maxima again,
            # one of the slowest things in a training step.
            maps, _ = _ops.max_pool2d_with_index(maps, "ksize", [2, 2], "strides", [2, 2])
        elif self.pool == "max":
            maps = self._pool(maps)
        if self.bias is not None:
            maps = fluid.layers.elementwise_add(maps, self.bias, axis=1)
        if self._activation is not None:
            maps = getattr(fluid.layers, self._activation)(maps)
        return self._pool(maps) if self.pool == "avg" else maps

    def _should_cut(self, values: Any) -> bool:
        """Whether the input's gradient is quicker as a convolution.

        That takes apart ``filters`` maps of the input's size (im2col), where Paddle adds up
        ``channels`` maps of the output's size (col2im), more slowly.
        """
        if values.stop_gradient or not on_cpu():
            return False
        height, width = values.shape[2:]
        less = self._filter_size - 1 - 2 * self._margin
        added_up = self._num_channels * (height - less) * (width - less)
        return bool(self._num_filters * height * width <= added_up)

    def _carry_to(self, values: Any, gradient: Any) -> None:
        """Carry on with the gradient for the input, given that for the convolution's maps.

        Paddle multiplies the transposed weights into columns and adds these up pixel by
        pixel (col2im), a sixth of a whole training step. The same gradient is a convolution
        of the output's gradient with the weights turned by half a turn (Dumoulin and Visin
        2016, "A guide to convolution arithmetic for deep learning", section 4).
        """
        turned = fluid.layers.reverse(
            fluid.layers.transpose(self.weight.detach(), [1, 0, 2, 3]), [2, 3]
        )
        margin = self._filter_size - 1 - self._margin
        gradients.carry_to(values, _ops.conv2d(pad(gradient, margin), turned))


def pad(values: Any, margin: int) -> Any:
    """``margin`` rows and columns of zeros on every side."""
    return fluid.layers.pad2d(values, paddings=[margin] * 4) if margin else values


def on_cpu() -> bool:
    """Whether dygraph computes on the CPU now."""
    return isinstance(fluid.framework._current_expected_place(), fluid.CPUPlace)
