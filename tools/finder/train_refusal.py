# ruff: noqa: D103
"""Train what refuses: ``python tools/finder/train_refusal.py --mnist ../shared/mnist``.

Digits of MNIST's train split, as they are and as the finder puts them into MNIST's form, against
what is no digit: drawn, and what the finder found on scenes where there was none. The thresholds
are fitted on the valid split, so that 0.3% of it are refused.
"""

import argparse
import json
import multiprocessing
import re
import sys
import time
from itertools import chain, islice
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import finder
import others
import refusal
import scenes
from train import TRAIN, VALID, WarmCosine, load_digits

from mnist import kernels
from mnist.base.files import atomic_write, sha256_of
from mnist.checkpoints import pickles
from mnist.config.schema import AugmentationConfig
from mnist.data import augmentation
from mnist.fluid import gradients
from mnist.fluid.door import fluid, to_variable
from mnist.kernels import engine
from mnist.model.predictor import Predictor

JOB = 500
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
    height = c.u(50, 95)
    tool = c.pick((*scenes.TOOLS, "font", "font", "font", "font", "segments", "segments"))
    tool = "coarse" if c.p(0.12) else tool
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
    height = c.u(55, 95)
    mask = others.figure(c, digits, scenes.Box(SIDE / 2, SIDE / 2, height, height))
    if c.p(0.08):
        mask = scenes.outlined(c, scenes.Tool(mask, mask), height).seen
    return found(c, mask)


def grey(c: scenes.Canvas, digits: scenes.Digits) -> Any:
    """A thing or a texture of 28 pixels, on black or on white."""
    image = c.pick(others.GREY)(c)
    return 255 - image if c.p(0.2) else image


_digits: Any = None
_finder: Any = None
_is_digitlike: Any = None

# Where samples come from; from SEEN on, what the finder saw on scenes, by what it is.
MNIST, DRAWN, TWO, SPOILT, GREY, SEEN_SYMBOL, SEEN_GREY, SEEN = range(8)
DIGIT, SEVERAL, NONE = range(3)
# How many of a batch come from each, and what they are.
SHARES = (28, 18, 10, 32, 8, 8, 4, 8, 2, 10)
KINDS = (DIGIT, DIGIT, SEVERAL, NONE, NONE, NONE, NONE, DIGIT, SEVERAL, NONE)

Samples = Tuple[Any, Any]


def drawn(job: Tuple[int, int]) -> Samples:
    """JOB pictures in MNIST's form, uint8 ``[N, 28, 28]``, and their pools, int64 ``[N]``."""
    r = np.random.default_rng([*job, 2])
    images: List[Any] = []
    pools: List[int] = []
    while len(images) < JOB:
        which = int(r.choice(4, p=(0.25, 0.1, 0.55, 0.1)))
        image = (digit, two, none, grey)[which](canvas(r), _digits)
        if image is not None and image.any():
            images.append(image)
            pools.append((DRAWN, TWO, SPOILT, GREY)[which])
    return without_digitlike(np.stack(images), np.array(pools, np.int64), SPOILT)


def composed(job: Tuple[int, int]) -> Samples:
    """JOB pictures of shapes put together, as ``drawn`` gives them."""
    r = np.random.default_rng([*job, 5])
    images: List[Any] = []
    while len(images) < JOB:
        c = canvas(r)
        height = c.u(55, 95)
        box = scenes.Box(SIDE / 2, SIDE / 2, height, height)
        image = found(c, others.composed(c, _digits, box))
        if image is not None and image.any():
            images.append(image)
    return without_digitlike(np.stack(images), np.full(JOB, SPOILT, np.int64), SPOILT)


def without_digitlike(images: Any, pools: Any, which: int) -> Samples:
    kept = (pools != which) | ~_is_digitlike(images)
    return images[kept], pools[kept]


