"""How every figure of this project looks: colours, type, sizes, and the way to SVG and PNG.

Figures are drawn in the light palette's colours. In an SVG each becomes a CSS variable, so
that one drawing serves a light and a dark page. Lines differ in colour, marker and dashes:
colour alone would leave some readers out. The four hues stay apart for the three kinds of
colour blindness and stand out from the paper; tests/report/test_figures.py measures both.
"""

import io
import re
from pathlib import Path
from typing import Any, Dict, Tuple
from xml.etree import ElementTree

from mnist.base import preflight
from mnist.base.files import PathLike, atomic_write

preflight.require("report", "matplotlib")

import matplotlib  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

LIGHT: Dict[str, str] = {
    "ink": "#1d2329",
    "muted": "#5b6570",
    "grid": "#d9dee4",
    "paper": "#ffffff",
    "blue": "#2f4bd6",
    "orange": "#c8651b",
    "green": "#1f9e7a",
    "purple": "#a05cae",
}
DARK: Dict[str, str] = {
    "ink": "#e7eaee",
    "muted": "#a5afba",
    "grid": "#39424c",
    "paper": "#14181d",
    "blue": "#6a8cff",
    "orange": "#f5843c",
    "green": "#5ae8b4",
    "purple": "#c39bd0",
}

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

# Inches. Narrow, so that the type stays readable where a phone shows a figure 360 pixels wide.
WIDTH, HEIGHT = 4.8, 3.1
_FONT_POINTS = 10

_STYLE: Dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so sizes are the same everywhere
    "font.size": _FONT_POINTS,
    "axes.labelsize": _FONT_POINTS,
    "axes.titlesize": _FONT_POINTS,
    "xtick.labelsize": _FONT_POINTS,
    "ytick.labelsize": _FONT_POINTS,
    "legend.fontsize": _FONT_POINTS,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.borderaxespad": 0.1,
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["ink"],
    "axes.edgecolor": LIGHT["muted"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.labelcolor": LIGHT["ink"],
    "ytick.labelcolor": LIGHT["ink"],
    "axes.facecolor": "none",
    "figure.facecolor": LIGHT["paper"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["grid"],
    "axes.prop_cycle": matplotlib.cycler(color=[style["color"] for style in SERIES[:4]]),
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    # Text stays text: it is found, read aloud, and takes the page's own face.
    "svg.fonttype": "none",
}

# Once and for all: nothing else draws in a process that imports this module.
matplotlib.rcParams.update(_STYLE)

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"


def new_figure(width: float = WIDTH, height: float = HEIGHT, **subplots: Any) -> Tuple[Figure, Any]:
    """A figure of ``width`` × ``height`` inches and its axes, in the project's style.

    ``subplots`` go to ``Figure.subplots``: ``nrows``, ``sharex``, ``height_ratios``….
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**subplots)


def legend_above(axes: Any) -> None:
    """Name the lines of ``axes`` above all axes, where no line can run through the names."""
    handles, names = axes.get_legend_handles_labels()
    axes.figure.legend(handles, names, loc="outside upper left", ncols=4, columnspacing=1.4)


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an ``<svg>`` element for an HTML page that sets ``css_variables``.

    ``name`` keeps its ids apart from those of the page's other figures; ``label`` is what a
    screen reader says.
    """
    root = _svg_tree(figure, name)
    root.set("role", "img")
    root.set("aria-label", label)
    return _serialize(root)


def save_svg(figure: Figure, path: PathLike) -> None:
    """Write the figure to a file that follows its reader's choice of light or dark."""
    root = _svg_tree(figure, Path(path).stem)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    style = ElementTree.Element("style")
    style.text = (
        f"svg{{{css_variables(LIGHT)}}}"
        f"@media (prefers-color-scheme:dark){{svg{{{css_variables(DARK)}}}}}"
        "text{font-family:'DejaVu Sans',Verdana,sans-serif}*{stroke-linejoin:round}"
    )
    paper = ElementTree.Element("rect", width="100%", height="100%", fill="var(--paper)")
    root[:0] = [style, paper]
    with atomic_write(path) as file:
        file.write(_serialize(root).encode())


def save_png(figure: Figure, path: PathLike, dots_per_inch: int = 200) -> None:
    """Write the figure to a file in the light palette."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=dots_per_inch, metadata={"Software": None})


def css_variables(palette: Dict[str, str]) -> str:
    """A palette as CSS declarations: ``--ink:#1d2329;--muted:…``."""
    return "".join(f"--{name}:{colour};" for name, colour in palette.items())


# --- matplotlib's SVG, made fit for a page ----------------------------------------------


def _svg_tree(figure: Figure, name: str) -> ElementTree.Element:
    """The drawing as matplotlib makes it, without what only a file of its own may have.

    Its style sheet would hold for the whole page, and its ids ("axes_1") come again in the
    next figure.
    """
    buffer = io.BytesIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata)
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}style", f"{_SVG}metadata"):
                parent.remove(child)
    _rename(root, name)
    box = root.attrib.pop("viewBox")
    root.attrib.clear()
    root.set("viewBox", box)
    return root


def _rename(root: ElementTree.Element, name: str) -> None:
    """Drop the namespaces, and the ids that nothing refers to; prefix the others."""
    text = ElementTree.tostring(root, encoding="unicode")
    wanted = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
    for element in root.iter():
        element.tag = element.tag.replace(_SVG, "")
        identity = element.attrib.pop("id", None)
        if identity in wanted:
            element.set("id", f"{name}-{identity}")
        target = element.attrib.pop(_HREF, None)
        if target is not None:
            element.set("href", f"#{name}-{target[1:]}")
        clip = element.get("clip-path")
        if clip is not None:
            element.set("clip-path", clip.replace("url(#", f"url(#{name}-"))


def _serialize(root: ElementTree.Element) -> str:
    text = ElementTree.tostring(root, encoding="unicode")
    # Only the size of a font: the face is the page's.
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for name, colour in LIGHT.items():
        text = text.replace(f": {colour}", f": var(--{name})")
    return re.sub(r">\s+<", "><", text)
