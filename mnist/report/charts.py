"""The figures of a report: what a run left behind and what was measured, drawn.

No text that comes from a file gets into a figure: runs are called by the letters that the
page explains.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import numpy as np
from matplotlib import ticker

from mnist.base.console import percent
from mnist.checkpoints.records import EpochRecord
from mnist.report.figures import LIGHT, SERIES, inline_svg, legend_above, new_figure
from mnist.report.intervals import Reliability
from mnist.report.measurement import ChangeResult, Measures
from mnist.report.past_run import Points, Run

Item = TypeVar("Item")

# More points than this cannot be told apart, and only make the page larger.
MAX_POINTS = 300


class Drawn(NamedTuple):
    """A figure for the page: an ``<svg>`` element and the line below it."""

    svg: str
    caption: str


class Line(NamedTuple):
    """A named line in figures that lay several runs over each other."""

    name: str
    run: Run
    measures: Optional[Measures]


def thin(items: Sequence[Item], limit: int = MAX_POINTS) -> List[Item]:
    """At most ``limit`` of the items, evenly spread, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, limit).round().astype(int))]


# --- one run ---------------------------------------------------------------------------


def training(run: Run) -> List[Drawn]:
    """Loss, accuracy, learning rate and speed over the epochs; nothing without a history."""
    if not run.history:
        return []
    return [_loss(run), _accuracy(run), _learning_rate(run), _speed(run)]


def _loss(run: Run) -> Drawn:
    figure, axes = new_figure()
    batches = run.curves.get("train/loss", [])
    train = _of_history(run.history, "train_loss")
    valid = _of_history(run.history, "valid_loss")
    if batches:
        dots = {"linestyle": "", "marker": ".", "alpha": 0.5, "color": LIGHT["muted"]}
        axes.plot(*_columns(thin(batches)), label="batches", **dots)
    _plot(axes, train, "train", 0)
    _plot(axes, valid, "valid", 1)
    values = [value for _, value in train + valid]
    if _logarithmic_if_wide(axes, values):
        # Single batches may reach down for many decades more, which tell nothing.
        axes.set_ylim(bottom=min(values) / 2)
    _finish_epochs(axes, run, "loss")
    caption = "Loss over the epochs."
    if batches:
        caption += " The dots are single batches of train, while they were trained."
    return Drawn(inline_svg(figure, "loss", _say("Loss", train, valid, "{:.4f}")), caption)


def _accuracy(run: Run) -> Drawn:
    figure, axes = new_figure()
    train = _times(_of_history(run.history, "train_accuracy"), 100)
    valid = _times(_of_history(run.history, "valid_accuracy"), 100)
    _plot(axes, train, "train", 0)
    _plot(axes, valid, "valid", 1)
    _finish_epochs(axes, run, "accuracy, %")
    label = _say("Accuracy", train, valid, "{:.2f}%")
    return Drawn(inline_svg(figure, "accuracy", label), "Accuracy over the epochs.")


def _learning_rate(run: Run) -> Drawn:
    figure, axes = new_figure()
    dense = run.curves.get("train/learning_rate", [])
    points = _of_history(run.history, "learning_rate")
    shown = thin(dense or points)
    axes.plot(*_columns(shown), color=SERIES[2]["color"], marker="" if dense else "^")
    axes.set_ylim(bottom=0, top=1.08 * max(value for _, value in shown) or 1)
    _finish_epochs(axes, run, "learning rate")
    first, last = shown[0][1], shown[-1][1]
    label = f"Learning rate over the epochs, from {first:.3g} to {last:.3g}."
    return Drawn(inline_svg(figure, "learning-rate", label), "Learning rate over the epochs.")


def _speed(run: Run) -> Drawn:
    figure, axes = new_figure()
    points = _of_history(run.history, "images_per_second")
    axes.plot(*_columns(thin(points)), color=SERIES[3]["color"], marker=SERIES[3]["marker"])
    highest = max(value for _, value in points)
    axes.set_ylim(0, 1.08 * highest)
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    _finish_epochs(axes, run, "images/s")
    label = f"Images trained a second over the epochs, {highest:,.0f} at most."
    caption = "Images trained a second, on the machine that trained them."
    return Drawn(inline_svg(figure, "training-speed", label), caption)


