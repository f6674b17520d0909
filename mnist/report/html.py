"""A report's data → one HTML page that needs nothing else: no script, no network.

The page is made of ``templates/``, which escape whatever comes from a file; its Content
Security Policy lets nothing in that slipped through.
"""

import base64
import platform
import re
from datetime import datetime, timezone
from itertools import combinations, groupby
from statistics import median
from typing import Dict, List, Sequence, Tuple

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from scipy.stats import binomtest

from mnist import __version__
from mnist.base import processors
from mnist.base.arrays import Array
from mnist.base.console import percent
from mnist.checkpoints.records import best_record
from mnist.config.classes import are_digits, noun
from mnist.fluid import environment
from mnist.model import calibration
from mnist.report import charts
from mnist.report.figures import DARK, LIGHT, MARKS
from mnist.report.measurement import Entry, measured
from mnist.report.perturbations import CHANGES

# The first bytes of every report; a file without them is not overwritten.
MARK = '<!doctype html>\n<html lang="en">\n<meta name="generator" content="mnist.report"'


def render(entries: Sequence[Entry], compare: bool) -> str:
    """The page on one run, or the one that sets several side by side, as the letters A, B, C…."""
    classes = entries[0].run.source.classes
    text = _TEMPLATES.get_template("compare.html" if compare else "report.html").render(
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{processors.described('model name')}, {platform.system()},"
        f" Python {platform.python_version()}",
        process=environment.describe(),
        threads=environment.threads_now(),
        entries=entries,
        classes=classes,
        kind=noun(classes),
        things="digits" if are_digits(classes) else "images",
    )
    return f"{MARK}>\n{text}\n"


def _breakable(text: str) -> Markup:
    """A key or a value of a config that goes on in the next line between words, not inside one."""
    return Markup(re.sub(r"([_.])(?=[a-z])", r"\1<wbr>", str(escape(text))))


def _png(image: Array) -> str:
    """A uint8 picture as a ``data:`` address."""
    _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _by_section(config: Dict[str, str]) -> List[Tuple[str, List[Tuple[str, str]]]]:
    """(section, its rows of dotted key and value) of a config."""
    by_section = groupby(config.items(), lambda row: row[0].partition(".")[0])
    return [(section, list(rows)) for section, rows in by_section]


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
        results = left.evaluations[0], right.evaluations[0]
        ours, theirs = (result.labels == result.digits for result in results)
        first, second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        p = binomtest(first, first + second).pvalue if first + second else 1.0
        shown = f"{p:.3f}" if p >= 0.001 else "< 0.001"
        both_wrong = int((~ours & ~theirs).sum())
        rows.append((f"{one.letter} and {other.letter}", first, second, both_wrong, shown))
    return rows


_TEMPLATES = Environment(
    loader=PackageLoader("mnist.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    percent=lambda part, digits=2: "–" if part is None else percent(part, digits),
    count="{:,}".format, svg=Markup, png=_png, breakable=_breakable, median=median,
    mistakes=lambda confusion: confusion - np.diag(confusion.diagonal()),
    by_section=_by_section, differences=_differences, pairs=_pairs,
)  # fmt: skip
_TEMPLATES.globals.update(
    version=__version__, charts=charts, changes=CHANGES, best_record=best_record, marks=MARKS,
    calibration=calibration, wilson=charts.wilson_interval,
    light=LIGHT, dark=DARK,
)  # fmt: skip
