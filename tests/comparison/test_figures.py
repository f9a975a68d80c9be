"""The pictures of a comparison: which curves there are, and what is left out of them."""

from __future__ import annotations

import pytest

from sparserec_np.comparison.document import Figure, Heading
from sparserec_np.comparison.figures import Found, curves_of
from sparserec_np.comparison.variants import Variant
from sparserec_np.training.settings import Config

METHODS = ("sparserec", "rigl", "set", "static", "magnitude", "dense-small", "other")


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """What is drawn, without drawing it."""
    found: list = []
    monkeypatch.setattr("sparserec_np.comparison.figures.can_draw", lambda: True)
    monkeypatch.setattr(
        "sparserec_np.comparison.figures.draw",
        lambda curves, axes: found.append((curves, axes)) or "<svg></svg>",
    )
    return found


def found(method: str, density: float, reached: float, history: list | None = None) -> Found:
    variant = Variant("mf", method, ("density", density), "spectral", Config())
    return Found(variant, {"density": density, "bytes": 1000 * density}, reached, history or [])


def test_a_curve_a_method_where_there_are_two_budgets(drawn: list) -> None:
    some = [found("sparserec", 0.2, 0.3), found("sparserec", 0.1, 0.2), found("set", 0.1, 0.1)]
    blocks = list(curves_of(some, "ndcg@20"))
    assert [type(block) for block in blocks] == [Heading, Figure, Figure]
    assert [axes.across for _, axes in drawn] == ["density", "served bytes"]
    assert drawn[0][0] == [("sparserec", [(0.1, 0.2), (0.2, 0.3)])]


def test_the_lowest_are_left_out_where_there_are_too_many(drawn: list) -> None:
    some = [found(name, part, part + place) for place, name in enumerate(METHODS) for part in (0.1, 0.2)]
    blocks = list(curves_of(some, "ndcg@20"))
    assert [curve.name for curve in drawn[0][0]] == list(METHODS[1:])
    assert isinstance(blocks[1], Figure) and blocks[1].caption.endswith(
        "; the one that ends lowest is left out"
    )


def test_epochs_are_drawn_where_there_are_two_looks(drawn: list) -> None:
    looks = [{"phase": "search", "epoch": epoch, "loss": 1.0, "ndcg@20": 0.1} for epoch in (0, 5)]
    list(curves_of([found("set", 0.1, 0.2, looks), found("static", 0.1, 0.2, looks[:1])], "ndcg@20"))
    ((curves, axes),) = drawn
    assert [curve.name for curve in curves] == [
        "set"
    ] and axes.title == "mf, density 0.1, spectral: over epochs"