def reliability_diagram(plain: Reliability, tempered: Optional[Reliability]) -> Drawn:
    """Accuracy against confidence, and how many digits had which confidence."""
    figure, (above, below) = new_figure(
        height=4.2, nrows=2, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    above.plot([0, 100], [0, 100], color=LIGHT["muted"], linestyle=":", label="as it should be")
    shown = [("as trained" if tempered else "this model", plain, 0)]
    if tempered:
        shown.append(("with temperature", tempered, 1))
    for number, (name, each, series) in enumerate(shown):
        _plot_bins(above, each, name, series)
        _plot_counts(below, each, series, offset=0.42 * number, of=len(shown))
    above.set_ylabel("accuracy, %")
    above.set_xlim(0, 101.5)
    above.set_ylim(-2, 102)
    legend_above(above)
    below.set_yscale("symlog", linthresh=1)
    below.set_ylim(bottom=0)
    below.yaxis.set_major_locator(ticker.FixedLocator([0, 1, 100, 10_000, 1_000_000]))
    below.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    below.yaxis.set_minor_locator(ticker.NullLocator())
    below.set_ylabel("digits")
    below.set_xlabel("confidence, %")
    label = f"Reliability diagram. Expected calibration error {percent(plain.ece)}"
    label += f", with temperature {percent(tempered.ece)}." if tempered else "."
    caption = (
        "Above: accuracy of the digits that were named with a certain confidence, bars for the"
        " 95% interval. Below: how many there were, on a logarithmic scale."
    )
    return Drawn(inline_svg(figure, "reliability", label), caption)


def _plot_bins(axes: Any, found: Reliability, name: str, series: int) -> None:
    bins = [each for each in found.bins if each.count]
    accuracy = np.array([each.accuracy for each in bins])
    low, high = (np.array([each.interval[side] for each in bins]) for side in (0, 1))
    bars = np.maximum([accuracy - low, high - accuracy], 0)
    style = {**SERIES[series], "linestyle": "", "elinewidth": 1.2}
    confidences = [100 * each.confidence for each in bins]
    axes.errorbar(confidences, 100 * accuracy, yerr=100 * bars, label=name, **style)


def _plot_counts(axes: Any, found: Reliability, series: int, offset: float, of: int) -> None:
    width = 100 / len(found.bins)
    axes.bar(
        [100 * each.low + width * (0.08 + offset) for each in found.bins],
        [each.count for each in found.bins],
        width=width * (0.84 if of == 1 else 0.42), align="edge", color=SERIES[series]["color"],
    )  # fmt: skip


def change(found: ChangeResult, number: int) -> Drawn:
    """Accuracy against the strength of one change."""
    figure, axes = new_figure(height=2.5)
    _plot_change(axes, found, SERIES[0])
    _finish_change(axes, found)
    return Drawn(inline_svg(figure, f"change-{number}", _say_change(found)), "")


# --- several runs ----------------------------------------------------------------------


def compared_training(lines: Sequence[Line]) -> List[Drawn]:
    """Curves of several runs laid over each other; runs without a history are left out."""
    lines = [line for line in lines if line.run.history]
    if not lines:
        return []
    return [
        _compared(lines, "valid_accuracy", "accuracy on valid, %", 100),
        _compared(lines, "valid_loss", "loss on valid"),
        _compared(lines, "train_loss", "loss on train"),
        _compared(lines, "learning_rate", "learning rate"),
        _against_seconds(lines),
    ]


def _compared(lines: Sequence[Line], field: str, name: str, factor: float = 1) -> Drawn:
    figure, axes = new_figure()
    values = []
    for line in lines:
        points = _times(_of_history(line.run.history, field), factor)
        values += [value for _, value in points]
        _plot(axes, points, line.name, _place(line))
    if field == "learning_rate":
        axes.set_ylim(bottom=0)
    elif field.endswith("loss"):
        _logarithmic_if_wide(axes, values)
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=8, integer=True))
    legend_above(axes)
    caption = f"{name[0].upper()}{name[1:].replace(', %', '')} over the epochs."
    return Drawn(inline_svg(figure, f"compared-{field}", caption), caption)


def _against_seconds(lines: Sequence[Line]) -> Drawn:
    figure, axes = new_figure()
    for line in lines:
        history = line.run.history
        seconds = np.cumsum([record.seconds for record in history])
        accuracies = [100 * record.valid_accuracy for record in history]
        _plot(axes, list(zip(seconds, accuracies)), line.name, _place(line))
    axes.set_xlabel("seconds of training and validation")
    axes.set_ylabel("accuracy on valid, %")
    legend_above(axes)
    caption = "Accuracy on valid against the time it took, each run on its machine."
    return Drawn(inline_svg(figure, "compared-seconds", caption), caption)


