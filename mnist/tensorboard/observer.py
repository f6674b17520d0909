"""What of a training is shown in TensorBoard, and when: scalars aside, every tab of it.

The trainer says where it is (begin, a step, valid, the end), and what is due by the config's
cadences is drawn. Nothing here changes a number of the training.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator, Optional

import numpy as np

from mnist.base import notes
from mnist.base.arrays import Array, Arrays
from mnist.checkpoints.records import RunState
from mnist.config import Config
from mnist.config.classes import noun
from mnist.data.dataset import Dataset, Split
from mnist.model import inside
from mnist.model.architectures import Model
from mnist.model.evaluation import Evaluation
from mnist.tensorboard import drawing, hparams, projector
from mnist.tensorboard.writer import Tracker

_INPUTS = 40  # digits in the picture of a batch, and how many in a row
_INPUT_COLUMNS = 10
_MISTAKES = 20
_FILTERS = 20


@dataclass
class Observer:
    """Shows one run. ``state`` is the trainer's own and tells where the run stands."""

    config: Config
    data: Dataset
    model: Model
    state: RunState
    steps_per_epoch: int
    tracker: Tracker

    def begin(self) -> None:
        """Before the first step: hyperparameters, graph, the parameters as drawn."""
        if self.config.log.hparams:
            self.tracker.hyperparameters(hparams.values(self.config))
        if self.config.log.graph:
            try:
                self.tracker.graph(inside.trace(self.model))
            except Exception as error:  # A model of the user's may do anything.
                why = f"Paddle cannot trace this model ({type(error).__name__})"
                notes.warn(f"{why}: no graph is drawn (log.graph)")
        self._draw_model(0, self.state.step)

    @contextmanager
    def step(self, images: Any, labels: Any) -> Iterator[None]:
        """Around ``minimize``: gradients are there, and ``state`` counts the steps before.

        ``images``: VarBase ``[B,1,28,28]``, ``labels``: VarBase ``[B,1]``.
        """
        step = self.state.step + 1
        is_first = self.state.step_in_epoch == 0
        if is_first and _due(self.state.epoch, self.config.log.pictures_every_epochs):
            self._draw_inputs(images.numpy(), labels.numpy(), step)
        norms = _due(step, self.config.log.norms_every_steps)
        before = self._parameters() if norms else {}
        yield
        if norms:
            self._draw_norms(before, step)
        if self.state.step_in_epoch + 1 == self.steps_per_epoch:
            self._draw_model(self.state.epoch + 1, step)
            if _due(self.state.epoch + 1, self.config.log.histograms_every_epochs):
                self.tracker.histograms(self._gradients("gradients/"), step)

    def after_valid(self, result: Evaluation) -> None:
        """After an epoch's evaluation; ``state`` counts the epoch as finished."""
        epoch, step = self.state.epoch, self.state.step
        kind = noun(result.classes)
        rows = [row for row in result.per_class() if row["recall"] is not None]
        recalls = {f"valid_accuracy_of_{kind}/{row[kind]}": row["recall"] for row in rows}
        self.tracker.scalars(recalls, step)
        if _due(epoch, self.config.log.pictures_every_epochs):
            self._draw_answers("valid", result, self.data.valid, step)

    def after_eval(self, result: Evaluation) -> None:
        """At the end, the model being the one that was evaluated."""
        step = self.state.step
        if self.config.log.pictures_every_epochs:
            self._draw_answers("eval", result, self.data.eval, step)
        if self.config.log.projector_points:
            points = self.config.log.projector_points
            digits = projector.digit_vectors(self.model, self.data.eval, result, points)
            rows = projector.table_vectors(self.model)
            self.tracker.vectors([vectors for vectors in (digits, rows) if vectors is not None])
        if self.config.log.hparams:
            self.tracker.finished(step)

    def _draw_inputs(self, images: Array, labels: Array, step: int) -> None:
        """The first images of a batch, just as they go into the model, and their labels."""
        shown = np.rint(255 * np.clip(images[:_INPUTS, 0], 0, 1)).astype(np.uint8)
        names = drawing.short(self.data.classes)
        captions = [names[label] for label in labels[:_INPUTS, 0]]
        self.tracker.image("train/inputs", drawing.tiles(shown, captions, _INPUT_COLUMNS, 2), step)

    def _draw_norms(self, before: Arrays, step: int) -> None:
        """L2 norms of the gradients (before clipping) and of what the step changed."""
        gradients = {name: _norm(array) for name, array in self._gradients().items()}
        after = self._parameters()
        updates = {name: _norm(after[name] - before[name]) for name in gradients}
        values = {
            "train/gradient_norm": _norm(list(gradients.values())),
            "train/update_norm": _norm(list(updates.values())),
        }
        for name in gradients:
            values[f"gradient_norm/{name}"] = gradients[name]
            # Relative to what is changed: about a thousandth is usual.
            values[f"update_ratio/{name}"] = updates[name] / max(_norm(before[name]), 1e-12)
        self.tracker.scalars(values, step)

    def _draw_model(self, epoch: int, step: int) -> None:
        """The parameters, and the first layer as pictures, after so many epochs."""
        if _due(epoch, self.config.log.histograms_every_epochs):
            self.tracker.histograms(self._parameters("weights/"), step)
        if _due(epoch, self.config.log.pictures_every_epochs):
            filters = inside.first_filters(self.model)
            if filters is not None:
                self.tracker.image("train/first_layer", drawing.filters(filters[:_FILTERS]), step)

    def _draw_answers(self, split: str, result: Evaluation, data: Split, step: int) -> None:
        """The confusion matrix, the wrong answers that the model was surest of, the curves."""
        short = drawing.short(result.classes)
        matrix = drawing.confusion(result.confusion, short)
        self.tracker.image(f"{split}/confusion_matrix", matrix, step)
        worst, names = result.worst_mistakes(_MISTAKES), np.array(short)
        answers = (names[result.labels], names[result.digits], result.confidences)
        picture = drawing.mistakes(data.images[worst], *(column[worst] for column in answers))
        self.tracker.image(f"{split}/worst_mistakes", picture, step)
        scores = np.nan_to_num(result.probabilities)
        for label, name in enumerate(result.classes):
            curve = f"{split}_precision_recall/{name}"
            self.tracker.precision_recall(curve, result.labels == label, scores[:, label], step)

    def _parameters(self, prefix: str = "") -> Arrays:
        return {prefix + name: p.numpy() for name, p in self.model.named_parameters()}

    def _gradients(self, prefix: str = "") -> Arrays:
        """Of the parameters that have any: a running statistic, say, has none."""
        trained = [(n, p) for n, p in self.model.named_parameters() if not p.stop_gradient]
        found = {prefix + name: parameter.gradient() for name, parameter in trained}
        return {name: gradient for name, gradient in found.items() if gradient is not None}


def _due(number: int, every: Optional[int]) -> bool:
    return every is not None and number % every == 0


def _norm(numbers: Any) -> float:
    """The L2 norm of all numbers of an array or a list, whatever its shape."""
    return float(np.linalg.norm(numbers))
