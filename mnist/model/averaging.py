"""An exponential moving average of a model's weights, to evaluate and to save.

The average over the last part of a training generalises better than the weights at its end
(Polyak and Juditsky 1992; Izmailov et al. 2018). A batch norm's running statistics are
averaged with them.
"""

from contextlib import contextmanager
from typing import Any, Iterator, Optional

import numpy as np

from mnist.base.arrays import Arrays

# Steps between two updates: the average changes little in one, and a copy costs.
EVERY = 10


class WeightAverage:
    """The average of the parameters of ``model``, ``decay`` being that of one step."""

    def __init__(self, model: Any, decay: float) -> None:
        self._parameters = dict(model.named_parameters())
        self._decay = decay
        # None before the first update.
        self._arrays: Optional[Arrays] = None

    def restore(self, arrays: Arrays, step: int) -> None:
        """Go on with the average as it was saved after ``step`` steps."""
        if step >= EVERY:
            self._arrays = {name: array.copy() for name, array in arrays.items()}

    def update(self, step: int) -> None:
        """Take in the parameters after ``step`` steps, if it is their turn.

        The decay begins lower, so that the first weights, which are random, do not stay.
        """
        if step % EVERY:
            return
        now = {name: parameter.numpy() for name, parameter in self._parameters.items()}
        if self._arrays is None:
            self._arrays = now
            return
        keep = np.float32(min(self._decay**EVERY, 1 - EVERY / (step + EVERY)))
        for name, average in self._arrays.items():
            average *= keep
            average += (1 - keep) * now[name]

    @contextmanager
    def in_place(self) -> Iterator[Arrays]:
        """Put the average into the model for a while; yields the weights it stands in for."""
        own = {name: parameter.numpy() for name, parameter in self._parameters.items()}
        self._set(self._arrays or own)
        try:
            yield own
        finally:
            self._set(own)

    def _set(self, arrays: Arrays) -> None:
        for name, parameter in self._parameters.items():
            parameter.set_value(arrays[name])
