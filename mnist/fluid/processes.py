"""Several processes that train one model: each takes its share of every batch.

Paddle 1.8.5 has data parallelism for GPUs only (``DataParallel`` is NCCL). On CPUs the
processes are MPI's: ``mpirun -n 2 python -m mnist.train …``, or ``parallel.workers: 2``, for
which ``mnist.train.start`` starts mpirun. Gradients are averaged in one all-reduce a step,
together with whatever else all must know: the loss, who was right, and whether to stop. The main
process alone reads config, checkpoint and data; the others may be on hosts that have none.
On GPUs, under ``python -m paddle.distributed.launch``, the same calls use ``DataParallel``.
"""

import os
import socket
import sys
from contextlib import contextmanager
from itertools import product
from threading import Thread
from time import sleep
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, TypeVar

import numpy as np

from mnist.base import preflight, ranks, streams
from mnist.base.arrays import Array
from mnist.base.errors import Failure, InputError, Interrupted, MnistError

_T = TypeVar("_T")

# How many seconds a process waits while the main one reads, and downloads, what there is.
_SECONDS_TO_READ = 3600.0


class Group:
    """The processes of a run; this class is that of a process on its own.

    ``rank`` counts them from 0 to ``size`` − 1. Rank 0, the main one, prints and writes.
    """

    rank = 0
    size = 1
    # For the summary, as in "2 processes (MPI)"; empty for one.
    described = ""
    # After how many seconds of waiting for the others a process ends, where anything can tell.
    patience = _SECONDS_TO_READ

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def prepare(self, model: Any) -> None:
        """Make a model ready to be trained together."""

    def scale(self, loss: Any) -> Any:
        """The loss to compute gradients of."""
        return loss

    def exchange(self, model: Any, weight: float, sums: Array) -> Array:
        """Average gradients (and running statistics) of a model, and add up ``sums``.

        ``weight`` is this process's share of the batch, all weights adding up to 1; ``sums``
        is float32 ``[3]``. Every process leaves with the same gradients and sums.
        """
        return sums

    def of_all(self, value: Any) -> List[Any]:
        """What each process has as ``value``, by rank; all wait for it."""
        return [value]

    def share_out(self, array: Array) -> Array:
        """This process's rows of an array, which are those of all together, by rank."""
        return np.array_split(array, self.size)[self.rank]

    def from_main(self, make: Callable[[], _T]) -> _T:
        """What ``make`` returns in the main process, in every process.

        So is an InputError or a Failure. Of processes on GPUs each makes its own.
        """
        return make()

    def abort(self, exit_code: int) -> None:
        """End all processes of the run."""

    def share(self, samples: int) -> Tuple[slice, float]:
        """Which rows of a batch of ``samples`` are this process's, and their weight.

        A batch of fewer samples than processes is computed by all of them.
        """
        if samples < self.size:
            return slice(None), 1 / self.size
        rows = slice(self.rank, None, self.size)
        return rows, len(range(samples)[rows]) / samples


ALONE = Group()


