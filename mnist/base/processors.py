"""The processors that this process may use, and OpenCV kept to one of them."""

import os
import platform
from contextlib import suppress


def count() -> int:
    """How many there are; ``taskset`` and a container leave fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def described(name: str) -> str:
    """What the processor says of itself under ``name``, or else the kind of machine."""
    with suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return platform.machine()


def keep_opencv_to_one() -> None:
    """For whoever keeps the other processors busy: with processes, or threads, of its own.

    A digit, or a batch of them, is too little work for OpenCV's threads: they took three times
    the processor's time for it.
    """
    import cv2

    cv2.setNumThreads(1)
