"""A report's data → one HTML page that needs nothing else: no script, no network.

The page is made of ``templates/``, which escape whatever comes from a file; its Content
Security Policy lets nothing in that slipped through.
"""

import base64
import platform
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache, partial
from itertools import combinations
from typing import Any, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from scipy.stats import binomtest

from mnist import __version__
from mnist.base.console import percent
from mnist.checkpoints.records import EpochRecord, best_record
from mnist.fluid import places
from mnist.report import charts
from mnist.report.charts import Line, thin
from mnist.report.figures import DARK, LIGHT, SERIES, css_variables
from mnist.report.measurement import BATCHES, Measures, most_taken_for
from mnist.report.past_run import Run
from mnist.report.perturbations import CHANGES

# The first bytes of every report; a file without them is not overwritten.
MARK = '<!doctype html>\n<html lang="en">\n<meta name="generator" content="mnist.report"'

_MAX_ROWS = 100
_NO_CLASSES = 10 * [{"recall": None, "precision": None}]
_MARKERS = "●■▲◆○□△◇"
_COLOURS = {colour: name for name, colour in LIGHT.items()}


@dataclass(frozen=True)
class Entry:
    """A run and what could be measured on it, or why nothing could."""

    run: Run
    measures: Optional[Measures]
    unmeasured: Optional[str] = None
    data_path: Optional[str] = None
    data_sha256: Optional[str] = None
    warnings: List[str] = field(default_factory=list)


def render(entry: Entry) -> str:
    """The page on one run."""
    run, measures = entry.run, entry.measures
    return _page(
        "report.html",
        title=f"Report on {run.name}",
        entry=entry,
        run=run,
        measures=measures,
        config=_by_section(run.config()),
        environment=_environment_of(entry),
        training=charts.training(run),
        epochs=thin(run.history, _MAX_ROWS),
        best=best_record(run.history),
        quality=_quality(measures) if measures else None,
        pictures=_mistakes(measures) if measures else [],
        changes=_changes(measures) if measures else [],
    )


def render_comparison(entries: Sequence[Entry]) -> str:
    """The page that sets several runs side by side, as the letters A, B, C…."""
    lines = [
        Line(chr(ord("A") + number), entry.run, entry.measures)
        for number, entry in enumerate(entries)
    ]
    measured = [line for line in lines if line.measures is not None]
    return _page(
        "compare.html",
        title=f"{len(entries)} runs compared",
        columns=[(line.name, *_mark(number)) for number, line in enumerate(lines)],
        entries=entries,
        rows=_rows(entries),
        training=charts.compared_training(lines),
        differences=_differences(entries),
        recalls=_recalls(entries),
        recall_figure=charts.compared_recalls(lines),
        pairs=_pairs(entries),
        changes=_compared_changes(lines) if measured else [],
        changes_sample=measured[0].measures.sample if measured and measured[0].measures else 0,
        warnings_of_runs=[
            f"{line.name}: {text}" for line, e in zip(lines, entries) for text in e.warnings
        ],
        without_history=[line.name for line in lines if not line.run.history],
        unmeasured=[(line.name, e.unmeasured) for line, e in zip(lines, entries) if e.unmeasured],
    )


def _page(template: str, **values: Any) -> str:
    text = (
        _environment()
        .get_template(template)
        .render(
            made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            version=__version__,
            machine=_machine(),
            process=places.describe_process(),
            light=Markup(css_variables(LIGHT)),
            dark=Markup(css_variables(DARK)),
            **values,
        )
    )
    return f"{MARK}>\n{text}\n"


@lru_cache(maxsize=None)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mnist.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=_percent_or_dash, interval=_show_interval, count="{:,}".format, svg=Markup
    )
    return environment


def _percent_or_dash(fraction: Optional[float]) -> str:
    return "–" if fraction is None else percent(fraction)


def _show_interval(interval: Tuple[float, float]) -> str:
    low, high = (100 * end for end in interval)
    return f"{low:.2f}–{high:.2f}%"


def _machine() -> str:
    return f"{_processor()}, {platform.system()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", errors="replace") as file:
            names = [line for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].partition(":")[2].strip() if names else platform.machine() or sys.platform


# --- one run ---------------------------------------------------------------------------


