"""TensorBoard's event files, read with TensorBoard's own reader."""

import json
import subprocess
import sys

from helpers import PROJECT, environment


def points(folder):
    """Every (tag, step, value) that TensorBoard's own reader finds, in file order.

    A value is a number, what stands for a larger array or a picture, or None for text. In a
    process of its own: TensorBoard and tb-paddle define the same protocol buffers.
    """
    script = """
import hashlib, json, sys
from pathlib import Path
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray
rows = []
for path in sorted(Path(sys.argv[1]).glob("events.out.tfevents.*")):
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            array = make_ndarray(value.tensor)
            number = float(array) if array.dtype.kind == "f" and array.size == 1 else None
            if array.size > 1 and value.metadata.plugin_data.plugin_name != "text":
                number = hashlib.sha256(repr(array.tolist()).encode()).hexdigest()
            rows.append([value.tag, event.step, number])
print(json.dumps(rows))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=str(PROJECT), env=environment(), stdout=subprocess.PIPE, check=True, timeout=120,
    )  # fmt: skip
    return [tuple(row) for row in json.loads(done.stdout)]
