"""The pictures of a comparison: quality over density, over bytes, and over epochs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sparserec_np.comparison.document import Block, Figure, Heading, Prose
from sparserec_np.comparison.drawing import MISSING, MOST, Axes, Curve, can_draw, draw
from sparserec_np.comparison.histories import kept_history
from sparserec_np.comparison.variants import Variant
from sparserec_np.training.fitted import Record


class Found(NamedTuple):
    """A variant as it is drawn.

    Attributes:
        facts: of its first run, with ``density`` and ``bytes``.
        reached: the mean of the figure on the test part.
        history: records of the epochs of its first run.
    """

    variant: Variant
    facts: dict[str, Any]
    reached: float
    history: list[Record]


def curves_of(found: Sequence[Found], figure: str) -> Iterator[Block]:
    """Yields the pictures, or the sentence that there are none."""
    if not can_draw():
        yield Heading("Curves")
        yield Prose(MISSING)
        return
    pictures = [*_over_budgets(found, figure), *_over_epochs(found)]
    if pictures:
        yield Heading("Curves")
        yield from pictures


def _over_budgets(found: Sequence[Found], figure: str) -> Iterator[Block]:
    """Draws a model and start at a time: a curve a method, where two budgets or more were tried."""
    groups: dict[tuple[str, str | None], dict[str, list[Found]]] = {}
    for one in found:
        if one.variant.budget is not None:
            methods = groups.setdefault((one.variant.model, one.variant.start), {})
            methods.setdefault(one.variant.method, []).append(one)
    for (model, start), methods in groups.items():
        several = {name: some for name, some in methods.items() if len(some) > 1}
        for fact, across in (("density", "density"), ("bytes", "served bytes")):
            curves = [
                Curve(name, sorted((float(one.facts[fact]), one.reached) for one in some))
                for name, some in several.items()
            ]
            title = f"{model}{f', {start}' if start else ''}: {figure} over {across}"
            yield from _picture(curves, Axes(title, across, f"{figure}, test part", log=True))


def _over_epochs(found: Sequence[Found]) -> Iterator[Block]:
    """Draws a model, budget and start at a time: a curve a method."""
    groups: dict[Any, list[Curve]] = {}
    for one in found:
        points = kept_history(one.history).validation
        if len(points) > 1:
            groups.setdefault(one.variant.setting, []).append(Curve(one.variant.method, points))
    for (model, budget, start), curves in groups.items():
        words = [model, f"{budget[0].replace('_', ' ')} {budget[1]:,g}" if budget else "all entries", start]
        title = f"{', '.join(word for word in words if word)}: over epochs"
        yield from _picture(curves, Axes(title, "epoch", "ndcg@20, validation part"))


def _picture(curves: Sequence[Curve], axes: Axes) -> Iterator[Block]:
    """Draws the curves that end highest, as many as a picture holds."""
    if not curves:
        return
    ends = sorted((curve.points[-1][1] for curve in curves), reverse=True)
    kept = [curve for curve in curves if curve.points[-1][1] >= ends[:MOST][-1]][:MOST]
    left = len(curves) - len(kept)
    without = "the one that ends lowest is" if left == 1 else f"the {left} that end lowest are"
    caption = f"{axes.title}; {without} left out" if left else axes.title
    yield Figure(draw(kept, axes), caption)
