"""Curves that are labelled where they end and told apart without colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.output import find_pyplot, save_picture

# Marker, line and shade of grey.
STYLES = (
    ("o", "-", "black"),
    ("s", "-", "0.4"),
    ("^", "--", "0.2"),
    ("v", "-.", "0.5"),
    ("D", ":", "0.3"),
    ("*", "", "black"),
)
MOST = len(STYLES)  # curves that a panel can hold
APART = 0.045  # of the height of a panel: the least distance of two labels


class Curve(NamedTuple):
    """Points (x, y) with x rising, and what they are called; without points it keeps its style free."""

    label: str
    points: Sequence[tuple[float, float]]


def draw_panels(path: Path, panels: Mapping[str, Sequence[Curve]], across: str, up: str) -> bool:
    """Draws panels side by side, by title, with one scale upwards and a logarithmic one across.

    Returns whether there was something to draw and matplotlib to draw with.

    Raises:
        ValueError: a panel of more curves than can be told apart.
    """
    filled = {title: curves for title, curves in panels.items() if any(curve.points for curve in curves)}
    if any(len(curves) > MOST for curves in filled.values()):
        raise ValueError(f"expected at most {MOST} curves in a panel")
    pyplot = find_pyplot()
    if pyplot is None or not filled:
        return False
    size = (7 * len(filled), 5)
    figure, all_axes = pyplot.subplots(1, len(filled), figsize=size, dpi=120, sharey=True, squeeze=False)
    for axes, (title, curves) in zip(all_axes[0], filled.items(), strict=True):
        _draw(axes, curves)
        axes.set_title(title)
        axes.set_xlabel(across)
        axes.grid(alpha=0.3)
    all_axes[0][0].set_ylabel(up)
    figure.tight_layout()
    save_picture(figure, path)
    pyplot.close(figure)
    return True


def _draw(axes: Any, curves: Sequence[Curve]) -> None:
    from matplotlib import ticker  # not everybody has it

    styles = {curve.label: style for curve, style in zip(curves, STYLES, strict=False)}
    curves = [curve for curve in curves if curve.points]
    for curve in curves:
        marker, line, shade = styles[curve.label]
        across, up = zip(*curve.points, strict=True)
        axes.plot(across, up, marker=marker, linestyle=line, color=shade, markersize=5)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(ticker.LogLocator(subs=(2, 5)))
    for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        set_formatter(lambda value, _: f"{value:,g}")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * (high / low) ** 0.35)  # room for the labels
    ends = [curve.points[-1] for curve in curves]
    height = axes.get_ylim()[1] - axes.get_ylim()[0]
    places = spread_out([y for _, y in ends], APART * height)
    for curve, (x, y), place in zip(curves, ends, places, strict=True):
        text = {"color": styles[curve.label][2], "fontsize": 9, "va": "center"}
        if place != y:  # moved away from its end
            text["arrowprops"] = {"arrowstyle": "-", "color": "0.7", "linewidth": 0.6}
        axes.annotate(curve.label, (x, y), xytext=(x * (high / low) ** 0.02, place), **text)


def spread_out(heights: Sequence[float], least: float) -> list[float]:
    """Moves labels up until each is ``least`` or more above the next lower one.

    >>> spread_out([1.0, 0.0, 1.1], 0.5)
    [1.0, 0.0, 1.5]
    """
    placed, before = [0.0] * len(heights), -float("inf")
    for place in sorted(range(len(heights)), key=lambda one: heights[one]):
        before = max(heights[place], before + least)
        placed[place] = before
    return placed
