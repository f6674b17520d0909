"""What the server of ``mnist.serve`` carries: a Markdown table.

    ./run python benchmarks/serve_load.py [--checkpoint CHECKPOINT] [--requests 600] [--seconds 30]

Starts a server on a free port of 127.0.0.1 and sends it a drawing as the page does (a PNG of
280×280 pixels with an alpha channel), and then 28×28 pixels as JSON, from 1, 8 and 64 clients
that each wait for an answer before they ask again. Each row ends after ``--requests`` answers
or ``--seconds``. Latencies are the client's, which shares the machine; CPU is the server's
processor time for an answer, and memory its resident set before and after the row, both from
/proc. Exit code 1 if any answer was not a 200.
"""

import argparse
import asyncio
import io
import os
import re
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import httpx
import numpy as np
from PIL import Image, ImageDraw

CLIENTS = (1, 8, 64)
WARM_UP = 100


class Row(NamedTuple):
    """What one number of clients met."""

    answers: int
    errors: int
    seconds: float
    milliseconds: List[float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="checkpoints/best")
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    errors = 0
    with _server(options.checkpoint) as (process, address):
        columns = ("answers", "errors", "a second", "p50 ms", "p99 ms", "CPU ms", "memory MB")
        print("| request | clients |", " | ".join(columns), "|")
        print("| --- |" + " ---: |" * 8)
        for name, request in _requests().items():
            asyncio.run(_ask(address, request, 8, WARM_UP, options.seconds))
            for clients in CLIENTS:
                before, cpu_before = _resident_mb(process.pid), _cpu_ms(process.pid)
                row = asyncio.run(
                    _ask(address, request, clients, options.requests, options.seconds)
                )
                cpu = (_cpu_ms(process.pid) - cpu_before) / max(row.answers, 1)
                memory = f"{before:.0f} → {_resident_mb(process.pid):.0f}"
                print(f"| {name} | {clients} | {_cells(row)} | {cpu:.1f} | {memory} |", flush=True)
                errors += row.errors
    return 1 if errors else 0


@contextmanager
def _server(checkpoint: str) -> Iterator[Tuple[Any, str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mnist.serve", "--port", "0", "--checkpoint", checkpoint],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.search(r"http://\S+/", process.stdout.readline())
        if found is None:
            sys.exit(process.wait())
        yield process, found.group()
    finally:
        process.terminate()
        process.wait()


def _requests() -> Dict[str, Dict[str, Any]]:
    """A stroke as the page sends it, and the same as pixels."""
    drawing = Image.new("RGBA", (280, 280), "white")
    stroke = [(80, 60), (200, 60), (120, 230)]
    ImageDraw.Draw(drawing).line(stroke, fill="black", width=22, joint="curve")
    buffer = io.BytesIO()
    drawing.save(buffer, "PNG")
    pixels = np.asarray(drawing.convert("L").resize((28, 28))).tolist()
    return {
        "drawing": {"content": buffer.getvalue(), "headers": {"content-type": "image/png"}},
        "28×28 pixels": {"json": {"images": [pixels]}},
    }


async def _ask(
    address: str, request: Dict[str, Any], clients: int, count: int, seconds: float
) -> Row:
    milliseconds: List[float] = []
    errors = 0
    started = time.perf_counter()

    async def keep_asking(client: httpx.AsyncClient) -> None:
        nonlocal errors
        while len(milliseconds) + errors < count and time.perf_counter() < started + seconds:
            asked = time.perf_counter()
            try:
                answer = await client.post("predict", **request)
                answer.raise_for_status()
                milliseconds.append(1000 * (time.perf_counter() - asked))
            except httpx.HTTPError:
                errors += 1

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:
        await asyncio.gather(*(keep_asking(client) for _ in range(clients)))
    return Row(len(milliseconds), errors, time.perf_counter() - started, milliseconds)


def _cells(row: Row) -> str:
    if row.answers < 2:
        return f"{row.answers} | {row.errors} | – | – | –"
    cuts = statistics.quantiles(row.milliseconds, n=100)
    rate = row.answers / row.seconds
    return f"{row.answers} | {row.errors} | {rate:.0f} | {cuts[49]:.1f} | {cuts[98]:.1f}"


def _resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024


def _cpu_ms(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        user, system = file.read().rpartition(")")[2].split()[11:13]
    return 1000 * (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
