"""What a run costs besides the arithmetic: feeding, logging, evaluating, starting.

    ./run python benchmarks/overheads.py [--rounds 5] [--seconds 3] [--checkpoint FOLDER]

LeNet on MNIST as by default. What is compared takes turns in every round (A B C A B C). Without
``--checkpoint``, predicting is measured with one that is trained on the spot for an epoch on the
bundled digits.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from functools import partial
from itertools import repeat
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List, Optional

from common import (
    ROOT,
    environment,
    need_mnist,
    ratios,
    run,
    spread,
    table,
    take_turns,
    time_steps,
    wall,
)

# Nobody's tuning reaches Paddle, which reads these variables at its import.
for _name in set(os.environ) - set(environment()):
    del os.environ[_name]

from stepping import Stepper, without_collector  # noqa: E402

from mnist import config as configs  # noqa: E402
from mnist.checkpoints.records import RunState  # noqa: E402
from mnist.data import dataset  # noqa: E402
from mnist.data.dataset import Dataset  # noqa: E402
from mnist.fluid import environment  # noqa: E402
from mnist.fluid.door import fluid  # noqa: E402
from mnist.model.evaluation import evaluate  # noqa: E402
from mnist.tensorboard.writer import Tracker  # noqa: E402
from mnist.train.output import Telling  # noqa: E402

DISTORTIONS = ("shift=2", "rotation=10", "scaling=0.1", "shear=0.1", "elastic=1")
AUGMENTED = tuple(f"data.augmentation.{distortion}" for distortion in DISTORTIONS)
IMAGE = ROOT / "data" / "samples" / "five-blue-ink.png"

Timed = Dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each way in a round")
    parser.add_argument("--checkpoint", type=Path, help="the one to predict with")
    options = parser.parse_args()
    data = dataset.load(need_mnist())
    with fluid.dygraph.guard(fluid.CPUPlace()), without_collector():
        steps = take_turns(step_ways(data, options.seconds), options.rounds, "steps: round")
        rates = take_turns(evaluation_ways(data, options.seconds), options.rounds, "rates: round")
    print_steps(steps)
    print_rates(rates)
    print_starts(take_turns(help_ways(), options.rounds, "--help: round"))
    with checkpoint_to_use(options.checkpoint) as path:
        print_predicting(take_turns(predict_ways(path), options.rounds, "predict: round"))
    print(f"\nMedians of {options.rounds} rounds with minimum and maximum.")


# --- steps -----------------------------------------------------------------------------

RESIDENT = "one batch that stays where it is"
FED = "batches from the loader"
FED_DISTORTED = "batches from the loader, distorted"
LOGGED = "… and every step told and logged"
DRAWN = "… and a progress bar drawn"
MADE = "batches made, not trained on"
MADE_DISTORTED = "distorted batches made, not trained on"
TOLD = "steps told and logged, not taken"


def step_ways(data: Dataset, seconds: float) -> Dict[str, Callable[[], Timed]]:
    plain, distorted = Stepper([], data), Stepper(AUGMENTED, data)
    fed, fed_distorted, resident = plain.steps(), distorted.steps(), plain.steps_on_one_batch()
    made, made_distorted = plain.batches(), distorted.batches()
    return {
        RESIDENT: partial(time_steps, resident, seconds),
        FED: partial(time_steps, fed, seconds),
        FED_DISTORTED: partial(time_steps, fed_distorted, seconds),
        LOGGED: partial(time_logged, fed, seconds, False),
        DRAWN: partial(time_logged, fed, seconds, True),
        MADE: partial(time_steps, made, seconds / 4),
        MADE_DISTORTED: partial(time_steps, made_distorted, seconds / 4),
        TOLD: partial(time_logged, repeat((0.1, 0.9)), seconds / 4, False),
    }


def time_logged(steps: Iterator[Any], seconds: float, terminal: bool) -> Timed:
    """The steps with the lines or the bar, and the curves, that the trainer makes of them."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(output_discarded(terminal))
        tracker = stack.enter_context(closing(Tracker(Path(folder))))
        state = RunState(config={}, epoch_seconds=1.0)
        learner: Any = SimpleNamespace(
            config=configs.default(), state=state, model=None, steps_per_epoch=10**6,
            last_rate=lambda: 0.001,
        )  # fmt: skip
        telling = Telling(learner, None, tracker)
        stack.enter_context(telling.bar)
        telling.begin_epoch()
        return time_steps(logged(steps, telling, state), seconds)


def logged(steps: Iterator[Any], telling: Telling, state: RunState) -> Iterator[None]:
    for loss, accuracy in steps:
        state.step += 1
        state.step_in_epoch += 1
        state.samples += 100
        telling.step(loss, accuracy)
        yield


@contextmanager
def output_discarded(terminal: bool) -> Iterator[None]:
    """Print to nowhere, as to a terminal or as to a file (rich looks at the variable)."""
    os.environ.update({"FORCE_COLOR": "1"} if terminal else {})
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        os.environ.pop("FORCE_COLOR", None)


