"""The finder in training: convolutions with batch norms in C, three times as fast as Paddle's.

Paddle's autograd computes what is between the stacks of convolutions; each stack is cut out of
the graph, its output a leaf, and `Network.backward` carries the gradients through them.
"""

import ctypes
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Iterator, List, Optional, Tuple

import finder
import numpy as np

from mnist import kernels
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.layers import Convolution
from mnist.kernels import engine

L = fluid.layers
COMPILER = os.environ.get("CC", "cc")
FOLDER = Path(__file__).resolve().parent
FLAGS = {3: ["-mavx2"], 4: ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"]}


def build() -> Any:
    """The library of blocks.c, compiled for this machine."""
    loaded = kernels.load()
    level = loaded.level if loaded else 3
    flags = ["-std=c99", "-O3", "-fPIC", "-fvisibility=hidden", f"-DLEVEL={level}", "-mfma"]
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        sources = {kernels.FOLDER / "convolution.c": "fast", FOLDER / "blocks.c": "off"}
        for source, contract in sources.items():
            objects.append(f"{folder}/{source.stem}.o")
            options = [*flags, *FLAGS[level], f"-ffp-contract={contract}"]
            subprocess.run([COMPILER, *options, "-c", str(source), "-o", objects[-1]], check=True)
        library = f"{folder}/blocks.so"
        subprocess.run([COMPILER, "-shared", *objects, "-lm", "-o", library], check=True)
        made = ctypes.CDLL(library)
    made.finder_workspace.restype = ctypes.c_long
    return made


class Block(fluid.dygraph.Layer):
    """A 3×3 convolution, batch norm and ReLU."""

    seeds: Iterator[int] = iter(range(1, 1000))

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv = Convolution(channels, filters, 3, self.seeds, padding=1, bias=False)
        self.norm = fluid.dygraph.BatchNorm(filters, act="relu", momentum=0.98)

    def forward(self, values: Any) -> Any:
        return self.norm(self.conv(values))


def plain(channels: int, filters: int) -> Any:
    """A 1×1 convolution of Paddle's own."""
    weights = fluid.initializer.MSRA(uniform=False, seed=next(Block.seeds))
    return fluid.dygraph.Conv2D(
        channels, filters, 1, param_attr=fluid.ParamAttr(initializer=weights)
    )


class Stack:
    """Blocks one after the other, forward and backward in C."""

    def __init__(self, library: Any, blocks: List[Block]) -> None:
        self.library = library
        self.pairs: List[Tuple[Any, Any]] = [(block.conv, block.norm) for block in blocks]
        self.workspace = np.empty(0, np.float32)

    def forward(self, values: Any) -> Any:
        """float32 ``[B, C, H, W]`` → a leaf, ``[B, filters, H, W]``."""
        shape = values.shape
        self.batch = shape[0]
        self.output = np.empty([shape[0], self.pairs[-1][0]._num_filters, *shape[2:]], np.float32)
        self.input = values
        self.layers = (engine._Layer * (len(self.pairs) + 1))()
        self.layers[0] = engine._Layer(shape[1], shape[2], shape[3], shape[1], 1)
        self.layers[1:] = list(engine._describe(self.pairs, shape))
        floats = self.library.finder_workspace(self.layers, len(self.layers), self.batch)
        if len(self.workspace) < floats:
            memory = np.empty(floats + 16, np.float32)
            self.workspace = memory[-memory.ctypes.data // 4 % 16 :]
        self.library.finder_forward(
            self.layers, len(self.layers), ctypes.c_void_p(engine._address(values, shape)),
            self.batch, _pointer(self.output), _pointer(self.workspace),
        )  # fmt: skip
        leaf = to_variable(self.output)
        leaf.stop_gradient = False
        return leaf

    def backward(self, gradient: Any, wanted: bool) -> Optional[Any]:
        """The output's gradient, float32, to the input's, if wanted; the weights' are added."""
        described = list(self.layers[1:])
        engine._tell_gradients(described, self.pairs)
        self.layers[1:] = described
        back = np.empty(self.input.shape, np.float32) if wanted else None
        gradient = np.ascontiguousarray(gradient, np.float32)
        self.library.finder_backward(
            self.layers, len(self.layers),
            ctypes.c_void_p(engine._address(self.input, self.input.shape)), self.batch,
            _pointer(gradient), None if back is None else _pointer(back),
            _pointer(self.workspace),
        )  # fmt: skip
        return back


def _pointer(array: Any) -> Any:
    return ctypes.c_void_p(array.ctypes.data)


class Join:
    """relu(the 1×1 convolution of small maps, each four of them one of twice the size, + large).

    Paddle's pixel_shuffle alone takes as long as all the convolutions of its level.
    """

    def __init__(self, convolution: Any) -> None:
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, small: Any, large: Any) -> Any:
        """VarBase ``[B, C, H, W]`` and ``[B, F, 2 H, 2 W]`` → VarBase like the second."""
        self.small = small.numpy().reshape(*small.shape[:2], -1)
        self.matrix = self.weight.numpy()[:, :, 0, 0]
        wide = self.matrix @ self.small + self.bias.numpy()[:, None]
        wide = wide.reshape(small.shape[0], -1, 4, *small.shape[2:])
        self.sum = large.numpy()
        for part in range(4):
            self.sum[:, :, part // 2 :: 2, part % 2 :: 2] += wide[:, :, part]
        np.maximum(self.sum, 0, out=self.sum)
        return to_variable(self.sum)

    def backward(self, gradient: Any) -> Tuple[Any, Any]:
        """The gradient of what came out to those of what went in."""
        gradient *= self.sum > 0
        batch, filters, height, width = gradient.shape
        wide = np.empty((batch, filters, 4, height // 2, width // 2), np.float32)
        for part in range(4):
            wide[:, :, part] = gradient[:, :, part // 2 :: 2, part % 2 :: 2]
        wide = wide.reshape(batch, 4 * filters, -1)
        _add_gradient(self.weight, (wide @ self.small.transpose(0, 2, 1)).sum(0))
        _add_gradient(self.bias, wide.sum((0, 2)))
        small = (self.matrix.T @ wide).reshape(batch, -1, height // 2, width // 2)
        return small, gradient


def _add_gradient(parameter: Any, values: Any) -> None:
    held = engine._gradient_of(parameter)
    address = engine._address(held, parameter.shape)
    memory = (ctypes.c_float * values.size).from_address(address)
    np.frombuffer(memory, np.float32)[:] += values.ravel()


class Network(finder.Network):
    """The finder with batch norms; gradients come from ``backward``, not ``loss.backward()``."""

    def __init__(self) -> None:
        super().__init__(Block, plain)
        library = build()
        self.stacks = [Stack(library, list(level)) for level in self.down]
        self.stacks += [Stack(library, [layer]) for layer in self.up]
        self.joins = [Join(convolution) for convolution in self.widen]

    def forward(self, values: Any) -> Any:
        self.pooled: List[Any] = [values]
        kept: List[Any] = []
        depth = len(self.down)
        for stack in self.stacks[:depth]:
            if kept:
                values, _ = fluid.core.ops.max_pool2d_with_index(
                    kept[-1], "ksize", [2, 2], "strides", [2, 2]
                )
                self.pooled.append(values)
            kept.append(stack.forward(values))
        self.leaves = list(kept)
        for join, stack, large in zip(self.joins, self.stacks[depth:], reversed(kept[:-1])):
            self.leaves.append(stack.forward(join.forward(self.leaves[-1], large)))
        return self.head(self.leaves[-1]), self.voting(self.leaves[-2])

    def backward(self, loss: Any) -> None:
        """All gradients, added to what there is."""
        loss.backward()
        total: List[Any] = [0] * len(self.leaves)
        total[-1], total[-2] = (leaf.gradient() for leaf in (self.leaves[-1], self.leaves[-2]))
        depth = len(self.down)
        for at in range(len(self.leaves) - 1, depth - 1, -1):
            gradient = self.stacks[at].backward(total[at], wanted=True)
            small, large = self.joins[at - depth].backward(gradient)
            total[at - 1] = total[at - 1] + small
            total[2 * depth - 2 - at] = large
        for at in range(depth - 1, -1, -1):
            gradient = self.stacks[at].backward(total[at], wanted=at > 0)
            if at:
                # The sum's gradient for what was pooled is `gradient`.
                L.reduce_sum(self.pooled[at] * to_variable(gradient)).backward()
                total[at - 1] = total[at - 1] + self.leaves[at - 1].gradient()
