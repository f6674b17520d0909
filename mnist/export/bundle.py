"""Leaving with a model: everything that an export is, checked before it is published."""

import json
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import cv2
import numpy as np

from mnist import __version__
from mnist.base import notes, preflight
from mnist.base.arrays import Array
from mnist.base.errors import Failure, InputError
from mnist.base.files import PathLike, find_input, read_input, sha256_of, staged_folder
from mnist.checkpoints.records import PARAMETERS, Checkpoint
from mnist.config.classes import are_digits
from mnist.data.digits import SIDE
from mnist.data.obtain import data_set_of
from mnist.export import onnx_model, paddle_program, weight_files
from mnist.export.paddle_program import Runtime
from mnist.fluid.door import fluid
from mnist.fluid.feeding import as_model_input
from mnist.model import calibration, predictor, restore

MODEL_JSON = "model.json"
PADDLE_FOLDER = "paddle"
ONNX_FILE = "model.onnx"

# Part of every model.json; a folder without it is not ours to replace.
KIND = "mnist-fluid export"
MAX_JSON_BYTES = 1 << 20

CHECKED_IMAGES = 10_000
# Between probabilities of dygraph and of an exported file. Rounding has come to 2e-6; a wrong
# conversion is seen in the second digit.
LIMIT = 1e-4
_BATCH = 256

PREPROCESSING = (
    "One digit a picture, light ink on black, in MNIST's form: scaled into 20×20 pixels, its"
    " centre of mass in the middle of 28×28. Grey values 0–255 divided by 255."
)
PREPROCESSING_OF_OTHERS = (
    "Light on black, what differs from the border cropped, scaled into 20×20 pixels and put into"
    " the middle of 28×28; or as the data set has it. Grey values 0–255 divided by 255."
)


@dataclass(frozen=True)
class Agreement:
    """How an exported file in some runtime compares with dygraph, over ``images`` images.

    ``largest_difference`` is between probabilities; ``same_digit`` counts the images of which
    both say the same digit.
    """

    runtime: str
    file: str
    images: int
    largest_difference: float
    same_digit: int

    @property
    def holds(self) -> bool:
        # So written that NaN does not hold.
        return self.largest_difference <= LIMIT and self.same_digit == self.images


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
    with staged_folder(to, replace=force) as folder:
        description = _describe(source)
        _write_files(source, description, folder)
        expected = _in_dygraph(source, images)
        inputs = as_model_input(images)
        agreements = _compare(expected, inputs, folder)
        _require_agreement(agreements)
        agreements += _compare_in_opencv(expected, inputs, folder)
        description["checked"] = {
            "against": "dygraph",
            "on": origin,
            "limit": LIMIT,
            "results": [asdict(agreement) for agreement in agreements],
        }
        description["files"] = _hashes(folder)
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (folder / MODEL_JSON).write_text(text, encoding="utf-8")
    return description


def _require_room(target: Path, force: bool) -> None:
    if not os.path.lexists(target) or (target.is_dir() and not os.listdir(target)):
        return
    if not _is_export(target):
        raise InputError(f"{target}: is there already and is no export; name another with --to")
    if not force:
        held = f"{target}: holds an earlier export"
        raise InputError(f"{held}; --force replaces it, --to DIR leaves it")


def _is_export(folder: Path) -> bool:
    try:
        values = json.loads(read_input(folder / MODEL_JSON, MAX_JSON_BYTES))
    except (InputError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("kind") == KIND


def _write_files(source: Checkpoint, description: Dict[str, Any], folder: Path) -> None:
    (folder / PADDLE_FOLDER).mkdir()
    paddle_program.save(source, folder / PADDLE_FOLDER)
    names = {row["variable"]: row["name"] for row in description["parameters"]}
    onnx_model.write(folder / PADDLE_FOLDER, folder / ONNX_FILE, names, _onnx_metadata(description))
    ordered = source.named_as(list(names.values())).parameters
    weight_files.write({name: ordered[name] for name in names.values()}, folder)


def _hashes(folder: Path) -> Dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256_of(path) for path in files}


