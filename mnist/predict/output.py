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
from operator import itemgetter
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

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
        show = {"text": _print_text, "json": _print_json}.get(options.format)
        show = show or partial(_print_csv, _csv_columns(options, model.classes))
        columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
        takes_time = len(names) >= LONG
        code = 0
        with make_progress(make_console(stderr=True), *columns, wanted=takes_time) as bar:
            counted = iter(bar.track(results, total=len(names)))
            for record in _records(counted, model, options, targets):
                show(record)
                code = 2 if "error" in record else code
        return code


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


def _records(
    results: Iterator[Read], model: Any, options: Options, targets: Dict[str, Path]
) -> Iterator[Dict[str, Any]]:
    """What is said of each picture: the objects of ``--format json``."""
    size = 1 if options.many else options.batch_size
    for group in iter(lambda: list(islice(results, size)), []):
        good = [found for _, found in group if not isinstance(found, InputError)]
        digits = [digit.image for _, found in good for digit in found] if options.many else good
        predictions = iter(model.predict(np.stack(digits)) if digits else [])
        for name, found in group:
            record: Dict[str, Any] = {"path": name}
            if isinstance(found, NotOneDigit):
                record.update(is_digit=False, reason=found.reason)
            if isinstance(found, InputError):
                record["error"] = str(found)
            elif options.many:
                pixels, places = found
                pairs = list(zip(places, predictions))
                annotation.write(targets[name], pixels, pairs)
                rows = [
                    {"line": place.line + 1, "box": list(place.box), **_values(prediction, options)}
                    for place, prediction in pairs
                ]
                lines = [list(line) for _, line in groupby(rows, itemgetter("line"))]
                record["lines"] = ["".join(map(_as_written, line)) for line in lines]
                record.update(digits=rows, annotated=str(targets[name]))
            else:
                record.update(_values(next(predictions), options))
            yield record
        sys.stdout.flush()


def _as_written(digit: Dict[str, Any]) -> str:
    return str(digit["digit"]) if digit["is_digit"] else "?"


def _values(prediction: Any, options: Options) -> Dict[str, Any]:
    digits = isinstance(prediction.label, int)
    told = {
        "is_digit": prediction.is_digit,
        "reason": prediction.reason,
        "doubt": round(prediction.doubt, 6),
    }
    return {
        "digit" if digits else "class": prediction.label,
        "confidence": round(prediction.confidence, 6),
        **(told if digits else {}),
        "top": [[label, round(p, 6)] for label, p in prediction.ranking[: options.top]],
    }


def _print_text(record: Dict[str, Any]) -> None:
    name = record["path"]
    if "error" in record:
        sys.stdout.flush()
        print(f"error: {record['error']}", file=sys.stderr, flush=True)
    elif "lines" in record:
        for number, text in enumerate(record["lines"], 1):
            line = [digit for digit in record["digits"] if digit["line"] == number]
            least = min(line, key=itemgetter("confidence"))
            sure = f"(least sure: {least['digit']}, {percent(least['confidence'], 1)})"
            print(one_line(f"{name}: line {number}: {text}  {sure}"))
        print(one_line(f"{name}: boxes drawn in {record['annotated']}"))
    else:
        ranked = "  ".join(f"{label}: {percent(p, 1)}" for label, p in record["top"])
        doubt = f"  {record['reason']}?" if record.get("reason") else ""
        print(one_line(f"{name}: {record['top'][0][0]}  ({ranked}){doubt}"))


def _print_json(record: Dict[str, Any]) -> None:
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        # A name in another encoding than the terminal's; escaped, it can be read back.
        line = json.dumps(record)
    print(line)


def _csv_columns(options: Options, classes: Classes) -> List[str]:
    """The names of the columns, which are printed first."""
    place = ["line", "left", "top", "width", "height"] if options.many else []
    found = [noun(classes), "confidence"]
    top = min(options.top, len(classes))
    others = [f"{what}_{i}" for i in range(2, top + 1) for what in found]
    if are_digits(classes):
        found, others = [*found, "is_digit"], [*others, "reason", "doubt"]
    columns = ["path", *place, *found, *others, "error"]
    _print_row(columns)
    return columns


def _print_csv(columns: List[str], record: Dict[str, Any]) -> None:
    """A row a picture, or with several digits on it a row a digit."""
    for digit in record.get("digits", [record]):
        values = {"path": record["path"], **digit}
        for i, (label, confidence) in enumerate(values.pop("top", []), 1):
            kind = "digit" if "digit" in values else "class"
            values.update({f"{kind}_{i}": label, f"confidence_{i}": confidence})
        values.update(zip(("left", "top", "width", "height"), values.get("box", ())))
        _print_row([_cell(values.get(column, "")) for column in columns])


def _print_row(cells: List[str]) -> None:
    row = io.StringIO()
    # A line break of either kind has to be quoted, so both are in the terminator.
    csv.writer(row, lineterminator="\r\n").writerow(cells)
    print(row.getvalue()[:-2])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return str(value).lower() if isinstance(value, bool) else str(value)
