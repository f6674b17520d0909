"""What is inside a model, whatever its architecture: its graph, filters, features, table.

Nothing here changes a parameter, a mode or a name that Paddle generates later.
"""

from typing import Any, List, Optional, Tuple

import numpy as np

from mnist.base.arrays import Array
from mnist.config.schema import EmbeddingConfig
from mnist.data.digits import PIXELS, SIDE
from mnist.fluid.door import fluid, to_variable
from mnist.fluid.feeding import as_model_input
from mnist.model.architectures import Model, evaluating

# Images that go through the model at once.
_BATCH = 250
_ACTIVATIONS = ("relu", "sigmoid", "tanh", "softmax")


def trace(model: Model) -> Any:
    """The model as a static ``Program``, its operators in name scopes of its layers.

    Raises ``fluid.core.EnforceNotMet`` if the images are used by no operator.
    """
    image = to_variable(np.zeros((1, 1, SIDE, SIDE), np.float32))
    # Names generated while tracing do not count: a checkpoint's depend on the counters.
    tracer = fluid.framework._dygraph_tracer()
    with evaluating(model), fluid.unique_name.guard():
        try:
            program = fluid.dygraph.TracedLayer.trace(model, [image])[1].program
        finally:
            # After a trace that failed Paddle would go on recording every operator for ever.
            tracer._enable_program_desc_tracing = False
            tracer._get_program_desc_tracer().reset()
    _name_after_layers(program, model)
    return program


def _name_after_layers(program: Any, model: Model) -> None:
    """``conv2d_0.w_0`` → ``conv1/weight``, and the operators that use it into ``conv1``.

    An activation right behind a layer's operator belongs to that layer. Input and output
    are called what they are. tb-paddle cuts a letter off operators with an empty scope, and
    draws what no operator reads unless it is called "tmp", as the shapes that are kept for
    the backward pass are here.
    """
    block = program.global_block()
    layers = {p.name: name.rpartition(".")[0] for name, p in model.named_parameters()}
    scope = ""
    for operator in block.ops:
        owners = [layers[name] for name in operator.input_arg_names if name in layers]
        if owners:
            scope = owners[0]
        elif operator.type not in _ACTIVATIONS:
            scope = ""
        operator._set_attr("op_namescope", f"/{scope}/" if scope else "/")
        for kept in operator.output("XShape") if "XShape" in operator.output_names else ():
            block._rename_var(kept, f"{kept}_tmp")
    for name, parameter in model.named_parameters():
        layer, _, own = name.rpartition(".")
        block._rename_var(parameter.name, f"{layer}/{own}")
    block._rename_var("feed_0", "images")
    block._rename_var("fetch_0", "outputs")


def first_filters(model: Model) -> Optional[Array]:
    """What the first layer looks for, ``[N,H,W]``: a convolution's filters, one for each
    channel, or the weights of a layer on the pixels; None if it is something else.
    """
    convolution = _first(model, fluid.dygraph.Conv2D)
    if convolution is not None:
        weights = convolution.weight.numpy()
        return np.asarray(weights.reshape(-1, *weights.shape[2:]))
    dense = _first(model, fluid.dygraph.Linear)
    if dense is not None and dense.weight.shape[0] == PIXELS:
        return np.asarray(dense.weight.numpy().T.reshape(-1, SIDE, SIDE))
    return None


def embedding_table(model: Model) -> Optional[Array]:
    """The rows of the model's ``Embedding``, float32 ``[N,D]``; None if it has none."""
    table = _first(model, fluid.dygraph.Embedding)
    return None if table is None else np.asarray(table.weight.numpy())


def place_of_row(model: Model, row: int) -> Optional[Tuple[int, int, int]]:
    """What a row of the table stands for, a pixel's row, column and grey level; None if
    it is no such token.
    """
    if not isinstance(model.config, EmbeddingConfig) or row == 0:
        return None
    pixel, level = divmod(row - 1, model.config.levels - 1)
    return pixel // SIDE, pixel % SIDE, level + 1


def features(model: Model, images: Array) -> Optional[Array]:
    """What goes into the last ``Linear``, in evaluation mode: float32 ``[N,D]``.

    ``images``: uint8 ``[N,28,28]``. None if the model has no such layer, or does not use it so.
    """
    linears = [layer for layer in model.sublayers() if isinstance(layer, fluid.dygraph.Linear)]
    if not linears:
        return None
    seen: List[Array] = []
    hook = linears[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numpy()))
    try:
        with evaluating(model):
            for start in range(0, len(images), _BATCH):
                model(to_variable(as_model_input(images[start : start + _BATCH])))
    finally:
        hook.remove()
    is_so_used = sum(map(len, seen)) == len(images) and all(part.ndim == 2 for part in seen)
    return np.concatenate(seen) if is_so_used else None


def _first(model: Model, kind: Any) -> Any:
    return next((layer for layer in model.sublayers() if isinstance(layer, kind)), None)
