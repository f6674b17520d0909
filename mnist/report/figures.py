"""How every figure of this project looks: colours, type, sizes, and the way to SVG.

Figures are drawn in the light palette's colours. In an SVG each becomes a CSS variable, so
that one drawing serves a light and a dark page. Lines differ in colour, marker and dashes:
colour alone would leave some readers out. The four hues stay apart for the three kinds of
colour blindness and stand out from the paper; tests/report/test_figures.py measures both.
"""

import io
import re
from html import escape
from pathlib import Path
from typing import Any, Dict, Tuple

import matplotlib
from matplotlib.figure import Figure

_PALETTES: Dict[str, Tuple[str, str]] = {  # on light, on dark
    "ink": ("#1d2329", "#e7eaee"),
    "muted": ("#5b6570", "#a5afba"),
    "grid": ("#d9dee4", "#39424c"),
    "paper": ("#ffffff", "#14181d"),
    "blue": ("#2f4bd6", "#6a8cff"),
    "orange": ("#c8651b", "#f5843c"),
    "green": ("#1f9e7a", "#5ae8b4"),
    "purple": ("#a05cae", "#c39bd0"),
}
LIGHT, DARK = ({name: pair[side] for name, pair in _PALETTES.items()} for side in (0, 1))

_HUES = (("blue", "o"), ("orange", "s"), ("green", "^"), ("purple", "D"))

# What tells the lines of one figure apart: four with full markers, then four dashed with hollow
# ones.
SERIES: Tuple[Dict[str, str], ...] = tuple(
    {
        "color": LIGHT[name],
        "marker": marker,
        "linestyle": dashes,
        "markerfacecolor": LIGHT["paper"] if dashes == "--" else LIGHT[name],
    }
    for dashes in ("-", "--")
    for name, marker in _HUES
)

# How text shows the same: a sign and the CSS variable of its colour.
MARKS = tuple(zip("●■▲◆○□△◇", [name for name, _ in _HUES] * 2))

# Inches; narrow, so that the type stays readable where a phone shows a figure 360 pixels wide.
_WIDTH = 4.8

# Once and for all: nothing else draws in a process that imports this module.
matplotlib.rc_file(Path(__file__).parent / "templates" / "figures.mplstyle")


def new_figure(height: float = 3.1, **subplots: Any) -> Tuple[Figure, Any]:
    """A figure of ``height`` inches and its axes, in the project's style.

    ``subplots`` go to ``Figure.subplots``: ``nrows``, ``sharex``, ``height_ratios``….
    """
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots(**subplots)


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an ``<svg>`` element for an HTML page that has the palettes as CSS variables.

    The lines of its first axes are named above all axes, where no line can run through the names.
    ``name`` keeps its ids apart from those of the page's other figures, as matplotlib's ("axes_1")
    come again in the next one; ``label`` is what a screen reader says. What only a file of its own
    may have is left out: metadata, and a style sheet, which would hold for the whole page.
    """
    name = re.sub(r"\W+", "-", name)
    named = figure.axes[0].get_legend_handles_labels()
    figure.legend(*named, loc="outside upper left", ncols=4, columnspacing=1.4)
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    head, _, body = buffer.getvalue().partition("</defs>")  # the end of the style sheet
    (view_box,) = re.findall(r'viewBox="[^"]+"', head)
    body = re.sub(r'(\bid="|url\(#)', rf"\1{name}-", body)
    body = body.replace('xlink:href="#', f'href="#{name}-')
    # Only the size of a font: the face is the page's.
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)
    for variable, colour in LIGHT.items():
        body = body.replace(f": {colour}", f": var(--{variable})")
    body = re.sub(r">\s+<", "><", body)
    return f'<svg {view_box} role="img" aria-label="{escape(label)}">{body.strip()}'
