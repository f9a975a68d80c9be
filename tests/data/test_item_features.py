"""Attributes of items: every form they come in, by ids, and what is none in one sentence."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_matrix

from sparserec_np.data.item_features import ItemFeatures, as_item_features, read_item_features
from sparserec_np.errors import DataError

PAIRS = [(7, "war"), (3, "drama"), (7, "drama")]
DENSE = [[1.0, 0.0], [1.0, 1.0]]  # drama and war, of the items 3 and 7


def same(one: ItemFeatures, other: ItemFeatures) -> bool:
    return (
        one.item_ids.tolist() == other.item_ids.tolist()
        and np.array_equal(one.matrix.toarray(), other.matrix.toarray())
        and one.names.tolist() == other.names.tolist()
    )


def test_pairs_come_in_any_order_and_repeated_ones_add_up() -> None:
    features = ItemFeatures.from_pairs([7, 3, 7, 7], ["war", "drama", "drama", "war"], [1, 2, 3, 4])
    assert features.item_ids.tolist() == [3, 7] and features.names.tolist() == ["drama", "war"]
    assert features.matrix.toarray().tolist() == [[2, 0], [3, 5]]


@pytest.mark.parametrize("kind", ["pairs", "array", "dict", "pandas", "polars", "path", "features"])
def test_every_form_holds_the_same(kind: str, tmp_path: Path) -> None:
    items, names = zip(*PAIRS, strict=True)
    columns: dict[str, Any] = {"movieId": list(items), "genre": list(names)}
    if kind == "path":
        (tmp_path / "some.tsv").write_text(
            "item\tattribute\n7\twar\n\n3\tdrama\n7\tdrama\n", encoding="utf-8"
        )
    given = {
        "pairs": lambda: PAIRS,
        "array": lambda: np.array([(str(item), name) for item, name in PAIRS], dtype=object),
        "dict": lambda: columns,
        "pandas": lambda: pytest.importorskip("pandas").DataFrame(columns),
        "polars": lambda: pytest.importorskip("polars").DataFrame(columns),
        "path": lambda: tmp_path / "some.tsv",
        "features": lambda: ItemFeatures.from_pairs(items, names),
    }[kind]()
    found = as_item_features(given)
    assert found.item_ids.tolist() == (["3", "7"] if kind == "array" else [3, 7])
    assert found.matrix.toarray().tolist() == DENSE and found.names.tolist() == ["drama", "war"]


def test_a_matrix_numbers_its_items_or_is_told_their_ids() -> None:
    for matrix in (csr_matrix(DENSE), coo_array(DENSE)):
        assert as_item_features(matrix).item_ids.tolist() == [0, 1]
    told = ItemFeatures.from_matrix(DENSE, ["b", "a"])
    assert told.item_ids.tolist() == ["a", "b"] and told.matrix.toarray().tolist() == DENSE[::-1]
    with pytest.raises(DataError, match="as many different item_ids"):
        ItemFeatures.from_matrix(DENSE, ["a", "a"])
    with pytest.raises(DataError, match="finite"):
        ItemFeatures.from_matrix([[np.nan, 1.0]])


@pytest.mark.parametrize("ids", [[9, 7, 3], ["9", "7", "3"]])
def test_rows_are_found_by_ids_and_are_empty_without_attributes(ids: list[Any]) -> None:
    rows = as_item_features(PAIRS).of_items(np.array(ids))
    assert rows.toarray().tolist() == [[0, 0], [1, 1], [1, 0]]


def test_files_may_be_packed_and_hold_weights(tmp_path: Path) -> None:
    text = b"tt1\tspace opera\t0.5\ntt2\tspace opera\n"
    (tmp_path / "some.tsv.gz").write_bytes(gzip.compress(text))
    found = read_item_features(tmp_path / "some.tsv.gz")
    assert found.item_ids.tolist() == ["tt1", "tt2"] and found.matrix.toarray().tolist() == [[0.5], [1]]


@pytest.mark.parametrize(
    "line", ["7", "7\t", "\twar", "7\twar\tmuch", "7\twar\tinf", "7\twar\t1\t2", "7,war"]
)
def test_what_is_no_attribute_is_refused_by_its_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text(f"3\tdrama\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.tsv, line 2: expected item, attribute"):
        read_item_features(tmp_path / "bad.tsv")


def test_ids_like_007_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "some.tsv").write_text("007\twar\n12\twar\n", encoding="utf-8")
    assert read_item_features(tmp_path / "some.tsv").item_ids.tolist() == ["007", "12"]


def test_what_holds_no_attributes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.tsv").write_text("item\tattribute\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no attribute"):
        read_item_features(tmp_path / "empty.tsv")
    with pytest.raises(DataError, match="a column called item and one called attribute"):
        as_item_features({"item": [1], "colour": ["red"]})
    with pytest.raises(DataError, match="Expected ItemFeatures"):
        as_item_features(np.ones((2, 3)))
    with pytest.raises(DataError, match="equally many"):
        ItemFeatures.from_pairs([1, 2], ["a"])
