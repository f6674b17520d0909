"""The figures of a report: what a run left behind and what was measured, drawn.

No text that comes from a file gets into a figure: runs are called by the letters that the
page explains. Every figure is an ``<svg>`` element.
"""

from typing import Any, List, Optional, Sequence, Tuple, TypeVar

import numpy as np
from matplotlib import ticker
from scipy.stats import binomtest

from mnist.base.arrays import Array
from mnist.base.console import percent
from mnist.config.classes import noun
from mnist.model import calibration
from mnist.model.calibration import BINS
from mnist.report.figures import LIGHT, SERIES, inline_svg, new_figure
from mnist.report.measurement import Entry, Measures, measured
from mnist.report.past_run import Points, Run
from mnist.report.perturbations import CHANGES

Item = TypeVar("Item")

# More points than this cannot be told apart, and only make the page larger.
MAX_POINTS = 300
_MAX_MARKERS = 40

Line = Tuple[str, Points, int]
"""A curve: its name ("" where it is alone), its points, which of ``SERIES`` it looks like."""


def thin(items: Sequence[Item], limit: int = MAX_POINTS) -> List[Item]:
    """At most ``limit`` of the items, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(len(items), limit))
    return [items[i] for i in places.round().astype(int)]


def history(run: Run, field: str, against: str = "epoch") -> Points:
    """A figure of every epoch, against its number or the seconds so far; accuracies in percent."""
    factor = 100 if field.endswith("accuracy") else 1
    values = [factor * getattr(record, field) for record in run.history]
    if against == "epoch":
        return [(record.epoch, value) for record, value in zip(run.history, values)]
    return list(zip(np.cumsum([record.seconds for record in run.history]), values))


def of_both_splits(run: Run, field: str) -> List[Line]:
    """A figure of every epoch on train and on valid."""
    splits = enumerate(("train", "valid"))
    return [(split, history(run, f"{split}_{field}"), place) for place, split in splits]


def of_each(entries: Sequence[Entry], field: str, against: str = "epoch") -> List[Line]:
    """A figure of every epoch of every run that has a history."""
    runs = [entry for entry in entries if entry.run.history]
    return [(entry.letter, history(entry.run, field, against), entry.place) for entry in runs]


def curves(
    quantity: str, lines: Sequence[Line], against: str = "epoch",
    run: Optional[Run] = None, dots: Sequence[Tuple[float, float]] = (),
) -> str:  # fmt: skip
    """Lines of a ``quantity`` ``against`` something; of one ``run``, its checkpoint is marked."""
    figure, axes = new_figure()
    if dots:
        style = {"linestyle": "", "marker": ".", "alpha": 0.5, "color": LIGHT["muted"]}
        axes.plot(*zip(*thin(dots)), label="batches", **style)
    for name, points, series in lines:
        shown = thin(points)
        every = 1 + len(shown) // _MAX_MARKERS
        axes.plot(*zip(*shown), label=name, markevery=every, **SERIES[series])
    _scale(axes, quantity, [value for _, points, _ in lines for _, value in points])
    if against == "epoch":
        axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=8, integer=True))
    if run:
        dotted = {"linestyle": ":", "linewidth": 1.2, "color": LIGHT["ink"]}
        axes.axvline(run.epoch, label="checkpoint", **dotted)
        axes.set_xlim(left=0 if run.curves else None)
    axes.set(xlabel=against, ylabel=quantity)
    ends = (f"{name} from {ends[0][1]:.4g} to {ends[-1][1]:.4g}" for name, ends, _ in lines)
    label = f"{quantity[0].upper()}{quantity[1:]} against {against}: {'; '.join(ends).strip()}."
    return inline_svg(figure, f"{quantity} {against}", label)


def _scale(axes: Any, quantity: str, values: Sequence[float]) -> None:
    """Losses that span a good part of a decade on a logarithmic scale, rates from zero."""
    if quantity.startswith("loss"):
        if 0 < 8 * min(values) <= max(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=12))
            axes.yaxis.set_minor_locator(ticker.NullLocator())
            axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
            # Single batches may reach down for many decades more, which tell nothing.
            axes.set_ylim(bottom=min(values) / 2)
    elif not quantity.startswith("accuracy"):
        axes.set_ylim(0, 1.08 * max(values) or 1)
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.10g}"))


def reliability_diagram(measures: Measures) -> str:
    """Accuracy against confidence, and how many images had which confidence."""
    is_plain = len(measures.evaluations) == 1
    names = ("this model",) if is_plain else ("as trained", "with temperature")
    figure, (above, below) = new_figure(
        height=4.2, nrows=2, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    above.plot([0, 100], [0, 100], color=LIGHT["muted"], linestyle=":", label="as it should be")
    errors = []
    for style, name, result in zip(SERIES, names, measures.evaluations):
        counts, confidence, accuracy, (low, high) = reliability(result.probabilities, result.labels)
        used = counts > 0
        bars = 100 * np.maximum([accuracy - low, high - accuracy], 0)
        points = {**style, "linestyle": "", "elinewidth": 1.2, "label": name}
        shown = (100 * confidence[used], 100 * accuracy[used], bars[:, used])
        above.errorbar(*shown, **points)
        edges = np.linspace(0, 100, BINS + 1)
        below.stairs(counts, edges, color=style["color"], fill=is_plain)
        error = calibration.expected_error(result.probabilities, result.labels)
        errors.append(f"{name} {percent(error)}")
    above.set(ylabel="accuracy, %", xlim=(0, 101.5), ylim=(-2, 102))
    below.set_yscale("symlog", linthresh=1)
    below.set(xlabel="confidence, %", ylabel="images", ylim=(0, None))
    below.yaxis.set_major_locator(ticker.FixedLocator([0, 1, 100, 10_000, 1_000_000]))
    below.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    below.yaxis.set_minor_locator(ticker.NullLocator())
    label = f"Reliability diagram. Expected calibration error: {', '.join(errors)}."
    return inline_svg(figure, "reliability", label)


def reliability(probabilities: Array, labels: Array) -> Tuple[Array, Array, Array, Array]:
    """Confidence against accuracy, of float64 ``[N,C]`` and int64 ``[N]``, N at least 1.

    Of each bin ``[15]`` of ``mnist.model.calibration``: how many samples are in it, their mean
    confidence and their accuracy (0 where there are none), and ``[2,15]`` the accuracy's 95%.
    """
    confidences = probabilities.max(axis=1)
    places = calibration.bins_of(confidences)
    counts = np.bincount(places, minlength=BINS)
    right = np.bincount(places[probabilities.argmax(axis=1) == labels], minlength=BINS)
    some = np.maximum(counts, 1)
    intervals = [wilson_interval(*pair) for pair in zip(right.tolist(), counts.tolist())]
    sums = np.bincount(places, confidences, minlength=BINS)
    return counts, sums / some, right / some, np.transpose(intervals)


def wilson_interval(right: int, count: int) -> Tuple[float, float]:
    """The 95% interval of a fraction that was counted (Wilson 1927); (0, 1) of nothing."""
    if count == 0:
        return 0.0, 1.0
    interval = binomtest(right, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def compared_recalls(entries: Sequence[Entry]) -> str:
    """Recall per class of several runs, of which one at least was measured."""
    figure, axes = new_figure()
    classes = entries[0].run.source.classes
    for entry, measures in measured(entries):
        recalls = [row["recall"] for row in measures.evaluations[0].per_class()]
        points = {**SERIES[entry.place], "linestyle": "", "label": entry.letter}
        axes.plot(100 * np.array(recalls, float), **points)  # None is nan, which is not drawn
    axes.set(xlabel=noun(classes), ylabel="recall, %")
    axes.set_xticks(range(len(classes)), classes, rotation=90 * (max(map(len, classes)) > 2))
    return inline_svg(figure, "recall", f"Recall per {noun(classes)}")


def change(entries: Sequence[Entry], number: int) -> str:
    """Accuracy against the strength of the change of that number; one run at least is measured."""
    figure, axes = new_figure(height=2.7)
    changed = CHANGES[number]
    label = []
    for entry, measures in measured(entries):
        name = entry.letter if len(entries) > 1 else "this model"
        accuracies = measures.changes[number]
        percents = [100 * accuracy for accuracy in accuracies]
        axes.plot(changed.strengths, percents, label=name, **SERIES[entry.place])
        steps = zip(accuracies, map(changed.show, changed.strengths))
        said = (f"{percent(accuracy, 1)} at {strength}" for accuracy, strength in steps)
        label.append(f"{changed.name}, accuracy of {name}: {', '.join(said)}.")
    dotted = {"linestyle": ":", "linewidth": 1.2, "color": LIGHT["muted"]}
    axes.axhline(100 / len(entries[0].run.source.classes), label="guessing", **dotted)
    axes.set(xlabel=changed.strength_name, ylabel="accuracy, %", ylim=(0, 103))
    return inline_svg(figure, f"change-{number}", " ".join(label))
