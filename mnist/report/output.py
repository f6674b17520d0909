"""From what the user typed to a report: runs, data, measuring, page, in that order.

Everything that can be refused is looked at before anything is measured, which takes a while.
"""

from typing import Callable, Optional, Sequence

from mnist.base.console import make_console
from mnist.base.errors import InputError
from mnist.base.files import atomic_write, may_be_written
from mnist.data import obtain
from mnist.report import html, measurement, past_run
from mnist.report.figures import SERIES
from mnist.report.measurement import Entry
from mnist.report.past_run import Run

MAX_RUNS = len(SERIES)


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
    if not may_be_written(output, html.MARK):
        raise InputError(f"{output}: is there and is no report; name another file with --output")
    found = [past_run.read(name, assume) for name in runs or (None,)]
    if len({tuple(run.source.classes) for run in found}) > 1:
        raise InputError("--compare: the runs tell apart different classes")
    say = make_console().print
    entries = [_entry(place, run, split, data, say) for place, run in enumerate(found)]
    content = html.render(entries, compare).encode()
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
