"""Leaving with a model: everything that an export is, checked before it is published."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import safetensors.numpy

from mnist import __version__
from mnist.base import notes, preflight
from mnist.base.arrays import Array
from mnist.base.errors import Failure, InputError
from mnist.base.files import PathLike, find_input, sha256_of, staged_folder
from mnist.checkpoints import reading
from mnist.checkpoints.records import PARAMETERS, Checkpoint
from mnist.config.classes import are_digits
from mnist.data.digits import SIDE
from mnist.data.obtain import data_set_of
from mnist.export import onnx_model, paddle_program
from mnist.fluid.door import fluid
from mnist.fluid.feeding import as_model_input
from mnist.model.architectures import Model
from mnist.model.predictor import Predictor

MODEL_JSON = "model.json"
PADDLE_FOLDER = "paddle"
ONNX_FILE = "model.onnx"
# The arrays as Paddle keeps them, in files that need no Paddle and no pickle.
NPZ = "weights.npz"
SAFETENSORS = "weights.safetensors"

# Part of every model.json; a folder without it is not ours to replace.
KIND = "mnist-fluid export"

CHECKED_IMAGES = 10_000
# Between probabilities of dygraph and of an exported file. Rounding has come to 2e-6; a wrong
# conversion is seen in the second digit.
LIMIT = 1e-4
_BATCH = 256
# Paddle's name → PyTorch's, of the last part of a parameter's name.
_TORCH_NAMES = {"_mean": "running_mean", "_variance": "running_var"}

PREPROCESSING = (
    "One digit a picture, light ink on black, in MNIST's form: scaled into 20×20 pixels, its"
    " centre of mass in the middle of 28×28. Grey values 0–255 divided by 255."
)
PREPROCESSING_OF_OTHERS = (
    "Light on black, what differs from the border cropped, scaled into 20×20 pixels and put into"
    " the middle of 28×28; or as the data set has it. Grey values 0–255 divided by 255."
)


def export(
    source: Checkpoint, to: PathLike, data_path: Optional[str] = None, force: bool = False
) -> Dict[str, Any]:
    """Publish a checkpoint's model in the folder ``to``, whole or not at all.

    Returns what its ``model.json`` says, how the files were checked among it.
    Every file is compared with dygraph on the first 10,000 images of the eval split of
    ``data_path`` (by default the data set it was trained on; on random images where that is
    missing, with a warning). Raises InputError where ``to`` is there already, unless it is an
    export and ``force``, and Failure where the model cannot be exported or a file gives other
    results; ``to`` is then as it was. Must run outside ``fluid.dygraph.guard``.
    """
    _require_room(Path(to), force)
    images, origin = _sample(source, data_path)
    own = Predictor(source)
    with staged_folder(to, replace=force) as folder:
        description = _describe(own)
        _write_files(own, description, folder)
        description["checked"] = {
            "against": "dygraph",
            "on": origin,
            "limit": LIMIT,
            "results": _compare(own.probabilities(images), as_model_input(images), folder),
        }
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        description["files"] = {str(path.relative_to(folder)): sha256_of(path) for path in files}
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (folder / MODEL_JSON).write_text(text, encoding="utf-8")
    return description


def _require_room(target: Path, force: bool) -> None:
    if not os.path.lexists(target) or (target.is_dir() and not os.listdir(target)):
        return
    held: Dict[str, Any] = {}
    with suppress(InputError):
        held = reading.read_json(target / MODEL_JSON)
    if held.get("kind") != KIND:
        raise InputError(f"{target}: is there already and is no export; name another with --to")
    if not force:
        what = f"{target}: holds an earlier export"
        raise InputError(f"{what}; --force replaces it, --to DIR leaves it")


def _write_files(own: Predictor, description: Dict[str, Any], folder: Path) -> None:
    paddle_folder = folder / PADDLE_FOLDER
    paddle_folder.mkdir()
    paddle_program.save(own.model, description["temperature"], paddle_folder)
    names = {row["variable"]: row["name"] for row in description["parameters"]}
    # What belongs to the model itself, for whoever has the ONNX file only.
    keys = ("input", "output", "preprocessing", "temperature", "model", "checkpoint", "versions")
    about = {key: json.dumps(description[key], ensure_ascii=False) for key in keys}
    about["preprocessing"] = description["preprocessing"]
    onnx_model.write(paddle_folder, folder / ONNX_FILE, names, about)
    arrays = {name: own.source.parameters[name] for name in names.values()}
    np.savez(folder / NPZ, **arrays)
    layout = {"layout": "paddle: Linear weights are [in,out]"}
    (folder / SAFETENSORS).write_bytes(safetensors.numpy.save(arrays, layout))


def _describe(own: Predictor) -> Dict[str, Any]:
    source, state, digits = own.source, own.source.state, are_digits(own.classes)
    description = {
        "kind": KIND,
        "format": 1,
        "input": {**_tensor(paddle_program.INPUT, 1, SIDE, SIDE), "range": [0, 1]},
        "output": {
            **_tensor(paddle_program.OUTPUT, len(own.classes)),
            "classes": list(own.classes),
        },
        "preprocessing": PREPROCESSING if digits else PREPROCESSING_OF_OTHERS,
        "temperature": source.temperature,
        "model": source.model,
        "checkpoint": {"name": source.path.name},
        "versions": {
            "mnist": __version__,
            "paddlepaddle": preflight.PADDLE,
            "onnxruntime": onnx_model.ONNXRUNTIME,
        },
        "parameters": describe_parameters(own.model),
    }
    if state is not None:
        description["checkpoint"] = {
            "name": source.path.resolve().name,
            "parameters_sha256": sha256_of(source.path / PARAMETERS),
            "epoch": state.epoch,
            "step": state.step,
            "data": {"path": state.data_path, "sha256": state.data_sha256},
        }
    return description


def describe_parameters(model: Model) -> List[Dict[str, Any]]:
    """A row for each parameter, in the model's order.

    ``name`` (in Paddle 1.8, 2 and 3), ``shape``, ``variable`` (in the inference model's program),
    ``torch`` (in PyTorch), and whether it is transposed there: PyTorch keeps the weight of a
    ``Linear`` as [out,in] where Paddle has [in,out].
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


def _tensor(name: str, *shape: int) -> Dict[str, Any]:
    return {"name": name, "dtype": "float32", "shape": [onnx_model.BATCH, *shape]}


def _sample(source: Checkpoint, data_path: Optional[str]) -> Tuple[Array, str]:
    """Images to compare on, uint8 ``[N,28,28]``, and what they are, for people."""
    trained_on = source.state.data_path if source.state else ""
    if data_path is None and not (trained_on and find_input(trained_on).exists()):
        missing = f"{trained_on} is not there" if trained_on else "it does not name its data set"
        notes.warn(f"{source.path}: {missing}, so checked on random images; name --data FILE")
        images = np.random.default_rng(0).integers(0, 256, (CHECKED_IMAGES, SIDE, SIDE), np.uint8)
        return images, f"{len(images):,} random images"
    images = data_set_of(source, data_path).eval.images[:CHECKED_IMAGES]
    return images, f"{len(images):,} images of {data_path or trained_on}, split eval"


def _compare(expected: Array, inputs: Array, folder: Path) -> List[Dict[str, Any]]:
    """How each file agrees in each of its runtimes, or Failure: ``results`` of a ``model.json``."""
    results = []
    for runtime, file, load in (
        ("fluid.Executor", PADDLE_FOLDER, paddle_program.in_executor),
        ("Paddle's predictor", PADDLE_FOLDER, paddle_program.in_predictor),
        ("onnxruntime", ONNX_FILE, onnx_model.in_onnxruntime),
    ):
        batches = (inputs[i : i + _BATCH] for i in range(0, len(inputs), _BATCH))
        row = compare(expected, np.concatenate(list(map(load(folder / file), batches))))
        if not holds(row):
            raise Failure(
                f"{file} in {runtime} differs from dygraph: by {row['largest_difference']:.2g} in"
                f" a probability (limit {LIMIT:g}), the same digit on {row['same_digit']:,} of"
                f" {row['images']:,} images; nothing is published"
            )
        results.append({"runtime": runtime, "file": file, **row})
    return results


def compare(expected: Array, found: Array) -> Dict[str, Any]:
    """The largest difference between probabilities ``[N,10]``, and of how many the digit is one."""
    same_digit = int(np.sum(expected.argmax(axis=1) == found.argmax(axis=1)))
    largest = float(np.abs(expected - found).max())
    return {"images": len(expected), "largest_difference": largest, "same_digit": same_digit}


def holds(row: Dict[str, Any]) -> bool:
    """Whether what was compared agrees."""
    # So written that NaN does not hold.
    return bool(row["largest_difference"] <= LIMIT and row["same_digit"] == row["images"])
