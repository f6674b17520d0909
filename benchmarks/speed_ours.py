"""Worker of speed.py: training steps of ours, alone or under mpirun; or Paddle's matrix product.

    python benchmarks/speed_ours.py SECONDS RUN [RUN...]
    python benchmarks/speed_ours.py --gemm

A RUN is JSON: ``{"config": FILE or null, "settings": [...], "evaluate": true}``. After each one's
steps it evaluates on eval, if so told.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, Dict

from common import MNIST, time_steps
from stepping import Stepper, without_collector

from mnist.data import dataset
from mnist.data.dataset import Split
from mnist.fluid import processes
from mnist.fluid.door import fluid
from mnist.fluid.processes import Group
from mnist.model.evaluation import evaluate

GEMM_SIZE = 2048
GEMM_TRIES = 20
EVALUATIONS = 2
WARM_UP_IMAGES = 1000


def main() -> None:
    if sys.argv[1] == "--gemm":
        print(json.dumps({"flops": gemm()}))
        return
    seconds, wanted = float(sys.argv[1]), [json.loads(text) for text in sys.argv[2:]]
    data = dataset.load(MNIST)
    with processes.join() as group, fluid.dygraph.guard(fluid.CPUPlace()):
        timed = [time_run(run, seconds, data, group) for run in wanted]
        if group.is_main:
            print(json.dumps({"runs": timed}))


def time_run(
    wanted: Dict[str, Any], seconds: float, data: dataset.Dataset, group: Group
) -> Dict[str, Any]:
    """What one model's steps took, and its evaluations."""
    file = wanted["config"] and Path(wanted["config"])
    # A group of its own: it remembers the buffer of the model whose gradients it exchanges.
    stepper = Stepper(wanted["settings"], data, type(group)(), file)
    with without_collector():
        timed = time_steps(stepper.steps(), seconds, lambda n: group.from_main(lambda: n))
        timed["cpu"] = sum(group.of_all(timed["cpu"]))
        evaluated = time_evaluation(stepper, group) if wanted["evaluate"] else None
    return {
        **timed,
        "images": timed["steps"] * stepper.config.data.batch_size,
        "evaluated": evaluated,
        "parameters": stepper.model.count_parameters(),
        "kernels": "c" if stepper.model.engine else "fluid",
    }


def time_evaluation(stepper: Stepper, group: Group) -> float:
    """Images a second over eval, once it has been warmed up."""
    split, loader = stepper.data.eval, stepper.config.data.loader
    first = Split(split.images[:WARM_UP_IMAGES], split.labels[:WARM_UP_IMAGES])
    evaluate(stepper.model, first, stepper.place, loader, group=group)
    started = time.perf_counter()
    for _ in range(EVALUATIONS):
        evaluate(stepper.model, split, stepper.place, loader, group=group)
    return EVALUATIONS * len(split) / (time.perf_counter() - started)


def gemm() -> float:
    """The most operations a second that Paddle's matrix product reached."""
    best = 0.0
    with fluid.dygraph.guard(fluid.CPUPlace()), fluid.dygraph.no_grad():
        matrix = fluid.layers.uniform_random([GEMM_SIZE, GEMM_SIZE])
        for _ in range(GEMM_TRIES):
            started = time.perf_counter()
            fluid.layers.matmul(matrix, matrix)
            best = max(best, 2 * GEMM_SIZE**3 / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
