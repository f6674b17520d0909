"""The checkpoints of a run: room made for them, saved, the best one pointed at, ``result.json``.

All processes of a run call what is here; the one that has the store writes.
"""

import math
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from mnist.base import notes
from mnist.base.errors import Failure
from mnist.checkpoints import reading, records
from mnist.checkpoints.records import Checkpoint, EpochRecord, RunState
from mnist.checkpoints.store import CheckpointStore
from mnist.model import restore
from mnist.model.evaluation import Evaluation
from mnist.train.learner import Learner


def make_room(
    store: CheckpointStore, state: RunState, source: Optional[Checkpoint], name: str
) -> List[str]:
    """Move checkpoints that are in the way to the sub-folder ``name``; what to say of that.

    Those are an earlier run's, and of the run that goes on from ``source`` the later ones.
    """
    own = source.path.resolve() if source else None
    inside = own is not None and own.parent == store.folder.resolve()
    in_the_way = [
        path
        for path in reading.checkpoints_in(store.folder)
        if not inside or (reading.steps_of(path) > state.step and path.resolve() != own)
    ]
    aside = store.set_aside(in_the_way, name)
    return [f"{len(in_the_way)} checkpoint(s) of an earlier run moved to {aside}"] if aside else []


class Saving:
    """Saves what a learner has come to. ``store`` is None in all processes but the main one."""

    def __init__(self, learner: Learner, store: Optional[CheckpointStore]) -> None:
        self._learner = learner
        self._store = store

    def save(self, must: bool = False) -> Optional[Path]:
        """Write a checkpoint, and point at the best where it is that of a finished epoch.

        None if this process does not, or if that failed, and the config has the run go on.
        """
        learner, state = self._learner, self._learner.state
        for parameter, variable in learner.model.named_parameters():
            if not np.isfinite(variable.numpy()).all():
                self.fail(f"{parameter} holds NaN or infinity")
        if self._store is None:
            return None
        name = f"step{state.step}" if state.step_in_epoch else f"epoch{state.epoch}"
        try:
            with learner.averaged() as training:
                weights, accumulators = learner.model.state_dict(), learner.optimizer.state_dict()
                path = self._store.save(name, weights, accumulators, state, training)
            if not state.step_in_epoch:
                self.point_at_best()
            return path
        except Failure as error:
            if must or learner.config.checkpoint.on_failure == "stop":
                raise
            notes.warn(f"{error}; going on without this checkpoint (checkpoint.on_failure)")
            return None

    def point_at_best(self) -> None:
        """Point ``best`` at the best epoch that is kept, if there is one."""
        if self._store is not None:
            best = self._best_kept(self._store)
            if best is not None:
                self._store.mark_best(f"epoch{best.epoch}")

    def _best_kept(self, store: CheckpointStore) -> Optional[EpochRecord]:
        """The best epoch of which the folder has the checkpoint."""
        there = {path.name for path in reading.checkpoints_in(store.folder)}
        history = self._learner.state.history
        return records.best_record(r for r in history if f"epoch{r.epoch}" in there)

    def take_best(self) -> Optional[EpochRecord]:
        """Put the best saved model's parameters into the model, in every process."""

        def read() -> Tuple[Optional[EpochRecord], Optional[Checkpoint]]:
            best = self._best_kept(self._store) if self._store else None
            path = Path(self._learner.config.checkpoint.dir)
            return best, reading.load(path / f"epoch{best.epoch}") if best else None

        best, source = self._learner.group.from_main(read)
        if source is not None:
            restore.parameters(self._learner.model, source)
        return best

    def require_finite(self, value: float, what: str) -> None:
        """Failure, which says what to try, for a loss that is not finite."""
        if not math.isfinite(value):
            self.fail(f"{what} is {value}")

    def fail(self, what: str) -> None:
        """End a run that has gone wrong: raises Failure."""
        config, state = self._learner.config, self._learner.state
        last = Path(config.checkpoint.dir) / "latest"
        kept = f"the last good checkpoint is {last}" if last.exists() else "nothing was saved yet"
        raise Failure(
            f"{what} at epoch {state.epoch + 1}, step {state.step + 1}; {kept}. Try a lower"
            f" optimizer.learning_rate (now {config.optimizer.learning_rate}) or an"
            " optimizer.clip_norm"
        )


def summary(learner: Learner, best: Optional[EpochRecord], result: Evaluation) -> Dict[str, Any]:
    """What ``result.json`` holds: what the run came to, and what it was."""
    state = learner.state
    return {
        "eval": {"accuracy": result.accuracy, "loss": result.loss, "count": result.count},
        "best": best.model_dump() if best else None,
        "history": [record.model_dump() for record in state.history],
        "parameters": learner.model.count_parameters(),
        "seconds": sum(record.seconds for record in state.history),
        "data": {
            "path": state.data_path,
            "sha256": state.data_sha256,
            "fallback": state.data_fallback,
        },
        **state.model_dump(include={"config", "versions", "device", "kernels", "teachers"}),
    }
