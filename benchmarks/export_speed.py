"""How fast the ways of running a trained model are: a Markdown table.

    ./run python benchmarks/export_speed.py [--checkpoint DIR] [--rounds 50]

Exports a checkpoint's model (without one, the course's LeNet as it begins) and times, in one
process and with one thread each, one image and 256 images from a NumPy array to probabilities in
a NumPy array. The ways take turns in every round (A B C A B C). Shows medians, with minimum and
maximum, in milliseconds.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import cv2
import numpy as np

from mnist import config as configs
from mnist.base import processors
from mnist.checkpoints import reading
from mnist.checkpoints.records import Checkpoint, RunState
from mnist.checkpoints.store import CheckpointStore
from mnist.export import bundle, onnx_model, paddle_program
from mnist.fluid.door import fluid, to_variable
from mnist.model import architectures, restore

BASE = "dygraph"
SIZES = (1, 256)

Way = Callable[[np.ndarray], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", help="a checkpoint folder")
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    processors.keep_opencv_to_one()
    with tempfile.TemporaryDirectory() as scratch:
        source = _source(options.checkpoint, Path(scratch))
        folder = Path(scratch) / "exported"
        bundle.export(source, folder, "data/digits.json.gz")
        ways = _ways(source, folder)
        times = {size: _measure(ways, size, options.rounds) for size in SIZES}
    print(f"{source.model['name']}, {options.rounds} rounds, ms: median (min–max)\n")
    print("| way | 1 image | faster | 256 images | faster |\n| --- | ---: | ---: | ---: | ---: |")
    for name in ways:
        cells = [cell for size in SIZES for cell in _cells(times[size], name)]
        print(f"| {name} | {' | '.join(cells)} |")


def _source(path: Optional[str], scratch: Path) -> Checkpoint:
    if path is not None:
        return reading.load(path)
    config = configs.default()
    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.unique_name.guard():
        model = architectures.build(config.model, seed=1)
        with CheckpointStore(scratch / "checkpoints", keep_last=None) as store:
            state = RunState(config=config.model_dump())
            return reading.load(store.save("epoch1", model.state_dict(), {}, state))


def _ways(source: Checkpoint, folder: Path) -> Dict[str, Way]:
    temperature = source.temperature
    with fluid.dygraph.guard(fluid.CPUPlace()):
        classifier = paddle_program.Classifier(restore.load_model(source), temperature)
        classifier.eval()
        traced = paddle_program.trace(restore.load_model(source), temperature)
    paddle_folder = folder / bundle.PADDLE_FOLDER
    onnx_file = folder / bundle.ONNX_FILE

    def in_dygraph(images: np.ndarray) -> Any:
        with fluid.dygraph.guard(fluid.CPUPlace()), fluid.dygraph.no_grad():
            return classifier(to_variable(images)).numpy()

    return {
        BASE: in_dygraph,
        "TracedLayer": lambda images: np.asarray(traced([images])[0]),
        "fluid.Executor": paddle_program.in_executor(paddle_folder),
        "C++ predictor": paddle_program.in_predictor(paddle_folder),
        "C++ predictor, oneDNN": paddle_program.in_predictor(paddle_folder, onednn=True),
        "OpenCV": _in_opencv(onnx_file),
        "onnxruntime": onnx_model.in_onnxruntime(onnx_file),
    }


def _in_opencv(path: Path) -> Way:
    net = cv2.dnn.readNetFromONNX(str(path))

    def run(images: np.ndarray) -> Any:
        net.setInput(images)
        return np.array(net.forward())

    return run


def _measure(ways: Dict[str, Way], size: int, rounds: int) -> Dict[str, List[float]]:
    images = np.random.RandomState(0).rand(size, 1, 28, 28).astype(np.float32)
    expected = ways[BASE](images)
    for way in ways.values():  # warm up, and see that they do the same
        np.testing.assert_allclose(way(images), expected, atol=bundle.LIMIT)
    times: Dict[str, List[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way(images)
            times[name].append(1000 * (time.perf_counter() - started))
    return times


def _cells(times: Dict[str, List[float]], name: str) -> List[str]:
    middle = statistics.median(times[name])
    faster = statistics.median(times[BASE]) / middle
    return [f"{middle:.2f} ({min(times[name]):.2f}–{max(times[name]):.2f})", f"{faster:.1f} ×"]


if __name__ == "__main__":
    main()
