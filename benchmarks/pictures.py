"""How the benchmarks' pictures look: light, plain, in colours that all eyes tell apart."""

from pathlib import Path
from typing import Any, Tuple

from mnist.base import preflight

preflight.require("report", "matplotlib")

import matplotlib  # noqa: E402

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

# After Okabe and Ito 2008, "Color universal design".
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")

_STYLE = {
    "figure.facecolor": "white",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "lines.markersize": 4,
    "legend.frameon": False,
}


def figure(columns: int = 1) -> Tuple[Any, Any]:
    """A figure and its axes, side by side."""
    pyplot.rcParams.update(_STYLE)
    width = 9 if columns > 1 else 7
    return pyplot.subplots(1, columns, figsize=(width, 3.6), layout="constrained")


def save(picture: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(str(path), dpi=120)
    pyplot.close(picture)
