"""What ``mnist.predict`` prints: a line a picture (or a line of writing), for people or programs.

Paddle is imported only after the first pictures are on their way to the workers that read them.
"""

import csv
import io
import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from itertools import count, groupby, islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

from mnist.base.console import make_console, make_progress, percent
from mnist.base.errors import InputError, one_line
from mnist.base.files import find_input
from mnist.checkpoints.reading import classes_of
from mnist.config.classes import Classes, are_digits, noun
from mnist.pictures import annotation, files, plain
from mnist.pictures.files import Read, Source
from mnist.pictures.normalize import NotOneDigit

# Shorter runs are over before a progress bar could be read.
LONG = 100


@dataclass(frozen=True)
class Options:
    """How to read and print; ``annotate`` is where the annotated picture goes."""

    checkpoint: Optional[str] = None
    assume: Sequence[str] = ()
    format: str = "text"
    top: int = 3
    batch_size: int = 256
    doubt: float = 0.5
    recursive: bool = False
    many: bool = False
    annotate: Optional[str] = None


def print_predictions(paths: Sequence[str], options: Options) -> int:
    """Predict every picture and return the exit code: 2 if any could not be read."""
    names = files.find(paths, options.recursive)
    targets = _targets(names, options) if options.many else {}
    classes = classes_of(options.checkpoint, find_input("checkpoints"))
    digits = are_digits(classes)
    if options.many and not digits:
        raise InputError(f"--many finds digits; the model tells apart {', '.join(classes)}")
    with files.reading(names, partial(read, options.many) if digits else plain.read) as results:
        from mnist.model.predictor import Predictor
        from mnist.pictures import reading

        model = Predictor(options.checkpoint, options.assume, options.doubt)
        # What is missing is said once, and not of every picture.
        if digits:
            reading.reader()
        writer = _WRITERS[options.format](options, model.classes)
        columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
        takes_time = len(names) >= LONG
        with make_progress(make_console(stderr=True), *columns, wanted=takes_time) as bar:
            counted = iter(bar.track(results, total=len(names)))
            return _predict_all(counted, model, options, writer, targets)


def read(many: bool, source: Source) -> Any:
    """The digit on a picture, or with ``many`` its pixels and the digits that were found on it.

    Runs in a worker, which imports Paddle with its first picture.
    """
    from mnist.pictures import reading

    return reading.read_digits(source) if many else reading.read_digit(source)


def _targets(names: Sequence[str], options: Options) -> Dict[str, Path]:
    """Where the annotated picture of each input goes; never onto what was not made here."""
    if options.annotate is not None and len(names) > 1:
        raise InputError(f"--annotate {options.annotate}: one file for {len(names)} pictures")
    taken = {os.path.realpath(name) for name in names}
    targets: Dict[str, Path] = {}
    for name in names:
        stem = "stdin" if name == files.STDIN else Path(name).stem
        target = Path(options.annotate or f"{stem}-digits.png")
        numbered = (Path(f"{stem}-digits-{number}.png") for number in count(2))
        while os.path.realpath(target) in taken or not annotation.may_be_written(target):
            if options.annotate is not None:
                what = "the picture itself" if target.samefile(name) else "there already"
                raise InputError(f"--annotate {target}: is {what}; name another file")
            target = next(numbered)
        taken.add(os.path.realpath(target))
        targets[name] = target
    return targets


def _predict_all(
    results: Iterator[Read], model: Any, options: Options, writer: Any, targets: Dict[str, Path]
) -> int:
    code = 0
    size = 1 if options.many else options.batch_size
    for group in iter(lambda: list(islice(results, size)), []):
        good = [found for _, found in group if not isinstance(found, InputError)]
        digits = [digit.image for _, found in good for digit in found] if options.many else good
        predictions = iter(model.predict(np.stack(digits)) if digits else [])
        for name, found in group:
            if isinstance(found, InputError):
                code = 2
                writer.error(name, found)
            elif options.many:
                pixels, places = found
                pairs = list(zip(places, predictions))
                annotation.write(targets[name], pixels, pairs)
                writer.many(name, pairs, targets[name])
            else:
                writer.one(name, next(predictions))
        sys.stdout.flush()
    return code


Pairs = List[Tuple[Any, Any]]
"""The digits found on a picture, in the order of reading, each with its prediction."""


