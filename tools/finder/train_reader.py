# ruff: noqa: D103, E402, E501
"""Train data/pretrained: ``python tools/finder/train_reader.py --mnist ../shared/mnist --work DIR``.

``configs/best.yaml`` on MNIST's train split and, beside it, drawn digits: lettered with even
strokes of any weight, printed in Matplotlib's fonts, thinner and bolder than they are, of seven
segments, and written with every tool of ``scenes.py``, some with a stray stroke, all in MNIST's
form as the finder puts them; and MNIST's own once more, in disturbances of every sort
(``disturbances.py``). The model is chosen on MNIST's valid, as always. The refusal's threshold for
its confidences is fitted anew.
"""

import argparse
import json
import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, List, Tuple

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import disturbances
import refusal
import scenes
from train import TRAIN, VALID, load_digits
from train_refusal import REFUSED, canvas, found

from mnist.base.files import atomic_write, sha256_of
from mnist.checkpoints import pickles
from mnist.data import course_json, idx
from mnist.model.predictor import Predictor

JOB = 500
# What a drawn digit is made with; the rest of them with any tool.
LETTERED, PRINTED, SEGMENTS = 0.35, 0.25, 0.05
# Of a ring, a ruling or a stamp's edge that runs by, something is often taken for the digit's ink.
STRAY = 0.15
KEPT = ("model.pdparams", "state.json")

Samples = Tuple[Any, Any]
_digits: Any = None


def digit(c: scenes.Canvas) -> Tuple[Any, int]:
    """A drawn digit in MNIST's form, or None, and which it is."""
    mask, label = ink(c)
    if c.p(STRAY):
        mask = np.maximum(mask, stray(c))
    return found(c, mask), label


def ink(c: scenes.Canvas) -> Tuple[Any, int]:
    """A drawn digit on a canvas, and which it is."""
    chance = c.u(0, 1)
    if chance < LETTERED:
        return lettered(c)
    tool = "font" if chance < LETTERED + PRINTED else "segments"
    if chance > LETTERED + PRINTED + SEGMENTS:
        tool = c.pick(scenes.TOOLS)
    box = scenes.digit_box(c, c.u(50, 95), 56, 56, tool)
    turn = c.r.normal(0, 0.05 if tool == "font" else 0.12)
    made, label = scenes.write(c, _digits, box, tool, turn, c.r.normal(0, 0.1))
    return (made.meant if tool != "font" else of_another_weight(c, made.meant)), label


def stray(c: scenes.Canvas) -> Any:
    """A piece of a line or of a large ring that passes by a digit, or through its rim."""
    turn, by, pen = c.u(0, 360), c.u(24, 44), c.n(1, 4)
    radius = c.log(40, 400)
    middle = 56 + (by + radius) * np.array([np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))])
    reach = np.rad2deg(c.u(8, 40) / radius)
    start = turn + 180 + np.rad2deg(c.u(-20, 20) / radius)
    points = bow(*middle, radius, radius, start - reach, start + reach, 2)
    return scenes.lines(c, [points.astype(np.float32)], pen)


def bow(x: float, y: float, a: float, b: float, start: float, end: float, power: float) -> Any:
    """A part of a superellipse, clockwise from ``start`` to ``end`` in degrees, 0 on the right."""
    t = np.deg2rad(np.linspace(start, end, 48))
    across, along = np.cos(t), np.sin(t)
    return np.stack(
        [
            x + a * np.sign(across) * np.abs(across) ** (2 / power),
            y + b * np.sign(along) * np.abs(along) ** (2 / power),
        ],
        axis=1,
    )


