"""The loop: a config and a data set in, checkpoints and curves out.

``train`` is the one entry point. Everything runs under ``fluid.dygraph.guard`` on the place
that the config names. All randomness comes from (seed, epoch, step), and the state that is
saved is the state between two steps, so a run that is stopped and resumed computes what the
unbroken one computes.
"""

import gc
import shlex
import time
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from signal import Signals
from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np

from mnist.base import processors
from mnist.base.errors import Interrupted
from mnist.base.signals import StopRequest
from mnist.checkpoints.records import Checkpoint, EpochRecord
from mnist.checkpoints.store import CheckpointStore
from mnist.config import Config
from mnist.data.dataset import Dataset, Split
from mnist.fluid import gradients, places, processes
from mnist.fluid.door import fluid
from mnist.fluid.feeding import Batch, feed, for_training
from mnist.fluid.processes import ALONE, Group
from mnist.model import losses
from mnist.model.evaluation import Evaluation, evaluate
from mnist.train import output, resuming, saving
from mnist.train.learner import Learner
from mnist.train.output import Telling
from mnist.train.saving import Saving


def train(
    config: Config,
    data: Dataset,
    source: Optional[Checkpoint] = None,
    allow_changes: bool = False,
    group: Group = ALONE,
    exits: bool = True,
) -> Dict[str, Any]:
    """Train as ``config`` says, evaluate the best model on eval, return ``result.json``'s content.

    ``source`` is what to go on from, ``allow_changes`` even if that is another run then;
    ``group`` are the processes that train together, each of which calls this; ``exits`` is whether
    a second signal ends the process (see ``StopRequest``).
    Raises InputError before anything is written if the run cannot be what was asked for,
    Failure if it breaks, Interrupted (after saving) if a signal stopped it.
    """
    processors.keep_opencv_to_one()
    with ExitStack() as stack:
        with processes.agreed(group):
            place = places.choose_place(config.device)
            state = resuming.initial_state(config, data, place, source, allow_changes, group)
            # Paddle's generated names start anew in it.
            stack.enter_context(fluid.dygraph.guard(place))
            learner = Learner(config, place, state, len(data.train), group)
            if source is not None:
                learner.restore(source)
        held = {**state.versions, "SHA-256 of the parameters": learner.digest()}
        processes.require_same(group, held)
        group.patience = config.parallel.timeout
        # Python's cyclic collector would walk over all of Paddle again and again, which takes
        # several per cent of the time and finds nothing: what a step leaves behind is freed by
        # counting references.
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        what_comes = "finishing this step, then saving" if group.is_main else ""
        return _train(learner, data, source, StopRequest(what_comes, exits), stack)


def _train(
    learner: Learner, data: Dataset, source: Optional[Checkpoint], stop: StopRequest,
    stack: ExitStack,
) -> Dict[str, Any]:  # fmt: skip
    """Open what is written, which is the main process's alone, and run the loop to its end."""
    config, group = learner.config, learner.group
    notes = resuming.notes(source, learner.state, group)
    store, tracker = None, None
    if group.is_main:
        store = CheckpointStore(Path(config.checkpoint.dir), config.checkpoint.keep_last)
        name = stack.enter_context(store).name_aside()
        # Before any checkpoint is moved it is known that curves can be written.
        curves = output.open_curves(Path(config.log.dir), learner.state, bool(source), name)
        tracker = stack.enter_context(closing(curves[0]))
        notes += [*curves[1], *saving.make_room(store, learner.state, source, name)]
    saver = Saving(learner, store)
    if source:
        saver.point_at_best()
    stack.enter_context(stop)
    telling = Telling(learner, data, tracker)
    stack.enter_context(telling.bar)
    loop = Loop(learner, data, stop, saver, telling)
    if not loop.goes_on:
        of_valid = "valid improves no more (train.early_stopping_patience)"
        all_done = learner.state.epoch >= config.train.epochs
        done = f"all {config.train.epochs} epochs are done" if all_done else of_valid
        notes.append(f"nothing is left to train: {done}")
    telling.introduce(notes, source)
    loop.run()
    best = saver.take_best()
    with nullcontext() if best else learner.averaged():
        result = loop.evaluate(data.eval)
    telling.evaluated("eval", result)
    summary = saving.summary(learner, best, result)
    if store is not None:
        store.write_result(summary)
        telling.close(best, result, store)
    return summary


