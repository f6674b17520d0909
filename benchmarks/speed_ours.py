"""Worker of speed.py: training steps of ours, alone or under mpirun; or Paddle's matrix product.

python benchmarks/speed_ours.py SECONDS [SETTING...]     # settings as for --set
python benchmarks/speed_ours.py --gemm
"""

import json
import sys
import time

from common import MNIST, time_steps
from stepping import Stepper, without_collector

from mnist.data import dataset
from mnist.fluid import processes
from mnist.fluid.door import fluid

GEMM_SIZE = 2048
GEMM_TRIES = 10


def main() -> None:
    if sys.argv[1] == "--gemm":
        print(json.dumps({"flops": gemm()}))
        return
    seconds, settings = float(sys.argv[1]), sys.argv[2:]
    with processes.join() as group, fluid.dygraph.guard(fluid.CPUPlace()):
        stepper = Stepper(settings, dataset.load(MNIST), group)
        with without_collector():
            timed = time_steps(stepper.steps(), seconds, group.from_main)
        timed["cpu"] = group.total(timed["cpu"])
        if group.is_main:
            print(json.dumps({**timed, "images": timed["steps"] * stepper.config.data.batch_size}))


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
