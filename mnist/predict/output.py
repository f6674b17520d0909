"""What ``mnist.predict`` prints: a line a picture (or a line of writing), for people or programs.

Paddle is imported only after the first pictures are on their way to the workers that decode them.
"""

import csv
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

from mnist.base.console import make_console, make_progress, percent
from mnist.base.errors import InputError, one_line
from mnist.pictures import decode, files
from mnist.pictures.files import Read, Source
from mnist.pictures.normalize import NoInk

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
    many: bool = False
    annotate: Optional[str] = None


def print_predictions(paths: Sequence[str], options: Options) -> int:
    """Predict every picture and return the exit code: 2 if any could not be read."""
    names = files.find(paths)
    targets = _targets(names, options) if options.many else {}
    read = read_many if options.many else read_one
    with files.reading(names, read) as results:
        from mnist.model.predictor import Predictor

        model = Predictor(options.checkpoint, options.assume)
        writer = _WRITERS[options.format](options)
        columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
        takes_time = len(names) >= LONG
        with make_progress(make_console(stderr=True), *columns, wanted=takes_time) as bar:
            counted = bar.track(results, total=len(names))
            return _predict_all(counted, model, options, writer, targets)


def read_one(source: Source) -> Any:
    """A picture with one digit: uint8 ``[28, 28]``."""
    if isinstance(source, str):
        return decode.read_digit(source)
    return decode.to_mnist(decode.load_image(source))


def read_many(source: Source) -> Any:
    """A picture with several digits: its pixels and what was found on it."""
    from mnist.pictures import several

    pixels = decode.load_pixels(source)
    try:
        return pixels, several.find_digits(decode.grey_of(pixels))
    except InputError as error:
        if isinstance(source, str):
            raise type(error)(f"{source}: {error}") from error
        raise


def _targets(names: Sequence[str], options: Options) -> Dict[str, Path]:
    """Where the annotated picture of each input goes; never onto an input."""
    if options.annotate is not None and len(names) > 1:
        raise InputError(f"--annotate {options.annotate}: one file for {len(names)} pictures")
    taken = {os.path.realpath(name) for name in names}
    targets: Dict[str, Path] = {}
    for name in names:
        stem = "stdin" if name == files.STDIN else Path(name).stem
        target = Path(options.annotate or f"{stem}-digits.png")
        number = 1
        while os.path.realpath(target) in taken:
            if options.annotate is not None:
                raise InputError(f"--annotate {target}: is the picture itself; name another file")
            number += 1
            target = Path(f"{stem}-digits-{number}.png")
        taken.add(os.path.realpath(target))
        targets[name] = target
    return targets


# --- predicting ------------------------------------------------------------------------


def _predict_all(
    results: Iterable[Read],
    model: Any,
    options: Options,
    writer: "_Writer",
    targets: Dict[str, Path],
) -> int:
    code = 0
    for group in _groups(results, 1 if options.many else options.batch_size):
        good = [found for _, found in group if not isinstance(found, InputError)]
        digits = [digit.image for _, found in good for digit in found] if options.many else good
        predictions = iter(_predict(model, digits, options.batch_size))
        for name, found in group:
            if isinstance(found, InputError):
                code = 2
                writer.error(name, found)
            elif options.many:
                _write_many(writer, name, found, predictions, targets[name])
            else:
                writer.one(name, next(predictions))
        writer.flush()
    return code


def _predict(model: Any, digits: List[Any], batch_size: int) -> Iterator[Any]:
    for start in range(0, len(digits), batch_size):
        yield from model.predict(np.stack(digits[start : start + batch_size]))


def _groups(items: Iterable[Read], size: int) -> Iterator[List[Read]]:
    group: List[Read] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _write_many(
    writer: "_Writer", name: str, read: Any, predictions: Iterator[Any], target: Path
) -> None:
    from mnist.pictures import annotation

    pixels, found = read
    pairs = [(digit, next(predictions)) for digit in found]
    annotation.write(target, pixels, [digit.box for digit, _ in pairs], [p for _, p in pairs])
    writer.many(name, pairs, target)


# --- printing --------------------------------------------------------------------------

Pairs = List[Tuple[Any, Any]]