def compared_recalls(lines: Sequence[Line]) -> Optional[Drawn]:
    """Recall per digit of several runs."""
    measured = [(line, line.measures) for line in lines if line.measures is not None]
    if not measured:
        return None
    figure, axes = new_figure()
    for line, measures in measured:
        rows = [row for row in measures.evaluation.per_class() if row["recall"] is not None]
        style = {**SERIES[_place(line)], "linestyle": ""}
        digits = [row["digit"] for row in rows]
        axes.plot(digits, [100 * row["recall"] for row in rows], label=line.name, **style)
    axes.set_xlabel("digit")
    axes.set_ylabel("recall, %")
    axes.set_xticks(range(10))
    legend_above(axes)
    caption = "Recall per digit: how many of each were found."
    return Drawn(inline_svg(figure, "compared-recall", caption), caption)


def compared_change(lines: Sequence[Line], number: int) -> Drawn:
    """Accuracy of several runs against the strength of the change of that number."""
    figure, axes = new_figure(height=2.7)
    results = [(line, line.measures.changes[number]) for line in lines if line.measures]
    for line, found in results:
        _plot_change(axes, found, SERIES[_place(line)], line.name)
    _finish_change(axes, results[0][1])
    legend_above(axes)
    label = " ".join(f"{line.name}: {_say_change(found)}" for line, found in results)
    return Drawn(inline_svg(figure, f"compared-change-{number}", label), "")


def _place(line: Line) -> int:
    """A run's place among the letters, and so its colour in every figure."""
    return (ord(line.name) - ord("A")) % len(SERIES)


# --- parts -----------------------------------------------------------------------------


def _of_history(history: Sequence[EpochRecord], field: str) -> Points:
    return [(record.epoch, getattr(record, field)) for record in history]


def _times(points: Points, factor: float) -> Points:
    return [(x, factor * y) for x, y in points]


def _columns(points: Sequence[Tuple[float, float]]) -> Tuple[List[float], List[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _plot(axes: Any, points: Points, name: str, series: int) -> None:
    shown = thin(points)
    style: Dict[str, Any] = dict(SERIES[series])
    if len(shown) > 40:
        style["markevery"] = len(shown) // 20
    axes.plot(*_columns(shown), label=name, **style)


def _logarithmic_if_wide(axes: Any, values: Sequence[float]) -> bool:
    """A logarithmic axis where values span a good part of a decade, which 1, 2, 5 then label."""
    if min(values) <= 0 or max(values) / min(values) < 8:
        return False
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=12))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    return True


def _finish_epochs(axes: Any, run: Run, name: str) -> None:
    axes.axvline(run.epoch, color=LIGHT["ink"], linestyle=":", linewidth=1.2, label="checkpoint")
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.set_xlim(left=0 if run.curves else None)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=8, integer=True))
    legend_above(axes)


def _plot_change(axes: Any, found: ChangeResult, style: Dict[str, str], name: str = "") -> None:
    percents = [100 * accuracy for accuracy in found.accuracies]
    axes.plot(found.change.strengths, percents, label=name, **style)


def _finish_change(axes: Any, found: ChangeResult) -> None:
    axes.axhline(10, color=LIGHT["muted"], linestyle=":", linewidth=1.2)
    axes.annotate(
        "guessing", (0, 10), xycoords=("axes fraction", "data"), xytext=(3, 3),
        textcoords="offset points", color=LIGHT["muted"],
    )  # fmt: skip
    axes.set_ylim(0, 103)
    axes.set_xlabel(found.change.strength_name)
    axes.set_ylabel("accuracy, %")


def _say(name: str, train: Points, valid: Points, form: str) -> str:
    """What a screen reader says for a curve of train and valid."""
    first, last = (form.format(train[place][1]) for place in (0, -1))
    on_valid = [form.format(valid[place][1]) for place in (0, -1)]
    return (
        f"{name} over {len(train)} epochs: on train from {first} to {last},"
        f" on valid from {on_valid[0]} to {on_valid[1]}. The table of epochs has the figures."
    )


def _say_change(found: ChangeResult) -> str:
    shown = [
        f"{percent(accuracy, 1)} at {found.change.show(strength)}"
        for strength, accuracy in zip(found.change.strengths, found.accuracies)
    ]
    return f"{found.change.name}: accuracy {', '.join(shown)}."
