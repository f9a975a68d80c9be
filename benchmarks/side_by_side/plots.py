"""The figures as pictures, where matplotlib is installed."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from benchmarks.side_by_side.contender import Record
from benchmarks.side_by_side.figures import spread

Runs = dict[str, dict[str, list[Record]]]
BARS = {"epochs": "Seconds of an epoch", "ranking": "Seconds to list the best 20 items for every user"}


def draw(runs: Runs, stem: str) -> dict[str, str]:
    """Draws what there are figures of; returns the files by part, none without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return {}
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    written = {}
    for name, title in BARS.items():
        if runs.get(name):
            written[name] = _save(pyplot, *_bars(pyplot, runs[name], title), f"{stem}-{name}.png")
    if runs.get("time-to-quality"):
        drawn = _curves(pyplot, runs["time-to-quality"])
        written["time-to-quality"] = _save(pyplot, *drawn, f"{stem}-time-to-quality.png")
    return written


def _bars(pyplot: Any, rows: dict[str, list[Record]], title: str) -> tuple[Any, Any]:
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.4 * len(rows)))
    found = [spread(one["seconds"] for one in records) for records in rows.values()]
    middle = [one.median for one in found]
    reach = [[one.median - one.low for one in found], [one.high - one.median for one in found]]
    colours = ["tab:blue" if name.startswith("sparserec_np") else "tab:gray" for name in rows]
    axes.barh(list(rows), middle, xerr=reach, color=colours, log=True)
    axes.invert_yaxis()
    axes.set_xlabel(f"{title} (median, least to most)")
    return figure, axes


def _curves(pyplot: Any, rows: dict[str, list[Record]]) -> tuple[Any, Any]:
    figure, axes = pyplot.subplots(figsize=(10, 6))
    for name, records in rows.items():
        seconds, reached = zip(*records[0]["points"], strict=True)
        peer = not name.startswith("sparserec_np")
        axes.plot(seconds, reached, "--" if peer else "-", marker="o", markersize=3, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("seconds from reading the file, evaluation not counted")
    axes.set_ylabel("NDCG@20 on the test part")
    axes.legend(fontsize="small")
    return figure, axes


def _save(pyplot: Any, figure: Any, axes: Any, path: str) -> str:
    axes.grid(alpha=0.3)
    figure.tight_layout()
    unfinished = f"{path}.unfinished"
    figure.savefig(unfinished, dpi=120, format="png")
    pyplot.close(figure)
    os.replace(unfinished, path)
    return path
