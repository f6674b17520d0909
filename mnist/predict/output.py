"""What ``mnist.predict`` prints: a line a picture (or a line of writing), for people or programs.

Paddle is imported only after the first pictures are on their way to the workers that read them.
"""

import csv
import json
import os
import sys
from collections import defaultdict
from functools import partial
from itertools import count, islice
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, Optional, Sequence

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

from mnist.base.console import make_console, make_progress, percent
from mnist.base.errors import Failure, InputError, one_line
from mnist.base.files import find_input, may_be_written
from mnist.base.notes import warn
from mnist.checkpoints.reading import classes_of
from mnist.config.classes import Classes, are_digits, noun
from mnist.pictures import annotation, files, plain
from mnist.pictures.files import Read, Source
from mnist.pictures.normalize import NotOneDigit

# Shorter runs are over before a progress bar could be read.
LONG = 100


def print_predictions(
    paths: Sequence[str], recursive: bool, checkpoint: Optional[str], assume: Sequence[str],
    doubt: float, many: bool, annotate: Optional[str], form: str, top: int, batch_size: int,
) -> int:  # fmt: skip
    """Predict every picture and return the exit code: 2 if any could not be read.

    ``form`` is text, json or csv; ``annotate`` is where the annotated picture goes.
    """
    names = files.find(paths, recursive)
    targets = _targets(names, annotate) if many else {}
    classes = classes_of(checkpoint, find_input("checkpoints"))
    digits = are_digits(classes)
    if many and not digits:
        raise InputError(f"--many finds digits; the model tells apart {', '.join(classes)}")
    with files.reading(names, partial(read, many) if digits else plain.read) as results:
        from mnist.model.predictor import Predictor
        from mnist.pictures import reading

        model = Predictor(checkpoint, assume, doubt)
        # What is missing is said once, and not of every picture.
        if digits:
            reading.reader()
        show = {"text": _print_text, "json": _print_json}.get(form) or partial(
            _print_csv, _csv_writer(many, top, model.classes)
        )
        columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
        code, wanted = 0, len(names) >= LONG
        with make_progress(make_console(stderr=True), *columns, wanted=wanted) as bar:
            counted = iter(bar.track(results, total=len(names)))
            for record in _records(counted, model, top, 1 if many else batch_size, targets):
                show(record)
                unwritten = "annotated" in record and record["annotated"] is None
                code = 2 if "error" in record else code or int(unwritten)
        return code


def read(many: bool, source: Source) -> Any:
    """The digit on a picture, or with ``many`` its pixels and the digits that were found on it.

    Runs in a worker, which imports Paddle with its first picture.
    """
    from mnist.pictures import reading

    return reading.read_digits(source) if many else reading.read_digit(source)


def _targets(names: Sequence[str], annotate: Optional[str]) -> Dict[str, Path]:
    """Where the annotated picture of each input goes; never onto what was not made here."""
    if annotate is not None and len(names) > 1:
        raise InputError(f"--annotate {annotate}: one file for {len(names)} pictures")
    taken = {os.path.realpath(name) for name in names}
    targets: Dict[str, Path] = {}
    for name in names:
        stem = "stdin" if name == files.STDIN else Path(name).stem
        target = Path(annotate or f"{stem}-digits.png")
        numbered = (Path(f"{stem}-digits-{number}.png") for number in count(2))
        while os.path.realpath(target) in taken or not may_be_written(target, annotation.MARK):
            if annotate is not None:
                what = "the picture itself" if target.samefile(name) else "there already"
                raise InputError(f"--annotate {target}: is {what}; name another file")
            target = next(numbered)
        taken.add(os.path.realpath(target))
        targets[name] = target
    return targets


def _records(
    results: Iterator[Read], model: Any, top: int, size: int, targets: Dict[str, Path]
) -> Iterator[Dict[str, Any]]:
    """What is said of each picture: the objects of ``--format json``; ``size`` at a time."""
    for group in iter(lambda: list(islice(results, size)), []):
        good = [found for _, found in group if not isinstance(found, InputError)]
        digits = [digit.image for _, found in good for digit in found] if targets else good
        predictions = iter(model.predict(np.stack(digits)) if digits else [])
        for name, found in group:
            record: Dict[str, Any] = {"path": name}
            if isinstance(found, NotOneDigit):
                record.update(is_digit=False, reason=found.reason)
            if isinstance(found, InputError):
                record["error"] = str(found)
            elif targets:
                pixels, places = found
                pairs = list(zip(places, predictions))
                annotated: Optional[str] = str(targets[name])
                try:
                    annotation.write(targets[name], pixels, pairs)
                except Failure as error:
                    warn(f"{error}; --annotate FILE names another place")
                    annotated = None
                rows = [
                    {"line": place.line + 1, "box": list(place.box), **_values(prediction, top)}
                    for place, prediction in pairs
                ]
                texts: Dict[int, str] = defaultdict(str)
                for row in rows:
                    texts[row["line"]] += str(row["digit"]) if row["is_digit"] else "?"
                record.update(lines=[*texts.values()], digits=rows, annotated=annotated)
            else:
                record.update(_values(next(predictions), top))
            yield record
        sys.stdout.flush()


def _values(prediction: Any, top: int) -> Dict[str, Any]:
    digits = isinstance(prediction.label, int)
    values: Dict[str, Any] = {"digit" if digits else "class": prediction.label}
    values["confidence"] = round(prediction.confidence, 6)
    if digits:
        values.update(is_digit=prediction.is_digit, reason=prediction.reason)
        values["doubt"] = round(prediction.doubt, 6)
    values["top"] = [[label, round(p, 6)] for label, p in prediction.ranking[:top]]
    return values


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
        if record["annotated"]:
            print(one_line(f"{name}: boxes drawn in {record['annotated']}"))
    else:
        ranked = "  ".join(f"{label}: {percent(p, 1)}" for label, p in record["top"])
        doubt = f"  {record['reason']}?" if record.get("reason") else ""
        print(one_line(f"{name}: {record['top'][0][0]}  ({ranked}){doubt}"))


def _print_json(record: Dict[str, Any]) -> None:
    # Where the encoding does not know all letters, they are escaped, and can be read back.
    print(json.dumps(record, ensure_ascii=sys.stdout.encoding.lower() != "utf-8"))


def _csv_writer(many: bool, top: int, classes: Classes) -> "csv.DictWriter[str]":
    """A writer of rows to standard output, where the names of their columns are by then."""
    place = ["line", "left", "top", "width", "height"] if many else []
    found = [noun(classes), "confidence"]
    others = [f"{what}_{i}" for i in range(2, min(top, len(classes)) + 1) for what in found]
    if are_digits(classes):
        found, others = [*found, "is_digit"], [*others, "reason", "doubt"]
    columns = ["path", *place, *found, *others, "error"]
    # A line break of either kind has to be quoted, so both are in the terminator.
    lines: Any = SimpleNamespace(write=lambda row: print(row[:-2]))
    writer = csv.DictWriter(lines, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    return writer


def _print_csv(writer: "csv.DictWriter[str]", record: Dict[str, Any]) -> None:
    """A row a picture, or with several digits on it a row a digit."""
    for digit in record.get("digits", [record]):
        values = {"path": record["path"], **digit}
        for i, (label, confidence) in enumerate(values.pop("top", []), 1):
            kind = "digit" if "digit" in values else "class"
            values.update({f"{kind}_{i}": label, f"confidence_{i}": confidence})
        values.update(zip(("left", "top", "width", "height"), values.get("box", ())))
        writer.writerow({key: _cell(value) for key, value in values.items()})


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return str(value).lower() if isinstance(value, bool) else str(value)
