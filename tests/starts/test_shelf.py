"""Parts that starts share: each gets what it would have made by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.table import SparseTable
from sparserec_np.factorization.co_occurrence import Nearness, ranked_pairs, strongest_pairs
from sparserec_np.starts import ITEM_STARTS, items
from sparserec_np.starts import neighbours as of_neighbours
from sparserec_np.starts.shelf import KeptParts
from tests.makers.small import same_bits, small_log

LOG = small_log()
DIM = 8


def made(start: Any, nnz: int, dim: int = DIM) -> SparseTable:
    return start(LOG, dim, nnz, np.random.default_rng(0))


@pytest.mark.parametrize("name", ITEM_STARTS)
@pytest.mark.parametrize("most", [0, 90, 10_000])
def test_a_start_that_looks_on_a_shelf_is_the_same(name: str, most: int) -> None:
    start = ITEM_STARTS[name]
    shelf = KeptParts(most)
    for nnz in (120, 60, 90):
        assert same_bits(made(start.looking_in(shelf), nnz), made(start, nnz))


@pytest.mark.parametrize("name", ["neighbours", "plain-neighbours"])
def test_one_share_after_another_makes_both_parts_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    for module, what in ((items, "prune_factors"), (of_neighbours, "ranked_pairs")):
        whole = getattr(module, what)
        monkeypatch.setattr(module, what, lambda *some, w=whole, n=what: (calls.append(n), w(*some))[1])
    shelf, start = KeptParts(100), ITEM_STARTS[name]
    for share in (0.5, 0.25, 0.375):
        some = replace(start, share=share)
        assert same_bits(made(some.looking_in(shelf), 100), made(some, 100))
    assert same_bits(made(ITEM_STARTS["fitted"].looking_in(shelf), 100), made(ITEM_STARTS["fitted"], 100))
    assert sorted(calls) == sorted(
        ["prune_factors", "ranked_pairs"] + 3 * ["ranked_pairs"] + 4 * ["prune_factors"]
    )


def test_widths_are_kept_apart() -> None:
    shelf, start = KeptParts(50), ITEM_STARTS["spectral"]
    for dim in (4, 8, 4):
        assert same_bits(made(start.looking_in(shelf), 40, dim), made(start, 40, dim))


@pytest.mark.parametrize("nearness", [None, Nearness()])
def test_the_strongest_of_many_pairs_are_those_that_are_looked_for_alone(nearness: Nearness | None) -> None:
    every = ranked_pairs(LOG, 10_000, nearness)
    for most in (0, 1, 7, len(every.items), 10_000):
        for found, expected in zip(every.strongest(most), strongest_pairs(LOG, most, nearness), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_more_pairs_than_before_are_made_anew() -> None:
    shelf = KeptParts(0)
    for most in (3, 9, 5):
        found = shelf.pairs("some", most, lambda count: ranked_pairs(LOG, count))
        np.testing.assert_array_equal(found.values, strongest_pairs(LOG, most).values)
