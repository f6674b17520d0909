"""The figures of a report: what a run left behind and what was measured, drawn.

No text that comes from a file gets into a figure: runs are called by the letters that the
page explains.
"""

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import numpy as np
from matplotlib import ticker

from mnist.base.console import percent
from mnist.config.classes import noun
from mnist.model.calibration import BINS
from mnist.report.figures import LIGHT, SERIES, inline_svg, legend_above, new_figure
from mnist.report.measurement import Entry, Measures, measured
from mnist.report.past_run import Points, Run
from mnist.report.perturbations import CHANGES

Item = TypeVar("Item")

# More points than this cannot be told apart, and only make the page larger.
MAX_POINTS = 300
_MAX_MARKERS = 40
_SPLITS = ("train", "valid")
_OVER_EPOCHS = "over the epochs"


class Drawn(NamedTuple):
    """A figure for the page: an ``<svg>`` element and the line below it."""

    svg: str
    caption: str


class Line(NamedTuple):
    """A curve: its name ("" where it is alone), its points, which of ``SERIES`` it looks like."""

    name: str
    points: Points
    series: int


def thin(items: Sequence[Item], limit: int = MAX_POINTS) -> List[Item]:
    """At most ``limit`` of the items, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(items) - 1, min(len(items), limit))
    return [items[i] for i in places.round().astype(int)]


def training(run: Run) -> List[Drawn]:
    """Loss, accuracy, learning rate and speed over the epochs; nothing without a history."""
    if not run.history:
        return []
    loss, accuracy = (
        [Line(split, _history(run, f"{split}_{name}"), n) for n, split in enumerate(_SPLITS)]
        for name in ("loss", "accuracy")
    )
    batches = run.curves.get("train/loss", [])
    rates = run.curves.get("train/learning_rate") or _history(run, "learning_rate")
    speeds = _history(run, "images_per_second")
    dots = f"{_OVER_EPOCHS}; the dots are single batches of train, while they were trained"
    elsewhere = f"{_OVER_EPOCHS}, on the machine that trained it"
    return [
        _curves("loss", loss, dots if batches else _OVER_EPOCHS, run=run, dots=batches),
        _curves("accuracy, %", accuracy, run=run),
        _curves("learning rate", [Line("", rates, 2)], run=run),
        _curves("images/s", [Line("", speeds, 3)], elsewhere, run=run),
    ]


def compared_training(entries: Sequence[Entry]) -> List[Drawn]:
    """Curves of several runs laid over each other; runs without a history are left out."""
    entries = [entry for entry in entries if entry.run.history]
    if not entries:
        return []
    accuracy, valid, train, rate = (
        [Line(entry.letter, _history(entry.run, field), entry.place) for entry in entries]
        for field in ("valid_accuracy", "valid_loss", "train_loss", "learning_rate")
    )
    in_time = []
    for entry, line in zip(entries, accuracy):
        seconds = np.cumsum([record.seconds for record in entry.run.history])
        in_time.append(line._replace(points=list(zip(seconds, (y for _, y in line.points)))))
    spent = "seconds of training and validation"
    return [
        _curves("accuracy on valid, %", accuracy),
        _curves("loss on valid", valid),
        _curves("loss on train", train),
        _curves("learning rate", rate),
        _curves("accuracy on valid, %", in_time, "against the time, each on its machine", spent),
    ]


def _history(run: Run, field: str) -> Points:
    """A figure of every epoch; accuracies in percent."""
    factor = 100 if field.endswith("accuracy") else 1
    return [(record.epoch, factor * getattr(record, field)) for record in run.history]


def _curves(
    quantity: str, lines: Sequence[Line], over: str = _OVER_EPOCHS, against: str = "epoch",
    run: Optional[Run] = None, dots: Sequence[Tuple[float, float]] = (),
) -> Drawn:  # fmt: skip
    """Lines of a ``quantity`` ``against`` something; of one ``run``, its checkpoint is marked."""
    figure, axes = new_figure()
    if dots:
        style = {"linestyle": "", "marker": ".", "alpha": 0.5, "color": LIGHT["muted"]}
        axes.plot(*zip(*thin(dots)), label="batches", **style)
    for name, points, series in lines:
        shown = thin(points)
        every = 1 + len(shown) // _MAX_MARKERS
        axes.plot(*zip(*shown), label=name, markevery=every, **SERIES[series])
    _scale(axes, quantity, [value for line in lines for _, value in line.points])
    if against == "epoch":
        axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=8, integer=True))
    if run:
        dotted = {"linestyle": ":", "linewidth": 1.2, "color": LIGHT["ink"]}
        axes.axvline(run.epoch, label="checkpoint", **dotted)
        axes.set_xlim(left=0 if run.curves else None)
    axes.set(xlabel=against, ylabel=quantity)
    legend_above(axes)
    caption = f"{quantity[0].upper()}{quantity[1:].replace(', %', '')} {over}."
    ends = (f"{name} from {ends[0][1]:.4g} to {ends[-1][1]:.4g}" for name, ends, _ in lines)
    label = f"{caption} {'; '.join(ends).strip()}."
    return Drawn(inline_svg(figure, f"{quantity} {against}", label), caption)


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


def reliability_diagram(measures: Measures) -> Drawn:
    """Accuracy against confidence, and how many images had which confidence."""
    plain, tempered = measures.reliability, measures.tempered
    shown = [("as trained" if tempered else "this model", plain)]
    if tempered:
        shown.append(("with temperature", tempered))
    figure, (above, below) = new_figure(
        height=4.2, nrows=2, sharex=True, gridspec_kw={"height_ratios": [3, 1]}
    )
    above.plot([0, 100], [0, 100], color=LIGHT["muted"], linestyle=":", label="as it should be")
    for style, (name, found) in zip(SERIES, shown):
        used = found.counts > 0
        accuracy, ends = found.accuracy[used], found.intervals[used].T
        bars = 100 * np.maximum([accuracy - ends[0], ends[1] - accuracy], 0)
        points = {**style, "linestyle": "", "elinewidth": 1.2, "label": name}
        above.errorbar(100 * found.confidence[used], 100 * accuracy, bars, **points)
        edges = np.linspace(0, 100, BINS + 1)
        below.stairs(found.counts, edges, color=style["color"], fill=not tempered)
    above.set(ylabel="accuracy, %", xlim=(0, 101.5), ylim=(-2, 102))
    legend_above(above)
    below.set_yscale("symlog", linthresh=1)
    below.set(xlabel="confidence, %", ylabel="images", ylim=(0, None))
    below.yaxis.set_major_locator(ticker.FixedLocator([0, 1, 100, 10_000, 1_000_000]))
    below.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    below.yaxis.set_minor_locator(ticker.NullLocator())
    errors = ", ".join(f"{name} {percent(found.ece)}" for name, found in shown)
    label = f"Reliability diagram. Expected calibration error: {errors}."
    caption = (
        "Above: accuracy of the images that were named with a certain confidence, bars for the"
        " 95% interval. Below: how many there were, on a logarithmic scale."
    )
    return Drawn(inline_svg(figure, "reliability", label), caption)


def compared_recalls(entries: Sequence[Entry]) -> Drawn:
    """Recall per class of several runs, of which one at least was measured."""
    figure, axes = new_figure()
    classes = entries[0].run.source.classes
    for entry, measures in measured(entries):
        recalls = [row["recall"] for row in measures.evaluation.per_class()]
        points = {**SERIES[entry.place], "linestyle": "", "label": entry.letter}
        axes.plot(100 * np.array(recalls, float), **points)  # None is nan, which is not drawn
    axes.set(xlabel=noun(classes), ylabel="recall, %")
    axes.set_xticks(range(len(classes)), classes, rotation=90 * (max(map(len, classes)) > 2))
    legend_above(axes)
    caption = f"Recall per {noun(classes)}: how many of each were found."
    return Drawn(inline_svg(figure, "recall", caption), caption)


def change(entries: Sequence[Entry], number: int) -> Drawn:
    """Accuracy against the strength of the change of that number; one run at least is measured."""
    figure, axes = new_figure(height=2.7)
    changed = CHANGES[number]
    label = []
    for entry, measures in measured(entries):
        name = entry.letter if len(entries) > 1 else "this model"
        steps = measures.changes[number]
        percents = [100 * step.accuracy for step in steps]
        axes.plot(changed.strengths, percents, label=name, **SERIES[entry.place])
        said = (f"{percent(step.accuracy, 1)} at {step.strength}" for step in steps)
        label.append(f"{changed.name}, accuracy of {name}: {', '.join(said)}.")
    dotted = {"linestyle": ":", "linewidth": 1.2, "color": LIGHT["muted"]}
    axes.axhline(100 / len(entries[0].run.source.classes), label="guessing", **dotted)
    axes.set(xlabel=changed.strength_name, ylabel="accuracy, %", ylim=(0, 103))
    legend_above(axes)
    return Drawn(inline_svg(figure, f"change-{number}", " ".join(label)), "")
