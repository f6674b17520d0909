"""What of a training is shown in TensorBoard, and when: scalars aside, every tab of it.

The trainer says where it is (begin, a step, valid, the end), and what is due by the config's
cadences is drawn. Nothing here changes a number of the training.
"""

import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from mnist.base import notes
from mnist.checkpoints.records import RunState
from mnist.config import Config
from mnist.data.dataset import Dataset, Split
from mnist.fluid.door import fluid
from mnist.model import inside
from mnist.model.architectures import Model
from mnist.model.evaluation import Evaluation
from mnist.tensorboard import drawing, hparams
from mnist.tensorboard.projector import VectorSet
from mnist.tensorboard.writer import Tracker

Arrays = Dict[str, NDArray[Any]]

_INPUTS = 40  # digits in the picture of a batch, and how many in a row
_INPUT_COLUMNS = 10
_MISTAKES = 20
_FILTERS = 20
# More points make the projector slow.
_TABLE_ROWS = 2000

_CHARTS: Dict[str, Dict[str, Sequence[str]]] = {
    "train and valid": {
        "loss": ("train/loss", "valid/loss"),
        "accuracy": ("train/accuracy", "valid/accuracy"),
    },
    "valid, digit by digit": {
        "accuracy": tuple(f"valid_accuracy_of_digit/{digit}" for digit in range(10)),
    },
}


class Observer:
    """Shows one run. ``state`` is the trainer's own and tells where the run stands."""

    def __init__(
        self,
        config: Config,
        data: Dataset,
        model: Model,
        state: RunState,
        steps_per_epoch: int,
        tracker: Tracker,
    ) -> None:
        self._config = config
        self._cadence = config.log
        self._data = data
        self._model = model
        self._state = state
        self._steps_per_epoch = steps_per_epoch
        self._tracker = tracker

    def begin(self) -> None:
        """Before the first step: hyperparameters, graph, charts, the parameters as drawn."""
        with self._tracker.together():
            step = self._state.step
            self._tracker.charts(_CHARTS)
            if self._cadence.hparams:
                # The table cuts a name off, and the rest of the config has columns.
                name = self._config.optimizer.name + time.strftime(" %H:%M:%S, %Y-%m-%d")
                self._tracker.hyperparameters(
                    hparams.columns(), hparams.METRICS, hparams.values(self._config), name
                )
            if self._cadence.graph:
                self._draw_graph()
            if self._cadence.histograms_every_epochs:
                self._draw_histograms("weights", self._parameters(), step)
            if self._cadence.pictures_every_epochs:
                self._draw_filters(step)

    @contextmanager
    def step(self, images: Any, labels: Any) -> Iterator[None]:
        """Around ``minimize``: gradients are there, and ``state`` counts the steps before.

        ``images``: VarBase ``[B,1,28,28]``, ``labels``: VarBase ``[B,1]``.
        """
        step = self._state.step + 1
        is_first = self._state.step_in_epoch == 0
        if is_first and _due(self._state.epoch, self._cadence.pictures_every_epochs):
            self._draw_inputs(images.numpy(), labels.numpy(), step)
        norms = _due(step, self._cadence.norms_every_steps)
        before = self._parameters() if norms else {}
        yield
        if norms:
            self._draw_norms(before, step)
        if self._state.step_in_epoch + 1 == self._steps_per_epoch:
            self._after_last_step(self._state.epoch + 1, step)

    def after_valid(self, result: Evaluation) -> None:
        """After an epoch's evaluation; ``state`` counts the epoch as finished."""
        with self._tracker.together():
            epoch, step = self._state.epoch, self._state.step
            self._tracker.scalars(_accuracy_by_digit(result), step)
            if _due(epoch, self._cadence.pictures_every_epochs):
                self._draw_answers("valid", result, self._data.valid, step)

    def after_eval(self, result: Evaluation) -> None:
        """At the end, the model being the one that was evaluated."""
        with self._tracker.together():
            step = self._state.step
            if self._cadence.pictures_every_epochs:
                self._draw_answers("eval", result, self._data.eval, step)
            if self._cadence.projector_points:
                self._draw_vectors(result, self._cadence.projector_points)
            if self._cadence.hparams:
                self._tracker.finished(step)

    # --- what is drawn ---

    def _after_last_step(self, epoch: int, step: int) -> None:
        with self._tracker.together():
            if _due(epoch, self._cadence.histograms_every_epochs):
                self._draw_histograms("weights", self._parameters(), step)
                self._draw_histograms("gradients", self._gradients(), step)
            if _due(epoch, self._cadence.pictures_every_epochs):
                self._draw_filters(step)

    def _draw_graph(self) -> None:
        try:
            self._tracker.graph(inside.trace(self._model))
        except fluid.core.EnforceNotMet:
            notes.warn("Paddle cannot trace this model: no graph is drawn (log.graph)")

    def _draw_inputs(self, images: NDArray[Any], labels: NDArray[Any], step: int) -> None:
        """The first images of a batch, just as they go into the model, and their labels."""
        shown = np.rint(255 * np.clip(images[:_INPUTS, 0], 0, 1)).astype(np.uint8)
        captions = [str(label) for label in labels[:_INPUTS, 0]]
        picture = drawing.tiles(shown, captions, _INPUT_COLUMNS, 2)
        self._tracker.image("train/inputs", picture, step)

    def _draw_norms(self, before: Arrays, step: int) -> None:
        """L2 norms of the gradients (before clipping) and of what the step changed."""
        gradients = {name: _norm(array) for name, array in self._gradients().items()}
        after = self._parameters()
        updates = {name: _norm(after[name] - before[name]) for name in gradients}
        values = {
            "train/gradient_norm": _total(gradients),
            "train/update_norm": _total(updates),
        }
        for name in gradients:
            values[f"gradient_norm/{name}"] = gradients[name]
            # Relative to what is changed: about a thousandth is usual.
            values[f"update_ratio/{name}"] = updates[name] / max(_norm(before[name]), 1e-12)
        self._tracker.scalars(values, step)

    def _draw_histograms(self, group: str, arrays: Arrays, step: int) -> None:
        named = {f"{group}/{name}": array for name, array in arrays.items()}
        self._tracker.histograms(named, step)

    def _draw_filters(self, step: int) -> None:
        filters = inside.first_filters(self._model)
        if filters is not None:
            picture = drawing.filters(filters[:_FILTERS])
            self._tracker.image("train/first_layer", picture, step)

    def _draw_answers(self, split: str, result: Evaluation, data: Split, step: int) -> None:
        picture = drawing.confusion(result.confusion)
        self._tracker.image(f"{split}/confusion_matrix", picture, step)
        self._draw_mistakes(split, result, data, step)
        self._draw_precision_recall(split, result, step)

    def _draw_mistakes(self, split: str, result: Evaluation, data: Split, step: int) -> None:
        """The wrong answers that the model was surest of."""
        wrong = np.flatnonzero(result.labels != result.digits)
        confidences = result.probabilities[wrong, result.digits[wrong]]
        surest = np.argsort(-confidences, kind="stable")[:_MISTAKES]
        worst = wrong[surest]
        picture = drawing.mistakes(
            data.images[worst], result.labels[worst], result.digits[worst], confidences[surest]
        )
        self._tracker.image(f"{split}/worst_mistakes", picture, step)

    def _draw_precision_recall(self, split: str, result: Evaluation, step: int) -> None:
        scores = np.nan_to_num(result.probabilities)
        names = [f"{split}_precision_recall/{digit}" for digit in range(10)]
        self._tracker.precision_recall(
            {name: result.labels == digit for digit, name in enumerate(names)},
            {name: scores[:, digit] for digit, name in enumerate(names)},
            step,
        )

    def _draw_vectors(self, result: Evaluation, points: int) -> None:
        digits = _digit_vectors(self._model, self._data.eval, result, points)
        rows = _table_vectors(self._model)
        self._tracker.vectors([vectors for vectors in (digits, rows) if vectors is not None])

    # --- the model's arrays ---

    def _parameters(self) -> Arrays:
        return {name: p.numpy() for name, p in self._model.named_parameters()}

    def _gradients(self) -> Arrays:
        """Of the parameters that have any: a running statistic, say, has none."""
        found = {
            name: parameter.gradient()
            for name, parameter in self._model.named_parameters()
            if not parameter.stop_gradient
        }
        return {name: gradient for name, gradient in found.items() if gradient is not None}


