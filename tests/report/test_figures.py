"""Figures: what their SVG holds, and that colours are told apart."""

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import numpy as np
import pytest

from mnist.report.figures import DARK, LIGHT, SERIES, inline_svg, new_figure


def drawn():
    figure, axes = new_figure()
    for number, style in enumerate(SERIES[:3]):
        axes.plot([0, 1, 2], [number, 2, number], label=f"line {number}", **style)
    axes.fill_between([0, 1], [0, 1], clip_on=True)
    return figure


def test_an_inline_svg_shares_nothing_with_its_page():
    left, right = (inline_svg(drawn(), name, "a label") for name in ("left", "right"))
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (left, right)]
    assert ids[0] and ids[1] and not ids[0] & ids[1]
    for svg, own in ((left, ids[0]), (right, ids[1])):
        targets = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
        assert {a or b for a, b in targets} <= own
        assert "<style" not in svg and "http" not in svg and "font-family" not in svg


def test_an_inline_svg_is_an_image_with_a_name_and_real_text():
    root = ET.fromstring(inline_svg(drawn(), "f", 'quoted "<label>"'))
    assert root.tag == "svg" and root.get("role") == "img"
    assert root.get("aria-label") == 'quoted "<label>"'
    assert {"line 0", "line 1", "line 2"} <= {text.text for text in root.iter("text")}


def test_every_colour_of_a_drawing_follows_the_palette():
    svg = inline_svg(drawn(), "f", "a label")
    assert {"--ink", "--grid", "--blue", "--orange", "--green"} <= set(re.findall(r"--\w+", svg))
    assert not re.findall(r"#[0-9a-f]{6}\b", svg)


def test_equal_figures_are_equal_bytes():
    assert inline_svg(drawn(), "f", "x") == inline_svg(drawn(), "f", "x")


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear))


def contrast(left, right):
    high, low = sorted((luminance(left), luminance(right)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_the_paper(palette):
    """As WCAG 2.1 AA asks: 4.5 for text (links are blue), 3 for lines."""
    for name in ("ink", "muted", "blue"):
        assert contrast(palette[name], palette["paper"]) >= 4.5, name
    for name in ("orange", "green", "purple"):
        assert contrast(palette[name], palette["paper"]) >= 3, name


# Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of Color
# Vision Deficiency", severity 1: linear RGB → what is seen of it.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}  # fmt: skip


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_are_told_apart_by_whoever_looks(palette, vision):
    """By a CIE 1976 difference of 25; 2 can just be seen."""
    seen = [lab(palette[name], VISION[vision]) for name in ("blue", "orange", "green", "purple")]
    for left, right in combinations(seen, 2):
        assert np.linalg.norm(left - right) >= 25


def lab(colour, vision):
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = to_xyz @ np.clip(vision @ linear, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_no_two_lines_share_colour_and_dashes_or_marker_and_dashes():
    for key in ("color", "marker"):
        assert len({(style[key], style["linestyle"]) for style in SERIES}) == len(SERIES)
