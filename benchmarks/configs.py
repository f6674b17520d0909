"""Train every config on MNIST and print the README's table of results.

    ./run python benchmarks/configs.py              # all of them, one after the other
    ./run python benchmarks/configs.py adam fc      # only these

Each run is a fresh ``python -m mnist.train`` with checkpoints and curves in a temporary
folder. ``fc:sgd`` means configs/sgd.yaml with ``--set model.name=fc``. Times hold for the
machine at hand, and only if nothing else runs on it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

RUNS = {
    "sgd": ["sgd"],
    "momentum": ["momentum"],
    "adagrad": ["adagrad"],
    "adam": ["adam"],
    "adam_gpu": ["adam_gpu"],
    "fc": ["fc"],
    "lenet5": ["lenet5"],
    "embedding": ["embedding"],
    "fc:sgd": ["sgd", "model.name=fc"],
    "fc:momentum": ["momentum", "model.name=fc"],
    "fc:adagrad": ["adagrad", "model.name=fc"],
    "fc:adam": ["adam", "model.name=fc"],
    "softmax": ["fc", "model.hidden_sizes=[]"],
    "quickstart": ["quickstart"],
}


def main() -> None:
    names = sys.argv[1:] or list(RUNS)
    print("| run | model | parameters | epochs | eval accuracy | whole command |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in names:
        result, seconds = train(*RUNS[name])
        print(row(name, result, seconds), flush=True)


def train(config: str, *overrides: str) -> "tuple[dict, float]":
    """Run the verb; the content of result.json and the seconds it took from start to exit."""
    with tempfile.TemporaryDirectory() as folder:
        settings = (f"checkpoint.dir={folder}/checkpoints", f"log.dir={folder}/log", *overrides)
        command = [sys.executable, "-m", "mnist.train", "--config", f"configs/{config}.yaml"]
        for setting in settings:
            command += ["--set", setting]
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=environment())
        seconds = time.perf_counter() - started
        return json.loads((Path(folder) / "checkpoints" / "result.json").read_text()), seconds


def environment() -> "dict[str, str]":
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def row(name: str, result: dict, seconds: float) -> str:
    config = result["config"]
    accuracy = 100 * result["eval"]["accuracy"]
    return (
        f"| {name} | {config['model']['name']} | {result['parameters']:,}"
        f" | {len(result['history'])} | {accuracy:.2f}% | {seconds:.0f} s |"
    )


if __name__ == "__main__":
    main()
