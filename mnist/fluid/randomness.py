"""Random operators of layers that are not ours, drawn from streams that can be drawn again.

Without a seed Paddle 1.8.5 takes the clock. With the program's seed every layer of one shape
starts equal, and dropout repeats one mask for ever. So each operator gets a seed of its own here.
"""

import random
from contextlib import contextmanager
from itertools import chain
from typing import Any, Iterator

import numpy as np

from mnist.fluid.door import fluid


@contextmanager
def drawn_from(source: np.random.Generator) -> Iterator[None]:
    """Give each random operator that has no seed the next one of ``source``.

    Initializers and dropout are such; Python's and NumPy's global generators start from there, too,
    and are put back at the end.
    """

    def seed() -> int:
        return int(source.integers(1, 2**31 - 1))  # 0 means "from the clock" to Paddle.

    def trace(kind: str, inputs: Any, outputs: Any, attributes: Any, *others: Any) -> None:
        if attributes.get("seed", None) == 0:
            attributes = {**attributes, "seed": seed()}
        trace_op(kind, inputs, outputs, attributes, *others)

    def drop(values: Any, *attributes: Any) -> Any:
        given = dict(zip(attributes[::2], attributes[1::2]))
        if not given["fix_seed"]:
            given.update(fix_seed=True, seed=seed())
        return dropout(values, *chain(*given.items()))

    tracer, operators = fluid.framework._dygraph_tracer(), fluid.core.ops
    trace_op, dropout = tracer.trace_op, operators.dropout
    states = random.getstate(), np.random.get_state()
    random.seed(seed())
    np.random.seed(seed())
    tracer.trace_op, operators.dropout = trace, drop
    try:
        yield
    finally:
        tracer.trace_op, operators.dropout = trace_op, dropout
        random.setstate(states[0])
        np.random.set_state(states[1])
