"""A cable with a latency and a speed, between two network namespaces: for kernels without netem.

    python benchmarks/relay.py PID PID MILLISECONDS MBIT

Each end is a tun device called ``slow`` in the namespace of a process; packets wait here for as
long as they would on the way. Prints a line when it is ready, and runs until it is killed.
"""

import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Deque, List, Tuple

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
# Fewer and larger packets than Ethernet's, since each takes Python's time.
MTU = 9000


def open_end(pid: str) -> int:
    """One end of the cable, as a descriptor."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    name = f"tun{pid}"
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "netns", pid], check=True)
    command = [
        "nsenter",
        "-t",
        pid,
        "-n",
        "ip",
        "link",
        "set",
        name,
        "name",
        "slow",
        "mtu",
        str(MTU),
    ]
    subprocess.run(command, check=True)
    return end


def carry(ends: List[int], delay: float, bits_per_second: float) -> None:
    """Carry packets from end to end for ever."""
    waiting: List[Deque[Tuple[float, bytes]]] = [deque(), deque()]
    free = [0.0, 0.0]  # When the wire has sent what it was given, by the end it comes from.
    while True:
        now = time.perf_counter()
        for queue, target in zip(waiting, reversed(ends)):
            while queue and queue[0][0] <= now:
                packet = queue.popleft()[1]
                with suppress(OSError):  # The other end is not up yet.
                    os.write(target, packet)
        due = min((queue[0][0] for queue in waiting if queue), default=now + 1)
        ready, _, _ = select.select(ends, [], [], max(due - time.perf_counter(), 0))
        for source in ready:
            number = ends.index(source)
            packet = os.read(source, MTU + 100)
            sent = max(free[number], time.perf_counter()) + len(packet) * 8 / bits_per_second
            free[number] = sent
            waiting[number].append((sent + delay, packet))


if __name__ == "__main__":
    first, second, milliseconds, mbit = sys.argv[1:]
    both = [open_end(first), open_end(second)]
    print("ready", flush=True)
    carry(both, float(milliseconds) / 1e3, float(mbit) * 1e6)
