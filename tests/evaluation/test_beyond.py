"""Figures beyond accuracy: against loops over lists, and at their limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.evaluation import beyond
from sparserec_np.evaluation.beyond import Catalogue
from sparserec_np.evaluation.ranker import rows_of_items
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.training.saving import restore
from tests.makers import oracles
from tests.makers.served_models import make_fism_model, make_model, make_towers_model

ITEMS = 15


def some_lists(rng: np.random.Generator, length: int) -> tuple[list[list[int]], np.ndarray]:
    """Lists of different lengths, empty ones too, and the same as an array."""
    lists = [rng.permutation(ITEMS)[: rng.integers(0, length + 1)].tolist() for _ in range(6)]
    return lists, np.array([one + [-1] * (length - len(one)) for one in lists])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 14))
def test_against_loops(seed: int, length: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    lists, top = some_lists(rng, length)
    log = Interactions.from_pairs(rng.integers(0, 9, 40), rng.integers(0, ITEMS, 40), item_ids=range(ITEMS))
    dense = (rng.normal(size=(ITEMS, 5)) * (rng.random((ITEMS, 5)) < 0.4)).astype(np.float32)
    dense[3] = 0  # no row, stored zeros or not
    catalogue = Catalogue.of(log, SparseTable.from_dense(dense, (dense != 0) | (rng.random(5) < 0.2)))
    degrees = log.item_degrees.tolist()
    expected = {
        "novelty": [oracles.novelty(one, degrees, log.n_users, k) for one in lists],
        "mean_popularity": [oracles.mean_popularity(one, degrees, k) for one in lists],
        "intra_list_similarity": [oracles.similarity(one, dense, k) for one in lists],
    }
    found = catalogue.measure(top, k)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-12)
    counts = beyond.count_items(top, ITEMS, k)
    assert counts.tolist() == [sum(item in one[:k] for one in lists) for item in range(ITEMS)]
    assert beyond.gini(counts) == pytest.approx(oracles.gini(lists, ITEMS, k), nan_ok=True)


@pytest.mark.parametrize(("lists", "sums"), [(1, 1), (2, 1 << 20), (512, 20)])
def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch, lists: int, sums: int) -> None:
    rng = np.random.default_rng(0)
    rows = SparseTable.from_dense(rng.normal(size=(ITEMS, 5)))
    _, top = some_lists(rng, 8)
    wanted = beyond.intra_list_similarity(top, rows, 8)
    monkeypatch.setattr(beyond, "LISTS_AT_ONCE", lists)
    monkeypatch.setattr(beyond, "SUMS_AT_ONCE", sums)
    np.testing.assert_array_equal(beyond.intra_list_similarity(top, rows, 8), wanted)
    assert beyond.intra_list_similarity(top[:0], rows, 8).shape == (0,)


def test_users_without_interactions_are_no_part_of_the_share() -> None:
    log = Interactions.from_pairs([0, 1, 1], [0, 0, 1], user_ids=range(50))
    assert Catalogue.of(log).measure(np.array([[0, 1]]), 2)["novelty"].tolist() == [0.5]
    assert list(Catalogue.of(log).measure(np.array([[0, 1]]), 2)) == ["novelty", "mean_popularity"]


def test_other_items_are_told_of_by_their_ids() -> None:
    log = Interactions.from_pairs([0, 1, 2, 2], [10, 10, 10, 30], item_ids=[10, 20, 30])
    dense = np.array([[1.0, 0], [0, 2.0], [3.0, 4.0]])
    catalogue = Catalogue.of(log, SparseTable.from_dense(dense))
    assert catalogue.aligned_to(log.item_ids.copy()) is catalogue
    for ids in (np.array([5, 10, 30, 40]), np.array(["10", "30", "5", "x"])):
        other = catalogue.aligned_to(ids)
        place = {int(one): place for place, one in enumerate(ids) if one != "x"}
        assert other.rows is not None and catalogue.rows is not None
        assert [other.touched_by[place[item]] for item in (10, 30, 5)] == [3, 1, 0]
        rows = other.rows.to_dense(2)
        np.testing.assert_allclose(rows[[place[10], place[30], place[5]]], [[1, 0], [0.6, 0.8], [0, 0]])
        assert other.rows.rows == 4 and other.users == 3


@pytest.mark.parametrize("kind", ["mf", "fism", "marks", "neumf"])
def test_rankers_tell_the_rows_of_their_items(kind: str) -> None:
    make = {
        "mf": make_model,
        "fism": make_fism_model,
        "marks": lambda: make_fism_model(marks=True),
        "neumf": make_towers_model,
    }
    model: ServedModel = make[kind]()
    rows = rows_of_items(restore(model).ranker())
    assert rows is not None and rows.rows == model.items.rows
    stored = model.items.to_dense(model.dim)
    width = {"marks": model.dim - model.items.rows, "neumf": int(rows.columns.max()) + 1}.get(kind, model.dim)
    if kind == "neumf":  # its own weight for each column
        assert np.array_equal(rows.to_dense(width) != 0, stored[:, :width] != 0) and width < model.dim
    else:
        assert np.array_equal(rows.to_dense(width), stored[:, :width])
    assert rows_of_items(object()) is None
