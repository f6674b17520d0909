"""What ``mnist.train`` tells: printed for people, and as curves and pictures in TensorBoard.

A progress bar with speed, loss and time to go on a terminal; plain lines elsewhere.
"""

import shlex
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ContextManager, List, Optional, Tuple

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from mnist import config as configs
from mnist.base.console import make_console, make_progress, make_table, percent, print_table
from mnist.checkpoints.records import RESULT, Checkpoint, EpochRecord, RunState, best_record
from mnist.checkpoints.store import CheckpointStore
from mnist.config.classes import are_digits
from mnist.data.dataset import Dataset
from mnist.fluid import environment
from mnist.kernels import engine
from mnist.model import architectures
from mnist.model.calibration import FEWEST
from mnist.model.evaluation import Evaluation
from mnist.tensorboard import writer
from mnist.tensorboard.observer import Observer
from mnist.tensorboard.writer import Tracker
from mnist.train.learner import Learner


def open_curves(logs: Path, state: RunState, goes_on: bool, name: str) -> Tuple[Tracker, List[str]]:
    """The curves' writer, and what to say: an earlier run's are moved to the sub-folder ``name``.

    Of a run that ``goes_on`` those stay that it will not write again.
    """
    moved = []
    if goes_on:
        writer.purge_after(logs, state.step, state.step_in_epoch == 0)
    elif writer.set_aside(logs, name):
        moved = [f"curves of an earlier run moved to a folder of their own in {logs}"]
    return Tracker(logs), moved


