"""The loop: a config and a data set in, checkpoints and curves out.

``train`` is the one entry point. Everything runs under ``fluid.dygraph.guard`` on the place
that the config names. All randomness comes from (seed, epoch, step), and the state that is
saved is the state between two steps, so a run that is stopped and resumed computes what the
unbroken one computes.
"""

import gc
import math
import time
from contextlib import ExitStack, closing, contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from mnist import config as configs
from mnist.base import notes, processors
from mnist.base.console import percent
from mnist.base.errors import Failure, InputError, Interrupted
from mnist.base.signals import StopRequest
from mnist.checkpoints import reading, records
from mnist.checkpoints.records import Checkpoint, EpochRecord, RunState
from mnist.checkpoints.store import CheckpointStore
from mnist.config import Config
from mnist.data.dataset import Dataset
from mnist.fluid import gradients, places, processes
from mnist.fluid.door import fluid
from mnist.fluid.feeding import TrainingBatches, count_batches, feed
from mnist.fluid.processes import ALONE, Group
from mnist.kernels.engine import choose as choose_engine
from mnist.kernels.engine import describe as describe_engine
from mnist.model import architectures, losses, optimizers, restore
from mnist.model.averaging import WeightAverage
from mnist.model.evaluation import Evaluation, evaluate
from mnist.tensorboard import writer
from mnist.tensorboard.observer import Observer
from mnist.train import resuming
from mnist.train.output import Reporter
from mnist.train.resuming import Resumption


def train(
    config: Config,
    data: Dataset,
    fallback: Optional[str] = None,
    resume: Optional[Resumption] = None,
    group: Group = ALONE,
) -> Dict[str, Any]:
    """Train as ``config`` says, evaluate the best model on eval, return ``result.json``'s content.

    ``fallback`` says why ``data`` is not the data set that the config names first; ``group``
    are the processes that train together, each of which calls this.
    Raises InputError before anything is written if the run cannot be what was asked for,
    Failure if it breaks, Interrupted (after saving) if a signal stopped it.
    """
    with ExitStack() as stack:
        with processes.agreed(group):
            place = places.choose_place(config.device)
            state = resuming.initial_state(config, data, fallback, place, resume)
            stack.enter_context(fluid.dygraph.guard(place))
            # Paddle's generated names start anew for this run's model.
            stack.enter_context(fluid.unique_name.guard())
            run = _Run(config, data, place, state, group)
            if resume is not None:
                run.restore(resume.checkpoint)
        processes.require_same(group, run.held())
        stack.enter_context(_old_objects_left_alone())
        return run.go(resume)


