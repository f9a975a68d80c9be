"""Curves as SVG for a page: at most six in a picture, told apart without colours, named at their ends.

Colours are variables of the page's style, so that a picture follows the reader's colour scheme. The
package matplotlib is optional; without it there are no pictures.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

MOST = 6  # curves in a picture
# Stand-ins of colours in the SVG -> variables of the page's style.
INK, FAINT = "#c0de00", "#c0de0f"
CURVES = tuple(f"#c0de{number:02d}" for number in range(1, MOST + 1))
VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)"} | {
    colour: f"var(--c{number})" for number, colour in enumerate(CURVES, 1)
}
MARKERS, LINES = ("o", "s", "^", "v", "D", "x"), ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
APART = 0.055  # of the height of a picture: the least distance of two names
MISSING = (
    "Pictures are left out, as matplotlib is not installed: pip install 'sparserec_np[report]' draws them."
)


class Curve(NamedTuple):
    """Points (x, y) with x rising, and the curve's name."""

    name: str
    points: Sequence[tuple[float, float]]


class Axes(NamedTuple):
    """What is drawn against what.

    Attributes:
        title: of the picture.
        across, up: names of the axes.
        log: whether the one across is logarithmic.
    """

    title: str
    across: str
    up: str
    log: bool = False


def can_draw() -> bool:
    """Tells whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(curves: Sequence[Curve], axes: Axes) -> str:
    """Draws curves, and returns the ``svg`` element.

    Raises:
        ValueError: there are none, or more than can be told apart.
    """
    if not 0 < len(curves) <= MOST:
        raise ValueError(f"expected 1 to {MOST} curves, found {len(curves)}")
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    marks = re.sub(r"\W+", "-", f"{axes.title} {axes.across}")
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": marks, "font.family": "sans-serif"}):
        figure = Figure(figsize=(6.2, 4.0), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        place = figure.add_subplot()
        _draw(place, curves, axes)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(stream.getvalue(), marks, axes.title)


def _draw(place: Any, curves: Sequence[Curve], axes: Axes) -> None:
    place.patch.set_visible(False)
    for number, curve in enumerate(curves):
        across, up = zip(*curve.points, strict=True)
        colour = CURVES[number]
        place.plot(across, up, color=colour, marker=MARKERS[number], linestyle=LINES[number], markersize=4.5)
    if axes.log:
        _count_in_powers(place)
    place.set_title(axes.title, color=INK, fontsize=11)
    place.set_xlabel(axes.across, color=INK)
    place.set_ylabel(axes.up, color=INK)
    place.tick_params(which="both", colors=INK)
    for side, spine in place.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    place.grid(color=FAINT, linewidth=0.6)
    low, high = place.get_ylim()
    heights = spread_out([curve.points[-1][1] for curve in curves], APART * (high - low))
    room = APART * (high - low) / 2
    place.set_ylim(min(low, min(heights) - room), max(high, max(heights) + room))
    edge = place.get_yaxis_transform()
    for number, (curve, height) in enumerate(zip(curves, heights, strict=True)):
        place.annotate(
            curve.name,
            curve.points[-1],
            xytext=(1.02, height),
            textcoords=edge,
            color=CURVES[number],
            fontsize=9,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 3},
        )


def _count_in_powers(place: Any) -> None:
    from matplotlib import ticker

    place.set_xscale("log")
    place.xaxis.set_minor_locator(ticker.LogLocator(subs=(2, 5)))
    for set_formatter in (place.xaxis.set_major_formatter, place.xaxis.set_minor_formatter):
        set_formatter(lambda value, _: f"{value:,g}")


def _inline(svg: str, marks: str, title: str) -> str:
    """Makes an element of a page of an SVG file: without a head, with its own ids and the page's colours."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.S)
    element = re.sub(r'\sid="(figure|axes|text|line2d|patch|matplotlib)[\w.]*"', "", element)
    element = re.sub(r'\s(version|xmlns|xmlns:xlink)="[^"]*"', "", element, count=3)
    element = element.replace("xlink:href", "href")
    element = re.sub(r"font-family: [^;\"]*; ?", "", element)  # the page's own
    for colour, variable in VARIABLES.items():
        element = element.replace(colour, variable)
    label = title.replace("&", "and").replace('"', "").replace("<", "")
    return element.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def spread_out(heights: Sequence[float], least: float) -> list[float]:
    """Moves names as little as it takes to have ``least`` or more between any two, in their order.

    >>> spread_out([1.0, 0.0, 1.0], 0.5)
    [0.75, 0.0, 1.25]
    """
    order = sorted(range(len(heights)), key=lambda one: heights[one])
    groups: list[list[float]] = []  # of names that touch: their number, and the sum of where they want to be
    for place, one in enumerate(order):
        groups.append([1.0, heights[one] - place * least])
        while len(groups) > 1 and groups[-2][1] / groups[-2][0] > groups[-1][1] / groups[-1][0]:
            number, wish = groups.pop()
            groups[-1] = [groups[-1][0] + number, groups[-1][1] + wish]
    wishes = [wish / number for number, wish in groups for _ in range(int(number))]
    placed = [0.0] * len(heights)
    for place, one in enumerate(order):
        placed[one] = wishes[place] + place * least
    return placed