def _by_section(config: Dict[str, str]) -> Dict[str, List[Tuple[str, str]]]:
    """Section → its (key, value)s, the section's name left out of the keys."""
    sections: Dict[str, List[Tuple[str, str]]] = {}
    for dotted, value in config.items():
        section, _, key = dotted.partition(".")
        sections.setdefault(section, []).append((key or section, value))
    return sections


def _environment_of(entry: Entry) -> List[Tuple[str, str]]:
    """(name, value) of where and on what a run was trained and is looked at."""
    run, state = entry.run, entry.run.state
    rows = [("checkpoint", f"{run.source.named} ({run.checkpoint_name})")]
    if state is not None:
        rows += [
            ("saved", state.saved_at),
            ("progress", f"{state.epoch} epoch(s), {state.step:,} steps"),
            ("trained on", f"{state.data_path}, SHA-256 {state.data_sha256}"),
            ("device", state.device),
            ("repeatable", state.deterministic),
            *((f"{name} then", version) for name, version in state.versions.items()),
        ]
        if state.data_fallback:
            rows.insert(4, ("fallback data", state.data_fallback))
    if entry.data_path is not None:
        rows.append(("measured on", f"{entry.data_path}, SHA-256 {entry.data_sha256}"))
    return [(name, value) for name, value in rows if value]


def _quality(measures: Measures) -> Dict[str, Any]:
    result = measures.evaluation
    taken_for = most_taken_for(result)
    return {
        "wrong": int((result.labels != result.digits).sum()),
        "classes": [{**row, "taken_for": taken_for[row["digit"]]} for row in result.per_class()],
        "confusion": _confusion(result.confusion),
        "reliability": charts.reliability_diagram(measures.reliability, measures.tempered),
    }


