"""What predicting costs: one picture against importing Paddle, 10,000 against decoding them.

    ./run python benchmarks/predict_files.py --checkpoint checkpoints/best [--files 10000]

Writes MNIST's eval digits (of data/mnist.json.gz; the bundled ones again and again where it is
absent) as PNG files into a temporary folder: as MNIST holds them, and on white paper, where each
must be found first. "decoding" is what the verb does without Paddle and a model: every file is
read and brought into MNIST's form, on all processors.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Tuple

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DECODE = """
import sys
from mnist.pictures import decode, files
names = files.find(sys.argv[1:])
with files.reading(names, decode.read_digit) as results:
    print(sum(1 for _ in results))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default=str(ROOT / "checkpoints" / "best"))
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=5, help="of starting for one picture")
    options = parser.parse_args()
    checkpoint = ["--checkpoint", str(Path(options.checkpoint).resolve())]
    print("| | seconds | of them processor |\n| --- | ---: | ---: |")
    picture = str(ROOT / "data" / "samples" / "seven.png")
    verb = [sys.executable, "-m", "mnist.predict", *checkpoint]
    show('`python -c "import paddle.fluid"`', [sys.executable, "-c", "import paddle.fluid"],
         options.times)  # fmt: skip
    show("predicting one picture", [*verb, picture], options.times)
    for kind, write in (("as MNIST has them", as_it_is), ("on white paper", on_paper)):
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), options.files, write)
            decoding = show(f"decoding {options.files:,} files {kind}",
                            [sys.executable, "-c", DECODE, folder])  # fmt: skip
            whole = show(f"predicting {options.files:,} files {kind}", [*verb, folder])
            print(f"| … as a multiple of decoding | {whole / decoding:.2f} | |", flush=True)


def write_files(folder: Path, count: int, write) -> None:
    for number, digit in enumerate(digits(count)):
        cv2.imwrite(str(folder / f"{number:05}.png"), write(digit))


def digits(count: int) -> np.ndarray:
    from mnist.data import dataset

    found = next(p for p in ("mnist.json.gz", "digits.json.gz") if (ROOT / "data" / p).exists())
    images = dataset.load(ROOT / "data" / found).eval.images
    return images[np.arange(count) % len(images)]


def as_it_is(digit: np.ndarray) -> np.ndarray:
    return digit


def on_paper(digit: np.ndarray) -> np.ndarray:
    large = cv2.resize(digit, (112, 112), interpolation=cv2.INTER_CUBIC)
    return 255 - np.pad(large, 24)


def show(name: str, command: List[str], times: int = 1) -> float:
    """Run a command some times and print the medians of its times; the wall time is returned."""
    measured = sorted(measure(command) for _ in range(times))
    wall, processor = measured[len(measured) // 2]
    print(f"| {name} | {wall:.2f} | {processor:.2f} |", flush=True)
    return wall


def measure(command: List[str]) -> Tuple[float, float]:
    """Seconds of wall time, and of processor time in user and system mode, of a process tree."""
    from mnist.fluid import environment

    settings = {**os.environ, "PYTHONPATH": str(ROOT), **environment.prepare()}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, env=settings, cwd=ROOT, stdout=subprocess.DEVNULL)
    # 2: some of the pictures could not be read.
    assert done.returncode in (0, 2), done
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
