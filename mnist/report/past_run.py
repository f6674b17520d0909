"""What a run left behind: its checkpoint, the history of its epochs, its curves."""

import json
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from pydantic import BaseModel, ValidationError

from mnist.base.errors import InputError
from mnist.base.files import find_input, read_input
from mnist.checkpoints import course_pairs, reading, records
from mnist.checkpoints.records import Checkpoint, EpochRecord, RunState
from mnist.config.schema import dotted
from mnist.model import opening
from mnist.tensorboard import reader

Points = List[Tuple[float, float]]


class EvalResult(BaseModel):
    """What the training itself measured on eval, with its best model."""

    accuracy: float
    loss: float
    count: int


class _Result(BaseModel):
    """The part of ``result.json`` that a report shows."""

    history: List[EpochRecord]
    eval: EvalResult


@dataclass(frozen=True)
class Run:
    """One run, as far as its files tell.

    ``history`` is of the whole run, so it may go on after the checkpoint's own epoch.
    ``curves``: name in the event files → (epoch, value), the epoch being a fraction inside
    an epoch; empty unless event files of this very run were found.
    """

    name: str
    source: Checkpoint
    history: List[EpochRecord]
    curves: Dict[str, Points]
    trained: Optional[EvalResult]

    @property
    def state(self) -> Optional[RunState]:
        return self.source.state

    @property
    def epoch(self) -> Optional[int]:
        """Finished epochs at the checkpoint; None if unknown."""
        return self.state.epoch if self.state else self.source.epochs_done

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        arrays, other = self.source.parameters, course_pairs.RUNNING_STATISTICS
        return sum(int(arrays[name].size) for name in arrays if not name.endswith(other))

    def config(self) -> Dict[str, str]:
        """Dotted key → value as text; what a course pair's shapes tell, in its place."""
        values = self.state.config if self.state else {"model": self.source.model}
        return {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in dotted(values)
        }


def read(name: Optional[str], assume: Sequence[str] = ()) -> Run:
    """The run that a user names: a checkpoint, a course prefix, or a folder with its ``best``.

    None is ``checkpoints/best``; ``assume`` is for a pair (``opening.open_checkpoint``). Raises
    InputError if there is no whole checkpoint.
    """
    source = opening.open_checkpoint(name, assume)
    shown = name or str(source.named)
    if source.state is None:
        return Run(shown, source, [], {}, None)
    folder, own = source.path.resolve().parent, source.state.history
    history, trained = own, None
    # What lies beside the checkpoint may be another run's, or not be there yet.
    with suppress(InputError):
        latest = reading.read_state(folder / "latest").history
        history = latest if own and latest[: len(own)] == own else own
    with suppress(InputError, ValidationError):
        content = read_input(folder / records.RESULT, records.MAX_JSON_BYTES)
        result = _Result.model_validate_json(content)
        trained = result.eval if own and result.history[: len(own)] == own else None
    usable = [record for record in history if _is_usable(record)]
    return Run(shown, source, usable, _curves_of(source.state, usable), trained)


def _is_usable(record: EpochRecord) -> bool:
    """Whether a record can be drawn; no training writes another."""
    numbers = [value for value in record.model_dump().values() if isinstance(value, (int, float))]
    return record.epoch > 0 and record.step > 0 and all(abs(value) < 1e12 for value in numbers)


def _curves_of(state: RunState, history: List[EpochRecord]) -> Dict[str, Points]:
    """The curves of the run's event files, against epochs.

    The folder in the config may hold another run's by now: in its own is every epoch's loss on
    valid, to float32.
    """
    log = state.config.get("log")
    folder = log.get("dir") if isinstance(log, dict) else None
    if not history or not isinstance(folder, str):
        return {}
    try:
        curves = reader.curves_in(find_input(folder))
    except (InputError, OSError, ValueError):  # the last for a path that cannot be one
        return {}
    losses = dict(curves.get("valid/loss", []))
    for record in history:
        if not math.isclose(losses.get(record.step, math.nan), record.valid_loss, rel_tol=1e-5):
            return {}
    steps_per_epoch = history[0].step / history[0].epoch
    last = history[-1].step
    return {
        name: [(step / steps_per_epoch, value) for step, value in points
               if step <= last and math.isfinite(value)]
        for name, points in curves.items()
    }  # fmt: skip
