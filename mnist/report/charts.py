"""The figures of a report: what a run left behind and what was measured, drawn.

No text that comes from a file gets into a figure: runs are called by the letters that the
page explains.
"""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, TypeVar

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from mnist.base.console import percent
from mnist.checkpoints.records import EpochRecord
from mnist.config.classes import noun
from mnist.report.figures import LIGHT, SERIES, inline_svg, legend_above, new_figure
from mnist.report.intervals import Reliability
from mnist.report.measurement import ChangeResult, Entry, Measures
from mnist.report.past_run import Points, Run

Item = TypeVar("Item")

# More points than this cannot be told apart, and only make the page larger.
MAX_POINTS = 300


class Drawn(NamedTuple):
    """A figure for the page: an ``<svg>`` element and the line below it."""

    svg: str
    caption: str


def thin(items: Sequence[Item], limit: int = MAX_POINTS) -> List[Item]:
    """At most ``limit`` of the items, evenly spread, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, limit).round().astype(int))]


def training(run: Run) -> List[Drawn]:
    """Loss, accuracy, learning rate and speed over the epochs; nothing without a history."""
    if not run.history:
        return []
    return [_loss(run), _accuracy(run), _learning_rate(run), _speed(run)]


def _loss(run: Run) -> Drawn:
    figure, axes = new_figure()
    batches = run.curves.get("train/loss", [])
    if batches:
        dots = {"linestyle": "", "marker": ".", "alpha": 0.5, "color": LIGHT["muted"]}
        axes.plot(*zip(*thin(batches)), label="batches", **dots)
    values, label = _plot_train_and_valid(axes, run, "loss", "{:.4f}")
    if _logarithmic_if_wide(axes, values):
        # Single batches may reach down for many decades more, which tell nothing.
        axes.set_ylim(bottom=min(values) / 2)
    _finish_epochs(axes, run, "loss")
    caption = "Loss over the epochs."
    if batches:
        caption += " The dots are single batches of train, while they were trained."
    return Drawn(inline_svg(figure, "loss", label), caption)


def _accuracy(run: Run) -> Drawn:
    figure, axes = new_figure()
    _, label = _plot_train_and_valid(axes, run, "accuracy", "{:.2f}%", 100)
    _finish_epochs(axes, run, "accuracy, %")
    return Drawn(inline_svg(figure, "accuracy", label), "Accuracy over the epochs.")


def _plot_train_and_valid(
    axes: Any, run: Run, name: str, form: str, factor: float = 1
) -> Tuple[List[float], str]:
    """Both curves of a quantity; returns its values and what a screen reader says."""
    train, valid = (
        _of_history(run.history, f"{split}_{name}", factor) for split in ("train", "valid")
    )
    _plot(axes, train, "train", 0)
    _plot(axes, valid, "valid", 1)
    ends = [form.format(points[place][1]) for points in (train, valid) for place in (0, -1)]
    label = (
        f"{name.capitalize()} over {len(train)} epochs: on train from {ends[0]} to {ends[1]},"
        f" on valid from {ends[2]} to {ends[3]}. The table of epochs has the figures."
    )
    return [value for _, value in train + valid], label


def _learning_rate(run: Run) -> Drawn:
    dense = run.curves.get("train/learning_rate", [])
    shown = thin(dense or _of_history(run.history, "learning_rate"))
    figure, axes = _one_curve(shown, 2, "" if dense else "^")
    _finish_epochs(axes, run, "learning rate")
    label = f"Learning rate over the epochs, from {shown[0][1]:.3g} to {shown[-1][1]:.3g}."
    return Drawn(inline_svg(figure, "learning-rate", label), "Learning rate over the epochs.")


def _speed(run: Run) -> Drawn:
    points = _of_history(run.history, "images_per_second")
    figure, axes = _one_curve(thin(points), 3, "D")
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    _finish_epochs(axes, run, "images/s")
    highest = max(value for _, value in points)
    label = f"Images trained a second over the epochs, {highest:,.0f} at most."
    caption = "Images trained a second, on the machine that trained them."
    return Drawn(inline_svg(figure, "training-speed", label), caption)


def _one_curve(points: Points, series: int, marker: str) -> Tuple[Figure, Any]:
    figure, axes = new_figure()
    axes.plot(*zip(*points), color=SERIES[series]["color"], marker=marker)
    axes.set_ylim(0, 1.08 * max(value for _, value in points) or 1)
    return figure, axes


def reliability_diagram(measures: Measures) -> Drawn:
    """Accuracy against confidence, and how many images had which confidence."""
    plain, tempered = measures.reliability, measures.tempered
    figure, (above, below) = new_figure(
        height=4.2, nrows=2, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    above.plot([0, 100], [0, 100], color=LIGHT["muted"], linestyle=":", label="as it should be")
    shown = [("this model", plain)]
    if tempered:
        shown = [("as trained", plain), ("with temperature", tempered)]
    for series, (name, each) in enumerate(shown):
        _plot_bins(above, each, name, series)
        _plot_counts(below, each, series, of=len(shown))
    above.set(ylabel="accuracy, %", xlim=(0, 101.5), ylim=(-2, 102))
    legend_above(above)
    below.set_yscale("symlog", linthresh=1)
    below.set_ylim(bottom=0)
    below.yaxis.set_major_locator(ticker.FixedLocator([0, 1, 100, 10_000, 1_000_000]))
    below.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    below.yaxis.set_minor_locator(ticker.NullLocator())
    below.set(xlabel="confidence, %", ylabel="images")
    label = f"Reliability diagram. Expected calibration error {percent(plain.ece)}"
    label += f", with temperature {percent(tempered.ece)}." if tempered else "."
    caption = (
        "Above: accuracy of the images that were named with a certain confidence, bars for the"
        " 95% interval. Below: how many there were, on a logarithmic scale."
    )
    return Drawn(inline_svg(figure, "reliability", label), caption)


def _plot_bins(axes: Any, found: Reliability, name: str, series: int) -> None:
    used = found.counts > 0
    accuracy, (low, high) = found.accuracy[used], found.intervals[used].T
    bars = np.maximum([accuracy - low, high - accuracy], 0)
    style = {**SERIES[series], "linestyle": "", "elinewidth": 1.2}
    axes.errorbar(100 * found.confidence[used], 100 * accuracy, 100 * bars, label=name, **style)


def _plot_counts(axes: Any, found: Reliability, series: int, of: int) -> None:
    width = 100 / len(found.counts)
    left = width * (np.arange(len(found.counts)) + 0.08 + 0.42 * series)
    width *= 0.84 if of == 1 else 0.42
    axes.bar(left, found.counts, width, align="edge", color=SERIES[series]["color"])


def compared_training(entries: Sequence[Entry]) -> List[Drawn]:
    """Curves of several runs laid over each other; runs without a history are left out."""
    entries = [entry for entry in entries if entry.run.history]
    if not entries:
        return []
    return [
        _compared(entries, "valid_accuracy", "accuracy on valid, %", 100),
        _compared(entries, "valid_loss", "loss on valid"),
        _compared(entries, "train_loss", "loss on train"),
        _compared(entries, "learning_rate", "learning rate"),
        _against_seconds(entries),
    ]


def _compared(entries: Sequence[Entry], field: str, name: str, factor: float = 1) -> Drawn:
    figure, axes = new_figure()
    curves = [_of_history(entry.run.history, field, factor) for entry in entries]
    for entry, points in zip(entries, curves):
        _plot(axes, points, entry.letter, entry.place)
    if field == "learning_rate":
        axes.set_ylim(bottom=0)
    elif field.endswith("loss"):
        _logarithmic_if_wide(axes, [value for points in curves for _, value in points])
    _label_epochs(axes, name)
    caption = f"{name[0].upper()}{name[1:].replace(', %', '')} over the epochs."
    return Drawn(inline_svg(figure, f"compared-{field}", caption), caption)


def _against_seconds(entries: Sequence[Entry]) -> Drawn:
    figure, axes = new_figure()
    for entry in entries:
        history = entry.run.history
        seconds = np.cumsum([record.seconds for record in history])
        accuracies = [100 * record.valid_accuracy for record in history]
        _plot(axes, list(zip(seconds, accuracies)), entry.letter, entry.place)
    axes.set(xlabel="seconds of training and validation", ylabel="accuracy on valid, %")
    legend_above(axes)
    caption = "Accuracy on valid against the time it took, each run on its machine."
    return Drawn(inline_svg(figure, "compared-seconds", caption), caption)


def compared_recalls(entries: Sequence[Entry]) -> Drawn:
    """Recall per class of several runs, of which one at least was measured."""
    figure, axes = new_figure()
    classes = entries[0].run.source.classes
    for entry, measures in _measured(entries):
        recalls = enumerate(row["recall"] for row in measures.evaluation.per_class())
        points = [(label, 100 * recall) for label, recall in recalls if recall is not None]
        axes.plot(*zip(*points), label=entry.letter, **{**SERIES[entry.place], "linestyle": ""})
    axes.set(xlabel=noun(classes), ylabel="recall, %")
    axes.set_xticks(range(len(classes)), classes, rotation=90 * (max(map(len, classes)) > 2))
    legend_above(axes)
    caption = f"Recall per {noun(classes)}: how many of each were found."
    return Drawn(inline_svg(figure, "compared-recall", caption), caption)


def change(entries: Sequence[Entry], number: int) -> Drawn:
    """Accuracy against the strength of the change of that number; one run at least is measured."""
    several = len(entries) > 1
    figure, axes = new_figure(height=2.7)
    label = []
    for entry, measures in _measured(entries):
        found = measures.changes[number]
        percents = [100 * accuracy for accuracy in found.accuracies]
        name = entry.letter if several else "this model"
        axes.plot(found.change.strengths, percents, label=name, **SERIES[entry.place])
        label.append((f"{entry.letter}: " if several else "") + _say_change(found))
    guessing = 100 / len(entries[0].run.source.classes)
    axes.axhline(guessing, color=LIGHT["muted"], linestyle=":", linewidth=1.2, label="guessing")
    axes.set(xlabel=found.change.strength_name, ylabel="accuracy, %", ylim=(0, 103))
    legend_above(axes)
    name = f"compared-change-{number}" if several else f"change-{number}"
    return Drawn(inline_svg(figure, name, " ".join(label)), "")


def _of_history(history: Sequence[EpochRecord], field: str, factor: float = 1) -> Points:
    return [(record.epoch, factor * getattr(record, field)) for record in history]


def _measured(entries: Sequence[Entry]) -> List[Tuple[Entry, Measures]]:
    return [(entry, entry.measures) for entry in entries if entry.measures]


def _plot(axes: Any, points: Points, name: str, series: int) -> None:
    shown = thin(points)
    style: Dict[str, Any] = dict(SERIES[series])
    if len(shown) > 40:
        style["markevery"] = len(shown) // 20
    axes.plot(*zip(*shown), label=name, **style)


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
    axes.set_xlim(left=0 if run.curves else None)
    _label_epochs(axes, name)


def _label_epochs(axes: Any, name: str) -> None:
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=8, integer=True))
    legend_above(axes)


def _say_change(found: ChangeResult) -> str:
    shown = [
        f"{percent(accuracy, 1)} at {found.change.show(strength)}"
        for strength, accuracy in zip(found.change.strengths, found.accuracies)
    ]
    return f"{found.change.name}: accuracy {', '.join(shown)}."
