"""From what the user typed to a report: one HTML page that needs no script and no network.

Everything that can be refused is looked at before anything is measured, which takes a while. The
page is made of ``templates/``, which escape whatever comes from a file; its Content Security
Policy lets nothing in that slipped through.
"""

import base64
import platform
import re
from datetime import datetime, timezone
from itertools import combinations
from statistics import median
from typing import Callable, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from scipy.stats import binomtest

from mnist import __version__
from mnist.base import processors
from mnist.base.arrays import Array
from mnist.base.console import make_console, percent
from mnist.base.errors import InputError
from mnist.base.files import atomic_write, may_be_written
from mnist.checkpoints.records import best_record
from mnist.config.classes import are_digits, noun
from mnist.data import obtain
from mnist.fluid import environment
from mnist.model import calibration
from mnist.report import charts, measurement, past_run
from mnist.report.figures import DARK, LIGHT, MARKS, SERIES
from mnist.report.measurement import Entry, measured
from mnist.report.past_run import Run
from mnist.report.perturbations import CHANGES

MAX_RUNS = len(SERIES)
# The first bytes of every report; a file without them is not overwritten.
MARK = '<!doctype html>\n<html lang="en">\n<meta name="generator" content="mnist.report"'


def write(
    runs: Sequence[str],
    compare: bool,
    split: str,
    data: Optional[str],
    output: str,
    assume: Sequence[str] = (),
) -> None:
    """Write the report on a run, or on several side by side, to the file ``output``."""
    if compare and not 2 <= len(runs) <= MAX_RUNS:
        raise InputError(f"--compare: name 2 to {MAX_RUNS} runs, not {len(runs)}")
    if not compare and len(runs) > 1:
        raise InputError(f"{' '.join(runs)}: a report is on one run; add --compare for several")
    if not may_be_written(output, MARK):
        raise InputError(f"{output}: is there and is no report; name another file with --output")
    found = [past_run.read(name, assume) for name in runs or (None,)]
    if len({tuple(run.source.classes) for run in found}) > 1:
        raise InputError("--compare: the runs tell apart different classes")
    say = make_console().print
    entries = [_entry(place, run, split, data, say) for place, run in enumerate(found)]
    content = _render(entries, compare).encode()
    with atomic_write(output) as file:
        file.write(content)
    say(f"report  {output} ({len(content) / 1000:,.0f} kB; open it in a browser)")


def _entry(
    place: int, run: Run, split: str, data_path: Optional[str], say: Callable[[str], None]
) -> Entry:
    """Measure a run; where its own data set is not at hand, say so instead."""
    try:
        data = obtain.data_set_of(run.source, data_path)
    except InputError as error:
        if data_path is not None or run.state is None:
            raise
        say(f"note    {run.name} is not measured: {error}")
        return Entry(place, run, unmeasured=str(error))
    changed = obtain.has_changed(run.source, data)
    if changed and data_path is not None:
        changed = f"{data.source} is not the data set that {run.source.path} was trained on"
    measures = measurement.measure(run, data, split, say)
    return Entry(place, run, measures, warning=changed)


def _render(entries: Sequence[Entry], compare: bool) -> str:
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
    differences=_differences, pairs=_pairs,
)  # fmt: skip
_TEMPLATES.globals.update(
    version=__version__, charts=charts, changes=CHANGES, best_record=best_record, marks=MARKS,
    calibration=calibration, wilson=charts.wilson_interval,
    light=LIGHT, dark=DARK,
)  # fmt: skip