def skeleton(c: scenes.Canvas, digit: int) -> List[Any]:
    """A digit's strokes as one of many fonts has them, in a box of 1×2; y points down."""
    power = c.pick((2, 2, 2, 2.5, 3, 4, 8))
    waist = c.u(0.85, 1.1)
    if digit == 0:
        return [bow(0.5, 1, 0.5, 1, 0, 360, power)]
    if digit == 1:
        x = c.u(0.45, 0.7)
        flag = [(c.u(0.0, 0.35), c.u(0.25, 0.6)), (x, 0), (x, 2)]
        base = [(x - c.u(0.25, 0.5), 2), (x + c.u(0.25, 0.4), 2)]
        stem = [flag[1:]] if c.p(0.15) else [flag]
        return [np.array(path) for path in ([*stem, base] if c.p(0.35) else stem)]
    if digit == 2:
        top = bow(0.5, 0.55, 0.48, 0.55, c.u(170, 200), 360 + c.u(0, 40), power)
        return [np.concatenate([top, [(0.02, 2), (1, 2)]])]
    if digit == 3:
        low = bow(0.45, (waist + 2) / 2, 0.55, (2 - waist) / 2, 270, c.u(500, 530), power)
        if c.p(0.25):
            return [np.concatenate([[(0.05, 0), (0.95, 0), (0.45, waist)], low])]
        high = bow(0.45, waist / 2, 0.5, waist / 2, c.u(190, 220), 450, power)
        return [np.concatenate([high, low])]
    if digit == 4:
        x, bar = c.u(0.65, 0.85), c.u(1.25, 1.5)
        if c.p(0.3):
            return [np.array([(0.2, 0), (0.02, bar), (1, bar)]), np.array([(x, c.u(0, 1)), (x, 2)])]
        return [np.array([(x, 2), (x, 0), (0, bar), (1, bar)])]
    if digit == 5:
        low = bow(0.42, 1.37, 0.56, 0.63, c.u(205, 235), c.u(495, 525), power)
        return [np.concatenate([[(0.92, 0), (0.12, 0), (0.05, c.u(0.85, 1.05))], low])]
    if digit == 7:
        x, bend = c.u(0.2, 0.45), c.u(0, 0.12)
        paths = [np.array([(0, 0), (1, 0), ((1 + x) / 2 - bend, 0.9), (x, 2)])]
        return [*paths, np.array([(0.25, 1), (0.9, 1)])] if c.p(0.12) else paths
    if digit == 8:
        above = bow(0.5, waist / 2, c.u(0.38, 0.48), waist / 2, 90, 450, power)
        return [above, bow(0.5, (waist + 2) / 2, 0.5, (2 - waist) / 2, 270, 630, power)]
    ring = bow(0.5, 1.38, 0.5, 0.62, 180, 540, power)
    if c.p(0.25):
        tail = np.array([(c.u(0.5, 0.75), 0), (0.04, 1.2)])
    else:
        tail = bow(0.5, 1.38, 0.5, c.u(1.2, 1.38), c.u(280, 330), 180, power)
    six = [ring, tail]
    return six if digit == 6 else [np.array((1, 2)) - path for path in six]


def lettered(c: scenes.Canvas) -> Tuple[Any, int]:
    """A digit as a font of even strokes has it, from hairlines to heavy ones."""
    label = c.n(0, 9)
    height = c.u(55, 92)
    width = height * c.u(0.35, 0.75)
    slant, turn = c.pick((0, 0, 0, 0.2)), c.r.normal(0, 0.05)
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    paths = []
    for path in skeleton(c, label):
        points = (np.asarray(path, float) - (0.5, 1)) * (width, height / 2)
        points[:, 0] -= slant * points[:, 1]
        paths.append((points @ spin + 56).astype(np.float32))
    pen = min(c.log(0.025, 0.24) * height, 0.45 * width)
    return scenes.lines(c, paths, max(1.5, pen), c.p(0.3)), label


def of_another_weight(c: scenes.Canvas, mask: Any) -> Any:
    """Print as a light or a bold cut of its font has it; strokes keep where they are."""
    inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
    half = float(inside.max())
    if c.p(0.3) or half < 2:
        return mask
    if c.p(0.3):
        size = 2 * c.n(1, 4) + 1
        return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    # The strokes' middle lines, drawn with a thinner pen.
    lines = scenes.thinned(mask[None])[0].astype(np.uint8) * 255
    size = max(2, round(half * c.u(0.4, 1.4)))
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.dilate(cv2.resize(lines, mask.shape[::-1], interpolation=cv2.INTER_LINEAR), pen)


def drawn(job: Tuple[int, int]) -> Samples:
    """JOB pictures in MNIST's form, uint8 ``[N, 28, 28]``, and their digits, int64 ``[N]``."""
    r = np.random.default_rng([*job, 4])
    images: List[Any] = []
    labels: List[int] = []
    while len(images) < JOB:
        image, label = digit(canvas(r))
        if image is not None and image.any():
            images.append(image)
            labels.append(label)
    return np.stack(images), np.array(labels, np.int64)


def disturbed(job: Tuple[int, int]) -> Samples:
    """JOB of MNIST's training digits in disturbances, shaped as ``drawn``'s."""
    r = np.random.default_rng([*job, 5])
    chosen = r.integers(len(_digits.images), size=JOB)
    images = [disturbances.disturbed(r, _digits.images[index]) for index in chosen]
    return np.stack(images), _digits.labels[chosen].astype(np.int64)


