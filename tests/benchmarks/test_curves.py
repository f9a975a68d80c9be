"""Curves that are labelled at their ends."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks.curves import MOST, Curve, draw_panels, spread_out

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None,
    reason="matplotlib is not installed: pip install 'sparserec_np[bench]'",
)


def test_labels_are_kept_apart_in_their_order() -> None:
    heights = [0.3, 0.1, 0.11, 0.12]
    placed = spread_out(heights, 0.05)
    assert placed == pytest.approx([0.3, 0.1, 0.15, 0.2])
    assert spread_out([], 1.0) == []


def test_more_curves_than_can_be_told_apart_are_refused(tmp_path: Path) -> None:
    curves = [Curve(str(number), [(1.0, 1.0)]) for number in range(MOST + 1)]
    with pytest.raises(ValueError, match=f"at most {MOST} curves"):
        draw_panels(tmp_path / "x.png", {"all": curves}, "bytes", "NDCG@20")


@needs_matplotlib
@pytest.mark.filterwarnings("ignore")  # matplotlib's own
def test_a_picture_is_drawn_where_there_are_points(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    assert not draw_panels(path, {"none": [Curve("a", [])]}, "bytes", "NDCG@20")
    assert not path.exists()
    curves = [Curve("a", [(10.0, 0.1), (100.0, 0.2)]), Curve("no points", []), Curve("b", [(20.0, 0.2)])]
    assert draw_panels(path, {"one": curves, "two": curves[:1], "three": []}, "bytes", "NDCG@20")
    assert path.read_bytes().startswith(b"\x89PNG")