class MpiGroup(Group):
    """Processes that mpirun, or srun, has started, on CPUs."""

    def __init__(self) -> None:
        preflight.require("parallel", "mpi4py")
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            raise Failure(f"started by mpirun, but MPI cannot be loaded: {error}") from error
        self._mpi = MPI
        self._world = MPI.COMM_WORLD
        self.rank = int(self._world.Get_rank())
        self.size = int(self._world.Get_size())
        # How often this process has begun, or ended, to wait for the others: odd while it does.
        self._waits = 0
        Thread(target=self._watch, daemon=True).start()
        hosts = len(set(self.of_all(socket.gethostname())))
        on = f" on {hosts} hosts" if hosts > 1 else ""
        self.described = f"{self.size} processes (MPI{on})"

    def prepare(self, model: Any) -> None:
        from mnist.fluid.layers import on_cpu

        if not on_cpu():
            raise InputError(
                "device.place: gpu, but mpirun's processes compute on CPUs; use --set"
                " device.place=cpu, or start it with python -m paddle.distributed.launch"
            )

    def exchange(self, model: Any, weight: float, sums: Array) -> Array:
        from mnist.fluid.door import fluid

        variables, shares = [], []
        for parameter in model.parameters():
            variables.append(parameter._grad_ivar() if parameter.trainable else parameter)
            # Gradients count by their process's samples, statistics each alike.
            shares.append(np.float32(weight if parameter.trainable else 1 / self.size))
        arrays = [variable.numpy() * share for variable, share in zip(variables, shares)]
        together = np.concatenate([*map(np.ravel, arrays), sums])
        with self._waiting():
            self._world.Allreduce(self._mpi.IN_PLACE, together)
        *parts, sums = np.split(together, np.cumsum([array.size for array in arrays]))
        for variable, array, part in zip(variables, arrays, parts):
            # ``set_value`` would be refused for a gradient.
            variable.value().get_tensor().set(part.reshape(array.shape), fluid.CPUPlace())
        return sums

    def of_all(self, value: Any) -> List[Any]:
        with self._waiting():
            return list(self._world.allgather(value))

    def from_main(self, make: Callable[[], _T]) -> _T:
        with agreed(self):
            value = make() if self.is_main else None
        with self._waiting():
            return self._world.bcast(value)  # type: ignore[no-any-return]

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._waits += 1
        try:
            yield
        except self._mpi.Exception as error:
            raise Failure(f"the connection to the other processes is lost ({error})") from error
        finally:
            self._waits += 1

    def _watch(self) -> None:
        """Count the seconds of a wait; those in which this process itself is stopped do not count.

        MPI waits for ever for a host that is gone, or behind a cable that was cut.
        """
        seen, waited = 0, 0
        while waited < self.patience:
            sleep(1)
            waited = waited + 1 if seen == self._waits and seen % 2 else 0
            seen = self._waits
        ranks.wait_for_the_main_one()
        streams.tell(
            f"error: {ranks.member()} has waited {waited} s for the other processes"
            " (parallel.timeout): a host is gone, or its network; what was saved is whole, and"
            " --resume latest goes on, with fewer hosts if need be\n"
        )
        ranks.aborts.clear()  # MPI is waiting, and would not come to it.
        ranks.end_all(1)
        os._exit(1)

    def abort(self, exit_code: int) -> None:
        sys.stderr.flush()
        # MPI has a message of its own for this; ours has been printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self._world.Abort(exit_code)


class GpuGroup(Group):
    """Processes that ``paddle.distributed.launch`` has started, one a GPU. Never run here.

    Paddle's own collective averages the gradients. It offers nothing else to exchange in
    dygraph, so every process evaluates everything, the loss that is shown is the main
    process's own, a signal ends the run at the last checkpoint, and nobody looks whether all
    hold the same data.
    """

    def __init__(self) -> None:
        from mnist.fluid.door import fluid

        self._parallel = fluid.dygraph.parallel
        environment = self._parallel.Env()
        self.rank = int(environment.local_rank)
        self.size = int(environment.nranks)
        self.described = f"{self.size} processes (NCCL)"
        self._model: Any = None

    def prepare(self, model: Any) -> None:
        self._model = self._parallel.DataParallel(model, self._parallel.prepare_context())

    def scale(self, loss: Any) -> Any:
        return self._model.scale_loss(loss)

    def exchange(self, model: Any, weight: float, sums: Array) -> Array:
        self._model.apply_collective_grads()
        return sums * np.float32(self.size)

    def share_out(self, array: Array) -> Array:
        return array


@contextmanager
def join() -> Iterator[Group]:
    """The group this process was started in; an error in one process ends them all.

    Only the main process prints. When all have the same error, only it tells.
    """
    try:
        group = _make_group()
        ranks.aborts.append(group.abort)
        yield group
    except Exception as error:
        if ranks.rank():
            if isinstance(error, Interrupted) and error.by_all:
                # After the same step; the main one says so.
                sys.exit(error.exit_code)
            ranks.wait_for_the_main_one()
            error.args = (f"{ranks.member()}: {error}",)
        raise


def _make_group() -> Group:
    if ranks.size() == 1:
        if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
            raise InputError(
                "srun has started several processes that know nothing of each other, and each would"
                " train alone; start them with srun --mpi=pmi2, or one with srun -n 1"
            )
        return Group()
    return MpiGroup() if any(name in os.environ for name, _ in ranks.MPI) else GpuGroup()


@contextmanager
def agreed(group: Group) -> Iterator[None]:
    """An error in here in one process is an error in all, before any of them goes on."""
    own: Optional[MnistError] = None
    try:
        yield
    except (InputError, Failure) as error:
        own = error
    found = group.of_all(own and type(own)(f"{ranks.member()}: {own}"))
    errors = [error for error in found if error]
    if errors:
        raise own or errors[0]


def require_same(group: Group, held: Dict[str, str]) -> None:
    """InputError if processes differ in what they hold, by its name."""
    (main, ours), *others = group.of_all((ranks.member(), held))
    for name, (member, theirs) in product(ours, others):
        if theirs.get(name) != ours[name]:
            raise InputError(
                f"{name}: {ours[name]} for {main}, but {theirs.get(name)} for {member}; processes"
                " that train together need the same versions"
            )
