"""The loop: a config and a data set in, checkpoints and curves out.

``train`` is the one entry point. Everything runs under ``fluid.dygraph.guard`` on the place
that the config names. All randomness comes from (seed, epoch, step), and the state that is
saved is the state between two steps, so a run that is stopped and resumed computes what the
unbroken one computes.
"""

import math
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from mnist import checkpoint, cli, device, losses, models, optimizers, resumption, tracking
from mnist import config as configs
from mnist.checkpoint import Checkpoint, CheckpointStore, EpochRecord, RunState
from mnist.config import Config
from mnist.console import Reporter, percent
from mnist.dataset import Dataset
from mnist.errors import Failure, InputError, Interrupted
from mnist.evaluation import Evaluation, evaluate
from mnist.framework import fluid
from mnist.loader import count_batches, feed, training_batches
from mnist.resumption import Resumption
from mnist.signals import StopRequest


def train(
    config: Config,
    data: Dataset,
    fallback: Optional[str] = None,
    resume: Optional[Resumption] = None,
) -> Dict[str, Any]:
    """Train as ``config`` says, evaluate the best model on eval, return ``result.json``'s content.

    ``fallback`` says why ``data`` is not the data set that the config names first.
    Raises InputError before anything is written if the run cannot be what was asked for,
    Failure if it breaks, Interrupted (after saving) if a signal stopped it.
    """
    place = device.choose_place(config.device)
    state = resumption.initial_state(config, data, fallback, place, resume)
    # The guard makes Paddle's generated names start anew for this run's model.
    with fluid.dygraph.guard(place), fluid.unique_name.guard():
        run = _Run(config, data, place, state)
        if resume is not None:
            run.restore(resume.checkpoint)
        folder = Path(config.checkpoint.dir)
        with CheckpointStore(folder, config.checkpoint.keep_last) as store:
            return run.go(store, resume)


# --- the run ---------------------------------------------------------------------------


