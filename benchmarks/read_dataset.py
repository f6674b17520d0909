"""What reading mnist.json.gz costs: the course's line, our reader, and our cache.

    python benchmarks/read_dataset.py [--data data/mnist.json.gz] [--runs 3]

Every measurement is a new process with a cold start but a warm disk cache. "Time" and
"CPU" cover the call alone, imports done. "Peak" is the largest resident size of the whole
process, interpreter and imports included; "above imports" is what the call added to it.
The ways take turns, so that another load on the machine meets all alike. Medians of the
runs; the fastest run's time is in parentheses.
"""

import argparse
import platform
import sys
from functools import partial
from pathlib import Path
from statistics import median

from common import MNIST, cores, load_average, run_worker, table, take_turns

WAYS = {
    "json.load(gzip.open(path))": ("import gzip, json", "data = json.load(gzip.open(path))"),
    "dataset.load, cold, no cache": (
        "from mnist.data import dataset",
        "data = dataset.load(path, cache=False)",
    ),
    "dataset.load, cold, writing the cache": (
        "import os; from mnist.data import dataset; os.remove(dataset.cache_path_of(Path(path)))",
        "data = dataset.load(path)",
    ),
    "dataset.load, warm": ("from mnist.data import dataset", "data = dataset.load(path)"),
}

CHILD = """
import json, resource, sys, time
from pathlib import Path
path = sys.argv[1]
{imports}
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, cpu, start = peak(), time.process_time(), time.perf_counter()
{call}
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
print(json.dumps(dict(seconds=seconds, cpu=cpu, peak=peak(), added=peak() - before)))
"""


def measure(way, path):
    imports, call = WAYS[way]
    # This process stays small: a child's peak begins with that of its parent.
    return run_worker([sys.executable, "-c", CHILD.format(imports=imports, call=call), path])


HEADINGS = [
    "way", "time, s", "CPU, s", "peak, MB", "above imports, MB", "faster", "less memory",
]  # fmt: skip


def rows(results):
    """The medians, with the ratios to the first way."""
    base = {
        key: median(run[key] for run in results[next(iter(WAYS))]) for key in ("seconds", "peak")
    }
    for way, runs in results.items():
        seconds, cpu, peak, added = (
            median(run[key] for run in runs) for key in ("seconds", "cpu", "peak", "added")
        )
        fastest = min(run["seconds"] for run in runs)
        faster, smaller = base["seconds"] / seconds, base["peak"] / peak
        yield (
            f"`{way}`", f"{seconds:.3f} ({fastest:.3f})", f"{cpu:.3f}", f"{peak:.0f}",
            f"{added:.0f}", f"{faster:.1f}×", f"{smaller:.1f}×",
        )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=MNIST)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if not options.data.exists():
        parser.error(f"{options.data}: no such file; python -m mnist.prepare makes it")
    measure("dataset.load, warm", options.data)  # Fills the disk cache and makes ours.
    results = take_turns(
        {way: partial(measure, way, options.data) for way in WAYS}, options.runs, "run"
    )
    size = options.data.stat().st_size / 1e6
    print(f"{options.data.name}, {size:.1f} MB; {options.runs} runs; {cores()} CPUs,")
    print(f"load {load_average():.1f}; Python {platform.python_version()}, {platform.machine()}\n")
    print(table(HEADINGS, rows(results)))


if __name__ == "__main__":
    main()