def on_scenes(job: Tuple[int, int]) -> Samples:
    """What the finder takes for digits on some scenes; what lies on none, or on two, is none."""
    images: List[Any] = []
    pools: List[int] = []
    seed, number = job
    for index in range(100):
        kind = ("", "blank", "symbol", "blank", "symbol")[index % 5]
        scene = scenes.draw(_digits, seed, number * 100 + index, kind, None, 0.5)
        for piece in chain.from_iterable(islice(_finder.looks(scene.picture), 2)):
            label = what_is(scene, piece)
            if label is not None and piece.image.any():
                images.append(piece.image)
                pools.append(SEEN_SYMBOL if scene.symbol else SEEN + label)
    return without_digitlike(as_stack(images), np.array(pools, np.int64), SEEN_SYMBOL)


def on_grey(job: Tuple[int, int]) -> Samples:
    """What the finder takes for digits on things and textures of few pixels."""
    images: List[Any] = []
    for index in range(100):
        c = canvas(np.random.default_rng([*job, index, 4]))
        picture = grey(c, _digits)
        if c.p(0.5):
            side = c.n(56, 160)
            picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR)
        for piece in chain.from_iterable(islice(_finder.looks(picture), 2)):
            images.append(piece.image)
    return as_stack(images), np.full(len(images), SEEN_GREY, np.int64)


def as_stack(images: List[Any]) -> Any:
    return np.array(images, np.uint8).reshape(-1, 28, 28)


_glyph, _figure = scenes.glyph, scenes.figure


def without_numbers(name: str, text: str, size: int = 96) -> Any:
    """Print that has no digits: what the finder takes for one there is none."""
    return _glyph(name, re.sub(r"\d", "n", text) if len(text) > 1 else text, size)


def what_is(scene: scenes.Scene, piece: finder.FoundDigit) -> "int | None":
    """DIGIT if a piece covers one digit well and nothing else, NONE if none; None: who knows."""
    left, top, width, height = (int(side) for side in piece.box)
    part = (slice(max(0, top), top + height + 1), slice(max(0, left), left + width + 1))
    ids, counts = np.unique(scene.ids[part], return_counts=True)
    sizes = np.bincount(scene.ids.ravel(), minlength=len(scene.labels) + 1)
    shares = {int(i): n / sizes[i] for i, n in zip(ids, counts) if i}
    if scene.symbol:
        return None if shares else NONE
    if not shares:
        return NONE if scene.known[part].mean() > 200 else None
    whole = [number for number, share in shares.items() if share > 0.9]
    if len(shares) == 1 and len(whole) == 1:
        _, _, w, h = scene.boxes[whole[0] - 1]
        if 0.8 < max(width, height) / max(w, h) < 1.2:
            return DIGIT
        return NONE if max(width, height) > 1.5 * max(w, h) else None
    if max(shares.values()) < 0.35:
        return NONE
    return SEVERAL if len(whole) > 1 else None


def collect(
    function: Callable[[Tuple[int, int]], Samples], seed: int, jobs: int, workers: int
) -> Samples:
    cv2.setNumThreads(1)
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        parts = pool.map(function, [(seed, number) for number in range(jobs)], 1)
    images, labels = (np.concatenate(part) for part in zip(*parts))
    print(
        f"{function.__name__}: {len(images)}, {np.bincount(labels, minlength=len(SHARES))}",
        flush=True,
    )
    return images, labels