class _Run:
    """One training under way: the model, its optimizer, and where it stands."""

    def __init__(self, config: Config, data: Dataset, place: Any, state: RunState) -> None:
        self.config = config
        self.data = data
        self.place = place
        self.state = state
        self.steps_per_epoch = count_batches(len(data.train), config.data.batch_size)
        self.model = models.build(config.model, config.train.seed)
        total_steps = config.train.epochs * self.steps_per_epoch
        self.optimizer = optimizers.build(
            config.optimizer, self.model.parameters(), total_steps, self.steps_per_epoch
        )
        optimizers.create_state(self.optimizer, self.model.parameters())

    def restore(self, source: Checkpoint) -> None:
        """Take parameters, accumulators and the schedule's position from a checkpoint."""
        checkpoint.restore_parameters(self.model, source)
        names = {p.name: name for name, p in self.model.named_parameters()}
        accumulators = source.named_as(list(names.values())).accumulators or {}
        try:
            optimizers.set_state(self.optimizer, names, accumulators, self.state.step)
        except ValueError as error:
            raise InputError(
                f"{source.path}: the optimizer's state does not fit"
                f" optimizer.name={self.config.optimizer.name}: {error}"
            ) from error

    def go(self, store: CheckpointStore, resume: Optional[Resumption]) -> Dict[str, Any]:
        """Train to the end (or the early stop) and evaluate the best model."""
        self.store = store
        logs = Path(self.config.log.dir)
        notes = self._make_room(logs, resume)
        reporter = Reporter(
            self.config.train.epochs, self.steps_per_epoch, self.config.log.every_steps
        )
        tracker = closing(tracking.Tracker(logs))
        with StopRequest() as self.stop, reporter as self.reporter, tracker as self.tracker:
            self._introduce(notes, resume)
            self._train_epochs()
            return self._conclude()

    def _make_room(self, logs: Path, resume: Optional[Resumption]) -> List[str]:
        """Move what an earlier run left in the way aside; say so."""
        step = self.state.step if resume else -1
        source = resume.checkpoint.path.resolve() if resume else None
        inside = source is not None and source.parent == self.store.folder.resolve()
        in_the_way = [
            path
            for path in checkpoint.checkpoints_in(self.store.folder)
            if not inside or (checkpoint.steps_of(path) > step and path.resolve() != source)
        ]
        notes = []
        aside = self.store.set_aside(in_the_way)
        if aside:
            notes.append(f"{len(in_the_way)} checkpoint(s) of an earlier run moved to {aside}")
        if resume:
            tracking.purge_after(logs, step, self.state.step_in_epoch == 0)
            self._point_at_best()
        elif tracking.set_aside(
            logs, aside.name if aside else time.strftime("earlier-%Y%m%d-%H%M%S")
        ):
            notes.append(f"curves of an earlier run moved to a folder of their own in {logs}")
        return notes

    def _introduce(self, notes: List[str], resume: Optional[Resumption]) -> None:
        state, say = self.state, self.reporter.line
        data = self.data
        say(f"data    {data.source}: {len(data.train):,} train, {len(data.valid):,} valid,"
            f" {len(data.eval):,} eval")  # fmt: skip
        say(f"device  {state.device}; {device.describe_process()}")
        for note in notes:
            say(f"note    {note}")
        rows = models.summarize(self.model)
        self.reporter.model(self.config.model.name, rows, self.model.count_parameters())
        if resume:
            path = resume.checkpoint.path
            say(f"resumed from {path}: {state.epoch} epoch(s) done, step {state.step}")
        else:
            self.tracker.text("run/config", configs.to_yaml(self.config), 0)
            self.tracker.text("run/data", self._describe_data(), 0)

    def _describe_data(self) -> str:
        lines = [f"path: {self.state.data_path}", f"sha256: {self.state.data_sha256}"]
        if self.state.data_fallback:
            lines.append(f"FALLBACK: {self.state.data_fallback}")
        return "\n".join(lines)

    # --- epochs ---

    def _train_epochs(self) -> None:
        while self.state.epoch < self.config.train.epochs and not self._out_of_patience():
            started = time.perf_counter() - self.state.epoch_seconds
            self._train_epoch(started)
            self._finish_epoch(started)

    def _out_of_patience(self) -> bool:
        """Whether valid's accuracy has not risen for ``early_stopping_patience`` epochs."""
        patience = self.config.train.early_stopping_patience
        accuracies = [record.valid_accuracy for record in self.state.history]
        if patience is None or not accuracies:
            return False
        return len(accuracies) - 1 - accuracies.index(max(accuracies)) >= patience

    def _train_epoch(self, started: float) -> None:
        """The batches of the epoch under way that are still to come."""
        state, config = self.state, self.config
        batches = training_batches(
            self.data.train, config.data.batch_size, config.train.seed, state.epoch,
            start=state.step_in_epoch,
        )  # fmt: skip
        # Not only at the start of the run: evaluation, or an exception that was caught,
        # may have left autograd switched off, and training then changes nothing, silently.
        self.model.train()
        self.reporter.begin_epoch(state.epoch + 1, state.step_in_epoch)
        logged_at, logged_samples = time.perf_counter(), state.samples
        with closing(feed(batches, config.data.loader, self.place)) as feeding:
            for images, labels in feeding:
                loss, accuracy = self._step(images, labels)
                state.epoch_seconds = time.perf_counter() - started
                speed = state.samples / state.epoch_seconds
                self.reporter.step(state.epoch + 1, state.step_in_epoch, loss, speed)
                if state.step % config.log.every_steps == 0:
                    now = time.perf_counter()
                    window = (state.samples - logged_samples) / (now - logged_at)
                    logged_at, logged_samples = now, state.samples
                    self._log_step(loss, accuracy, window)
                self._save_inside_epoch()
        # A signal may have come after the last step's look at it.
        self._stop_if_asked()

    def _step(self, images: Any, labels: Any) -> Tuple[float, float]:
        """Forward, loss, backward, minimize, clear; the batch's loss and accuracy."""
        self.model.begin_step(self.state.step)
        outputs = self.model(images)
        loss = losses.compute(self.config.model.loss, outputs, labels)
        value = float(loss.numpy()[0])
        self._require_finite(value, "the training loss")
        loss.backward()
        self.optimizer.minimize(loss)
        self.model.clear_gradients()
        digits = losses.digits(self.config.model.loss, outputs.numpy())
        correct = int(np.sum(digits == labels.numpy()[:, 0]))
        self._count(value, correct, len(digits))
        return value, correct / len(digits)

    def _count(self, loss: float, correct: int, samples: int) -> None:
        self.state.step += 1
        self.state.step_in_epoch += 1
        self.state.loss_sum += loss * samples
        self.state.correct += correct
        self.state.samples += samples

    def _log_step(self, loss: float, accuracy: float, images_per_second: float) -> None:
        values = {
            "train/loss": loss,
            "train/accuracy": accuracy,
            "train/learning_rate": self._last_rate(),
            "train/images_per_second": images_per_second,
        }
        self.tracker.scalars(values, self.state.step)

    def _last_rate(self) -> float:
        return optimizers.rate_at(self.optimizer, self.state.step - 1)

    def _save_inside_epoch(self) -> None:
        every = self.config.checkpoint.every_steps
        if self.state.step_in_epoch < self.steps_per_epoch:
            if every and self.state.step % every == 0 and self.stop.signal_number is None:
                self._save(f"step{self.state.step}")
            self._stop_if_asked()

    def _finish_epoch(self, started: float) -> None:
        """Evaluate on valid, record, save, and mark the best."""
        state = self.state
        valid = self._evaluate_split("valid")
        self._require_finite(valid.loss, "the loss on valid")
        # Stopped while evaluating: the epoch's steps are saved, the evaluation comes again.
        self._stop_if_asked()
        record = EpochRecord(
            epoch=state.epoch + 1,
            step=state.step,
            train_loss=state.loss_sum / state.samples,
            train_accuracy=state.correct / state.samples,
            valid_loss=valid.loss,
            valid_accuracy=valid.accuracy,
            learning_rate=self._last_rate(),
            seconds=time.perf_counter() - started,
            images_per_second=state.samples / state.epoch_seconds,
        )
        if self.config.model.loss == "softmax_cross_entropy":
            state.temperature = valid.temperature()
        self._begin_next_epoch(record)
        values = {"valid/loss": valid.loss, "valid/accuracy": valid.accuracy}
        self.tracker.scalars(values, state.step)
        if self._save(f"epoch{record.epoch}"):
            self._point_at_best()
        self.reporter.epoch(record, is_best=checkpoint.best_record(state.history) is record)

    def _begin_next_epoch(self, record: EpochRecord) -> None:
        state = self.state
        state.history = [*state.history, record]
        state.epoch += 1
        state.step_in_epoch = state.correct = state.samples = 0
        state.loss_sum = state.epoch_seconds = 0.0

    def _evaluate_split(self, name: str) -> Evaluation:
        return evaluate(self.model, self.data.split(name), self.place, self.config.data.loader)

    # --- saving ---

    def _save(self, name: str, must: bool = False) -> Optional[Path]:
        for parameter, variable in self.model.named_parameters():
            if not np.isfinite(variable.numpy()).all():
                self._fail(f"{parameter} holds NaN or infinity")
        try:
            return self.store.save(
                name, self.model.state_dict(), self.optimizer.state_dict(), self.state
            )
        except Failure as error:
            if must or self.config.checkpoint.on_failure == "stop":
                raise
            cli.warn(f"{error}; going on without this checkpoint (checkpoint.on_failure)")
            return None

    def _stop_if_asked(self) -> None:
        number = self.stop.signal_number
        if number is not None:
            path = self._save(f"step{self.state.step}", must=True)
            raise Interrupted(
                f"stopped by signal {number} at step {self.state.step}, saved;"
                f" go on with: python -m mnist.train --resume {path}",
                number,
            )

    def _best_saved(self) -> Optional[EpochRecord]:
        """The best epoch of which this folder has the checkpoint."""
        saved = [r for r in self.state.history if self._folder_of(r).is_dir()]
        return checkpoint.best_record(saved)

    def _folder_of(self, record: EpochRecord) -> Path:
        return self.store.folder / f"epoch{record.epoch}"

    def _point_at_best(self) -> None:
        best = self._best_saved()
        if best is not None:
            self.store.mark_best(f"epoch{best.epoch}")

    def _require_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            self._fail(f"{what} is {value}")

    def _fail(self, what: str) -> None:
        rate = self.config.optimizer.learning_rate
        last = self.store.folder / "latest"
        kept = f"the last good checkpoint is {last}" if last.exists() else "nothing was saved yet"
        raise Failure(
            f"{what} at epoch {self.state.epoch + 1}, step {self.state.step + 1}; {kept}."
            f" Try a lower optimizer.learning_rate (now {rate}) or an optimizer.clip_norm"
        )

    # --- the end ---

    def _conclude(self) -> Dict[str, Any]:
        """Evaluate the best saved model on eval and tell how it went."""
        best = self._best_saved()
        if best is not None:
            checkpoint.restore_parameters(self.model, checkpoint.load(self._folder_of(best)))
        result = self._evaluate_split("eval")
        self.tracker.scalars(
            {"eval/loss": result.loss, "eval/accuracy": result.accuracy}, self.state.step
        )
        summary = self._summary(best, result)
        written = self.store.write_result(summary)
        self._print_closing(best, result, written)
        return summary

    def _summary(self, best: Optional[EpochRecord], result: Evaluation) -> Dict[str, Any]:
        return {
            "eval": {"accuracy": result.accuracy, "loss": result.loss, "count": result.count},
            "best": best.model_dump() if best else None,
            "history": [record.model_dump() for record in self.state.history],
            "parameters": self.model.count_parameters(),
            "seconds": sum(record.seconds for record in self.state.history),
            "data": {
                "path": self.state.data_path,
                "sha256": self.state.data_sha256,
                "fallback": self.state.data_fallback,
            },
            "config": self.state.config,
            "versions": self.state.versions,
            "device": self.state.device,
        }

    def _print_closing(
        self, best: Optional[EpochRecord], result: Evaluation, written: Path
    ) -> None:
        seconds = sum(record.seconds for record in self.state.history)
        of_best = f" (the model of epoch {best.epoch}, best on valid)" if best else ""
        notes = [
            ("eval", f"accuracy {percent(result.accuracy)}, loss {result.loss:.4f}{of_best}"),
            ("time", f"{seconds:.1f} s of training and validation"),
            ("checkpoints", f"{self.store.folder}/ (best, latest; {written.name} has the figures)"),
            ("curves", f"tensorboard --logdir {self.config.log.dir}"),
        ]
        if self.state.data_fallback:
            notes.insert(0, ("DATA", f"{self.state.data_path}: {self.state.data_fallback}"))
        if self._out_of_patience() and self.state.epoch < self.config.train.epochs:
            notes.insert(0, ("stopped", "early: valid did not improve any more"))
        self.reporter.closing_table(self.state.history, notes)