def _describe(source: Checkpoint) -> Dict[str, Any]:
    with fluid.dygraph.guard(fluid.CPUPlace()):
        parameters = weight_files.describe(restore.load_model(source))
    classes = list(source.classes)
    return {
        "kind": KIND,
        "format": 1,
        "input": {**_tensor(paddle_program.INPUT, 1, SIDE, SIDE), "range": [0, 1]},
        "output": {**_tensor(paddle_program.OUTPUT, len(classes)), "classes": classes},
        "preprocessing": PREPROCESSING if are_digits(classes) else PREPROCESSING_OF_OTHERS,
        "temperature": calibration.temperature_of(source),
        "model": source.model,
        "checkpoint": _describe_checkpoint(source),
        "versions": {
            "mnist": __version__,
            "paddlepaddle": preflight.PADDLE,
            "onnxruntime": onnx_model.ONNXRUNTIME,
            "opencv": cv2.__version__,
        },
        "parameters": parameters,
    }


def _tensor(name: str, *shape: int) -> Dict[str, Any]:
    return {"name": name, "dtype": "float32", "shape": [onnx_model.BATCH, *shape]}


def _describe_checkpoint(source: Checkpoint) -> Dict[str, Any]:
    if source.state is None:
        return {"name": source.path.name}
    return {
        "name": source.path.resolve().name,
        "parameters_sha256": sha256_of(source.path / PARAMETERS),
        "epoch": source.state.epoch,
        "step": source.state.step,
        "data": {"path": source.state.data_path, "sha256": source.state.data_sha256},
    }


def _onnx_metadata(description: Dict[str, Any]) -> Dict[str, str]:
    """What belongs to the model itself, for whoever has the ONNX file only."""
    keys = ("input", "output", "preprocessing", "temperature", "model", "checkpoint", "versions")
    values = {key: description[key] for key in keys}
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    return {**texts, "preprocessing": values["preprocessing"]}


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


def _compare(expected: Array, inputs: Array, folder: Path) -> List[Agreement]:
    paddle_folder, onnx_file = folder / PADDLE_FOLDER, folder / ONNX_FILE
    runtimes = (
        ("fluid.Executor", PADDLE_FOLDER, paddle_program.in_executor(paddle_folder)),
        ("Paddle's predictor", PADDLE_FOLDER, paddle_program.in_predictor(paddle_folder)),
        ("onnxruntime", ONNX_FILE, onnx_model.in_onnxruntime(onnx_file)),
    )
    return [compare(name, file, expected, _in_batches(run, inputs)) for name, file, run in runtimes]


def _compare_in_opencv(expected: Array, inputs: Array, folder: Path) -> List[Agreement]:
    """OpenCV's dnn knows fewer operators and gets some wrong: that is told, and no failure."""
    try:
        run = onnx_model.in_opencv(folder / ONNX_FILE)
        found = compare("OpenCV", ONNX_FILE, expected, _in_batches(run, inputs))
    except cv2.error as error:
        reason = " ".join(str(error).split())[:200]
        notes.warn(f"OpenCV {cv2.__version__} cannot run {ONNX_FILE} of this model ({reason})")
        return []
    if not found.holds:
        says = f"OpenCV {cv2.__version__} gives other results with {ONNX_FILE} of this model"
        notes.warn(f"{says}: do not use it there")
    return [found]


def compare(runtime: str, file: str, expected: Array, found: Array) -> Agreement:
    """How ``found`` agrees with what is expected, both probabilities ``[N,10]``."""
    same_digit = int(np.sum(expected.argmax(axis=1) == found.argmax(axis=1)))
    largest = float(np.abs(expected - found).max())
    return Agreement(runtime, file, len(expected), largest, same_digit)


def _in_dygraph(source: Checkpoint, images: Array) -> Array:
    """The checkpoint's own probabilities, float64 ``[N,10]``, by another way than the export's."""
    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.dygraph.no_grad():
        model = restore.load_model(source)
        plain = _in_batches(partial(predictor.probabilities, model), images)
    return calibration.at(plain, calibration.temperature_of(source) or 1.0)


def _in_batches(run: Runtime, images: Array) -> Array:
    """``run`` over all images, the last batch a short one."""
    return np.concatenate([run(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)])


def _require_agreement(agreements: List[Agreement]) -> None:
    for found in agreements:
        if not found.holds:
            raise Failure(
                f"{found.file} in {found.runtime} differs from dygraph: by"
                f" {found.largest_difference:.2g} in a probability (limit {LIMIT:g}), the same"
                f" digit on {found.same_digit:,} of {found.images:,} images; nothing is published"
            )
