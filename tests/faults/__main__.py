"""``python -m tests.faults``: all faults, one table, exit code 0 only if every promise held."""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from . import data, disk, fuzz, kills, locks, machines, pickles, report, signals
from .report import Options

SECTIONS = {
    "kills": kills.rows,
    "signals": signals.rows,
    "disk": disk.rows,
    "locks": locks.rows,
    "machines": machines.rows,
    "data": data.rows,
    "pickles": pickles.rows,
    "fuzz": fuzz.rows,
}


def _chosen(_context, _parameter, value):
    names = [name.strip() for name in value.split(",")] if value else list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(SECTIONS)}")
    return names


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kills", default=100, show_default=True, help="How many kills of trainings.")
@click.option("--fuzz", default=10_000, show_default=True, help="Inputs for each reader.")
@click.option("--seed", default=1, show_default=True, help="Of every random choice.")
@click.option("--jobs", default=2, show_default=True, help="Killed trainings at a time.")
@click.option("--only", callback=_chosen, metavar="NAME,…", help=f"Some of: {', '.join(SECTIONS)}.")
@click.option("--write", is_flag=True, help=f"Put the table into {report.DOCUMENT.name}.")
def main(kills, fuzz, seed, jobs, only, write):
    """Kill, starve, deceive and garble the project, and see whether it keeps its promises."""
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    options = Options(folder, kills, fuzz, seed, jobs)
    found = []
    for name in only:
        for row in SECTIONS[name](options):
            found.append(row)
            click.echo(report.progress(row), err=True)
    text = report.render(found, options, only, time.monotonic() - started)
    click.echo(text)
    if write:
        report.write(text)
    if not all(row.ok for row in found):
        click.echo(f"What is left of the faults that were not survived lies in {folder}", err=True)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
