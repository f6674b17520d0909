"""Make data/pretrained-finder anew: ``python tools/finder``, an hour and a half on two cores."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
STEPS = (
    ["train.py", "--steps", "16000", "--small", "0.15", "--plain", "0.5", "--seed", "1"],
    ["train_refusal.py"],
)

if __name__ == "__main__":
    for script, *options in STEPS:
        subprocess.run([sys.executable, FOLDER / script, *options, *sys.argv[1:]], check=True)
