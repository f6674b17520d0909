"""What reading mnist.json.gz costs: the course's line, our reader, and our cache.

    python benchmarks/read_dataset.py [--data data/mnist.json.gz] [--runs 3]

Every measurement is a new process with a cold start but a warm disk cache. "Time" and
"CPU" cover the call alone, imports done. "Peak" is the largest resident size of the whole
process, interpreter and imports included; "above imports" is what the call added to it.
The ways take turns, so that another load on the machine meets all alike. Medians of the
runs; the fastest run's time is in parentheses.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]

WAYS = {
    "json.load(gzip.open(path))": ("import gzip, json", "data = json.load(gzip.open(path))"),
    "dataset.load, cold, no cache": (
        "from mnist import dataset",
        "data = dataset.load(path, cache=False)",
    ),
    "dataset.load, cold, writing the cache": (
        "import os; from mnist import dataset; os.remove(dataset.cache_path_of(Path(path)))",
        "data = dataset.load(path)",
    ),
    "dataset.load, warm": ("from mnist import dataset", "data = dataset.load(path)"),
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
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(imports=imports, call=call), str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def table(results):
    """Markdown, with the ratios to the first way."""
    base = {
        key: median(run[key] for run in results[next(iter(WAYS))]) for key in ("seconds", "peak")
    }
    yield "| way | time, s | CPU, s | peak, MB | above imports, MB | faster | less memory |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for way, runs in results.items():
        seconds, cpu, peak, added = (
            median(run[key] for run in runs) for key in ("seconds", "cpu", "peak", "added")
        )
        fastest = min(run["seconds"] for run in runs)
        yield (
            f"| `{way}` | {seconds:.3f} ({fastest:.3f}) | {cpu:.3f} | {peak:.0f} | {added:.0f}"
            f" | {base['seconds'] / seconds:.1f}× | {base['peak'] / peak:.1f}× |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "mnist.json.gz")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    if not options.data.exists():
        parser.error(f"{options.data}: no such file; python -m mnist.prepare makes it")
    measure("dataset.load, warm", options.data)  # Fills the disk cache and makes ours.
    results = {way: [] for way in WAYS}
    for _ in range(options.runs):
        for way, runs in results.items():
            runs.append(measure(way, options.data))
    load = os.getloadavg()[0]
    size = options.data.stat().st_size / 1e6
    print(f"{options.data.name}, {size:.1f} MB; {options.runs} runs; {os.cpu_count()} CPUs,")
    print(f"load {load:.1f}; Python {platform.python_version()}, {platform.machine()}\n")
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