class Loop:
    """Steps, in epochs, until there are enough, valid improves no more, or a signal comes."""

    def __init__(
        self, learner: Learner, data: Dataset, stop: StopRequest, saving: Saving, telling: Telling
    ) -> None:
        self.learner, self.data = learner, data
        self.config, self.state, self.group = learner.config, learner.state, learner.group
        self._stop, self._saving, self._telling = stop, saving, telling
        # The signal that all processes have agreed to stop for; 0 for none.
        self._stop_signal = 0
        # When the epoch under way would have begun, had it gone on without a break.
        self._started = 0.0

    def run(self) -> None:
        """Train epoch after epoch, each evaluated on valid and saved."""
        learner, every = self.learner, self.config.checkpoint.every_steps
        while self.goes_on:
            self._telling.begin_epoch()
            with closing(feed(self.batches(), self.config.data.loader, learner.place)) as batches:
                for images, labels in batches:
                    self._telling.step(*self.step(images, labels))
                    if self.state.step_in_epoch < learner.steps_per_epoch:
                        self._stop_if_asked()
                        if every and self.state.step % every == 0:
                            self._saving.save()
            self._agree_and_stop_if_asked()
            self.finish_epoch()

    def batches(self) -> Iterator[Batch]:
        """Those of the epoch under way that are still to come, for a model ready to be trained."""
        # Not only at the start of the run: evaluation, or an exception that was caught,
        # may have left autograd switched off, and training then changes nothing, silently.
        self.learner.model.train()
        seed, state = self.config.train.seed, self.state
        self._started = time.perf_counter() - state.epoch_seconds
        return for_training(
            self.data.train, self.config.data, seed, state.epoch, state.step_in_epoch, self.group
        )

    def step(self, images: Any, labels: Any) -> Tuple[float, float]:
        """Forward, loss, backward, minimize, clear; the whole batch's loss and accuracy.

        ``images`` and ``labels`` are this process's share of the batch.
        """
        learner, model, kind = self.learner, self.learner.model, self.config.model.loss
        size = self.config.data.batch_size
        samples = min(size, len(self.data.train) - self.state.step_in_epoch * size)
        _, weight = self.group.share(samples)
        model.begin_step(self.state.step, self.group.rank)
        targets = learner.teachers.targets(images)
        with gradients.cutting():
            outputs = model(images)
            smoothing = self.config.train.label_smoothing
            loss = losses.compute(kind, outputs, labels, smoothing, targets)
            model.backward(self.group.scale(loss))
        right = losses.digits(kind, outputs.numpy()) == labels.numpy()[:, 0]
        value, accuracy = self._exchange(float(loss.numpy()[0]), float(np.mean(right)), weight)
        self._saving.require_finite(value, "the training loss")
        with self._telling.minimizing(images, labels):
            learner.minimize(loss)
        for parameter in learner.parameters:
            parameter.clear_gradient()
        learner.count_step(value, round(accuracy * samples), samples)
        self.state.epoch_seconds = time.perf_counter() - self._started
        return value, accuracy

    def _exchange(self, loss: float, accuracy: float, weight: float) -> Tuple[float, float]:
        """Average gradients, loss and accuracy over the processes; agree on stopping."""
        signal_number = self._stop.signal_number or 0
        own = np.array([loss * weight, accuracy * weight, signal_number], np.float32)
        sums = self.group.exchange(self.learner.model, weight, own)
        if sums[2]:
            self._stop_signal = max(self.group.of_all(signal_number))
        return float(sums[0]), float(sums[1])

    def _agree_and_stop_if_asked(self) -> None:
        """Stop if a signal has come to any process since the last step's exchange."""
        self._stop_signal = max(self.group.of_all(self._stop.signal_number or 0))
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self._stop_signal:
            path = self._saving.save(must=True)
            raise Interrupted(
                f"stopped by {Signals(self._stop_signal).name} at step {self.state.step}, saved;"
                f" go on with: python -m mnist.train --resume {shlex.quote(str(path))}",
                self._stop_signal,
                by_all=True,
            )

    def evaluate(self, split: Split) -> Evaluation:
        """The model as it is now, on a split."""
        loader, learner = self.config.data.loader, self.learner
        return evaluate(learner.model, split, learner.place, loader, group=self.group)

    def finish_epoch(self) -> Evaluation:
        """Evaluate on valid, record, save, and tell."""
        learner, state = self.learner, self.state
        if len(set(self.group.of_all(learner.digest()))) > 1:
            self._saving.fail("the processes' parameters differ")
        with learner.averaged():
            valid = self.evaluate(self.data.valid)
        self._saving.require_finite(valid.loss, "the loss on valid")
        # Stopped while evaluating: the epoch's steps are saved, the evaluation comes again.
        self._agree_and_stop_if_asked()
        record = EpochRecord(
            epoch=state.epoch + 1,
            step=state.step,
            train_loss=state.loss_sum / state.samples,
            train_accuracy=state.correct / state.samples,
            valid_loss=valid.loss,
            valid_accuracy=valid.accuracy,
            learning_rate=learner.last_rate(),
            seconds=time.perf_counter() - self._started,
            images_per_second=state.samples / state.epoch_seconds,
        )
        if self.config.model.loss == "softmax_cross_entropy":
            state.temperature = valid.temperature()
        state.history = [*state.history, record]
        state.epoch += 1
        state.step_in_epoch = state.correct = state.samples = 0
        state.loss_sum = state.epoch_seconds = 0.0
        self._telling.evaluated("valid", valid)
        self._saving.save()
        self._telling.epoch(record)
        return valid

    @property
    def goes_on(self) -> bool:
        """Whether there are epochs left, and valid's accuracy has risen in the last ones."""
        if self.state.epoch >= self.config.train.epochs:
            return False
        patience = self.config.train.early_stopping_patience
        accuracies = [record.valid_accuracy for record in self.state.history]
        if patience is None or not accuracies:
            return True
        return len(accuracies) - 1 - accuracies.index(max(accuracies)) < patience
