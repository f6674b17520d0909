# ruff: noqa: D103, E501
"""Train what refuses: ``python tools/finder/train_refusal.py --mnist ../shared/mnist``.

Digits of MNIST's train split, as they are and as the finder puts them into MNIST's form, against
what is no digit. The threshold is fitted on the valid split, so that 0.3% of it are refused.
"""

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import finder
import refusal
import scenes
from train import TRAIN, VALID, WarmCosine, load_digits

from mnist.base.files import atomic_write, sha256_of
from mnist.checkpoints import pickles
from mnist.config.schema import AugmentationConfig
from mnist.data import augmentation
from mnist.fluid.door import fluid, to_variable

BATCH = 128
SIDE = 112
# A refusal on valid, at most.
REFUSED = 0.003


def canvas(r: np.random.Generator) -> scenes.Canvas:
    return scenes.Canvas(r, SIDE, SIDE)


def rough(c: scenes.Canvas, mask: Any) -> Any:
    """A mask as the network may find it: soft, a bit thicker or thinner, with a piece missing."""
    values = cv2.GaussianBlur(mask, (0, 0), c.log(0.6, 2.5)).astype(np.float32) / 255
    values = values + c.u(-0.2, 0.2) + 0.05 * c.texture("clouds")
    if c.p(0.06):
        x, y, radius = c.u(30, 80), c.u(30, 80), c.u(2, 7)
        cv2.circle(values, (int(x), int(y)), int(radius), 0.0, -1)
    return np.clip(values, 0, 1)


def found(c: scenes.Canvas, mask: Any) -> Any:
    """A mask's ink in MNIST's form, or None."""
    values = rough(c, mask)
    rows, columns = np.flatnonzero((values > 0.5).any(1)), np.flatnonzero((values > 0.5).any(0))
    if len(rows) < 3 or len(columns) < 3:
        return None
    top, left = max(0, rows[0] - 1), max(0, columns[0] - 1)
    return finder.form_of(values[top : rows[-1] + 2, left : columns[-1] + 2])


def digit(c: scenes.Canvas, digits: scenes.Digits) -> Any:
    if c.p(0.45):
        return digits.images[c.n(0, len(digits.images) - 1)]
    height = c.u(50, 95)
    tool = c.pick(scenes.TOOLS) if c.p(0.7) else c.pick(("font", "font", "segments"))
    box = scenes.digit_box(c, height, SIDE / 2, SIDE / 2, tool)
    made, _ = scenes.write(c, digits, box, tool, c.r.normal(0, 0.12), c.r.normal(0, 0.12))
    return found(c, made.meant)


def two(c: scenes.Canvas, digits: scenes.Digits) -> Any:
    mask = c.blank()
    height = c.u(35, 60)
    count = c.pick((2, 2, 2, 3))
    pitch = height * c.u(0.5, 0.95)
    tool = c.pick(("pen", "raster", "raster", "thick", "nib", "font"))
    for i in range(count):
        x = SIDE / 2 + (i - (count - 1) / 2) * pitch
        box = scenes.digit_box(c, height * c.u(0.85, 1.1), x, SIDE / 2 + c.r.normal(0, 3), tool)
        made, _ = scenes.write(c, digits, box, tool, c.r.normal(0, 0.1), c.r.normal(0, 0.1))
        np.maximum(mask, made.meant, out=mask)
    return found(c, mask)


def none(c: scenes.Canvas, digits: scenes.Digits) -> Any:
    if c.p(0.12):
        return texture(c)
    if c.p(0.08):
        return garment(c)
    height = c.u(55, 95)
    mask = scenes.figure(c, digits, scenes.Box(SIDE / 2, SIDE / 2, height, height))
    if c.p(0.15):
        mask = scenes.outlined(c, scenes.Tool(mask, mask), height).seen
    return found(c, mask)


def texture(c: scenes.Canvas) -> Any:
    """Anything grey of 28 pixels: blots, stripes, noise."""
    names = ("clouds", "wood", "smear", "crumple", "fibre", "grain")
    values = c.texture(c.pick(names), c.log(0.3, 3)) * c.u(30, 120) + c.u(0, 150)
    small = cv2.resize(values, (28, 28), interpolation=cv2.INTER_AREA)
    if c.p(0.5):
        y, x = np.mgrid[:28, :28]
        small *= np.hypot((x - 14) / c.u(5, 13), (y - 14) / c.u(5, 13)) < 1
    return np.clip(small, 0, 255).astype(np.uint8)


