"""What the server of ``mnist.serve`` carries: a Markdown table.

    ./run python benchmarks/serve_load.py [--checkpoint CHECKPOINT] [--requests 2000] [--seconds 30]

Starts a server on a free port of 127.0.0.1 and sends it a drawing as the page does (a PNG of
280×280 pixels with an alpha channel), and then 28×28 pixels as JSON, from 1, 8 and 64 clients
that each keep a connection and wait for an answer before they ask again (on plain sockets: a
client library's pool of 64 connections was slower than the server). Each row ends after
``--requests`` answers or ``--seconds``. Latencies are the client's, which shares the machine; CPU
is the server's processor time for an answer, and memory its resident set before and after the
row, both from /proc. Exit code 1 if any answer was not a 200.
"""

import argparse
import asyncio
import io
import json
import os
import re
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import numpy as np
from PIL import Image, ImageDraw

CLIENTS = (1, 8, 64)
WARM_UP = 100

Address = Tuple[str, int]


class Row(NamedTuple):
    """What one number of clients met."""

    answers: int
    errors: int
    seconds: float
    milliseconds: List[float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="checkpoints/best")
    parser.add_argument("--requests", type=int, default=2000)
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
def _server(checkpoint: str) -> Iterator[Tuple[Any, Address]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mnist.serve", "--port", "0", "--checkpoint", checkpoint],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.search(r"http://(\S+):(\d+)/", process.stdout.readline())
        if found is None:
            sys.exit(process.wait())
        yield process, (found.group(1), int(found.group(2)))
    finally:
        process.terminate()
        process.wait()


def _requests() -> Dict[str, bytes]:
    """A stroke as the page sends it, and the same as pixels."""
    drawing = Image.new("RGBA", (280, 280), "white")
    stroke = [(80, 60), (200, 60), (120, 230)]
    ImageDraw.Draw(drawing).line(stroke, fill="black", width=22, joint="curve")
    buffer = io.BytesIO()
    drawing.save(buffer, "PNG")
    pixels = np.asarray(drawing.convert("L").resize((28, 28))).tolist()
    return {
        "drawing": _request("image/png", buffer.getvalue()),
        "28×28 pixels": _request("application/json", json.dumps({"images": [pixels]}).encode()),
    }


def _request(kind: str, body: bytes) -> bytes:
    head = f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def _ask(address: Address, request: bytes, clients: int, count: int, seconds: float) -> Row:
    milliseconds: List[float] = []
    errors = 0
    started = time.perf_counter()

    async def keep_asking() -> None:
        nonlocal errors
        reader, writer = await asyncio.open_connection(*address)
        while len(milliseconds) + errors < count and time.perf_counter() < started + seconds:
            asked = time.perf_counter()
            writer.write(request)
            if await _status(reader) == 200:
                milliseconds.append(1000 * (time.perf_counter() - asked))
            else:
                errors += 1
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(keep_asking() for _ in range(clients)))
    return Row(len(milliseconds), errors, time.perf_counter() - started, milliseconds)


async def _status(reader: asyncio.StreamReader) -> int:
    """Read an answer and return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    await reader.readexactly(int(length.group(1)))
    return int(head.split()[1])


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