def _due(number: int, every: Optional[int]) -> bool:
    return every is not None and number % every == 0


def _norm(array: NDArray[Any]) -> float:
    return float(np.linalg.norm(array.ravel()))


def _total(norms: Dict[str, float]) -> float:
    """The norm of all of them together."""
    return float(np.linalg.norm(list(norms.values())))


def _accuracy_by_digit(result: Evaluation) -> Dict[str, float]:
    return {
        f"valid_accuracy_of_digit/{row['digit']}": row["recall"]
        for row in result.per_class()
        if row["recall"] is not None
    }


def _digit_vectors(
    model: Model, split: Split, result: Evaluation, points: int
) -> Optional[VectorSet]:
    """What the last layer sees of digits from the whole of ``split``."""
    count = min(points, len(split))
    chosen = np.linspace(0, len(split) - 1, count).astype(np.int64)
    vectors = inside.features(model, split.images[chosen])
    if vectors is None:
        return None
    labels, digits = result.labels[chosen], result.digits[chosen]
    readings = [f"{label}, read as {digit}" for label, digit in zip(labels, digits)]
    columns = {
        # The projector labels points by the first column that is not all numbers.
        "reading": readings,
        "label": labels,
        "read as": digits,
        "right": np.where(labels == digits, "yes", "no"),
        "confidence": np.round(result.probabilities[chosen, digits], 4),
    }
    return VectorSet("eval_digits", vectors, columns, split.images[chosen])


def _table_vectors(model: Model) -> Optional[VectorSet]:
    """The longest rows of the model's ``Embedding``; training has hardly touched the short."""
    table = inside.embedding_table(model)
    if table is None:
        return None
    norms = np.linalg.norm(table, axis=1)
    chosen = np.argsort(-norms, kind="stable")[:_TABLE_ROWS]
    places = [inside.place_of_row(model, int(row)) for row in chosen]
    columns: Dict[str, Any] = {
        "token": [_name_token(int(row), place) for row, place in zip(chosen, places)],
        "row of the table": chosen,
        "norm": np.round(norms[chosen], 4),
    }
    for index, heading in enumerate(("pixel row", "pixel column", "grey level")):
        columns[heading] = [place[index] if place else "" for place in places]
    return VectorSet("embedding_table", table[chosen], columns)


def _name_token(row: int, place: Optional[Tuple[int, int, int]]) -> str:
    if place is None:
        return f"row {row} of the table"
    return "row {}, column {}, grey level {}".format(*place)