class _Text:
    def __init__(self, options: Options, classes: Classes) -> None:
        self._top = options.top

    def one(self, name: str, prediction: Any) -> None:
        ranked = "  ".join(f"{d}: {percent(p, 1)}" for d, p in prediction.ranking[: self._top])
        doubt = "" if prediction.is_digit else f"  {prediction.reason}?"
        print(one_line(f"{name}: {prediction.label}  ({ranked}){doubt}"))

    def many(self, name: str, pairs: Pairs, target: Path) -> None:
        for number, text, predictions in _lines(pairs):
            least = min(predictions, key=lambda p: float(p.confidence))
            sure = f"(least sure: {least.digit}, {percent(least.confidence, 1)})"
            print(one_line(f"{name}: line {number}: {text}  {sure}"))
        print(one_line(f"{name}: boxes drawn in {target}"))

    def error(self, name: str, error: InputError) -> None:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr, flush=True)


class _Json:
    def __init__(self, options: Options, classes: Classes) -> None:
        self._top = min(options.top, len(classes))
        self._kind = noun(classes)

    def one(self, name: str, prediction: Any) -> None:
        self._show(path=name, **self._values(prediction))

    def many(self, name: str, pairs: Pairs, target: Path) -> None:
        lines = [text for _, text, _ in _lines(pairs)]
        self._show(path=name, lines=lines, digits=self._digits(pairs), annotated=str(target))

    def error(self, name: str, error: InputError) -> None:
        known: Dict[str, Any] = {}
        if isinstance(error, NotOneDigit):
            known = {"is_digit": False, "reason": error.reason}
        self._show(path=name, **known, error=str(error))

    def _digits(self, pairs: Pairs) -> List[Dict[str, Any]]:
        return [
            {"line": digit.line + 1, "box": list(digit.box), **self._values(prediction)}
            for digit, prediction in pairs
        ]

    def _values(self, prediction: Any) -> Dict[str, Any]:
        told = {
            "is_digit": prediction.is_digit,
            "reason": prediction.reason,
            "doubt": round(prediction.doubt, 6),
        }
        return {
            self._kind: prediction.label,
            "confidence": round(prediction.confidence, 6),
            **(told if self._kind == "digit" else {}),
            "top": [[digit, round(p, 6)] for digit, p in prediction.ranking[: self._top]],
        }

    def _show(self, **values: Any) -> None:
        line = json.dumps(values, ensure_ascii=False)
        try:
            line.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            # A name in another encoding than the terminal's; escaped, it can be read back.
            line = json.dumps(values)
        print(line)


class _Csv(_Json):
    """A row a picture, or with several digits on it a row a digit; the names of columns first."""

    def __init__(self, options: Options, classes: Classes) -> None:
        super().__init__(options, classes)
        place = ["line", "left", "top", "width", "height"] if options.many else []
        found = [self._kind, "confidence"]
        others = [f"{what}_{i}" for i in range(2, self._top + 1) for what in found]
        if are_digits(classes):
            found, others = [*found, "is_digit"], [*others, "reason", "doubt"]
        self._columns = ["path", *place, *found, *others, "error"]
        self._row(self._columns)

    def many(self, name: str, pairs: Pairs, target: Path) -> None:
        for values in self._digits(pairs):
            self._show(path=name, **values)

    def _show(self, **values: Any) -> None:
        ranking = values.pop("top", [])
        for i, (label, confidence) in enumerate(ranking, 1):
            values.update({f"{self._kind}_{i}": label, f"confidence_{i}": confidence})
        values.update(zip(("left", "top", "width", "height"), values.get("box", ())))
        self._row([_cell(values.get(column, "")) for column in self._columns])

    def _row(self, cells: List[str]) -> None:
        row = io.StringIO()
        # A line break of either kind has to be quoted, so both are in the terminator.
        csv.writer(row, lineterminator="\r\n").writerow(cells)
        print(row.getvalue()[:-2])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return str(value).lower() if isinstance(value, bool) else str(value)


_WRITERS: Dict[str, Any] = {"text": _Text, "json": _Json, "csv": _Csv}


def _lines(pairs: Pairs) -> Iterator[Tuple[int, str, List[Any]]]:
    """Each line of writing: its number, its text, a ? for what is no digit, its predictions."""
    for line, members in groupby(pairs, lambda pair: int(pair[0].line)):
        found = [prediction for _, prediction in members]
        yield line + 1, "".join(str(p.digit) if p.is_digit else "?" for p in found), found
