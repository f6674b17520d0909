"""What ``mnist.evaluate`` prints: figures and tables, or one JSON object."""

import json
from typing import Any, Dict, Optional, Sequence

from rich.console import Console

from mnist.base.console import make_console, make_table, percent, print_table
from mnist.checkpoints.records import Checkpoint
from mnist.config.classes import noun
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
    confidence = _calibration(source, result)
    if as_json:
        found = {
            "split": split,
            "count": result.count,
            "accuracy": result.accuracy,
            "loss": result.loss,
            "per_class": result.per_class(),
            "confusion": result.confusion.tolist(),
            "calibration": confidence,
            "checkpoint": str(source.named),
            "data": {"path": str(dataset.source), "sha256": dataset.sha256},
        }
        print(json.dumps(found))
        return
    console = make_console()
    console.print(f"checkpoint  {source.named} ({source.path.name})")
    console.print(f"data        {dataset.source}, split {split}: {result.count:,} images")
    console.print(f"accuracy    {percent(result.accuracy)} ({result.wrong:,} wrong)")
    console.print(f"loss        {result.loss:.4f}")
    console.print(f"confidence  {_describe(confidence)}")
    _print_tables(console, result)


def _calibration(source: Checkpoint, result: Evaluation) -> Dict[str, Any]:
    """The expected calibration error of the model's own probabilities, and at its temperature."""
    temperature = calibration.temperature_of(source)
    mended = calibration.at(result.probabilities, temperature or 1.0)
    return {
        "temperature": temperature,
        "error_before": calibration.expected_error(result.probabilities, result.labels),
        "error": calibration.expected_error(mended, result.labels),
    }


def _describe(found: Dict[str, Any]) -> str:
    before = f"off by {percent(found['error_before'])} (expected calibration error)"
    if found["temperature"] is None:
        fewest = f"one is fitted on {calibration.FEWEST:,} images of valid or more"
        return f"{before}; no temperature in this checkpoint ({fewest})"
    return f"{before}, by {percent(found['error'])} at temperature {found['temperature']:.2f}"


def _print_tables(console: Console, result: Evaluation) -> None:
    kind = noun(result.classes)
    table = make_table(kind, "images", "precision", "recall", "F1")
    for row in result.per_class():
        figures = [row["precision"], row["recall"], row["f1"]]
        shown = ["–" if figure is None else percent(figure) for figure in figures]
        table.add_row(str(row[kind]), f"{row['support']:,}", *shown)
    print_table(console, f"per {kind}", table)
    table = make_table("", *result.classes)
    for name, counts in zip(result.classes, result.confusion):
        table.add_row(name, *(str(count) if count else "·" for count in counts))
    print_table(console, f"confusion: true {kind} (rows) taken for (columns)", table)