@contextmanager
def _old_objects_left_alone() -> Iterator[None]:
    """Keep Python's cyclic collector from walking over all of Paddle again and again.

    That takes several per cent of a training's time and finds nothing: what a step leaves
    behind is freed by counting references.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


# Keys that say where a machine has things: they may differ from process to process.
_PLACES = ("data.path", "data.fallback", "checkpoint.dir", "log.dir")


# --- the run ---------------------------------------------------------------------------


class _Run:
    """One training under way: the model, its optimizer, and where it stands."""

    def __init__(
        self, config: Config, data: Dataset, place: Any, state: RunState, group: Group
    ) -> None:
        processors.keep_opencv_to_one()
        self.config = config
        self.data = data
        self.place = place
        self.state = state
        self.group = group
        # Of the main process alone, once it trains.
        self.observer: Optional[Observer] = None
        # The signal that all processes have agreed to stop for; 0 for none.
        self.stop_signal = 0
        self.steps_per_epoch = count_batches(len(data.train), config.data.batch_size)
        self.model = architectures.build(config.model, config.train.seed)
        self.model.engine = choose_engine(config.device, place, self.model.convolutions_and_norms())
        state.kernels = "c" if self.model.engine else "fluid"
        total_steps = config.train.epochs * self.steps_per_epoch
        self.optimizer = optimizers.build(
            config.optimizer, self.model.trained_parameters(), total_steps, self.steps_per_epoch
        )
        self._trained = self.model.trained_parameters()
        optimizers.create_state(self.optimizer, self._trained)
        group.prepare(self.model)
        decay = config.train.averaging_decay
        self.average = None if decay is None else WeightAverage(self.model, decay)

    def restore(self, source: Checkpoint) -> None:
        """Take weights, their average, accumulators and the schedule's position."""
        restore.training_weights(self.model, source)
        if self.average is not None and source.training is not None:
            self.average.restore(source.parameters, self.state.step)
        names = {p.name: name for name, p in self.model.named_parameters()}
        accumulators = source.named_as(list(names.values())).accumulators or {}
        try:
            optimizers.set_state(self.optimizer, names, accumulators, self.state.step)
        except ValueError as error:
            raise InputError(
                f"{source.path}: the optimizer's state does not fit"
                f" optimizer.name={self.config.optimizer.name}: {error}"
            ) from error

    def held(self) -> Dict[str, Tuple[Any, Any]]:
        """What all processes of a group must have alike (see ``parallel.require_same``)."""
        state = self.state
        reason = f": {state.data_fallback}" if state.data_fallback else ""
        data = f"{state.data_path} (SHA-256 {state.data_sha256[:12]}…{reason})"
        settings = {k: v for k, v in configs.flatten(self.config).items() if k not in _PLACES}
        rest = {
            **state.versions,
            **settings,
            "step": state.step,
            "SHA-256 of the parameters": self._digest(),
        }
        return {"data": (state.data_sha256, data), **{k: (v, v) for k, v in rest.items()}}

    def _digest(self) -> str:
        """Of all parameters, running statistics too."""
        arrays = [parameter.numpy() for parameter in self.model.parameters()]
        return sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]

    def go(self, resume: Optional[Resumption]) -> Dict[str, Any]:
        """Train to the end (or the early stop) and evaluate the best model."""
        config = self.config
        self.stop = StopRequest(self.group.is_main)
        self.reporter = Reporter(
            config.train.epochs, self.steps_per_epoch, config.log.every_steps, self.group.is_main
        )
        with ExitStack() as stack:
            notes = self._open_what_is_written(stack, resume) if self.group.is_main else []
            stack.enter_context(self.stop)
            stack.enter_context(self.reporter)
            self._introduce(notes, resume)
            self._train_epochs()
            return self._conclude()

    def _open_what_is_written(self, stack: ExitStack, resume: Optional[Resumption]) -> List[str]:
        """Checkpoints and curves, which are the main process's alone."""
        folder, logs = Path(self.config.checkpoint.dir), Path(self.config.log.dir)
        store = CheckpointStore(folder, self.config.checkpoint.keep_last)
        self.store = stack.enter_context(store)
        notes = self._make_room(logs, resume)
        self.tracker = stack.enter_context(closing(writer.Tracker(logs)))
        self.observer = Observer(
            self.config, self.data, self.model, self.state, self.steps_per_epoch, self.tracker
        )
        return notes

    def _make_room(self, logs: Path, resume: Optional[Resumption]) -> List[str]:
        """Move what an earlier run left in the way aside; say so."""
        step = self.state.step if resume else -1
        source = resume.checkpoint.path.resolve() if resume else None
        inside = source is not None and source.parent == self.store.folder.resolve()
        in_the_way = [
            path
            for path in reading.checkpoints_in(self.store.folder)
            if not inside or (reading.steps_of(path) > step and path.resolve() != source)
        ]
        notes = [*self._note_on_workers(resume), *self._note_on_kernels(resume)]
        aside = self.store.set_aside(in_the_way)
        if aside:
            notes.append(f"{len(in_the_way)} checkpoint(s) of an earlier run moved to {aside}")
        if resume:
            writer.purge_after(logs, step, self.state.step_in_epoch == 0)
            self._point_at_best()
        elif writer.set_aside(
            logs, aside.name if aside else time.strftime("earlier-%Y%m%d-%H%M%S")
        ):
            notes.append(f"curves of an earlier run moved to a folder of their own in {logs}")
        return notes

    def _note_on_workers(self, resume: Optional[Resumption]) -> List[str]:
        saved = resume.checkpoint.state if resume else None
        before = saved.config.get("parallel", {}).get("workers", 1) if saved else self.group.size
        if before == self.group.size:
            return []
        processes = "1 process" if before == 1 else f"{before} processes"
        return [
            f"{processes} trained this before, {self.group.size} now: the same samples in the"
            " same order, but other last digits"
        ]

    def _note_on_kernels(self, resume: Optional[Resumption]) -> List[str]:
        saved = resume.checkpoint.state if resume else None
        if saved is None or saved.kernels == self.state.kernels:
            return []
        return [
            f"device.kernels: {saved.kernels} trained this before, {self.state.kernels} does now:"
            " the same numbers but for their last digits"
        ]

    def _introduce(self, notes: List[str], resume: Optional[Resumption]) -> None:
        state, say = self.state, self.reporter.line
        data = self.data
        say(f"data    {data.source}: {len(data.train):,} train, {len(data.valid):,} valid,"
            f" {len(data.eval):,} eval")  # fmt: skip
        computing = describe_engine(self.model.engine, self.config.device)
        about = [state.device, computing, self.group.describe(), places.describe_process()]
        say(f"device  {'; '.join(filter(None, about))}")
        for note in notes:
            say(f"note    {note}")
        rows = architectures.summarize(self.model)
        self.reporter.model(self.config.model.name, rows, self.model.count_parameters())
        if resume:
            path = resume.checkpoint.path
            say(f"resumed from {path}: {state.epoch} epoch(s) done, step {state.step}")
        if self.observer is not None and self.tracker.is_new:
            self.tracker.text("run/config", configs.to_yaml(self.config), state.step)
            self.tracker.text("run/data", self._describe_data(), state.step)
            self.observer.begin()

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
        batches = TrainingBatches(
            self.data.train, config.data, config.train.seed, state.epoch, state.step_in_epoch,
            self.group,
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
        self._agree_and_stop_if_asked()

    def _step(self, images: Any, labels: Any) -> Tuple[float, float]:
        """Forward, loss, backward, minimize, clear; the whole batch's loss and accuracy.

        ``images`` and ``labels`` are this process's share of the batch.
        """
        samples = self._samples_in_batch()
        _, weight = self.group.share(samples)
        self.model.begin_step(self.state.step, self.group.rank)
        smoothing = self.config.train.label_smoothing
        with gradients.cutting():
            outputs = self.model(images)
            loss = losses.compute(self.config.model.loss, outputs, labels, smoothing)
            self.model.backward(self.group.scale(loss))
        digits = losses.digits(self.config.model.loss, outputs.numpy())
        own = (float(loss.numpy()[0]), float(np.mean(digits == labels.numpy()[:, 0])))
        value, accuracy = self._exchange(own, weight)
        self._require_finite(value, "the training loss")
        with self.observer.step(images, labels) if self.observer else nullcontext():
            self._minimize(loss)
        for parameter in self._trained:
            parameter.clear_gradient()
        self._count(value, round(accuracy * samples), samples)
        if self.average is not None:
            self.average.update(self.state.step)
        return value, accuracy

    def _minimize(self, loss: Any) -> None:
        engine = self.model.engine
        if engine is None or not engine.minimize(self.optimizer, self._trained):
            self.optimizer.minimize(loss)

    def _samples_in_batch(self) -> int:
        size = self.config.data.batch_size
        return min(size, len(self.data.train) - self.state.step_in_epoch * size)

    def _exchange(self, own: Tuple[float, float], weight: float) -> Tuple[float, float]:
        """Average gradients, loss and accuracy over the processes; agree on stopping."""
        signal_number = self.stop.signal_number or 0
        sums = np.array([own[0] * weight, own[1] * weight, signal_number], np.float32)
        value, accuracy, signals = map(float, self.group.exchange(self.model, weight, sums))
        if signals:
            self.stop_signal = self.group.highest(signal_number)
        return value, accuracy

    def _count(self, loss: float, correct: int, samples: int) -> None:
        self.state.step += 1
        self.state.step_in_epoch += 1
        self.state.loss_sum += loss * samples
        self.state.correct += correct
        self.state.samples += samples

    def _log_step(self, loss: float, accuracy: float, images_per_second: float) -> None:
        if not self.group.is_main:
            return
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
            if every and self.state.step % every == 0 and not self.stop_signal:
                self._save(f"step{self.state.step}")
            self._stop_if_asked()

    def _finish_epoch(self, started: float) -> None:
        """Evaluate on valid, record, save, and mark the best."""
        state = self.state
        self._check_that_all_agree()
        with self._averaged():
            valid = self._evaluate_split("valid")
        self._require_finite(valid.loss, "the loss on valid")
        # Stopped while evaluating: the epoch's steps are saved, the evaluation comes again.
        self._agree_and_stop_if_asked()
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
        if self.observer is not None:
            values = {"valid/loss": valid.loss, "valid/accuracy": valid.accuracy}
            self.tracker.scalars(values, state.step)
            self.observer.after_valid(valid)
        if self._save(f"epoch{record.epoch}"):
            with self._failing_if_it_must():
                self._point_at_best()
        self.reporter.epoch(record, is_best=records.best_record(state.history) is record)

    def _begin_next_epoch(self, record: EpochRecord) -> None:
        state = self.state
        state.history = [*state.history, record]
        state.epoch += 1
        state.step_in_epoch = state.correct = state.samples = 0
        state.loss_sum = state.epoch_seconds = 0.0

    def _evaluate_split(self, name: str) -> Evaluation:
        split, loader = self.data.split(name), self.config.data.loader
        return evaluate(self.model, split, self.place, loader, group=self.group)

    @contextmanager
    def _averaged(self) -> Iterator[Optional[Dict[str, Any]]]:
        """The model with its averaged weights, if there are any; yields the others then."""
        if self.average is None:
            yield None
            return
        with self.average.in_place() as weights:
            yield weights

    def _check_that_all_agree(self) -> None:
        if len(set(self.group.of_all(self._digest()))) > 1:
            self._fail("the processes' parameters differ")

    # --- saving ---

    def _save(self, name: str, must: bool = False) -> Optional[Path]:
        """Write a checkpoint; None if this process does not, or if that failed and may fail."""
        for parameter, variable in self.model.named_parameters():
            if not np.isfinite(variable.numpy()).all():
                self._fail(f"{parameter} holds NaN or infinity")
        if not self.group.is_main:
            return None
        saved = None
        with self._failing_if_it_must(must), self._averaged() as training:
            saved = self.store.save(
                name, self.model.state_dict(), self.optimizer.state_dict(), self.state, training
            )
        return saved

    @contextmanager
    def _failing_if_it_must(self, must: bool = False) -> Iterator[None]:
        """Warn of what cannot be written and go on, where the config says so."""
        try:
            yield
        except Failure as error:
            if must or self.config.checkpoint.on_failure == "stop":
                raise
            notes.warn(f"{error}; going on without this checkpoint (checkpoint.on_failure)")

    def _agree_and_stop_if_asked(self) -> None:
        """Stop if a signal has come to any process since the last step's exchange."""
        self.stop_signal = self.group.highest(self.stop.signal_number or 0)
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self.stop_signal:
            path = self._save(f"step{self.state.step}", must=True)
            raise Interrupted(
                f"stopped by signal {self.stop_signal} at step {self.state.step}, saved;"
                f" go on with: python -m mnist.train --resume {path}",
                self.stop_signal,
            )

    def _best_saved(self) -> Optional[EpochRecord]:
        """The best epoch of which this folder has the checkpoint."""
        saved = [r for r in self.state.history if self._folder_of(r).is_dir()]
        return records.best_record(saved)

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
        last = Path(self.config.checkpoint.dir) / "latest"
        kept = f"the last good checkpoint is {last}" if last.exists() else "nothing was saved yet"
        raise Failure(
            f"{what} at epoch {self.state.epoch + 1}, step {self.state.step + 1}; {kept}."
            f" Try a lower optimizer.learning_rate (now {rate}) or an optimizer.clip_norm"
        )

    # --- the end ---

    def _conclude(self) -> Dict[str, Any]:
        """Evaluate the best saved model on eval and tell how it went."""
        best = self._take_best()
        with nullcontext() if best else self._averaged():
            result = self._evaluate_split("eval")
        if self.observer is None:
            return self._summary(best, result)
        self.tracker.scalars(
            {"eval/loss": result.loss, "eval/accuracy": result.accuracy}, self.state.step
        )
        self.observer.after_eval(result)
        summary = self._summary(best, result)
        written = self.store.write_result(summary)
        self._print_closing(best, result, written)
        return summary

    def _take_best(self) -> Optional[EpochRecord]:
        """Put the best saved model's parameters into the model, in every process."""
        best = self._best_saved() if self.group.is_main else None
        source = reading.load(self._folder_of(best)) if best is not None else None
        best, source = self.group.from_main((best, source))
        if source is not None:
            restore.parameters(self.model, source)
        return best

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
            "kernels": self.state.kernels,
        }

    def _print_closing(
        self, best: Optional[EpochRecord], result: Evaluation, written: Path
    ) -> None:
        seconds = sum(record.seconds for record in self.state.history)
        # A run that went on from elsewhere, with nothing left to train, has saved nothing here.
        pointers = self.store.pointers()
        there = ", ".join(pointers) + "; " if pointers else ""
        of_best = f" (the model of epoch {best.epoch}, best on valid)" if best else ""
        notes = [
            ("eval", f"accuracy {percent(result.accuracy)}, loss {result.loss:.4f}{of_best}"),
            ("time", f"{seconds:.1f} s of training and validation"),
            ("checkpoints", f"{self.store.folder}/ ({there}{written.name} has the figures)"),
            ("curves", f"tensorboard --logdir {self.config.log.dir}"),
        ]
        if self.state.data_fallback:
            notes.insert(0, ("DATA", f"{self.state.data_path}: {self.state.data_fallback}"))
        if self._out_of_patience() and self.state.epoch < self.config.train.epochs:
            notes.insert(0, ("stopped", "early: valid did not improve any more"))
        self.reporter.closing_table(self.state.history, notes)
