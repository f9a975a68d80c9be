"""The figures as pictures, where matplotlib is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.figures import spread
from benchmarks.output import find_pyplot, save_picture
from benchmarks.side_by_side.contender import Record

Runs = dict[str, dict[str, list[Record]]]
BARS = {"epochs": "Seconds of an epoch", "ranking": "Seconds to list the best 20 items for every user"}


def draw(runs: Runs, stem: Path) -> dict[str, Path]:
    """Draws what there are figures of; returns the files by part, none without matplotlib."""
    pyplot = find_pyplot()
    if pyplot is None:
        return {}
    drawn = {name: _bars(pyplot, runs[name], title) for name, title in BARS.items() if runs.get(name)}
    if runs.get("time-to-quality"):
        drawn["time-to-quality"] = _curves(pyplot, runs["time-to-quality"])
    written = {name: stem.with_name(f"{stem.name}-{name}.png") for name in drawn}
    for name, (figure, axes) in drawn.items():
        axes.grid(alpha=0.3)
        figure.tight_layout()
        save_picture(figure, written[name])
        pyplot.close(figure)
    return written


def _bars(pyplot: Any, rows: dict[str, list[Record]], title: str) -> tuple[Any, Any]:
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.4 * len(rows)), dpi=120)
    found = [spread(one["seconds"] for one in records) for records in rows.values()]
    middle = [one.median for one in found]
    reach = [[one.median - one.low for one in found], [one.high - one.median for one in found]]
    colours = ["tab:blue" if name.startswith("sparserec_np") else "tab:gray" for name in rows]
    axes.barh(list(rows), middle, xerr=reach, color=colours, log=True)
    axes.invert_yaxis()
    axes.set_xlabel(f"{title} (median, least to most)")
    return figure, axes


def _curves(pyplot: Any, rows: dict[str, list[Record]]) -> tuple[Any, Any]:
    figure, axes = pyplot.subplots(figsize=(10, 6), dpi=120)
    for name, records in rows.items():
        seconds, reached = zip(*records[0]["points"], strict=True)
        peer = not name.startswith("sparserec_np")
        axes.plot(seconds, reached, "--" if peer else "-", marker="o", markersize=3, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("seconds from reading the file, evaluation not counted")
    axes.set_ylabel("NDCG@20 on the test part")
    axes.legend(fontsize="small")
    return figure, axes