class _Writer:
    """Prints what was found on a picture in one format."""

    def __init__(self, options: Options) -> None:
        self.top = options.top

    def one(self, name: str, prediction: Any) -> None:
        raise NotImplementedError

    def many(self, name: str, pairs: Pairs, target: Path) -> None:
        raise NotImplementedError

    def error(self, name: str, error: InputError) -> None:
        raise NotImplementedError

    def show(self, line: str) -> None:
        sys.stdout.write(line + "\n")

    def flush(self) -> None:
        sys.stdout.flush()


class _Text(_Writer):
    def one(self, name: str, prediction: Any) -> None:
        ranked = "  ".join(f"{d}: {percent(p, 1)}" for d, p in prediction.ranking[: self.top])
        doubt = "" if prediction.is_digit else "  not a digit?"
        self.show(one_line(f"{name}: {prediction.digit}  ({ranked}){doubt}"))

    def many(self, name: str, pairs: Pairs, target: Path) -> None:
        for number, line in _lines(pairs):
            text = "".join(str(p.digit) if p.is_digit else "?" for _, p in line)
            least = min((p for _, p in line), key=lambda p: float(p.confidence))
            sure = f"(least sure: {least.digit}, {percent(least.confidence, 1)})"
            self.show(one_line(f"{name}: line {number}: {text}  {sure}"))
        self.show(one_line(f"{name}: boxes drawn in {target}"))

    def error(self, name: str, error: InputError) -> None:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr, flush=True)


class _Json(_Writer):
    def one(self, name: str, prediction: Any) -> None:
        self._show({"path": name, **self._values(prediction)})

    def many(self, name: str, pairs: Pairs, target: Path) -> None:
        lines = [
            "".join(str(p.digit) if p.is_digit else "?" for _, p in line)
            for _, line in _lines(pairs)
        ]
        digits = [
            {"line": digit.line + 1, "box": list(digit.box), **self._values(prediction)}
            for digit, prediction in pairs
        ]
        self._show({"path": name, "lines": lines, "digits": digits, "annotated": str(target)})

    def error(self, name: str, error: InputError) -> None:
        nothing = {"is_digit": False} if isinstance(error, NoInk) else {}
        self._show({"path": name, **nothing, "error": str(error)})

    def _values(self, prediction: Any) -> Dict[str, Any]:
        return {
            "digit": prediction.digit,
            "confidence": round(prediction.confidence, 6),
            "is_digit": prediction.is_digit,
            "top": [[digit, round(p, 6)] for digit, p in prediction.ranking[: self.top]],
        }

    def _show(self, values: Dict[str, Any]) -> None:
        line = json.dumps(values, ensure_ascii=False)
        try:
            line.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            # A name in another encoding than the terminal's; escaped, it can be read back.
            line = json.dumps(values)
        self.show(line)


class _Csv(_Writer):
    """A row a picture, or with several digits on it a row a digit; the names of columns first."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._place = ["line", "left", "top", "width", "height"] if options.many else []
        others = [f"{what}_{i}" for i in range(2, self.top + 1) for what in ("digit", "confidence")]
        found = ["digit", "confidence", "is_digit"]
        self._columns = ["path", *self._place, *found, *others, "error"]
        self._row(self._columns)

    def one(self, name: str, prediction: Any) -> None:
        self._row([name, *self._values(prediction), ""])

    def many(self, name: str, pairs: Pairs, target: Path) -> None:
        for digit, prediction in pairs:
            self._row([name, digit.line + 1, *digit.box, *self._values(prediction), ""])

    def error(self, name: str, error: InputError) -> None:
        row = dict.fromkeys(self._columns, "")
        row.update(path=name, error=str(error))
        if isinstance(error, NoInk):
            row["is_digit"] = "false"
        self._row(list(row.values()))

    def _values(self, prediction: Any) -> List[Any]:
        ranked = [value for d, p in prediction.ranking[: self.top] for value in (d, f"{p:.6f}")]
        return [*ranked[:2], "true" if prediction.is_digit else "false", *ranked[2:]]

    def _row(self, values: Sequence[Any]) -> None:
        row = io.StringIO()
        # A line break of either kind has to be quoted, so both are in the terminator.
        csv.writer(row, lineterminator="\r\n").writerow(values)
        self.show(row.getvalue()[:-2])


_WRITERS = {"text": _Text, "json": _Json, "csv": _Csv}


def _lines(pairs: Pairs) -> Iterator[Tuple[int, Pairs]]:
    """The digits of each line of writing, and the line's number from 1."""
    for number in sorted({digit.line for digit, _ in pairs}):
        yield number + 1, [pair for pair in pairs if pair[0].line == number]
