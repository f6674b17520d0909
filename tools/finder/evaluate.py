# ruff: noqa: D103, E501, E741
"""How the finder reads scenes with MNIST's valid digits, kind by kind.

Left out are digits that the classifier misreads in the very ink that was drawn.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import scenes
from train import VALID, load_digits

from mnist.model.predictor import Predictor
from mnist.pictures import finder, reading

SEED = 1000


def nearest(found: List[finder.FoundDigit], box: Any) -> int:
    """Which found digit covers a box best; -1 if none does."""

    def share(f: finder.FoundDigit) -> float:
        (l, t, w, h), (l2, t2, w2, h2) = f.box, box
        across = min(l + w, l2 + w2) - max(l, l2)
        along = min(t + h, t2 + h2) - max(t, t2)
        if across <= 0 or along <= 0:
            return 0.0
        return across * along / (w * h + w2 * h2 - across * along)

    values = [share(f) for f in found]
    return int(np.argmax(values)) if values and max(values) > 0.4 else -1


def cut(scene: scenes.Scene) -> bool:
    """Whether a digit is cut off by the picture's edge, or cannot be seen."""
    ids = scene.ids
    edges = np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]])
    return bool(edges.any()) or not scene.labels or bool((scene.known[ids > 0] == 0).any())


def readable(scene: scenes.Scene, predictor: Predictor) -> bool:
    """Whether the classifier reads the digit from the very ink that was drawn."""
    ink = np.repeat(scene.ink[..., None], 3, 2)
    side = max(160, min(640, round(70 * max(ink.shape) / max(scene.boxes[0][2:]))))
    values = finder.resized(ink, side)[..., 0].astype(np.float32) / 255
    rows, columns = np.nonzero(values > 0.5)
    if len(rows) < 5:
        return False
    box = np.pad(values, 1)[rows.min() : rows.max() + 3, columns.min() : columns.max() + 3]
    image = finder.form_of(box)
    return predictor.predict(image[None])[0].digit == scene.labels[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", default="../shared/mnist")
    parser.add_argument("--weights", default="data/pretrained-finder", help="a folder")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--kinds", nargs="*")
    parser.add_argument("--pictures", help="write the failures of each kind to this folder")
    args = parser.parse_args()
    digits = load_digits(args.mnist, VALID, 1500)
    reader = reading.Reader(args.weights)
    predictor = Predictor("data/pretrained")
    kinds = args.kinds or list(scenes.KINDS)
    total: Dict[str, List[float]] = {}
    spent: List[float] = []
    for kind in kinds:
        right = none = several = wrong = sure = doubted = 0
        failures = []
        many = kind in ("several", "touching")
        nothing = kind in ("blank", "symbol")
        wanted = 0
        for i in range(args.n):
            scene = scenes.draw(digits, args.seed, i, kind)
            if not nothing and (not scene.labels or (kind != "tight" and cut(scene))):
                continue
            if not many and not nothing and not readable(scene, predictor):
                continue
            started = time.process_time()
            found = reader.found(scene.picture, many)
            spent.append(time.process_time() - started)
            answers = predictor.predict(np.stack([f.image for f in found])) if found else []
            if many:
                for box, label in zip(scene.boxes, scene.labels):
                    wanted += 1
                    at = nearest(found, box)
                    right += at >= 0 and answers[at].digit == label
                    none += at < 0
                    wrong += at >= 0 and answers[at].digit != label
                continue
            wanted += 1
            if nothing:
                kept = [f for f, answer in zip(found, answers) if answer.is_digit]
                ok = not kept
                right += ok
                wrong += len(kept) == 1
                sure += (
                    len(kept) == 1 and predictor.predict(kept[0].image[None])[0].confidence > 0.5
                )
                several += len(kept) > 1
            else:
                ok = len(found) == 1 and bool(scene.labels) and answers[0].digit == scene.labels[0]
                right += ok
                none += not found
                several += len(found) > 1
                bad = len(found) == 1 and not ok
                wrong += bad
                refused = bool(found) and not answers[0].is_digit
                sure += bad and not refused and answers[0].confidence > 0.5
                doubted += ok and refused
            if not ok:
                failures.append((scene, found, answers))
        wanted = max(1, wanted)
        total[kind] = [
            right / wanted,
            none / wanted,
            several / wanted,
            wrong / wanted,
            sure / wanted,
        ]
        print(
            f"{kind:16s} n={wanted:4d}  right {100 * right / wanted:5.1f}  none {100 * none / wanted:4.1f}"
            f"  several {100 * several / wanted:4.1f}  wrong {100 * wrong / wanted:4.1f}  sure {100 * sure / wanted:4.1f}  right but refused {100 * doubted / wanted:4.1f}",
            flush=True,
        )
        if args.pictures:
            draw_failures(Path(args.pictures), kind, failures)
    single = [v for k, v in total.items() if k not in ("blank", "symbol", "several", "touching")]
    print(
        "mean of single kinds",
        np.round(100 * np.mean(single, 0), 2) if single else "",
        "median ms",
        round(1e3 * float(np.median(spent)), 1),
    )


def draw_failures(folder: Path, kind: str, failures: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cells = []
    for scene, found, answers in failures[:24]:
        h, w = scene.picture.shape[:2]
        f = 150 / max(h, w)
        cell = np.full((175, 230, 3), 128, np.uint8)
        small = cv2.resize(
            scene.picture,
            (max(1, int(w * f)), max(1, int(h * f))),
            interpolation=cv2.INTER_AREA if f < 1 else cv2.INTER_LINEAR,
        )
        for d in found:
            l, t, bw, bh = (int(v * f) for v in d.box)
            cv2.rectangle(small, (l, t), (l + bw, t + bh), (255, 0, 0), 1)
        cell[: small.shape[0], : small.shape[1]] = small
        for i, d in enumerate(found[:2]):
            cell[5 + i * 62 : 61 + i * 62, 160:216] = cv2.resize(d.image, (56, 56))[..., None]
        text = f"{scene.labels[:3]}{scene.symbol} > " + " ".join(
            f"{a.digit}:{a.confidence:.2f}" for a in answers[:2]
        )
        cv2.putText(cell, text, (2, 170), 0, 0.4, (255, 255, 0), 1, cv2.LINE_AA)
        cells.append(cell)
    if cells:
        while len(cells) % 6:
            cells.append(np.zeros_like(cells[0]))
        rows = [np.concatenate(cells[i : i + 6], 1) for i in range(0, len(cells), 6)]
        cv2.imwrite(str(folder / f"{kind.replace(' ', '_')}.png"), np.concatenate(rows)[..., ::-1])


if __name__ == "__main__":
    main()
