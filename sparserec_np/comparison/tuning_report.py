"""The page of a search for settings: its trials, the best so far, and the front of quality and bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sparserec_np.comparison.document import Block, Figure, Heading, Prose, Table
from sparserec_np.comparison.drawing import MISSING, Axes, Curve, can_draw, draw
from sparserec_np.comparison.tuning import Tried, front_of, winner_of
from sparserec_np.comparison.words import bytes_of, figure_of


def page(tried: Sequence[Tried], folder: str) -> list[Block]:
    """Makes the blocks of the page."""
    winner = winner_of(list(tried))
    return [
        Heading(f"Search for settings in {folder}", 1),
        Prose(f"{len(tried):,} trials; the run is trained with the settings of trial {winner.number}."),
        *_pictures(tried),
        Heading("The front" if winner.bytes is not None else "The best"),
        trials_table(front_of(list(tried))),
        Heading("All trials"),
        trials_table(tried),
    ]


def trials_table(tried: Sequence[Tried]) -> Table:
    """Makes a table of trials, with a column for each setting that was searched."""
    names = list(dict.fromkeys(name for one in tried for name in one.settings))
    rows = [
        [
            one.number,
            one.ended if one.reached is None else figure_of(one.reached),
            *([bytes_of(one.bytes)] if any(some.bytes for some in tried) else []),
            *(_shown(one.settings.get(name)) for name in names),
        ]
        for one in tried
    ]
    sizes = ["bytes"] if any(one.bytes for one in tried) else []
    return Table(["trial", "ndcg@20", *sizes, *(name.replace("_", " ") for name in names)], rows)


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _pictures(tried: Sequence[Tried]) -> Iterator[Block]:
    if not can_draw():
        yield Prose(MISSING)
        return
    complete = [one for one in tried if one.reached is not None]
    best, points = -1.0, []
    for one in complete:
        best = max(best, one.reached or 0.0)
        points.append((float(one.number), best))
    if len(points) > 1:
        title = "The best so far"
        yield Figure(draw([Curve("best", points)], Axes(title, "trial", "ndcg@20, validation part")), title)
    front = [(float(one.bytes or 0), one.reached or 0.0) for one in front_of(list(tried))]
    if complete and complete[0].bytes is not None and len(front) > 1:
        title = "The front of quality and bytes"
        axes = Axes(title, "served bytes", "ndcg@20, validation part", log=True)
        yield Figure(draw([Curve("front", front)], axes), title)
