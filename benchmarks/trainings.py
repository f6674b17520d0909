"""Real trainings, each a ``python -m mnist.train`` of its own, their results kept in a file.

A file of results holds a JSON object a line, each with the key of the training it is of: a hash
of all in the config that differs from the defaults, but where checkpoints and curves go and
which engine computes. So a rerun trains only what is missing, and a config that was changed is
trained anew.
"""

import hashlib
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Tuple

from common import ROOT, machine, need_mnist, note, run

from mnist import config as configs

# What says where things go and who computes: nothing of what comes out but its last digits.
_ELSEWHERE = ("checkpoint.", "log.", "device.kernels")

Result = Dict[str, Any]


class Diverged(Exception):
    """A training that failed, as one with too high a learning rate does; what it said."""


@dataclass(frozen=True)
class Training:
    """A config of this project, what is set otherwise in it, and a seed."""

    config: str
    settings: Tuple[str, ...]
    seed: int

    @property
    def overrides(self) -> List[str]:
        # Never the fallback: these are results on MNIST.
        return [*self.settings, "data.fallback=null", f"train.seed={self.seed}"]

    @property
    def key(self) -> str:
        own = configs.load(ROOT / self.config, self.overrides)
        differing = configs.differences(configs.default(), own)
        config = {key: value for key, _, value in differing if not key.startswith(_ELSEWHERE)}
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]

    def run(self, folder: Path) -> "Tuple[Dict[str, Any], float]":
        """The content of ``result.json`` and the whole command's seconds.

        Checkpoints go to ``folder/checkpoints``. Raises Diverged if the loss became infinite.
        """
        paths = [f"checkpoint.dir={folder}/checkpoints", f"log.dir={folder}/log"]
        command = [sys.executable, "-m", "mnist.train", "--config", self.config]
        for setting in [*self.overrides, *paths]:
            command += ["--set", setting]
        started = time.perf_counter()
        done = run(command, allowed=(0, 1))
        if done.returncode:
            raise Diverged(done.stderr)
        seconds = time.perf_counter() - started
        return json.loads((folder / "checkpoints" / "result.json").read_text()), seconds


def train_missing(trainings: Iterable[Training], file: Path, jobs: int) -> None:
    """Train those that have no result in ``file`` yet, ``jobs`` at a time, and add theirs."""
    kept = read(file)
    missing = [training for training in trainings if training.key not in kept]
    if missing:
        need_mnist()
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(_train, training, jobs): training for training in missing}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                _add(future.result(), file)
                training = futures[future]
                about = " ".join([training.config, *training.settings])
                note(f"{number} of {len(missing)} trained: {about}, seed {training.seed}")
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _train(training: Training, jobs: int) -> Result:
    about = {
        "key": training.key,
        "config": training.config,
        "settings": list(training.settings),
        "seed": training.seed,
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            result, seconds = training.run(Path(folder))
        except Diverged as error:
            if "optimizer.learning_rate" not in str(error):
                raise
            return {**about, "diverged": True, "valid": 0.0}
    return {
        **about,
        "model": result["config"]["model"]["name"],
        "parameters": result["parameters"],
        "eval": result["eval"]["accuracy"],
        "valid": result["best"]["valid_accuracy"],
        "steps": [record["step"] for record in result["history"]],
        "valid_by_epoch": [record["valid_accuracy"] for record in result["history"]],
        "seconds": round(seconds, 1),
        "at_a_time": jobs,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": result["versions"],
    }


def _add(result: Result, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps(result) + "\n")


def read(file: Path) -> Dict[str, Result]:
    """The results in ``file`` by their trainings' keys; none if there is no such file."""
    if not file.exists():
        return {}
    results = [json.loads(line) for line in file.read_text().splitlines()]
    return {result["key"]: result for result in results}


def of_seeds(
    config: str, settings: Iterable[str], seeds: int, results: Dict[str, Result]
) -> List[Result]:
    """The results that there are of a config with the seeds from 1 on; all of them numbers."""
    keys = [training.key for training in with_seeds(config, settings, seeds)]
    found = [results[key] for key in keys if key in results]
    for result in found:
        if "diverged" in result:
            about = " ".join([config, *settings])
            sys.exit(f"error: {about}, seed {result['seed']}: the training diverged")
    return found


def with_seeds(config: str, settings: Iterable[str], seeds: int) -> List[Training]:
    return [Training(config, tuple(settings), seed) for seed in range(1, seeds + 1)]
