"""What was tried, what held, and the table of it."""

import os
import platform
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable, List, Tuple

import numpy as np
from helpers import ROOT

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- last results: begin (python -m tests.faults --write) -->"
END = "<!-- last results: end -->"


class Broken(AssertionError):
    """A promise did not hold."""


class Skip(Exception):
    """A fault cannot be made on this machine, and why."""


@dataclass(frozen=True)
class Options:
    """How much to try, and the folder to do it in."""

    folder: Path
    kills: int = 100
    fuzz: int = 10_000
    seed: int = 1
    jobs: int = 1

    @property
    def thorough(self) -> bool:
        """Whether every fault is meant, not a few for the ordinary tests."""
        return self.kills >= 50


@dataclass
class Row:
    """A line of the table: a fault, the promise, and how often it was tried and held."""

    section: str
    fault: str
    promise: str
    tried: int = 0
    broken: List[str] = field(default_factory=list)
    skipped: str = ""
    note: str = ""

    @property
    def held(self):
        return self.tried - len(self.broken)

    @property
    def ok(self):
        return not self.broken and (self.tried > 0 or bool(self.skipped))

    def require_tried(self, number: int) -> None:
        """Broken if the strikes came too late to try the fault often enough."""
        if self.tried < number:
            self.broken.append(f"only {self.tried} of {number} strikes came in time")


Case = Tuple[str, Callable[[], object]]


def tally(section: str, fault: str, promise: str, cases: Iterable[Case]) -> Row:
    """Try every case, and count those that do not end in Broken (or in any other exception).

    What the last case returns, if it is a text, becomes the note.
    """
    row = Row(section, fault, promise)
    for name, case in cases:
        try:
            result = case()
        except Skip as reason:
            row.skipped = str(reason)
            continue
        except Exception as error:
            row.broken.append(f"{name}: {type(error).__name__}: {error}")
        else:
            row.note = result if isinstance(result, str) else row.note
        row.tried += 1
    return row


def progress(row: Row) -> str:
    """A line for somebody who waits."""
    state = "ok" if row.ok else "BROKEN"
    state = f"skipped ({row.skipped})" if not row.tried else state
    return f"{row.section}: {row.fault}: {row.held}/{row.tried} {state}"


def render(rows: List[Row], options: Options, sections: List[str], seconds: float) -> str:
    """The table in Markdown, with where and when it was made."""
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {_machine()}, {_versions()}; "
        f"`--kills {options.kills} --fuzz {options.fuzz} --seed {options.seed}"
        f" --only {','.join(sections)}`, {seconds / 60:.0f} minutes.",
        "",
        "| kind | fault | promise | tried | held | notes |",
        "| --- | --- | --- | ---: | ---: | --- |",
    ]
    for row in rows:
        note = "; ".join(filter(None, [row.note, row.skipped and f"not tried: {row.skipped}"]))
        cells = (row.section, row.fault, row.promise, f"{row.tried:,}", f"{row.held:,}", note)
        lines.append("| " + " | ".join(cells) + " |")
    broken = [f"- {row.fault}: {what}" for row in rows for what in row.broken]
    verdict = "Every promise held." if all(row.ok for row in rows) else "NOT every promise held."
    return "\n".join([*lines, "", verdict, *broken])


def write(text: str) -> None:
    """Put the table between the markers of the document."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after and not before:
        raise ValueError(f"{DOCUMENT}: the markers are missing")
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _machine() -> str:
    model = platform.machine()
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        model = " ".join(found.group(1).split()) if found else model
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"


def _versions() -> str:
    return f"Python {platform.python_version()}, NumPy {np.__version__}, PaddlePaddle 1.8.5"
