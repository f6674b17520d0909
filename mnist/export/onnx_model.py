"""ONNX: made of Paddle's inference model, tidied and annotated; and its runtime."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
from onnx import helper, shape_inference

from mnist.base.errors import Failure
from mnist.export.paddle_program import INPUT, OUTPUT, PARAMETERS, PROGRAM, Runtime

# The least one: Softmax over one axis came with it. paddle2onnx takes a later one where an
# operator needs it (HardSwish: 14).
OPSET = 13
BATCH = "N"
ONNXRUNTIME = str(onnxruntime.__version__)


def write(folder: Path, target: Path, names: Dict[str, str], metadata: Dict[str, str]) -> None:
    """Convert the inference model in ``folder`` to the ONNX file ``target``.

    ``names``: Paddle's variable → what it is called in the file. ``metadata`` becomes
    ``metadata_props``. Raises Failure, with the converter's reason, if it cannot be converted.
    """
    _run_converter(folder, target)
    model = onnx.load(str(target))
    _make_initializers(model.graph, names)
    # One name for the batch size of input and output, which the converter numbers apart.
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del model.graph.value_info[:]
    model.graph.name = "mnist"
    model.producer_name = "mnist-fluid"
    helper.set_model_props(model, metadata)
    model = shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    target.write_bytes(model.SerializeToString())


def _run_converter(folder: Path, target: Path) -> None:
    """Run paddle2onnx in a process of its own: at an unknown operator it aborts the process."""
    command = [sys.executable, "-m", "paddle2onnx.command", "--model_dir", str(folder.resolve())]
    command += ["--model_filename", PROGRAM, "--params_filename", PARAMETERS]
    command += ["--save_file", str(target.resolve()), "--opset_version", str(OPSET)]
    with TemporaryDirectory() as home:
        # It imports Paddle, which wants a home to write to and a locale that is installed.
        environment = {**os.environ, "HOME": home, "LC_ALL": "C"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=str(folder), env=environment,
        )  # fmt: skip
    if done.returncode != 0 or not target.exists():
        # The lines in which it says what is wrong, or else its last one.
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        telling = [line for line in lines if "[ERROR]" in line or "not supported" in line]
        why = "; ".join(telling or lines[-1:]) or "it gave no reason"
        raise Failure(f"paddle2onnx cannot convert this model to ONNX: {why}")


def _make_initializers(graph: Any, names: Dict[str, str]) -> None:
    """Weights as initializers, where tools look for them, under the model's own names."""
    constants = [node for node in graph.node if node.op_type == "Constant"]
    for node in constants:
        tensor = helper.get_attribute_value(node.attribute[0])
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        renamed = [names.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(renamed)


def in_onnxruntime(path: Path) -> Runtime:
    """An exported ONNX file in onnxruntime, on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    cpu = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(path), options, providers=cpu)
    return lambda images: np.asarray(session.run([OUTPUT], {INPUT: images})[0])