def _confusion(matrix: "np.ndarray[Any, Any]") -> List[List[Dict[str, Any]]]:
    """Rows of cells with how strongly each is tinted, 0–100; mistakes by a scale of their own."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    most = max(int(wrong.max()), 1)
    supports = np.maximum(matrix.sum(axis=1), 1)
    return [
        [
            {
                "count": int(count),
                "right": digit == guess,
                "tint": round(100 * (count / supports[digit] if digit == guess else count / most)),
            }
            for guess, count in enumerate(row)
        ]
        for digit, row in enumerate(matrix)
    ]


def _mistakes(measures: Measures) -> List[Dict[str, Any]]:
    return [
        {
            "picture": _png(mistake.image),
            "label": mistake.label,
            "guess": mistake.guess,
            "index": mistake.index,
            "confidence": mistake.confidence,
        }
        for mistake in measures.mistakes
    ]


def _changes(measures: Measures) -> List[Dict[str, Any]]:
    return [
        {
            "name": found.change.name,
            "figure": charts.change(found, number),
            "steps": [
                (_png(image), found.change.show(strength), percent(accuracy, 1))
                for image, strength, accuracy in zip(
                    found.example, found.change.strengths, found.accuracies
                )
            ],
        }
        for number, found in enumerate(measures.changes)
    ]


def _png(image: "np.ndarray[Any, Any]") -> str:
    """A uint8 picture as a ``data:`` address."""
    _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


# --- several runs ----------------------------------------------------------------------


def _mark(number: int) -> Tuple[str, str]:
    """(marker, CSS variable) of a run, as in the figures."""
    place = number % len(SERIES)
    return _MARKERS[place], _COLOURS[SERIES[place]["color"]]


def _rows(entries: Sequence[Entry]) -> List[Tuple[str, List[str]]]:
    """(what, its value for each run) of the table of runs."""
    runs = [entry.run for entry in entries]
    rows = [
        ("run", [run.name for run in runs]),
        ("checkpoint", [_describe_checkpoint(run) for run in runs]),
        ("model", [run.model_name for run in runs]),
        ("parameters", [f"{run.parameters:,}" for run in runs]),
        ("epochs trained", [str(len(run.history)) if run.history else "–" for run in runs]),
        ("best on valid", [_describe_best(run.history) for run in runs]),
        (
            "training and validation",
            [f"{run.seconds:,.1f} s" if run.seconds else "–" for run in runs],
        ),
        ("trained on", [run.state.device if run.state else "–" for run in runs]),
    ]
    measured = [entry.measures for entry in entries]
    if any(measured):
        rows += _measured_rows(measured)
    return rows


def _measured_rows(measured: List[Optional[Measures]]) -> List[Tuple[str, List[str]]]:
    split = next(m.split for m in measured if m)

    def row(name: str, show: Any) -> Tuple[str, List[str]]:
        return name, [show(m) if m else "–" for m in measured]

    return [
        row(f"digits in {split}", lambda m: f"{m.evaluation.count:,}"),
        row(f"accuracy on {split}", lambda m: percent(m.evaluation.accuracy)),
        row("95% interval", lambda m: _show_interval(m.interval)),
        row(f"loss on {split}", lambda m: f"{m.evaluation.loss:.4f}"),
        row("calibration error (ECE)", lambda m: percent(m.reliability.ece)),
        *(
            [row("with temperature", _tempered_ece)]
            if any(m and m.tempered for m in measured)
            else []
        ),
        *(
            row(f"images/s, {_of_batch(batch)}", partial(_images_per_second, number=number))
            for number, batch in enumerate(BATCHES)
        ),
    ]


def _tempered_ece(measures: Measures) -> str:
    return percent(measures.tempered.ece) if measures.tempered else "–"


def _images_per_second(measures: Measures, number: int) -> str:
    return f"{measures.speeds[number].images_per_second:,.0f}"


def _of_batch(batch: int) -> str:
    return "one by one" if batch == 1 else f"{batch} at a time"


def _describe_checkpoint(run: Run) -> str:
    name = run.checkpoint_name
    return (
        name if run.epoch is None or name == f"epoch{run.epoch}" else f"{name} (epoch {run.epoch})"
    )


def _describe_best(history: List[EpochRecord]) -> str:
    best = best_record(history)
    return f"{percent(best.valid_accuracy)} (epoch {best.epoch})" if best else "–"


def _differences(entries: Sequence[Entry]) -> List[Tuple[str, List[str]]]:
    """(dotted key, each run's value) of the keys on which the runs do not agree."""
    configs = [entry.run.config() for entry in entries]
    keys = dict.fromkeys(key for config in configs for key in config)
    sections = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    by_section = sorted(keys, key=lambda key: sections.index(key.partition(".")[0]))
    rows = [(key, [config.get(key, "–") for config in configs]) for key in by_section]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _recalls(entries: Sequence[Entry]) -> List[Tuple[int, List[Tuple[str, ...]]]]:
    """Digit → (recall, precision) of each run; nothing if none was measured."""
    if not any(entry.measures for entry in entries):
        return []
    classes = [entry.measures.evaluation.per_class() if entry.measures else _NO_CLASSES
               for entry in entries]  # fmt: skip
    return [
        (
            digit,
            [tuple(_percent_or_dash(rows[digit][key]) for key in ("recall", "precision"))
             for rows in classes],
        )
        for digit in range(10)
    ]  # fmt: skip


def _pairs(entries: Sequence[Entry]) -> List[Tuple[str, int, int, int, str]]:
    """(pair, only the first right, only the second right, both wrong, p) on the same digits.

    p is McNemar's exact one: how likely at least this difference is between equally good models.
    """
    rows = []
    for (i, left), (j, right) in combinations(enumerate(entries), 2):
        if not left.measures or not right.measures or left.data_sha256 != right.data_sha256:
            continue
        ours, theirs = (
            m.evaluation.labels == m.evaluation.digits for m in (left.measures, right.measures)
        )
        first, second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        p = binomtest(first, first + second).pvalue if first + second else 1.0
        name = f"{chr(ord('A') + i)} and {chr(ord('A') + j)}"
        both_wrong = int((~ours & ~theirs).sum())
        rows.append((name, first, second, both_wrong, f"{p:.3f}" if p >= 0.001 else "< 0.001"))
    return rows


def _compared_changes(lines: Sequence[Line]) -> List[Dict[str, Any]]:
    return [
        {
            "name": change.name,
            "figure": charts.compared_change(lines, number),
            "strengths": [change.show(strength) for strength in change.strengths],
            "rows": [
                (line.name, [f"{100 * a:.1f}" for a in line.measures.changes[number].accuracies])
                for line in lines
                if line.measures
            ],
        }
        for number, change in enumerate(CHANGES)
    ]
