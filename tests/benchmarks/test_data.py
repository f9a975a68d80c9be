"""Data that are found or generated."""

from __future__ import annotations

from pathlib import Path

import pytest

import sparserec_np
from benchmarks.data import as_matrix, find_file, generate_split
from tests.makers.small import small_log


def test_files_are_found_compressed_or_not(tmp_path: Path) -> None:
    (tmp_path / "train.txt.gz").touch()
    (tmp_path / "test.txt").touch()
    assert find_file(tmp_path, "train") == str(tmp_path.resolve() / "train.txt.gz")
    assert find_file(tmp_path, "test") == str(tmp_path.resolve() / "test.txt")
    with pytest.raises(SystemExit, match="must hold other.txt or other.txt.gz"):
        find_file(tmp_path, "other")


def test_a_fifth_of_generated_data_is_held_out(tmp_path: Path) -> None:
    generate_split(tmp_path / "made", 60, 40, 1000)
    train, test = (
        sparserec_np.read_interactions(find_file(tmp_path / "made", name)) for name in ("train", "test")
    )
    assert train.n_interactions + test.n_interactions == 1000
    assert test.n_interactions == pytest.approx(200, abs=30)


def test_a_matrix_holds_the_interactions() -> None:
    log = small_log()
    matrix = as_matrix(log).tocoo()
    assert matrix.shape == (log.n_users, log.n_items)
    assert matrix.row.tolist() == log.pair_users().tolist()
    assert matrix.col.tolist() == log.items.tolist()
    assert set(matrix.data.tolist()) == {1.0}
