"""The architectures, by name. Each takes float32 ``[B,1,28,28]`` and returns its outputs:
logits ``[B,C]`` for C classes, or ``[B,1]`` when the loss is ``square_error`` (see
``mnist.model.losses``).

The softmax is not part of a model: the loss computes it together with the logarithm.
"""

import math
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

from mnist.base import own_code, seeding
from mnist.base.arrays import Array
from mnist.base.errors import InputError
from mnist.config import schema
from mnist.config.classes import DIGITS, Classes
from mnist.config.schema import ModelConfig
from mnist.data.digits import PIXELS, SIDE
from mnist.fluid import gradients, randomness
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.layers import Convolution, linear
from mnist.kernels.engine import Engine, Pair
from mnist.model.losses import outputs_of

# The token that fills up a row of tokens; it is looked up as zeros and never trained.
_NO_TOKEN = 0


def build(config: ModelConfig, seed: int, classes: Classes = DIGITS) -> "Model":
    """The model that ``config`` describes, drawn from ``seed``; in ``fluid.dygraph.guard``."""
    return MODELS.get(config.name, OwnModel)(config, seed, classes)


class Model(fluid.dygraph.Layer):
    """What all architectures share: their config, their dropout, their parameter count.

    ``classes`` are the names of what its outputs stand for.
    """

    def __init__(self, config: ModelConfig, seed: int, classes: Classes = DIGITS) -> None:
        super().__init__()
        self.config, self.classes = config, tuple(classes)
        self.outputs = outputs_of(config.loss, len(classes))
        # What random numbers follow from: the step, and how many masks it has had.
        self._seed, self._masks = seed, 0
        self._step: Tuple[int, ...] = (0,)
        # What computes the convolutions, if it is not Paddle's operators.
        self.engine: Optional[Engine] = None
        self.add_layers(config, seeding.layer_seeds(seed))

    def add_layers(self, config: Any, seeds: Iterator[int]) -> None:
        """Make the layers; the initializer of each parameter takes the next of ``seeds``."""
        raise NotImplementedError

    def convolutions_and_norms(self) -> List[Pair]:
        """The convolutions that images go through first, each with the norm behind it if any.

        Here without norms, in the order in which a model has made them.
        """
        return [(each, None) for each in self.sublayers() if isinstance(each, Convolution)]

    def convolve(self, images: Any) -> Any:
        """Images through ``convolutions_and_norms``, ``[B,1,28,28]`` → ``[B,K,H,W]``."""
        pairs, engine = self.convolutions_and_norms(), self.engine
        may_compute = not self.training or gradients.may_cut()
        if engine is not None and may_compute and engine.supports(pairs, images):
            return engine.forward(self, pairs, images, self.training)
        values = images
        for convolution, norm in pairs:
            values = convolution(values)
            values = values if norm is None else norm(values)
        return values

    def begin_step(self, step: int, rank: int = 0) -> None:
        """Tell the model which training step comes next; dropout masks follow from it.

        Processes that train together, told apart by ``rank``, have masks of their own.
        """
        gradients.require_carried_on()
        self._step, self._masks = (step, rank) if rank else (step,), 0

    def stream(self, purpose: str, *position: int) -> np.random.Generator:
        """Random numbers of this step."""
        return seeding.stream(self._seed, purpose, *self._step, *position)

    def dropout(self, values: Any) -> Any:
        """Inverted dropout (Srivastava et al. 2014) with masks from (seed, step, use).

        Paddle's own ``dropout`` repeats one mask for ever under a fixed seed, and cannot go on
        where an interrupted run stopped without one.
        """
        probability = self.config.dropout
        if not self.training or probability == 0:
            return values
        drawn = self.stream("dropout", self._masks).random(values.shape, dtype=np.float32)
        self._masks += 1
        mask = (drawn >= probability).astype(np.float32) / np.float32(1 - probability)
        return values * to_variable(mask)

    def backward(self, loss: Any) -> None:
        """Compute the gradients of all parameters, inside ``gradients.cutting`` as well.

        Outside of it this is ``loss.backward()``.
        """
        gradients.backward(loss)

    def trained_parameters(self) -> List[Any]:
        """The parameters that have gradients: all but a batch norm's running statistics."""
        return [parameter for parameter in self.parameters() if parameter.trainable]

    def count_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(math.prod(parameter.shape) for parameter in self.trained_parameters())


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Evaluation mode for a while.

    ``eval()`` switches autograd off for every model in the process (Paddle 1.8.5), so the
    former mode is restored however this ends.
    """
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()


def _in_range(images: Any, ends: List[float]) -> Any:
    """Pixels in 0–1 as what a blank pixel and one full of ink are to a model."""
    blank, full = ends
    return images if (blank, full) == (0, 1) else fluid.layers.scale(images, full - blank, blank)


def _linears(sizes: List[int], seeds: Iterator[int], activation: str) -> Any:
    layers = [linear(a, b, seeds, activation) for a, b in zip(sizes, sizes[1:])]
    return fluid.dygraph.LayerList(layers)


class FullyConnected(Model):
    """``fc``: flattened pixels through ``Linear`` layers (``FC`` left Paddle before 1.8)."""

    def add_layers(self, config: schema.FcConfig, seeds: Iterator[int]) -> None:
        self._input_range = config.input_range
        sizes = [PIXELS, *config.hidden_sizes]
        self.hidden = _linears(sizes, seeds, config.activation)
        self.fc = linear(sizes[-1], self.outputs, seeds)

    def forward(self, images: Any) -> Any:
        values = fluid.layers.reshape(_in_range(images, self._input_range), [-1, PIXELS])
        for layer in self.hidden:
            values = self.dropout(layer(values))
        return self.fc(values)


class LeNet(Model):
    """``lenet``: the course's network, its widths in the config."""

    def add_layers(self, config: schema.LenetConfig, seeds: Iterator[int]) -> None:
        self._input_range = config.input_range
        first, second = config.filters
        pool, activation = config.pooling, config.activation
        before, between = config.paddings
        self.conv1 = Convolution(1, first, 5, seeds, before, pool, activation)
        self.conv2 = Convolution(first, second, 5, seeds, between, pool, activation)
        side = ((28 + 2 * before - 4) // 2 + 2 * between - 4) // 2
        sizes = [second * side**2, *config.hidden_sizes]
        self.hidden = _linears(sizes, seeds, activation)
        self.fc = linear(sizes[-1], self.outputs, seeds)

    def forward(self, images: Any) -> Any:
        values = self.convolve(_in_range(images, self._input_range))
        values = self.dropout(fluid.layers.flatten(values))
        for layer in self.hidden:
            values = self.dropout(layer(values))
        return self.fc(values)


class LeNet5(Model):
    """``lenet5``: the layout of LeCun et al. 1998, "Gradient-based learning applied to
    document recognition", section II.B: 6 and 16 filters, then 120, 84 and 10 units.

    As all modern versions of it, with max-pooling for the trained subsampling, every map of
    the second convolution seeing all six of the first, and a softmax for the RBF outputs.
    """

    def add_layers(self, config: schema.Lenet5Config, seeds: Iterator[int]) -> None:
        activation = config.activation
        self.conv1 = Convolution(1, 6, 5, seeds, 2, "max", activation)
        self.conv2 = Convolution(6, 16, 5, seeds, 0, "max", activation)
        self.fc1 = linear(16 * 5 * 5, 120, seeds, activation)
        self.fc2 = linear(120, 84, seeds, activation)
        self.fc3 = linear(84, self.outputs, seeds)

    def forward(self, images: Any) -> Any:
        values = self.dropout(self.fc1(fluid.layers.flatten(self.convolve(images))))
        return self.fc3(self.dropout(self.fc2(values)))


class ConvNet(Model):
    """``convnet``: five convolutions, batch normalisation (Ioffe and Szegedy 2015) after each.

    Small in parameters and in work: the maps shrink early, 28 → 24 → 12 → 10 → 5 → 3, and
    every third is computed without padding.
    """

    def add_layers(self, config: schema.ConvNetConfig, seeds: Iterator[int]) -> None:
        widths = [1, *config.filters]
        sizes, paddings, pools = (5, 3, 3, 3, 3), (0, 1, 0, 1, 0), ("max", None, "max", None, None)
        shapes = zip(widths, widths[1:], sizes, paddings, pools)
        convolutions = [
            Convolution(before, after, size, seeds, padding, pool, bias=False)
            for before, after, size, padding, pool in shapes
        ]
        self.convolutions = fluid.dygraph.LayerList(convolutions)
        norms = [fluid.dygraph.BatchNorm(width, act=config.activation) for width in config.filters]
        self.norms = fluid.dygraph.LayerList(norms)
        self.fc = linear(widths[-1] * 3 * 3, self.outputs, seeds)

    def convolutions_and_norms(self) -> List[Pair]:
        return list(zip(self.convolutions, self.norms))

    def forward(self, images: Any) -> Any:
        return self.fc(self.dropout(fluid.layers.flatten(self.convolve(images))))


class PixelEmbedding(Model):
    """``embedding``: the ink of an image as tokens, the way a text is a row of words.

    A token is a position together with the grey level of the ink there; its row of the table
    is learnt, and the sum of an image's rows is its code, from which one layer reads the
    digit. Blank pixels are no tokens: hundreds of rows that all images share would drown the
    others.
    """

    def add_layers(self, config: schema.EmbeddingConfig, seeds: Iterator[int]) -> None:
        self._ink_levels = config.levels - 1
        uniform = fluid.initializer.Uniform(-config.scale, config.scale, seed=next(seeds))
        self.embedding = fluid.dygraph.Embedding(
            size=[1 + PIXELS * self._ink_levels, config.embedding_size],
            padding_idx=_NO_TOKEN,
            param_attr=fluid.ParamAttr(name="embedding_para", initializer=uniform),
        )
        self.fc = linear(config.embedding_size, self.outputs, seeds)

    def tokens(self, images: Array) -> Array:
        """Pixels in 0–1, float32 ``[B,1,28,28]`` → tokens, int64 ``[B,T]``.

        An image's tokens come first, in the order of its pixels, filled up with
        ``_NO_TOKEN`` to the length of the longest.
        """
        pixels = images.reshape(len(images), PIXELS)
        levels = np.asarray(np.rint(pixels * self._ink_levels), np.int64)
        ids = np.arange(PIXELS) * self._ink_levels + levels
        ids[levels == 0] = _NO_TOKEN
        blank_last = np.argsort(levels == 0, axis=1, kind="stable")
        longest = max(int((levels > 0).sum(axis=1).max()), 1)
        return np.take_along_axis(ids, blank_last[:, :longest], axis=1)

    def _traceable_tokens(self, images: Any) -> Any:
        """``tokens`` in Paddle's operators, since of NumPy a trace would see nothing.

        Blank pixels stay in their places, for more work and the same sum. A pixel half-way
        between two levels, which no 8-bit picture has, may be rounded the other way.
        """
        pixels = fluid.layers.reshape(images, [-1, PIXELS])
        levels = fluid.layers.round(fluid.layers.scale(pixels, float(self._ink_levels)))
        # Whole numbers below 2^24, so float32 holds them exactly.
        first = fluid.layers.assign(np.arange(PIXELS, dtype=np.float32) * self._ink_levels)
        tokens = fluid.layers.elementwise_add(levels, first, axis=1)
        tokens = fluid.layers.elementwise_mul(tokens, fluid.layers.sign(levels))
        return fluid.layers.cast(tokens, "int64")

    def forward(self, images: Any) -> Any:
        is_traced = fluid.framework._dygraph_tracer()._enable_program_desc_tracing
        if is_traced:
            tokens = self._traceable_tokens(images)
        else:
            tokens = to_variable(self.tokens(images.numpy()))
        rows = self.embedding(tokens)
        code = fluid.layers.relu(fluid.layers.reduce_sum(rows, dim=1))
        return self.fc(self.dropout(code))


class OwnModel(Model):
    """``my_models:Wide``: a ``Layer`` of the user's, images in the range 0–1 in, logits out.

    Whatever it draws, its first weights and its dropout, follows from the seed and the step. Its
    parameters are called ``net.…``.
    """

    def add_layers(self, config: schema.OwnConfig, seeds: Iterator[int]) -> None:
        layer = own_code.load(config.name)
        with randomness.drawn_from(seeding.stream(self._seed, "initial parameters")):
            try:
                self.net = layer(**config.options)
            except (Exception, SystemExit) as error:
                what = f"{config.name}: cannot be made with model.options {config.options}"
                raise InputError(f"{what}: {type(error).__name__}: {error}") from error
        if not isinstance(self.net, fluid.dygraph.Layer) or not self.net.parameters():
            raise InputError(f"{config.name}: is no fluid.dygraph.Layer with parameters")
        # Tried before anything of an earlier run is moved, and without a trace in what is trained.
        self.net.eval()
        with randomness.drawn_from(seeding.stream(self._seed, "trial")):
            self._outputs_of(to_variable(np.zeros((2, 1, SIDE, SIDE), np.float32)))
        self.net.train()

    def forward(self, images: Any) -> Any:
        with randomness.drawn_from(self.stream("own model")):
            return self._outputs_of(images)

    def _outputs_of(self, images: Any) -> Any:
        try:
            outputs = self.net(images)
        except (Exception, SystemExit) as error:
            # Paddle's own errors have their reason at the end.
            reason = " ".join(str(error).split())[-300:]
            raise InputError(f"{self.config.name}: {type(error).__name__}: {reason}") from error
        given = list(getattr(outputs, "shape", [type(outputs).__name__]))
        if given != [images.shape[0], self.outputs]:
            raise InputError(
                f"{self.config.name}: gives {given} for {images.shape[0]} images;"
                f" {self.outputs} numbers for each are needed, before any softmax"
            )
        return outputs


MODELS: Dict[str, Callable[..., Model]] = {
    "fc": FullyConnected,
    "lenet": LeNet,
    "lenet5": LeNet5,
    "convnet": ConvNet,
    "embedding": PixelEmbedding,
}


def summarize(model: Model) -> List[Tuple[str, str, int]]:
    """(layer, shapes of its trained parameters, their count), a row a layer that has any."""
    rows: Dict[str, List[List[int]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.trainable:
            rows.setdefault(name.rpartition(".")[0], []).append(list(parameter.shape))
    return [
        (name, " ".join("×".join(map(str, shape)) for shape in shapes), sum(map(math.prod, shapes)))
        for name, shapes in rows.items()
    ]
