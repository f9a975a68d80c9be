"""Pictures: colours of the page, a name at the end of each curve, and no more curves than can be told apart."""

from __future__ import annotations

import re
import xml.etree.ElementTree

import pytest

from sparserec_np.comparison.drawing import INK, MOST, Axes, Curve, draw, spread_out
from tests.comparison.test_document import check


def curves(number: int) -> list[Curve]:
    return [Curve(f"curve {one}", [(0.01, 0.1), (0.1, 0.2 + one / 100)]) for one in range(number)]


def test_a_picture_is_an_element_of_a_page() -> None:
    pytest.importorskip("matplotlib")
    text = draw(curves(MOST), Axes("a title", "density", "ndcg@20", log=True))
    xml.etree.ElementTree.fromstring(text)
    check(text)
    assert INK not in text and not re.findall(r"#[0-9a-f]{6}\b", text)
    assert all(
        f"var(--c{number})" in text and f">curve {number - 1}<" in text for number in range(1, MOST + 1)
    )
    assert len(set(re.findall(r"stroke-dasharray: [\d., ]+", text))) >= MOST - 1  # told apart in grey
    assert text == draw(curves(MOST), Axes("a title", "density", "ndcg@20", log=True))


def test_more_curves_than_can_be_told_apart_are_refused() -> None:
    for number in (0, MOST + 1):
        with pytest.raises(ValueError, match="1 to 6 curves"):
            draw(curves(number), Axes("t", "x", "y"))


def test_names_keep_apart_and_move_little() -> None:
    placed = spread_out([1.0, 1.0, 5.0, 1.1, 0.0], 1.0)
    ordered = sorted(placed)
    assert all(b - a >= 1.0 - 1e-9 for a, b in zip(ordered, ordered[1:], strict=False))
    assert placed[2] == 5.0 and ordered[0] < 0.0
    assert spread_out([3.0, 1.0], 0.5) == [3.0, 1.0]
