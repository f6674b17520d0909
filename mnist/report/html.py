"""A report's data → one HTML page that needs nothing else: no script, no network.

The page is made of ``templates/``, which escape whatever comes from a file; its Content
Security Policy lets nothing in that slipped through.
"""

import base64
import platform
import re
import sys
from contextlib import suppress
from datetime import datetime, timezone
from itertools import combinations, groupby
from typing import Any, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from scipy.stats import binomtest

from mnist import __version__
from mnist.base.arrays import Array
from mnist.base.console import percent
from mnist.checkpoints.records import best_record
from mnist.config.classes import are_digits, noun
from mnist.fluid import environment
from mnist.model.calibration import FEWEST
from mnist.report import charts
from mnist.report.figures import DARK, LIGHT, MARKS, css_variables
from mnist.report.intervals import wilson_interval
from mnist.report.measurement import BATCHES, Entry, measured
from mnist.report.perturbations import CHANGES

# The first bytes of every report; a file without them is not overwritten.
MARK = '<!doctype html>\n<html lang="en">\n<meta name="generator" content="mnist.report"'

_MAX_ROWS = 100


def render(entry: Entry) -> str:
    """The page on one run."""
    run = entry.run
    by_section = groupby(run.config().items(), lambda row: row[0].partition(".")[0])
    return _page(
        "report.html",
        [entry],
        title=f"Report on {run.name}",
        entry=entry,
        run=run,
        measures=entry.measures,
        config=[(section, list(rows)) for section, rows in by_section],
        epochs=charts.thin(run.history, _MAX_ROWS),
    )


def render_comparison(entries: Sequence[Entry]) -> str:
    """The page that sets several runs side by side, as the letters A, B, C…."""
    return _page(
        "compare.html",
        entries,
        title=f"{len(entries)} runs compared",
        measured=[entry for entry, _ in measured(entries)],
        warnings_of_runs=[f"{e.letter}: {text}" for e in entries for text in e.warnings],
        rows=[e.measures and e.measures.evaluation.per_class() for e in entries],
        differences=_differences(entries),
        pairs=_pairs(entries),
        batches=BATCHES,
    )


def _page(template: str, entries: Sequence[Entry], **values: Any) -> str:
    classes = entries[0].run.source.classes
    text = _TEMPLATES.get_template(template).render(
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{_processor()}, {platform.system()}, Python {platform.python_version()}",
        process=environment.describe(),
        threads=environment.threads_now(),
        entries=entries,
        classes=classes,
        kind=noun(classes),
        things="digits" if are_digits(classes) else "images",
        **values,
    )
    return f"{MARK}>\n{text}\n"


def _percent_or_dash(fraction: Optional[float], digits: int = 2) -> str:
    return "–" if fraction is None else percent(fraction, digits)


def _breakable(text: str) -> Markup:
    """A key or a value of a config that goes on in the next line between words, not inside one."""
    return Markup(re.sub(r"([_.])(?=[a-z])", r"\1<wbr>", str(escape(text))))


def _png(image: Array) -> str:
    """A uint8 picture as a ``data:`` address."""
    _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _mistakes_in(confusion: Array) -> Array:
    return np.asarray(confusion * (1 - np.eye(len(confusion), dtype=confusion.dtype)))


def _processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine() or sys.platform


_TEMPLATES = Environment(
    loader=PackageLoader("mnist.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    percent=_percent_or_dash, count="{:,}".format, svg=Markup, png=_png, breakable=_breakable,
    mistakes=_mistakes_in,
)  # fmt: skip
_TEMPLATES.globals.update(
    version=__version__, charts=charts, changes=CHANGES, best_record=best_record, marks=MARKS,
    fewest=FEWEST, wilson=wilson_interval,
    light=Markup(css_variables(LIGHT)), dark=Markup(css_variables(DARK)),
)  # fmt: skip


def _differences(entries: Sequence[Entry]) -> List[Tuple[str, List[str]]]:
    """(dotted key, each run's value) of the keys on which the runs do not agree."""
    configs = [entry.run.config() for entry in entries]
    keys = sorted({key for config in configs for key in config})
    rows = [(key, [config.get(key, "–") for config in configs]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _pairs(entries: Sequence[Entry]) -> List[Tuple[str, int, int, int, str]]:
    """(pair, only the first right, only the second right, both wrong, p) on the same digits.

    p is McNemar's exact one: how likely at least this difference is between equally good models.
    """
    rows = []
    for (one, left), (other, right) in combinations(measured(entries), 2):
        if left.data_sha256 != right.data_sha256:
            continue
        ours, theirs = (m.evaluation.labels == m.evaluation.digits for m in (left, right))
        first, second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        p = binomtest(first, first + second).pvalue if first + second else 1.0
        shown = f"{p:.3f}" if p >= 0.001 else "< 0.001"
        both_wrong = int((~ours & ~theirs).sum())
        rows.append((f"{one.letter} and {other.letter}", first, second, both_wrong, shown))
    return rows
