"""How often a checkpoint reads real handwriting in many dresses: the table of docs and README.

    ./run python benchmarks/robustness.py --checkpoint checkpoints/best
    ./run python benchmarks/robustness.py --checkpoint checkpoints/best --mnist 2000

The 1,797 real digits that lie in this repository (data/digits.json.gz), drawn inverted, coloured,
framed, thin, thick, turned, in uneven light, as photos of paper, … (benchmarks/dresses.py). Each is
encoded as a PNG file and read as ``mnist.predict`` would read it. ``--mnist N`` draws
the first N of MNIST's own eval digits besides, as a ceiling: the bundled digits come from 8×8
pixels and some are hard in any dress.
"""

import argparse
import zlib
from concurrent.futures import ProcessPoolExecutor
from typing import List, Optional, Tuple

import cv2
import numpy as np
from dresses import DRESSES

from mnist import course_json, images, processors
from mnist.errors import InputError
from mnist.files import PROJECT_ROOT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="checkpoints/best")
    parser.add_argument("--count", type=int, help="only so many of the bundled digits")
    parser.add_argument("--mnist", type=int, default=0, help="so many of MNIST's eval, too")
    parser.add_argument("--only", help="only dresses whose name holds this")
    options = parser.parse_args()
    sets = {"bundled": bundled(options.count)}
    if options.mnist:
        sets["MNIST"] = mnist_eval(options.mnist)
    names = [name for name in DRESSES if not options.only or options.only in name]
    with ProcessPoolExecutor() as pool:
        pictures = {
            (kind, name): list(pool.map(dressed, [name] * len(digits), digits, chunksize=32))
            for kind, (digits, _) in sets.items()
            for name in names
        }
    print(f"| dress | {' | '.join(sets)} | no ink | no digit? |")
    print("| --- | " + "---: | " * (len(sets) + 2))
    from mnist.predictor import Predictor

    model = Predictor(options.checkpoint)
    for name in names:
        cells, refused, flagged = [], 0, 0
        for kind, (_, labels) in sets.items():
            right, none, not_digits = score(model, pictures[kind, name], labels)
            cells.append(f"{100 * right / len(labels):.1f}%")
            refused, flagged = refused + none, flagged + not_digits
        print(f"| {name} | {' | '.join(cells)} | {refused} | {flagged} |", flush=True)


def bundled(count: Optional[int]) -> Tuple[np.ndarray, np.ndarray]:
    """The bundled digits and their labels, all three splits."""
    splits = course_json.read(PROJECT_ROOT / "data" / "digits.json.gz").splits
    digits, labels = (np.concatenate(part) for part in zip(*splits))
    chosen = np.random.RandomState(1).permutation(len(digits))[:count]
    return digits[chosen], labels[chosen]


def mnist_eval(count: int) -> Tuple[np.ndarray, np.ndarray]:
    from mnist import dataset

    data = dataset.load(PROJECT_ROOT / "data" / "mnist.json.gz").eval
    return data.images[:count], data.labels[:count]


def dressed(name: str, digit: np.ndarray) -> Optional[np.ndarray]:
    """The digit in a dress, through a PNG file's bytes to MNIST's form; None if refused."""
    processors.keep_opencv_to_one()
    # A stream of its own for every picture: the table is the same whatever is left out.
    rng = np.random.RandomState(zlib.crc32(name.encode() + digit.tobytes()))
    picture = DRESSES[name](digit, rng)
    channels = picture[..., ::-1] if picture.ndim == 3 else picture
    _, data = cv2.imencode(".png", channels)
    try:
        return images.to_mnist(images.load_image(data.tobytes()))
    except InputError:
        return None


def score(model, pictures: List[Optional[np.ndarray]], labels: np.ndarray) -> Tuple[int, int, int]:
    """How many are right, how many were refused, how many were said not to be digits."""
    read = [i for i, picture in enumerate(pictures) if picture is not None]
    found = model.predict(np.stack([pictures[i] for i in read]))
    right = sum(prediction.digit == labels[i] for i, prediction in zip(read, found))
    flagged = sum(not prediction.is_digit for prediction in found)
    return right, len(pictures) - len(read), flagged


if __name__ == "__main__":
    main()
