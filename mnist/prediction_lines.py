"""What ``mnist.predict`` prints: a line a picture, for people or as JSON."""

import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from mnist import images, predictor
from mnist.errors import InputError
from mnist.predictor import Prediction, Predictor

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TOP = 3
# Pictures decoded before they are predicted together and printed.
GROUP = 64

Read = Tuple[str, Union["np.ndarray[Any, Any]", InputError]]


def print_predictions(paths: Sequence[str], checkpoint: Optional[str], as_json: bool) -> int:
    """Predict every picture and return the exit code: 2 if any could not be read."""
    model = Predictor(predictor.find_checkpoint(checkpoint))
    code = 0
    for group in _groups(_read_all(paths), GROUP):
        readable = [image for _, image in group if not isinstance(image, InputError)]
        found = iter(model.predict(np.stack(readable)) if readable else [])
        for path, image in group:
            if isinstance(image, InputError):
                code = 2
                _print_error(path, image, as_json)
            else:
                _print_prediction(path, next(found), as_json)
    return code


def _read_all(paths: Sequence[str]) -> Iterator[Read]:
    for path in paths:
        for file in _pictures(path):
            try:
                yield str(file), images.read_digit(file)
            except InputError as error:
                yield str(file), error


def _pictures(path: str) -> List[Path]:
    """The picture itself, or all pictures directly in a folder, by name."""
    given = Path(path)
    if not given.is_dir():
        return [given]
    return sorted(p for p in given.iterdir() if p.suffix.lower() in SUFFIXES) or [given]


def _groups(items: Iterator[Read], size: int) -> Iterator[List[Read]]:
    group: List[Read] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _print_prediction(path: str, prediction: Prediction, as_json: bool) -> None:
    top = prediction.ranking[:TOP]
    if as_json:
        _print_json(
            {
                "path": path,
                "digit": prediction.digit,
                "confidence": round(prediction.confidence, 6),
                "top": [[digit, round(p, 6)] for digit, p in top],
            }
        )
        return
    others = "  ".join(f"{digit}: {100 * p:.1f}%" for digit, p in top)
    print(f"{path}: {prediction.digit}  ({others})", flush=True)


def _print_error(path: str, error: InputError, as_json: bool) -> None:
    if as_json:
        _print_json({"path": path, "error": str(error)})
    else:
        print(f"error: {error}", file=sys.stderr, flush=True)


def _print_json(values: Dict[str, Any]) -> None:
    print(json.dumps(values, ensure_ascii=False), flush=True)
