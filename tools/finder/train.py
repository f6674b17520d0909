# ruff: noqa: D101, D103
"""Train the finder: ``python tools/finder/train.py --mnist ../shared/mnist``.

Scenes are drawn while the network learns, by other processes, plain ones first, harder ones more
and more; each is used again later, seen otherwise. The first part of them has a longer side of 96
pixels, which is quick, the rest 160, as they are read. The same seed and steps give the same
scenes. The weights, moving averages with the batch
normalisation folded in, go to data/pretrained-finder with a state.json that says how they were
made.
"""

import argparse
import json
import multiprocessing
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import blocks
import finder
import scenes

from mnist.base.files import atomic_write, sha256_of
from mnist.checkpoints import pickles
from mnist.data import idx
from mnist.fluid.door import fluid, to_variable

L = fluid.layers
# OpenCV's threads do not outlive a fork: who then waits for them waits for ever.
cv2.setNumThreads(1)
BATCH = 16
DELAY = 60
SHAPES = ((160, 160), (160, 160), (160, 160), (128, 160), (160, 128), (96, 160), (160, 96))
TRAIN, VALID = slice(0, 50_000), slice(50_000, 60_000)


def load_digits(folder: str, part: slice, traced: int) -> scenes.Digits:
    images = idx.read_images(idx.find(folder, idx.TRAIN_IMAGES.name))[0][part]
    labels = idx.read_labels(idx.find(folder, idx.TRAIN_LABELS.name))[0][part]
    return scenes.Digits.of(images, labels, traced)


# --- what is learnt ------------------------------------------------------------------------


