"""Weights and dislikes in files: found in every grammar, refused by line and field, kept by what writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix, save_npz

from sparserec_np.data.formats import read_file, read_interactions, write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, DataError

ROWS = [
    {"user": 1, "item": 7, "rating": 5, "plays": 3.5},
    {"user": 1, "item": 8, "rating": 4, "plays": 2},
    {"user": 2, "item": 7, "rating": 1, "plays": -9},  # disliked: what its weight is means nothing
    {"user": 2, "item": 9, "rating": 5, "plays": 1},
    {"user": 1, "item": 7, "rating": 3, "plays": 0.5},
    {"user": 3, "item": 9, "rating": 1, "plays": 1},  # of a user who likes nothing
    {"user": 2, "item": 8, "rating": 0, "plays": 0},
]
ASKED: dict[str, Any] = {"weight_col": "plays", "dislike_below": 2, "min_rating": 2}


def written(folder: Path, kind: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    path = folder / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind in ("parquet", "feather"):
        pyarrow = pytest.importorskip("pyarrow")
        table = pyarrow.Table.from_pylist(rows)
        if kind == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, path)
        else:
            pytest.importorskip("pyarrow.feather").write_feather(table, path)
    else:
        mark = {"csv": ",", "tsv": "\t"}[kind]
        lines = [mark.join(rows[0]), *(mark.join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "feather"])
def test_every_grammar_with_columns_holds_weights_and_dislikes(kind: str, tmp_path: Path) -> None:
    reading = read_file(written(tmp_path, kind), **ASKED)
    log, tally = reading.interactions, reading.tally
    assert list(log.disliked) == [(2, 7)] or set(log.disliked) == {(2, 7), (2, 8)}
    assert set(log) == {(1, 7), (1, 8), (2, 9)}
    assert dict(zip(zip(log.pair_users(), log.items, strict=True), log.weights, strict=True)) == {
        (0, 0): 4.0,
        (0, 1): 2.0,
        (1, 2): 1.0,
    }
    assert tally.weight == "plays" and tally.rating == "rating" and tally.disliked == 3


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_nothing_of_it_is_read_unless_it_is_asked_for(kind: str, tmp_path: Path) -> None:
    log = read_interactions(written(tmp_path, kind))
    assert log.weights is None and log.disliked is None
    assert (2, 7) in set(log)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "", "much", "1e-60"])
def test_a_weight_that_is_none_is_refused_by_line_and_field(value: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"user,item,plays\n1,7,3\n2,8,{value}\n2,9,1\n")
    with pytest.raises(
        DataError, match=r"rows\.csv, line 3: expected a weight .* in plays, found "
    ) as caught:
        read_interactions(path, weight_col="plays")
    assert repr(value) in str(caught.value) and "\n" not in str(caught.value)
    reading = read_file(path, weight_col="plays", on_bad_line="skip")
    assert set(reading.interactions) == {(1, 7), (2, 9)} and reading.tally.bad.count == 1
    assert reading.interactions.weights.tolist() == [3, 1]


def test_a_weight_that_is_none_is_refused_in_other_grammars(tmp_path: Path) -> None:
    rows = [*ROWS[:2], {**ROWS[3], "plays": 0}]
    for kind, place in (("jsonl", "line 3"), ("parquet", "row 3")):
        with pytest.raises(DataError, match=f"{place}: expected a weight .* in plays, found "):
            read_interactions(written(tmp_path, kind, rows), weight_col="plays")


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="no column 'count' for --weight-col; the columns there are user, item"
    ):
        read_interactions(written(tmp_path, "csv"), weight_col="count")


def test_dislikes_need_ratings(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("user,item\n1,7\n2,8\n")
    with pytest.raises(DataError, match="no rating column for --dislike-below 2"):
        read_interactions(tmp_path / "pairs.csv", dislike_below=2)
    (tmp_path / "lists.txt").write_text("0 1 2 3 4\n1 3\n2 4 6\n")
    with pytest.raises(DataError, match="has no rating column for --dislike-below 2"):
        read_interactions(tmp_path / "lists.txt", dislike_below=2)
    with pytest.raises(DataError, match="no weights for --weight-col values"):
        read_interactions(tmp_path / "lists.txt", weight_col="values")
    with pytest.raises(ConfigError, match="must be a finite number"):
        read_interactions(tmp_path / "pairs.csv", dislike_below=float("nan"))
    with pytest.raises(ConfigError, match="lower it"):
        read_interactions(tmp_path / "pairs.csv", dislike_below=3, min_rating=2)
    with pytest.raises(ConfigError, match="leave out one"):
        read_interactions(tmp_path / "pairs.csv", dislike_below=3, rating_col="none")


def test_a_column_may_hold_ratings_that_are_weights_too(tmp_path: Path) -> None:
    path = tmp_path / "rated.csv"
    path.write_text("user,item,rating\n1,7,3\n1,8,1\n2,8,5\n2,7,4\n")
    log = read_interactions(path, weight_col="rating", dislike_below=2)
    assert log.weights.tolist() == [3, 4, 5] and set(log.disliked) == {(1, 8)}
    with pytest.raises(DataError, match="line 3: expected a weight"):
        path.write_text("user,item,rating\n1,7,3\n1,8,0\n2,8,5\n")
        read_interactions(path, weight_col="rating")


def test_columns_without_names_are_told_by_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("1,7,3,100\n1,8,2,200\n2,7,1,300\n")
    log = read_interactions(path, weight_col=2)
    assert log.weights.tolist() == [3, 2, 1] and log.times.tolist() == [100, 200, 300]


def both() -> Interactions:
    log = Interactions.from_pairs([0, 0, 1, 2], [0, 1, 2, 0], weights=[0.1, 1 / 3, 1e-30, 7e30])
    return log.disliking(Interactions.from_pairs([1, 2], [0, 2]))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("csv", {"weight_col": "weight", "dislike_below": 0}),
        ("tsv", {"weight_col": "weight", "dislike_below": 0}),
        ("inter", {"weight_col": "weight", "dislike_below": 0}),
        ("npz", {"weight_col": "values", "dislike_below": 0}),
        ("mtx", {"weight_col": "values", "dislike_below": 0}),
        ("safetensors", {}),
    ],
)
def test_what_is_written_is_read_again_to_the_last_bit(
    kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    log = both().renumbered(1) if kind == "mtx" else both()
    path = tmp_path / f"log.{kind}"
    write_interactions(log, path)
    found = read_interactions(path, **options)
    assert found.digest() == log.digest() and found.disliked.digest() == log.disliked.digest()
    if options:  # whoever does not ask reads the interactions alone
        plain = read_interactions(path)
        assert set(plain) == set(log) and plain.weights is None and plain.disliked is None
    else:
        assert read_interactions(path, weight_col="none").weights is None
        assert read_interactions(path, weight_col="values").digest() == log.digest()


def test_dislikes_alone_are_written_as_ratings(tmp_path: Path) -> None:
    log = Interactions(
        both().indptr, both().items, both().user_ids, both().item_ids, disliked=both().disliked
    )
    write_interactions(log, tmp_path / "log.csv")
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "user,item,rating"
    assert read_interactions(tmp_path / "log.csv", dislike_below=0).digest() == log.digest()


def test_a_matrix_has_values_and_no_columns(tmp_path: Path) -> None:
    save_npz(tmp_path / "log.npz", csr_matrix([[2.0, 0, -1], [0, 0.5, 3]]))
    log = read_interactions(tmp_path / "log.npz", weight_col="values", dislike_below=1)
    assert log.weights.tolist() == [2, 3]
    assert set(log.disliked) == {(0, 2), (1, 1)}  # what is not stored is nothing that is known
    with pytest.raises(DataError, match="no columns to name"):
        read_interactions(tmp_path / "log.npz", weight_col="plays")
    plain = Interactions.from_pairs([1, 2], [1, 2])
    write_interactions(plain, tmp_path / "log.mtx")
    with pytest.raises(DataError, match="a pattern without values"):
        read_interactions(tmp_path / "log.mtx", weight_col="values")


def test_a_mapped_file_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.safetensors"
    log = both()
    write_interactions(log, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(np.float32(0.1).tobytes(), np.float32(-1).tobytes()))
    with pytest.raises(DataError, match="eights must be finite numbers above 0"):
        read_interactions(path)
    write_interactions(Interactions(log.indptr, log.items, log.user_ids, log.item_ids), path)
    with pytest.raises(DataError, match="without weights"):
        read_interactions(path, weight_col="values")
