"""Paddle's own inference model: a trained model as a static program, and its two runtimes.

A folder with ``__model__`` (the program) and ``__params__`` (all weights in one file), which
``fluid.io.load_inference_model`` and Paddle's C++ predictor read. It takes ``images``, float32
``[N,1,28,28]`` in 0–1, for any N, and gives ``probabilities``, float32 ``[N,10]``.
"""

import tempfile
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from mnist.base.arrays import Array
from mnist.data.digits import CLASSES, SIDE
from mnist.fluid.door import fluid, to_variable
from mnist.model.architectures import Model

INPUT = "images"
OUTPUT = "probabilities"
PROGRAM = "__model__"
PARAMETERS = "__params__"

Runtime = Callable[[Array], Array]
"""A model that was loaded: float32 ``[N,1,28,28]`` in 0–1 → float32 ``[N,10]``."""


class Classifier(fluid.dygraph.Layer):
    """A model together with the way from its outputs to probabilities, in Paddle's operators.

    The same mathematics as ``mnist.model.losses.probabilities``. ``temperature`` divides the logits
    (for ``square_error``: the scores that stand for them); None leaves them.
    """

    def __init__(self, model: Model, temperature: Optional[float] = None) -> None:
        super().__init__()
        self._loss = model.config.loss
        self._temperature = temperature
        self.model = model

    def forward(self, images: Any) -> Any:
        scores = self.model(images)
        if self._loss == "square_error":
            # Minus the squared distance of [B,1] from each digit, [B,10]. The guess is spread
            # over the digits by a matrix product; OpenCV 4.10 gets an ``expand`` wrong.
            spread = fluid.layers.assign(np.ones((1, CLASSES), np.float32))
            digits = fluid.layers.assign(np.arange(CLASSES, dtype=np.float32))
            guesses = fluid.layers.matmul(scores, spread)
            distances = fluid.layers.elementwise_sub(guesses, digits, axis=1)
            scores = fluid.layers.scale(fluid.layers.square(distances), -1.0)
        if self._temperature is not None:
            scores = fluid.layers.scale(scores, 1 / self._temperature)
        return fluid.layers.softmax(scores)


def save(model: Model, temperature: Optional[float], folder: Path) -> None:
    """Write a model into the existing ``folder``; outside ``fluid.dygraph.guard``."""
    with tempfile.TemporaryDirectory() as raw:
        with fluid.dygraph.guard(fluid.CPUPlace()):
            trace(model, temperature).save_inference_model(raw)
        _tidy(raw, folder)


def trace(model: Model, temperature: Optional[float] = None) -> Any:
    """The ``TracedLayer`` of a model with its probabilities; inside ``fluid.dygraph.guard``."""
    blank = np.zeros((1, 1, SIDE, SIDE), np.float32)
    classifier = Classifier(model, temperature)
    classifier.eval()
    return fluid.dygraph.TracedLayer.trace(classifier, [to_variable(blank)])[1]


def _tidy(raw: str, folder: Path) -> None:
    """Give what a trace left names, a batch size that is free, and one file of weights.

    A trace calls its input ``feed_0`` and its output ``save_infer_model/scale_0.tmp_0``, and
    every shape in it has the batch size of the image it was traced with.
    """
    executor = fluid.Executor(fluid.CPUPlace())
    with fluid.scope_guard(fluid.Scope()):
        program, inputs, outputs = fluid.io.load_inference_model(raw, executor)
        block = program.global_block()
        _replace_pads(block)
        block._rename_var(inputs[0], INPUT)
        block._rename_var(outputs[0].name, OUTPUT)
        block.var(INPUT).desc.set_shape([-1, 1, SIDE, SIDE])
        for operator in block.ops:
            # Paddle notes who made an operator: a stack of this machine's paths.
            operator._remove_attr("op_callstack")
            if operator.type not in ("feed", "fetch"):
                operator.desc.infer_shape(block.desc)
        fluid.io.save_persistables(executor, str(folder), program, PARAMETERS)
        (folder / PROGRAM).write_bytes(program.desc.serialize_to_string())


def _replace_pads(block: Any) -> None:
    """``pad2d`` with a constant → ``pad``, the same in all dimensions.

    paddle2onnx 1.3.1 and Paddle 2 and 3 do not know ``pad2d`` any more.
    """
    for index, operator in enumerate(list(block.ops)):
        if operator.type != "pad2d" or operator.attr("mode") != "constant":
            continue
        # All of it is read before the removal, which frees the operator.
        new = {
            "type": "pad",
            "inputs": {"X": block.var(operator.input("X")[0])},
            "outputs": {"Out": block.var(operator.output("Out")[0])},
            "attrs": {
                "paddings": [0, 0, 0, 0, *operator.attr("paddings")],
                "pad_value": operator.attr("pad_value"),
            },
        }
        block._remove_op(index)
        block._insert_op(index, **new)


def in_executor(folder: Path) -> Runtime:
    """The inference model in ``fluid.Executor``; outside ``fluid.dygraph.guard``."""
    executor, scope = fluid.Executor(fluid.CPUPlace()), fluid.Scope()
    with fluid.scope_guard(scope):
        program, _, outputs = fluid.io.load_inference_model(
            str(folder), executor, PROGRAM, PARAMETERS
        )

    def run(images: Array) -> Array:
        with fluid.scope_guard(scope):
            (result,) = executor.run(program, {INPUT: images}, outputs, use_program_cache=True)
        return np.asarray(result)

    return run


def in_predictor(folder: Path, onednn: bool = False) -> Runtime:
    """The inference model in Paddle's C++ predictor, on the CPU."""
    config = fluid.core.AnalysisConfig(str(folder / PROGRAM), str(folder / PARAMETERS))
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(1)
    if onednn:
        config.enable_mkldnn()
    # Tensors are filled and read by name, without copies in between.
    config.switch_use_feed_fetch_ops(False)
    config.switch_specify_input_names(True)
    predictor = fluid.core.create_paddle_predictor(config)

    def run(images: Array) -> Array:
        predictor.get_input_tensor(INPUT).copy_from_cpu(images)
        predictor.zero_copy_run()
        return np.asarray(predictor.get_output_tensor(OUTPUT).copy_to_cpu())

    return run
