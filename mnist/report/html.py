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
from itertools import combinations
from typing import Any, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from scipy.stats import binomtest

from mnist import __version__
from mnist.base.arrays import Array
from mnist.base.console import percent
from mnist.checkpoints.records import best_record
from mnist.config.classes import Classes, are_digits, noun
from mnist.fluid import environment
from mnist.model.calibration import FEWEST
from mnist.report import charts
from mnist.report.charts import thin
from mnist.report.figures import DARK, LIGHT, SERIES, css_variables
from mnist.report.measurement import BATCHES, Entry
from mnist.report.perturbations import CHANGES

# The first bytes of every report; a file without them is not overwritten.
MARK = '<!doctype html>\n<html lang="en">\n<meta name="generator" content="mnist.report"'

_MAX_ROWS = 100
_MARKERS = "●■▲◆○□△◇"
_COLOURS = {colour: name for name, colour in LIGHT.items()}


def render(entry: Entry) -> str:
    """The page on one run."""
    run = entry.run
    return _page(
        "report.html",
        title=f"Report on {run.name}",
        entry=entry,
        run=run,
        measures=entry.measures,
        **_words(run.source.classes),
        config=_by_section(run.config()),
        epochs=thin(run.history, _MAX_ROWS),
    )


def render_comparison(entries: Sequence[Entry]) -> str:
    """The page that sets several runs side by side, as the letters A, B, C…."""
    return _page(
        "compare.html",
        title=f"{len(entries)} runs compared",
        entries=entries,
        measured=[entry for entry in entries if entry.measures],
        warnings_of_runs=[f"{e.letter}: {text}" for e in entries for text in e.warnings],
        **_words(entries[0].run.source.classes),
        rows=[e.measures and e.measures.evaluation.per_class() for e in entries],
        differences=_differences(entries),
        pairs=_pairs(entries),
        batches=BATCHES,
        changes=CHANGES,
    )


def _words(classes: Classes) -> Dict[str, Any]:
    """What the model tells apart, in words."""
    things = "digits" if are_digits(classes) else "images"
    return {"classes": classes, "kind": noun(classes), "things": things}


def _page(template: str, **values: Any) -> str:
    text = _environment().get_template(template).render(
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{_processor()}, {platform.system()}, Python {platform.python_version()}",
        process=environment.describe(),
        **values,
    )  # fmt: skip
    return f"{MARK}>\n{text}\n"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mnist.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=_percent_or_dash, interval=_interval, count="{:,}".format, svg=Markup, png=_png,
        breakable=_breakable,
        tinted=_tinted, most_taken_for=_most_taken_for,
    )  # fmt: skip
    environment.globals.update(
        version=__version__, charts=charts, best_record=best_record, mark=_mark, fewest=FEWEST,
        light=Markup(css_variables(LIGHT)), dark=Markup(css_variables(DARK)),
    )  # fmt: skip
    return environment


def _percent_or_dash(fraction: Optional[float], digits: int = 2) -> str:
    return "–" if fraction is None else percent(fraction, digits)


def _interval(ends: Tuple[float, float]) -> str:
    return f"{100 * ends[0]:.2f}–{100 * ends[1]:.2f}%"


def _breakable(text: str) -> Markup:
    """A key or a value of a config that goes on in the next line between words, not inside one."""
    return Markup(re.sub(r"([_.])(?=[a-z])", r"\1<wbr>", str(escape(text))))


def _png(image: Array) -> str:
    """A uint8 picture as a ``data:`` address."""
    _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _mark(entry: Entry) -> Tuple[str, str]:
    """(marker, CSS variable) of a run, as in the figures."""
    return _MARKERS[entry.place], _COLOURS[SERIES[entry.place]["color"]]


def _processor() -> str:
    with suppress(OSError), open("/proc/cpuinfo", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine() or sys.platform


def _by_section(config: Dict[str, str]) -> Dict[str, List[Tuple[str, str]]]:
    """Section → its (key, value)s, the section's name left out of the keys."""
    sections: Dict[str, List[Tuple[str, str]]] = {}
    for dotted, value in config.items():
        section, _, key = dotted.partition(".")
        sections.setdefault(section, []).append((key or section, value))
    return sections


def _tinted(matrix: Array) -> List[List[Tuple[int, int]]]:
    """Counts with how strongly each is tinted, 0–100; mistakes by a scale of their own."""
    scales = np.full(matrix.shape, max(_mistakes_in(matrix).max(), 1))
    np.fill_diagonal(scales, np.maximum(matrix.sum(axis=1), 1))
    tints = np.rint(100 * matrix / scales).astype(int)
    return [list(zip(*rows)) for rows in zip(matrix.tolist(), tints.tolist())]


def _most_taken_for(matrix: Array) -> List[Optional[Tuple[int, int]]]:
    """For each digit the one it is most often taken for, how often; None if it never is wrong."""
    wrong = _mistakes_in(matrix)
    most = zip(wrong.argmax(axis=1).tolist(), wrong.max(axis=1).tolist())
    return [(guess, count) if count else None for guess, count in most]


def _mistakes_in(matrix: Array) -> Array:
    return np.asarray(matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype)))


def _differences(entries: Sequence[Entry]) -> List[Tuple[str, List[str]]]:
    """(dotted key, each run's value) of the keys on which the runs do not agree."""
    configs = [entry.run.config() for entry in entries]
    keys = dict.fromkeys(key for config in configs for key in config)
    sections = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    by_section = sorted(keys, key=lambda key: sections.index(key.partition(".")[0]))
    rows = [(key, [config.get(key, "–") for config in configs]) for key in by_section]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _pairs(entries: Sequence[Entry]) -> List[Tuple[str, int, int, int, str]]:
    """(pair, only the first right, only the second right, both wrong, p) on the same digits.

    p is McNemar's exact one: how likely at least this difference is between equally good models.
    """
    rows = []
    measured = [(entry.letter, entry.measures) for entry in entries if entry.measures]
    for (one, left), (other, right) in combinations(measured, 2):
        if left.data_sha256 != right.data_sha256:
            continue
        ours, theirs = (m.evaluation.labels == m.evaluation.digits for m in (left, right))
        first, second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        p = binomtest(first, first + second).pvalue if first + second else 1.0
        both_wrong = int((~ours & ~theirs).sum())
        shown = f"{p:.3f}" if p >= 0.001 else "< 0.001"
        rows.append((f"{one} and {other}", first, second, both_wrong, shown))
    return rows