def print_steps(measured: Dict[str, List[Timed]]) -> None:
    walls, cpus = (
        {
            way: [1000 * timed[kind] / timed["steps"] for timed in runs]
            for way, runs in measured.items()
        }
        for kind in ("wall", "cpu")
    )

    def share(way: str, base: Optional[str], of: Dict[str, List[float]]) -> str:
        if base is None:
            return ""
        more = [100 * (ratio - 1) for ratio in ratios(of[way], of[base])]
        return spread(more, "{:+.1f}") + " %"

    bases = {RESIDENT: None, FED: RESIDENT, FED_DISTORTED: RESIDENT, LOGGED: FED, DRAWN: FED}
    rows = [
        (
            way, spread(walls[way]), spread(cpus[way]), base or "",
            share(way, base, walls), share(way, base, cpus),
        )
        for way, base in bases.items()
    ]  # fmt: skip
    print("### Feeding and logging\n")
    print("A training step of 100 images; targets: feeding at most 5 %, logging at most 1 %.\n")
    headings = ["steps on", "ms", "CPU ms", "against", "more time", "more CPU time"]
    print(table(headings, rows))
    base = median(cpus[RESIDENT])
    rows = [
        (way, spread(cpus[way], "{:.3f}"), f"{100 * median(cpus[way]) / base:.1f} %")
        for way in (MADE, MADE_DISTORTED, TOLD)
    ]
    print("\nThe same work without the training:\n")
    print(table(["", "CPU ms a step", "of a step's CPU time"], rows))


# --- evaluation ------------------------------------------------------------------------

TRAINING, EVALUATION = "training", "evaluation"


def evaluation_ways(data: Dataset, seconds: float) -> Dict[str, Callable[[], Timed]]:
    """The same LeNet in training and over eval's 10,000 images."""
    stepper = Stepper([], data)
    steps = stepper.steps()

    def evaluation() -> Timed:
        started, cpu = time.perf_counter(), time.process_time()
        evaluate(stepper.model, data.eval, stepper.place, stepper.config.data.loader)
        return {
            "images": len(data.eval),
            "wall": time.perf_counter() - started,
            "cpu": time.process_time() - cpu,
        }

    def train() -> Timed:
        timed = time_steps(steps, seconds)
        return {**timed, "images": timed["steps"] * stepper.config.data.batch_size}

    return {TRAINING: train, EVALUATION: evaluation}


def print_rates(measured: Dict[str, List[Timed]]) -> None:
    def rate(way: str, kind: str) -> List[float]:
        return [timed["images"] / timed[kind] for timed in measured[way]]

    rows = [
        (
            way,
            spread(rate(way, "wall"), "{:,.0f}"),
            spread(ratios(rate(way, "wall"), rate(TRAINING, "wall")), "{:.1f}") + " ×",
            spread(rate(way, "cpu"), "{:,.0f}"),
            spread(ratios(rate(way, "cpu"), rate(TRAINING, "cpu")), "{:.1f}") + " ×",
        )
        for way in (TRAINING, EVALUATION)
    ]
    print("\n### Evaluation\n")
    print("LeNet over eval's 10,000 images; target: at least 3 × the rate of training.\n")
    headings = ["", "images/s", "against training", "images/CPU s", "against training"]
    print(table(headings, rows))


# --- starting --------------------------------------------------------------------------


def verbs() -> List[str]:
    listed = run([sys.executable, "-m", "mnist"]).stdout
    return re.findall(r"^  python -m (mnist\.\w+)", listed, re.MULTILINE)


def help_ways() -> Dict[str, Callable[[], float]]:
    return {
        f"python -m {verb} --help": partial(wall, [sys.executable, "-m", verb, "--help"])
        for verb in verbs()
    }


def print_starts(measured: Dict[str, List[float]]) -> None:
    print("\n### Starting\n")
    print("Target for `--help`: under 0.3 s.\n")
    rows = [(f"`{command}`", spread(seconds)) for command, seconds in measured.items()]
    print(table(["command", "seconds"], rows))


@contextmanager
def checkpoint_to_use(given: Optional[Path]) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        settings = ("train.epochs=1", f"checkpoint.dir={folder}/all", f"log.dir={folder}/log")
        command = [sys.executable, "-m", "mnist.train", "--config", "configs/quickstart.yaml"]
        for setting in settings:
            command += ["--set", setting]
        run(command)
        yield Path(folder) / "all" / "best"


IMPORT, PREDICT = 'python -c "import paddle.fluid"', "python -m mnist.predict IMAGE"


def predict_ways(checkpoint: Path) -> Dict[str, Callable[[], float]]:
    """Reading one image, and Paddle's import alone, in the environment that the verb sets."""
    predict = [sys.executable, "-m", "mnist.predict", IMAGE, "--checkpoint", checkpoint]
    importing = [sys.executable, "-c", "import paddle.fluid"]
    return {
        IMPORT: partial(wall, importing, dict(environment.chosen)),
        PREDICT: partial(wall, predict),
    }


def print_predicting(measured: Dict[str, List[float]]) -> None:
    rows = [
        (f"`{way}`", spread(seconds), spread(ratios(seconds, measured[IMPORT])) + " ×")
        for way, seconds in measured.items()
    ]
    print("\nReading one image, and the import of Paddle that no reading goes without, in the")
    print("same environment:\n")
    print(table(["command", "seconds", "against the import"], rows))


if __name__ == "__main__":
    main()