class Pool:
    """Samples of one origin, of which those that were mistaken are drawn more often."""

    def __init__(self, images: Any, labels: Any) -> None:
        self.images, self.labels = images, labels
        self._losses = np.ones(len(images), np.float32)
        self._drawn: Any = None

    def draw(self, count: int, r: np.random.Generator) -> Samples:
        """Half of them as they come, half by their losses when they were drawn last."""
        sums = np.cumsum(self._losses, dtype=np.float64)
        often = np.searchsorted(sums, r.random(count // 2) * sums[-1])
        self._drawn = np.append(often, r.integers(len(self.images), size=count - count // 2))
        self._drawn = np.minimum(self._drawn, len(self.images) - 1)
        return self.images[self._drawn], self.labels[self._drawn]

    def tell(self, losses: Any) -> None:
        # What is never learnt may be labelled wrongly.
        self._losses[self._drawn] = np.clip(losses, 0.05, 1.0)


def batches(pools: Sequence[Pool], steps: int, seed: int) -> Iterator[Samples]:
    r = np.random.default_rng([seed, 3])
    distortion = AugmentationConfig(shift=1.5, rotation=8, scaling=0.08, shear=0.08, elastic=0.7)
    for _ in range(steps):
        drawn_now = [pool.draw(n, r) for pool, n in zip(pools, SHARES)]
        stack, labels = (np.concatenate(part) for part in zip(*drawn_now))
        bent = augmentation.distort(stack, augmentation.random_maps(len(stack), distortion, r))
        yield np.where(r.random(len(stack))[:, None, None] < 0.6, bent, stack), labels


def auroc(good: Any, bad: Any) -> float:
    """The chance that a bad one is doubted more than a good one."""
    order = np.argsort(np.concatenate([good, bad]), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    return float(
        (ranks[len(good) :].sum() - len(bad) * (len(bad) + 1) / 2) / (len(good) * len(bad))
    )


def learnt(pools: Sequence[Pool], args: argparse.Namespace) -> Dict[str, Any]:
    """The weights after training, averaged over the last steps."""
    started = time.time()
    mean: Dict[str, Any] = {}
    with fluid.dygraph.guard(fluid.CPUPlace()):
        network = refusal.Network()
        adam = fluid.optimizer.Adam(
            WarmCosine(args.rate, args.steps), parameter_list=network.parameters()
        )
        network.train()
        # The convolutions in C, three times as fast as Paddle's.
        through = engine.Engine(kernels.load())
        layers = [(convolution, None) for convolution in network.convolutions]
        told = []
        for step, (images, labels) in enumerate(batches(pools, args.steps, args.seed), 1):
            with gradients.cutting():
                inputs = to_variable(images[:, None].astype(np.float32) / 255)
                maps = through.forward(network, layers, inputs, True)
                output = network.fc(fluid.layers.reshape(maps, [len(images), -1]))
                losses = fluid.layers.softmax_with_cross_entropy(
                    output, to_variable(labels[:, None])
                )
                loss = fluid.layers.reduce_mean(losses)
                gradients.backward(loss)
            adam.minimize(loss)
            network.clear_gradients()
            for pool, part in zip(pools, np.split(losses.numpy()[:, 0], np.cumsum(SHARES)[:-1])):
                pool.tell(part)
            told.append(float(loss.numpy()))
            if step % 10 == 0:
                now = {name: v.numpy() for name, v in network.state_dict().items()}
                mean = {name: 0.97 * mean.get(name, v) + 0.03 * v for name, v in now.items()}
            if step % 200 == 0:
                seconds = time.time() - started
                print(f"step {step} {seconds:.0f} s: {np.mean(told[-200:]):.4f}", flush=True)
    return mean


def report(
    judge: refusal.Refusal, predictor: Predictor, digits: scenes.Digits
) -> Tuple[float, float]:
    """The thresholds without and with the classifier, fitted on digits; prints what is refused."""

    def both(images: Any) -> Tuple[Any, Any]:
        logits = judge.logits(images)
        return refusal.doubt(logits), refusal.doubt(logits, predictor.probabilities(images))

    plain = both(digits.images)
    alone, together = (float(np.quantile(doubts, 1 - REFUSED)) for doubts in plain)
    print(f"thresholds {alone:.2f} {together:.2f}")
    r = np.random.default_rng(77)
    for name, make in (("found digits", digit), ("two", two), ("none", none)):
        made = (make(canvas(r), digits) for _ in range(1500))
        doubts = both(np.stack([image for image in made if image is not None and image.any()]))
        for good, bad, limit in zip(plain, doubts, (alone, together)):
            share = 100 * np.mean(bad > limit)
            print(f"{name}: {share:.1f}% refused, AUROC {auroc(good, bad):.4f}", flush=True)
    return alone, together


def samples(args: argparse.Namespace) -> Samples:
    """All that is drawn, and looked at, for a training."""
    parts = [collect(drawn, args.seed, args.drawn // JOB, args.workers)]
    parts.append(collect(composed, args.seed, args.drawn // (6 * JOB), args.workers))
    parts.append(collect(on_grey, args.seed, args.scenes // 200, args.workers))
    scenes.glyph = without_numbers
    scenes.figure = others.figure
    parts.append(collect(on_scenes, args.seed, args.scenes // 100, args.workers))
    scenes.glyph, scenes.figure = _glyph, _figure
    images, origins = (np.concatenate(part) for part in zip(*parts))
    return images, origins


def pools_of(images: Any, origins: Any, predictor: Predictor) -> List[Pool]:
    """The samples by where they come from, what is one digit with the classifier's label."""
    pools = [Pool(_digits.images, np.asarray(_digits.labels, np.int64))]
    for origin in range(1, len(SHARES)):
        part = images[origins == origin]
        if KINDS[origin] == DIGIT:
            labels = predictor.probabilities(part).argmax(1)
        else:
            label = refusal.SEVERAL if KINDS[origin] == SEVERAL else refusal.NONE
            labels = np.full(len(part), label, np.int64)
        pools.append(Pool(part, labels))
    return pools


def main() -> None:
    global _digits, _finder, _is_digitlike
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", default="../shared/mnist")
    parser.add_argument(
        "--out", default="data/pretrained-finder", help="where the finder lies, too"
    )
    parser.add_argument("--steps", type=int, default=14_000)
    parser.add_argument("--drawn", type=int, default=100_000, help="pictures drawn")
    parser.add_argument("--scenes", type=int, default=4_000, help="scenes looked at")
    parser.add_argument("--samples", help="a file to keep them in, or to take them from")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--rate", type=float, default=2e-3)
    args = parser.parse_args()
    started = time.time()
    out = Path(args.out)
    _digits = load_digits(args.mnist, TRAIN, 6000)
    _finder = finder.Finder(pickles.load(out / "finder.pdparams"))
    _is_digitlike = others.Digitlike(_digits.images)
    scenes.textures()
    if args.samples and Path(args.samples).exists():
        with np.load(args.samples) as kept:
            images, origins = kept["images"], kept["origins"]
    else:
        images, origins = samples(args)
        if args.samples:
            np.savez(args.samples, images=images, origins=origins)
    predictor = Predictor("data/pretrained")
    pools = pools_of(images, origins, predictor)
    weights = {n: v.astype(np.float16) for n, v in learnt(pools, args).items()}
    digits = load_digits(args.mnist, VALID, 1500)
    alone, together = report(refusal.Refusal(weights), predictor, digits)
    with atomic_write(out / "refusal.pdparams") as file:
        file.write(pickles.dump(weights))
    state = {
        "command": " ".join(["python tools/finder/train_refusal.py", *sys.argv[1:]]),
        "seed": args.seed, "steps": args.steps, "samples": args.steps * sum(SHARES),
        "seconds": round(time.time() - started),
        "threshold": together, "threshold_alone": alone, "refused_on_valid": REFUSED,
        "sha256": {"refusal.pdparams": sha256_of(out / "refusal.pdparams"),
                   "finder.pdparams": sha256_of(out / "finder.pdparams"),
                   "train_refusal.py": sha256_of(__file__),
                   "others.py": sha256_of(others.__file__)},
    }  # fmt: skip
    with atomic_write(out / "refusal.json") as file:
        file.write((json.dumps(state, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
