"""Every random stream of a run, derived from (seed, epoch, step) and nothing else.

Paddle 1.8.5 restarts a seeded operator's stream at every call: with one program seed, all
dropout masks are the same and layers of one shape start equal. So nothing here relies on
its global seed: shuffles and masks come from NumPy, and each layer's initializer gets a
seed of its own. A run that is resumed draws exactly what the unbroken one draws.
"""

import zlib
from typing import Any, Iterator

import numpy as np


def stream(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """The generator for one purpose at one place of a run.

    ``purpose`` keeps streams apart ("shuffle", "dropout"…); ``position`` is where in the
    run, such as the epoch or the step. Equal arguments give equal streams, and streams of
    neighbouring positions are independent (numpy.random.SeedSequence).
    """
    # The length is part of the key: SeedSequence takes [1, 5] and [1, 5, 0] for the same.
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), len(position), *position])


def shuffled(count: int, seed: int, epoch: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The order of ``count`` training samples in an epoch: int64 ``[count]``."""
    return stream(seed, "shuffle", epoch).permutation(count)


def layer_seeds(seed: int) -> Iterator[int]:
    """Seeds for the initializers of one model's parameters, in their order.

    Never 0, which means "from the clock" to Paddle.
    """
    source = stream(seed, "initial parameters")
    while True:
        yield int(source.integers(1, 2**31 - 1))