def collected(
    make: Callable[[Tuple[int, int]], Samples], seed: int, count: int, workers: int
) -> Samples:
    cv2.setNumThreads(1)
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        parts = pool.map(make, [(seed, number) for number in range(count // JOB)], 1)
    images, labels = (np.concatenate(part) for part in zip(*parts))
    return images, labels


def splits(folder: str, *extra: Samples) -> List[Samples]:
    """MNIST's, with the drawn and the disturbed ones in train."""

    def pair(images: idx.IdxFile, labels: idx.IdxFile) -> Samples:
        return (
            idx.read_images(idx.find(folder, images.name))[0],
            idx.read_labels(idx.find(folder, labels.name))[0],
        )

    images, labels = pair(idx.TRAIN_IMAGES, idx.TRAIN_LABELS)
    train = tuple(np.concatenate(each) for each in zip((images[TRAIN], labels[TRAIN]), *extra))
    return [train, (images[VALID], labels[VALID]), pair(idx.TEST_IMAGES, idx.TEST_LABELS)]


def trained(data: Path, folder: Path, epochs: int, seed: int) -> Path:
    """The folder of the best checkpoint."""
    settings = [
        f"data.path={data}", f"checkpoint.dir={folder}", f"log.dir={folder / 'log'}",
        f"train.epochs={epochs}", f"train.seed={seed}", "data.batch_size=150",
    ]  # fmt: skip
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "mnist.train", "--config", "configs/best.yaml", *overrides]
    subprocess.run(command, cwd=str(ROOT), check=True)
    return folder / (folder / "best").read_text().strip()


def publish(best: Path, out: Path, made: str) -> None:
    """The checkpoint without what only going on needs; its data set is MNIST, and what was made."""
    out.mkdir(parents=True, exist_ok=True)
    state = json.loads((best / "state.json").read_text())
    data = Path("data/mnist.json.gz")
    state["config"]["data"]["path"] = state["data_path"] = str(data)
    state["data_sha256"] = sha256_of(ROOT / data)
    state["versions"]["drawn digits"] = made
    for section in ("checkpoint", "log"):
        state["config"].pop(section)
    shutil.copy(best / "model.pdparams", out / "model.pdparams")
    (out / "state.json").write_text(json.dumps(state, indent=2) + "\n")
    files = {name: sha256_of(out / name) for name in KEPT}
    (out / "manifest.json").write_text(json.dumps({"format": 1, "files": files}, indent=2) + "\n")


def fit_threshold(finder: Path, out: Path, mnist: str) -> None:
    """So that as few of MNIST's valid are refused as with the classifier before."""
    weights = pickles.load(finder / "refusal.pdparams")
    images = load_digits(mnist, VALID, 1).images
    probabilities = Predictor(out).probabilities(images)
    doubts = refusal.doubt(refusal.Refusal(weights).logits(images), probabilities)
    state = json.loads((finder / "refusal.json").read_text())
    state["threshold"] = float(np.quantile(doubts, 1 - REFUSED))
    state["sha256"]["model.pdparams"] = sha256_of(out / "model.pdparams")
    with atomic_write(finder / "refusal.json") as file:
        file.write((json.dumps(state, indent=2) + "\n").encode())


def main() -> None:
    global _digits
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", default="../shared/mnist")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "pretrained")
    parser.add_argument("--finder", type=Path, default=ROOT / "data" / "pretrained-finder")
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is made")
    parser.add_argument("--drawn", type=int, default=45_000)
    parser.add_argument("--disturbed", type=int, default=50_000)
    parser.add_argument("--epochs", type=int, default=22)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    data = args.work / "mnist-and-more.json.gz"
    if not data.exists():
        _digits = load_digits(args.mnist, TRAIN, 6000)
        extra = [collected(drawn, args.seed, args.drawn, args.workers)]
        if args.disturbed:
            extra.append(collected(disturbed, args.seed, args.disturbed, args.workers))
        course_json.write(data, splits(args.mnist, *extra), "integers")
    best = trained(data, args.work / "checkpoints", args.epochs, args.seed)
    publish(
        best,
        args.out,
        f"{args.drawn} more in train, drawn, and {args.disturbed} of MNIST's disturbed, "
        f"by tools/finder/train_reader.py --seed {args.seed}",
    )
    fit_threshold(args.finder, args.out, args.mnist)


if __name__ == "__main__":
    main()
