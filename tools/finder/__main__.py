"""Make data/pretrained-finder anew: ``python tools/finder``, an hour and a quarter on two cores."""

import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def run(script: str, *options: str) -> None:
    """One of the scripts beside this one."""
    subprocess.run([sys.executable, FOLDER / script, *options, *sys.argv[1:]], check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        kept = f"{folder}/kept.npz"
        run("train.py", "--steps", "16000", "--small", "0.15", "--plain", "0.5", "--keep", kept)
        # Once more, mostly on scenes with one difficulty each, as most pictures are.
        run("train.py", "--steps", "6000", "--first", "8000", "--small", "0", "--plain", "2",
            "--rate", "2e-3", "--start", kept)  # fmt: skip
    run("train_refusal.py")
