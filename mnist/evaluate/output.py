"""What ``mnist.evaluate`` prints: figures and tables, or one JSON object."""

import json
from typing import Any, Dict, Optional, Sequence

from rich.table import Table

from mnist.base.console import make_console, make_table, percent, print_table
from mnist.checkpoints.records import Checkpoint
from mnist.config.classes import noun
from mnist.data.dataset import Dataset
from mnist.data.obtain import data_set_of
from mnist.model import calibration
from mnist.model.evaluation import Evaluation
from mnist.model.opening import find_checkpoint
from mnist.model.predictor import Predictor


def print_evaluation(
    checkpoint: Optional[str], assume: Sequence[str], split: str, data: Optional[str], as_json: bool
) -> None:
    """Evaluate a checkpoint on a split of a data set (its own by default) and print it."""
    model = Predictor(find_checkpoint(checkpoint), assume)
    source = model.source
    dataset = data_set_of(source, data)
    result = model.evaluate(dataset.split(split))
    if as_json:
        print(json.dumps(_as_json(source, dataset, split, result)))
    else:
        _print_tables(source, dataset, split, result)


def _as_json(source: Checkpoint, data: Dataset, split: str, result: Evaluation) -> Dict[str, Any]:
    return {
        "split": split,
        "count": result.count,
        "accuracy": result.accuracy,
        "loss": result.loss,
        "per_class": result.per_class(),
        "confusion": result.confusion.tolist(),
        "calibration": _calibration(source, result),
        "checkpoint": str(source.named),
        "data": {"path": str(data.source), "sha256": data.sha256},
    }


def _calibration(source: Checkpoint, result: Evaluation) -> Dict[str, Any]:
    """The expected calibration error of the model's own probabilities, and at its temperature."""
    temperature = calibration.temperature_of(source)
    mended = calibration.at(result.probabilities, temperature or 1.0)
    return {
        "temperature": temperature,
        "error_before": calibration.expected_error(result.probabilities, result.labels),
        "error": calibration.expected_error(mended, result.labels),
    }


def _print_tables(source: Checkpoint, data: Dataset, split: str, result: Evaluation) -> None:
    console = make_console()
    console.print(f"checkpoint  {source.named} ({source.path.name})")
    console.print(f"data        {data.source}, split {split}: {result.count:,} images")
    console.print(f"accuracy    {percent(result.accuracy)} ({result.wrong:,} wrong)")
    console.print(f"loss        {result.loss:.4f}")
    console.print(f"confidence  {_describe(_calibration(source, result))}")
    kind = noun(result.classes)
    print_table(console, f"per {kind}", _class_table(result))
    title = f"confusion: true {kind} (rows) taken for (columns)"
    print_table(console, title, _confusion_table(result))


def _describe(found: Dict[str, Any]) -> str:
    before = f"off by {percent(found['error_before'])} (expected calibration error)"
    if found["temperature"] is None:
        fewest = f"one is fitted on {calibration.FEWEST:,} images of valid or more"
        return f"{before}; no temperature in this checkpoint ({fewest})"
    return f"{before}, by {percent(found['error'])} at temperature {found['temperature']:.2f}"


def _class_table(result: Evaluation) -> Table:
    table = make_table(noun(result.classes), "images", "precision", "recall", "F1")
    for row in result.per_class():
        figures = [row["precision"], row["recall"], row["f1"]]
        shown = ["–" if figure is None else percent(figure) for figure in figures]
        table.add_row(str(row[noun(result.classes)]), f"{row['support']:,}", *shown)
    return table


def _confusion_table(result: Evaluation) -> Table:
    table = make_table("", *result.classes)
    for name, row in zip(result.classes, result.confusion):
        table.add_row(name, *(str(count) if count else "·" for count in row))
    return table