def sample(scene: scenes.Scene, shape: Tuple[int, int]) -> Tuple[Any, ...]:
    """A scene as the network sees it, and the targets with their weights."""
    size = shape[::-1]
    ground = scene.picture.shape[0] > shape[0]
    method = cv2.INTER_AREA if ground else cv2.INTER_LINEAR
    picture = cv2.resize(scene.picture, size, interpolation=method)
    ink = cv2.resize(scene.ink, size, interpolation=method).astype(np.float32) / 255
    marks = cv2.resize(scene.marks, size, interpolation=method).astype(np.float32) / 255
    known = cv2.resize(scene.known, size, interpolation=cv2.INTER_NEAREST).astype(np.float32) / 255
    ids = cv2.resize(scene.ids, size, interpolation=cv2.INTER_NEAREST)
    cell = finder.VOTE_CELL
    height, width = shape[0] // cell, shape[1] // cell
    votes = np.zeros((4, height, width), np.float32)  # x, y, size, weight
    most = np.zeros((height, width), np.float32)
    emphasis = np.ones(shape, np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32) * cell + (cell - 1) / 2
    present = [int(number) for number in np.unique(ids) if number]
    count = max(1, len(present))
    for number in present:
        mine = ids == number
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        if len(rows) == 0:
            continue
        side = max(np.ptp(rows), np.ptp(columns)) + 1
        if side < finder.LEAST_SIDE:
            known[mine] = 0
            continue
        # A digit and what is close to it count for more alike, or its strokes would grow.
        near = _around(rows, columns, side)
        emphasis[near] = np.maximum(emphasis[near], 1 + 2 * float(np.clip(60 / side, 1, 4)))
        # A cell votes for the digit that most of it is of.
        part = cv2.resize(mine.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        here = part > most
        most = np.maximum(most, part)
        votes[0][here] = ((columns[0] + columns[-1]) / 2 - x[here]) / finder.OFFSET_UNIT
        votes[1][here] = ((rows[0] + rows[-1]) / 2 - y[here]) / finder.OFFSET_UNIT
        votes[2][here] = np.log2(side / finder.SIZE_UNIT)
        votes[3][here] = min(2.0, finder.OFFSET_UNIT / side) / (max(1, here.sum()) * count)
    # What is most easily taken for ink counts for more.
    emphasis = np.maximum(emphasis, 1 + 2 * np.clip(marks - ink, 0, 1))
    weight = finder.folded((known * emphasis)[None])
    small = cv2.resize(marks, (shape[1] // 2, shape[0] // 2), interpolation=cv2.INTER_AREA)
    return finder.as_input(picture), finder.folded(ink[None]), weight, small[None], votes


def _around(rows: Any, columns: Any, side: int) -> Tuple[slice, slice]:
    margin = 2 + side // 6
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def another_view(scene: scenes.Scene, r: np.random.Generator) -> scenes.Scene:
    """A scene once more: a part of it, in other colours, by another camera."""
    height, width = scene.ids.shape
    zoom = float(np.exp(r.uniform(0, np.log(2.2)))) if r.random() < 0.7 else 1.0
    h, w = max(20, round(height / zoom)), max(20, round(width / zoom))
    h, w = min(h, height), min(w, width)
    top, left = int(r.integers(height - h + 1)), int(r.integers(width - w + 1))
    if scene.boxes and r.random() < 0.85:  # with one of its digits, whole
        x, y, across, along = scene.boxes[int(r.integers(len(scene.boxes)))]
        top = _holding(r, y, along, h, height)
        left = _holding(r, x, across, w, width)
    part = (slice(top, top + h), slice(left, left + w))
    maps = {name: getattr(scene, name)[part] for name in ("ink", "marks", "known", "ids")}
    return replace(scene, picture=recoloured(scene.picture[part], r), **maps)


def _holding(r: np.random.Generator, start: int, length: int, window: int, whole: int) -> int:
    """Where a window begins that holds a stretch, if it can."""
    low, high = max(0, start + length - window), min(start, whole - window)
    return int(r.integers(low, high + 1)) if low <= high else min(max(0, start), whole - window)


def recoloured(picture: Any, r: np.random.Generator) -> Any:
    """uint8 RGB with other colours, contrast, noise and compression."""
    values = picture.astype(np.float32)
    if r.random() < 0.3:
        values = 255 - values
    if r.random() < 0.3:
        values = values[..., r.permutation(3)]
    if r.random() < 0.15:
        values = np.repeat(values.mean(-1, keepdims=True), 3, 2)
    if r.random() < 0.5:
        values = values * r.uniform(0.6, 1.2, 3 if r.random() < 0.4 else 1) + r.uniform(-20, 30)
    if r.random() < 0.2:
        values = cv2.GaussianBlur(values, (0, 0), r.uniform(0.4, 1.2))
    if r.random() < 0.25:
        values = values + r.normal(0, r.uniform(2, 10), values.shape)
    found = np.clip(values, 0, 255).astype(np.uint8)
    if r.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(r.integers(30, 95))]
        found = cv2.imdecode(cv2.imencode(".jpg", found, quality)[1], cv2.IMREAD_COLOR)
    return found


_digits: Any = None


def draw_batches(job: Tuple[int, int, int, float, int]) -> List[List[Any]]:
    """As many batches of the same scenes as they are used times, each time seen otherwise."""
    seed, number, longest, plain_share, uses = job
    r = np.random.default_rng([seed, number, 1])
    shape = SHAPES[int(r.integers(len(SHAPES)))]
    shape = (
        max(64, shape[0] * longest // 160 // 32 * 32),
        max(64, shape[1] * longest // 160 // 32 * 32),
    )
    drawn = [
        scenes.draw(_digits, seed, number * BATCH + i, "", shape, plain_share) for i in range(BATCH)
    ]
    found = [packed([sample(scene, shape) for scene in drawn])]
    for _ in range(uses - 1):
        found.append(packed([sample(another_view(scene, r), shape) for scene in drawn]))
    return found


def packed(samples: List[Any]) -> List[Any]:
    parts = [np.stack(part) for part in zip(*samples)]
    return [part.astype(np.float16) for part in parts[:-1]] + parts[-1:]


def batches(pool: Any, args: argparse.Namespace) -> Iterator[List[Any]]:
    """The batches in their order, drawn ahead by the pool's processes.

    Scenes come again after DELAY others: what is learnt from one is not learnt twice in a row.
    """
    count = -(-args.steps // args.uses)
    jobs = [
        (args.seed, args.first + number, 96 if number < args.small * count else 160,
         1 - 0.5 * min(1.0, number / (args.plain * count + 1e-6)), args.uses)
        for number in range(count)
    ]  # fmt: skip
    ahead: List[Any] = []
    later: List[List[Any]] = []
    for number in range(count + DELAY):
        if number < count:
            while len(ahead) < 3 * args.workers and number + len(ahead) < count:
                ahead.append(pool.apply_async(draw_batches, (jobs[number + len(ahead)],)))
            try:
                first, *rest = ahead.pop(0).get(120)
            except multiprocessing.TimeoutError:
                # A process that was killed takes its scenes with it.
                first, *rest = draw_batches(jobs[number])
            yield first
            later.append(rest)
        if number >= DELAY and later:
            yield from later.pop(0)


# --- the network in training -----------------------------------------------------------------


def folded_weights(state: Dict[str, Any]) -> Dict[str, Any]:
    """The training network's arrays as the finder's: batch normalisation within the weights."""
    found = {}
    for name, value in state.items():
        if ".conv.weight" in name:
            base = name[: -len(".conv.weight")]
            scale = state[f"{base}.norm.weight"] / np.sqrt(state[f"{base}.norm._variance"] + 1e-5)
            found[f"{base}.weight"] = (value * scale[:, None, None, None]).astype(np.float32)
            shift = state[f"{base}.norm.bias"] - state[f"{base}.norm._mean"] * scale
            found[f"{base}.bias"] = shift.astype(np.float32)
        elif ".norm." not in name:
            found[name] = value.astype(np.float32)
    return found


def loss_of(outputs: Any, ink: Any, weight: Any, marks: Any, votes: Any) -> Tuple[Any, List[Any]]:
    output, told = outputs
    logits = L.slice(output, [1], [0], [4])
    entropy = L.reduce_mean(L.sigmoid_cross_entropy_with_logits(logits, ink) * weight)
    known = L.clip(weight, 0.0, 1.0)
    likely = L.sigmoid(logits) * known
    both = L.reduce_sum(likely * ink, dim=[1, 2, 3])
    sums = L.reduce_sum(likely + ink * known, dim=[1, 2, 3])
    there = L.clip(L.reduce_sum(ink * known, dim=[1, 2, 3]) * 0.2, 0.0, 1.0)
    dice = L.reduce_mean((1 - (2 * both + 1) / (sums + 1)) * there)
    other = L.sigmoid_cross_entropy_with_logits(L.slice(output, [1], [4], [5]), marks)
    other = L.reduce_mean(other)
    misses = L.abs(told - L.slice(votes, [1], [0], [3]))
    share = L.slice(votes, [1], [3], [4])
    away = L.reduce_sum(L.reduce_sum(misses, dim=1, keep_dim=True) * share) / float(BATCH)
    return entropy * 2 + dice + 0.3 * other + 1.5 * away, [entropy, dice, other, away]


def arrays_of(model: Any) -> Dict[str, Any]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def train(args: argparse.Namespace) -> None:
    global _digits
    _digits = load_digits(args.mnist, TRAIN, args.traced)
    scenes.textures()
    args.sources = {Path(f).name: sha256_of(f) for f in (scenes.__file__, __file__)}
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    started = time.time()
    pool = multiprocessing.get_context("fork").Pool(args.workers)
    with pool, fluid.dygraph.guard(fluid.CPUPlace()):
        model = blocks.Network()
        if args.start:
            state = arrays_of(model)
            given = np.load(args.start, allow_pickle=False)
            state.update({n: given[n] for n in given if given[n].shape == state[n].shape})
            model.set_dict(state)
        rate = WarmCosine(args.rate, args.steps)
        adam = fluid.optimizer.Adam(
            rate, parameter_list=model.parameters(),
            grad_clip=fluid.clip.GradientClipByGlobalNorm(5.0),
        )  # fmt: skip
        model.train()
        mean: Dict[str, Any] = {}
        told: List[Any] = []
        for step, arrays in enumerate(batches(pool, args), 1):
            variables = [to_variable(a.astype(np.float32)) for a in arrays]
            loss, parts = loss_of(model(variables[0]), *variables[1:])
            model.backward(loss)
            adam.minimize(loss)
            model.clear_gradients()
            told.append([float(loss.numpy()), *(float(part.numpy()) for part in parts)])
            if step % 4 == 0:
                now = arrays_of(model)
                decay = min(0.985, step / (step + 40))
                mean = {n: decay * mean.get(n, v) + (1 - decay) * v for n, v in now.items()}
            if step % 50 == 0:
                shown = " ".join(f"{v:.4f}" for v in np.mean(told[-50:], 0))
                print(f"step {step} {time.time() - started:.0f} s: {shown}", flush=True)
            if step % 500 == 0 or step == args.steps:
                save(args, out, mean, step, time.time() - started, told)


class WarmCosine(fluid.dygraph.learning_rate_scheduler.LearningRateDecay):
    def __init__(self, rate: float, steps: int) -> None:
        super().__init__()
        self.rate, self.steps = rate, steps

    def step(self) -> float:
        n = self.step_num
        falling = 0.5 * (1 + np.cos(np.pi * min(1.0, n / self.steps)))
        return float(self.rate * min(1.0, (n + 1) / 150) * max(0.01, falling))


def save(args: Any, out: Path, mean: Dict[str, Any], step: int, seconds: float, told: Any) -> None:
    weights = {n: v.astype(np.float16) for n, v in folded_weights(mean).items()}
    with atomic_write(out / "finder.pdparams") as file:
        file.write(pickles.dump(weights))
    if args.keep:
        np.savez(args.keep, **mean)
    state = {
        "command": " ".join(["python tools/finder/train.py", *sys.argv[1:]]),
        "seed": args.seed,
        "steps": step,
        "scenes": step * BATCH,
        "seconds": round(seconds),
        "loss": round(float(np.mean(told[-200:], 0)[0]), 4),
        "parameters": int(sum(v.size for v in weights.values())),
        "sha256": {"finder.pdparams": sha256_of(out / "finder.pdparams"), **args.sources},
    }
    with atomic_write(out / "state.json") as file:
        file.write((json.dumps(state, indent=2) + "\n").encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", default="../shared/mnist", help="folder of MNIST's IDX files")
    parser.add_argument("--out", default="data/pretrained-finder")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--first", type=int, default=0, help="number of the first batch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--traced", type=int, default=6000)
    parser.add_argument("--small", type=float, default=0.3, help="share of steps with 96 pixels")
    parser.add_argument("--uses", type=int, default=2, help="batches made of a batch of scenes")
    parser.add_argument("--plain", type=float, default=0.4, help="share of steps to all difficulty")
    parser.add_argument("--keep", help="a file for what --start takes")
    parser.add_argument("--start", help="what --keep wrote, to go on from")
    train(parser.parse_args())