class Telling:
    """Tells how a run goes; where it stands is the learner's ``state``.

    ``tracker`` is None in all processes but the main one; the others tell nothing. ``bar`` is a
    context manager, drawn inside of it only.
    """

    def __init__(self, learner: Learner, data: Dataset, tracker: Optional[Tracker]) -> None:
        self._learner, self._data = learner, data
        self._config, self._state = learner.config, learner.state
        self._observer: Optional[Observer] = None
        if tracker is not None:
            run = learner.config, data, learner.model, learner.state, learner.steps_per_epoch
            self._observer = Observer(*run, tracker)
        self._console = make_console()
        self._console.quiet = tracker is None
        # Above the progress bar where there is one.
        self._print = self._console.print
        self.bar = make_progress(
            self._console,
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[speed]:,.0f} images/s"),
            TimeRemainingColumn(),
        )
        self._task = self.bar.add_task("", visible=False)
        # When the curves got their last point of a step, and how many samples that was after.
        self._tracked = 0.0, 0

    def introduce(self, notes: List[str], source: Optional[Checkpoint]) -> None:
        """Data, device, what else there is to know, the model; and where the run goes on from."""
        learner, data, state = self._learner, self._data, self._state
        classes = f"; {len(data.classes)} classes: {', '.join(data.classes)}"
        self._print(
            f"data    {data.source}: {len(data.train):,} train, {len(data.valid):,} valid,"
            f" {len(data.eval):,} eval{'' if are_digits(data.classes) else classes}"
        )
        computing = engine.describe(learner.model.engine, self._config.device)
        about = [state.device, computing, learner.group.described, environment.describe()]
        self._print(f"device  {'; '.join(filter(None, about))}")
        for teacher, digest in zip(self._config.train.teachers, state.teachers):
            self._print(f"teacher {teacher} (SHA-256 {digest[:12]}…)")
        for note in notes:
            self._print(f"note    {note}")
        table = make_table("layer", "weight and bias", "parameters")
        for layer, shapes, count in architectures.summarize(learner.model):
            table.add_row(layer, shapes, f"{count:,}")
        parameters = f"{learner.model.count_parameters():,} parameters"
        print_table(self._console, f"{self._config.model.name}: {parameters}", table)
        if source is not None:
            done = f"{state.epoch} epoch(s) done, step {state.step}"
            self._print(f"resumed from {source.path}: {done}")
        observer = self._observer
        if observer is not None and observer.tracker.is_new:
            observer.tracker.text("run/config", configs.to_yaml(self._config), state.step)
            about_data = f"path: {state.data_path}\nsha256: {state.data_sha256}"
            fallback = f"\nFALLBACK: {state.data_fallback}" if state.data_fallback else ""
            observer.tracker.text("run/data", about_data + fallback, state.step)
            observer.begin()

    def begin_epoch(self) -> None:
        """An epoch starts, or goes on where it was left."""
        state = self._state
        epoch = f"{state.epoch + 1}/{self._config.train.epochs}"
        self.bar.reset(
            self._task, total=self._learner.steps_per_epoch, completed=state.step_in_epoch,
            visible=True, epoch=epoch, loss=0.0, speed=0.0,
        )  # fmt: skip
        self._tracked = time.perf_counter(), state.samples

    def minimizing(self, images: Any, labels: Any) -> ContextManager[None]:
        """Around the optimizer's step, which is shown with the batch (see ``Observer.step``)."""
        return self._observer.step(images, labels) if self._observer else nullcontext()

    def step(self, loss: float, accuracy: float) -> None:
        """One more batch is trained."""
        state, every = self._state, self._config.log.every_steps
        speed = state.samples / state.epoch_seconds
        self.bar.update(self._task, completed=state.step_in_epoch, loss=loss, speed=speed)
        if self.bar.disable and state.step_in_epoch % every == 0:
            self._print(
                f"epoch {state.epoch + 1}/{self._config.train.epochs}"
                f"  step {state.step_in_epoch}/{self._learner.steps_per_epoch}"
                f"  loss {loss:.4f}  {speed:,.0f} images/s"
            )
        if self._observer is not None and state.step % every == 0:
            (before, samples), now = self._tracked, time.perf_counter()
            self._tracked = now, state.samples
            values = {
                "train/loss": loss,
                "train/accuracy": accuracy,
                "train/learning_rate": self._learner.last_rate(),
                "train/images_per_second": (state.samples - samples) / (now - before),
            }
            self._observer.tracker.scalars(values, state.step)

    def evaluated(self, split: str, result: Evaluation) -> None:
        """On ``valid``, the epoch being counted as finished, or on ``eval`` at the end."""
        observer = self._observer
        if observer is not None:
            values = {f"{split}/loss": result.loss, f"{split}/accuracy": result.accuracy}
            observer.tracker.scalars(values, self._state.step)
            after = {"valid": observer.after_valid, "eval": observer.after_eval}
            after[split](result)

    def epoch(self, record: EpochRecord) -> None:
        """An epoch is saved."""
        is_best = best_record(self._state.history) is record
        self._print(
            f"epoch {record.epoch}/{self._config.train.epochs}"
            f"  train loss {record.train_loss:.4f} accuracy {percent(record.train_accuracy)}"
            f"  valid loss {record.valid_loss:.4f} accuracy {percent(record.valid_accuracy)}"
            f"  {record.seconds:.1f} s" + ("  best so far" if is_best else "")
        )

    def close(
        self, best: Optional[EpochRecord], result: Evaluation, store: CheckpointStore
    ) -> None:
        """Every epoch in a table, and where what is."""
        state = self._state
        stopped_early = state.epoch < self._config.train.epochs
        seconds = sum(record.seconds for record in state.history)
        # A run that went on from elsewhere, with nothing left to train, has saved nothing here.
        pointers = store.pointers()
        there = ", ".join(pointers) + "; " if pointers else ""
        of_best = f" (the model of epoch {best.epoch}, best on valid)" if best else ""
        fallback, few = state.data_fallback, len(self._data.valid) < FEWEST
        untempered = f"no temperature is fitted on fewer than {FEWEST:,} images of valid"
        notes = {
            "stopped": "early: valid did not improve any more" if stopped_early else "",
            "DATA": f"{state.data_path}: {fallback}" if fallback else "",
            "eval": f"accuracy {percent(result.accuracy)}, loss {result.loss:.4f}{of_best}",
            "confidence": f"as the network gives it: {untempered}" if few else "",
            "time": f"{seconds:.1f} s of training and validation",
            "checkpoints": f"{store.folder}/ ({there}{RESULT} has the figures)",
            "curves": f"tensorboard --logdir {shlex.quote(self._config.log.dir)}",
        }
        self._print_history()
        for name, text in notes.items():
            if text:
                self._print(f"{name:<11}  {text}")

    def _print_history(self) -> None:
        """Every epoch, the best one marked."""
        best = best_record(self._state.history)
        table = make_table(
            *("epoch", "train\nloss", "train\naccuracy", "valid\nloss", "valid\naccuracy"),
            *("learning\nrate", "images\nper s", "seconds"),
        )
        for record in self._state.history:
            table.add_row(
                f"{record.epoch}{' *' if record is best else ''}",
                f"{record.train_loss:.4f}",
                percent(record.train_accuracy),
                f"{record.valid_loss:.4f}",
                percent(record.valid_accuracy),
                f"{record.learning_rate:.2g}",
                f"{record.images_per_second:,.0f}",
                f"{record.seconds:.1f}",
            )
        print_table(self._console, "The run (* best on valid)", table)