def garment(c: scenes.Canvas) -> Any:
    """A large filled shape, even or with a pattern, on black."""
    k = c.n(4, 14)
    t = np.sort(c.r.uniform(0, 2 * np.pi, k))
    points = (
        np.stack([np.cos(t), np.sin(t)], 1)
        * c.r.uniform(0.4, 1, k)[:, None]
        * (c.u(20, 55), c.u(20, 55))
    )
    if c.p(0.5):  # the same on both sides
        points = np.concatenate([points * (1, 1), (points * (-1, 1))[::-1]])
    mask = scenes.polygon(c, points + SIDE / 2)
    grey = np.clip(
        c.u(60, 255) + c.texture(c.pick(("clouds", "smear", "wood"))) * c.u(0, 50), 10, 255
    )
    values = mask.astype(np.float32) / 255 * grey
    return cv2.resize(values, (28, 28), interpolation=cv2.INTER_AREA).astype(np.uint8)


_digits: Any = None


def samples(job: Tuple[int, int]) -> Tuple[Any, Any]:
    seed, number = job
    r = np.random.default_rng([seed, number, 2])
    images: List[Any] = []
    labels: List[int] = []
    while len(images) < BATCH:
        c = canvas(r)
        which = int(r.choice(3, p=(0.5, 0.12, 0.38)))
        image = (digit, two, none)[which](c, _digits)
        if image is not None and image.any():
            images.append(image)
            labels.append(which)
    stack = np.stack(images)
    maps = augmentation.random_maps(
        len(stack),
        AugmentationConfig(shift=1.5, rotation=8, scaling=0.08, shear=0.08, elastic=0.7),
        r,
    )
    mixed = np.where(
        r.random(len(stack))[:, None, None] < 0.6, augmentation.distort(stack, maps), stack
    )
    return mixed, np.array(labels, np.int64)


def batches(seed: int, first: int, count: int) -> Iterator[Any]:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        yield from pool.imap(samples, [(seed, number) for number in range(first, first + count)])


def auroc(good: Any, bad: Any) -> float:
    """The chance that a bad one is doubted more than a good one."""
    order = np.argsort(np.concatenate([good, bad]), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    return float(
        (ranks[len(good) :].sum() - len(bad) * (len(bad) + 1) / 2) / (len(good) * len(bad))
    )


def main() -> None:
    global _digits
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", default="../shared/mnist")
    parser.add_argument("--out", default="data/pretrained-finder")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2e-3)
    args = parser.parse_args()
    _digits = load_digits(args.mnist, TRAIN, 6000)
    scenes.textures()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    started = time.time()
    with fluid.dygraph.guard(fluid.CPUPlace()):
        network = refusal.Network()
        adam = fluid.optimizer.Adam(
            WarmCosine(args.rate, args.steps), parameter_list=network.parameters()
        )
        network.train()
        told = []
        for step, (images, labels) in enumerate(batches(args.seed, 0, args.steps), 1):
            output = network(to_variable(images[:, None].astype(np.float32) / 255))
            loss = fluid.layers.reduce_mean(
                fluid.layers.softmax_with_cross_entropy(output, to_variable(labels[:, None]))
            )
            loss.backward()
            for layer in reversed(network.sublayers()):
                if isinstance(layer, refusal.Convolution):
                    layer.backward_to_input()
            adam.minimize(loss)
            network.clear_gradients()
            told.append(float(loss.numpy()))
            if step % 100 == 0:
                print(
                    f"step {step} {time.time() - started:.0f} s: {np.mean(told[-100:]):.4f}",
                    flush=True,
                )
        weights = {n: v.numpy() for n, v in network.state_dict().items()}
    judge = refusal.Refusal(weights)
    _digits = load_digits(args.mnist, VALID, 1500)
    plain = refusal.doubt(judge.logits(_digits.images))
    threshold = float(np.quantile(plain, 1 - REFUSED))
    print(f"threshold {threshold:.2f}")
    r = np.random.default_rng(77)
    for name, make in (("found digits", digit), ("two", two), ("none", none)):
        images = [
            i for i in (make(canvas(r), _digits) for _ in range(1500)) if i is not None and i.any()
        ]
        doubts = refusal.doubt(judge.logits(np.stack(images)))
        print(
            f"{name}: {100 * np.mean(doubts > threshold):.1f}% refused, AUROC {auroc(plain, doubts):.4f}"
        )
    with atomic_write(out / "refusal.pdparams") as file:
        file.write(pickles.dump({n: v.astype(np.float16) for n, v in weights.items()}))
    state = {
        "command": "python tools/finder/train_refusal.py", "seed": args.seed, "steps": args.steps,
        "samples": args.steps * BATCH, "seconds": round(time.time() - started),
        "threshold": threshold, "refused_on_valid": REFUSED,
        "sha256": {"refusal.pdparams": sha256_of(out / "refusal.pdparams"),
                   "train_refusal.py": sha256_of(__file__)},
    }  # fmt: skip
    with atomic_write(out / "refusal.json") as file:
        file.write((json.dumps(state, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
