"""Run the benchmarks one after the other and write docs/results.md.

    ./run python benchmarks/all.py                        # all of them: hours
    ./run python benchmarks/all.py --only speed loading   # these; the other sections are kept
    ./run python benchmarks/all.py --list

Each section is what one benchmark prints, under the command that makes it, with machine, date
and the load average when it began. A benchmark that fails leaves its section as it was.
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple

from common import BENCHMARKS, ROOT, environment, load_average, machine, note, versions

RESULTS = ROOT / "docs" / "results.md"


class Section(NamedTuple):
    """A benchmark's script with its arguments, and the claim that it is about."""

    command: str
    title: str


SECTIONS = [
    Section("speed.py", "Training speed, against PyTorch, JAX and Paddle as it comes"),
    Section("overheads.py --rounds 3", "Feeding, logging, evaluating, starting"),
    Section("hosts.py", "Several hosts, over slower and slower networks"),
    Section("accuracy.py", "Accuracy"),
    Section("time_to_99.py", "Seconds to 99 %"),
    Section("optimizers.py", "The four optimizers"),
    Section("read_dataset.py", "Reading the data set"),
    Section("loading.py", "Asynchronous loading"),
    Section("checkpoint_cost.py", "Checkpoints"),
    Section("logging_cost.py", "Curves, pictures and histograms"),
    Section("predict_files.py --checkpoint data/pretrained", "Reading many files"),
    Section("robustness.py --checkpoint data/pretrained", "Pictures in many dresses"),
    Section("export_speed.py --checkpoint data/pretrained", "Exported models"),
    Section("serve_load.py --checkpoint data/pretrained", "The server under load"),
]

INTRODUCTION = """\
# Results

What `./run python benchmarks/all.py` measured. Each section says where, when, and by which
command it was made; a table's text says how many rounds or seeds are behind it, and its figures
come with their spread. Timings hold for the machine at hand, ratios and accuracies further.

Versions: {versions}. Seeds count from 1.

{verdict}"""
# Which Pythons have the frameworks that some benchmarks compare with.
PYTHONS = ("--pytorch-python", "--jax-python")
_PACKAGES = ("paddlepaddle", "numpy", "opencv-python-headless", "mpi4py")


def main() -> None:
    sections = [section for section in SECTIONS if (BENCHMARKS / script_of(section)).exists()]
    names = [name_of(section) for section in sections]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the names")
    for option in PYTHONS:
        parser.add_argument(option, metavar="PATH", help="see speed.py")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FILE")
    options = parser.parse_args()
    if options.list:
        print("\n".join(names))
        return
    failed = []
    for section in sections:
        if name_of(section) in options.only and not update(section, options):
            failed.append(name_of(section))
    if failed:
        sys.exit(f"error: failed: {', '.join(failed)}; their sections are as they were")


def script_of(section: Section) -> str:
    return section.command.split()[0]


def name_of(section: Section) -> str:
    return Path(script_of(section)).stem


def update(section: Section, options: argparse.Namespace) -> bool:
    """Run a benchmark and write its section at once; whether it went well."""
    note(f"--- {name_of(section)}")
    begun, load, started = time.strftime("%Y-%m-%d %H:%M"), load_average(), time.perf_counter()
    script, *arguments = shlex.split(section.command)
    for option in PYTHONS:
        given = getattr(options, option[2:].replace("-", "_"))
        if given and knows(script, option):
            arguments += [option, given]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        cwd=str(ROOT), env=environment(), stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return False
    minutes = (time.perf_counter() - started) / 60
    about = (
        f"`./run python benchmarks/{section.command}` — {begun}, {minutes:.1f} minutes, load"
        f" average {load:.1f} when it began; {machine()}."
    )
    texts = read(options.output)
    texts[section.title] = f"{about}\n\n{done.stdout.strip()}\n"
    write(options.output, texts)
    return True


def knows(script: str, option: str) -> bool:
    """Whether a benchmark's own description has the option."""
    return option in (BENCHMARKS / script).read_text()


def read(path: Path) -> Dict[str, str]:
    """The sections of an earlier run by their titles."""
    if not path.exists():
        return {}
    parts: List[str] = re.split(r"^## (.*)\n", path.read_text(), flags=re.MULTILINE)
    return {title: text.strip() + "\n" for title, text in zip(parts[1::2], parts[2::2])}


def write(path: Path, texts: Dict[str, str]) -> None:
    """In the order of SECTIONS; sections of benchmarks that are no more are dropped."""
    installed = ", ".join(f"{name} {version}" for name, version in versions(_PACKAGES))
    python = ".".join(map(str, sys.version_info[:3]))
    parts = [
        INTRODUCTION.format(
            verdict=(BENCHMARKS / "verdict.md").read_text(),
            versions=f"Python {python}, {installed}",
        )
    ]
    parts += [
        f"## {section.title}\n\n{texts[section.title]}"
        for section in SECTIONS
        if section.title in texts
    ]
    path.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
