"""The start of spectral rows with neighbours beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np.data.synthetic import generate
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.factorization.co_occurrence import strongest_pairs
from sparserec_np.factorization.own_share import OwnShareFit
from sparserec_np.starts import neighbours
from sparserec_np.starts.items import FittedItems, ItemWishes, SpectralItems
from sparserec_np.starts.neighbours import NeighbourItems, told_anew, told_of_items
from tests.makers.small import same_bits, small_log

LOG = small_log()
DIM = 8


def start(nnz: int, seed: int = 0, threads: int = 1, **settings: Any) -> SparseTable:
    return NeighbourItems(**settings)(LOG, DIM, nnz, np.random.default_rng(seed), threads)


@pytest.mark.parametrize("nnz", [1, 2, 25, 100, DIM * LOG.n_items])
def test_the_whole_budget_is_stored_a_part_of_it_in_pairs(nnz: int) -> None:
    table = start(nnz)
    table.validate(DIM + LOG.n_items)
    assert (table.rows, table.nnz, table.values.dtype) == (LOG.n_items, nnz, np.float32)
    pairs = np.count_nonzero(table.columns >= DIM)
    assert pairs == min(round(nnz / 2), len(strongest_pairs(LOG, nnz).items))


def test_both_parts_are_what_they_are_alone() -> None:
    dense = start(100).to_dense(DIM + LOG.n_items)
    rows = FittedItems(fit=OwnShareFit(6))(LOG, DIM, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(dense[:, :DIM], rows.to_dense(DIM))
    pairs = strongest_pairs(LOG, 50)
    expected = np.zeros((LOG.n_items, LOG.n_items))
    expected[pairs.items, pairs.others] = pairs.values
    degrees = np.maximum(LOG.item_degrees, 1)
    expected *= 3 * (degrees[:, None] * degrees / degrees.mean()) ** 0.125
    np.testing.assert_allclose(dense[:, DIM:], expected, rtol=1e-5)


def test_the_first_part_may_be_as_it_is() -> None:
    first = SpectralItems()
    dense = start(100, first=first).to_dense(DIM + LOG.n_items)
    rows = first(LOG, DIM, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(dense[:, :DIM], rows.to_dense(DIM))


@pytest.mark.parametrize("weight, popularity", [(1.0, 0.0), (2.0, 0.375), (0.0, 0.0)])
def test_settings_say_how_much_neighbours_say(weight: float, popularity: float) -> None:
    plain = start(100, weight=1.0, popularity=0.0)
    made = NeighbourItems().fitted_to(ItemWishes(None, None, weight, popularity))
    table = made(LOG, DIM, 100, np.random.default_rng(0))
    pairs = table.columns >= DIM
    np.testing.assert_array_equal(table.values[~pairs], plain.values[~pairs])
    told = told_of_items(LOG, weight, popularity)
    np.testing.assert_array_equal(table.values, told_anew(plain, DIM, told).values)
    degrees = np.maximum(LOG.item_degrees, 1)
    expected = weight * (degrees[:, None] * degrees / degrees.mean()) ** popularity
    np.testing.assert_allclose(told[:, None] * told, expected, rtol=1e-5)


def test_a_share_that_is_asked_for_is_stored_in_pairs() -> None:
    made = NeighbourItems().fitted_to(ItemWishes(neighbour_share=0.25))
    table = made(LOG, DIM, 40, np.random.default_rng(0))
    assert np.count_nonzero(table.columns >= DIM) == 10


def test_without_wishes_a_start_is_as_it_was() -> None:
    own = NeighbourItems(weight=2.0, popularity=0.375)
    assert own.fitted_to(ItemWishes()) == own


def test_the_share_says_how_much_goes_to_pairs() -> None:
    assert np.count_nonzero(start(40, share=0.0).columns >= DIM) == 0
    assert np.count_nonzero(start(40, share=0.25).columns >= DIM) == 10


def test_a_seed_gives_the_same_bits_for_any_threads() -> None:
    assert same_bits(start(60), start(60, threads=2))
    assert not same_bits(start(60), start(60, seed=1))


def test_too_many_items_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_COLUMNS", DIM + LOG.n_items - 1)
    with pytest.raises(ConfigError, match="The start neighbours needs a column for each item beside the 8"):
        start(60)


def test_more_than_256_columns_are_numbered_in_two_bytes() -> None:
    log = generate(200, 300, 3000, groups=4, seed=1)
    table = NeighbourItems()(log, 16, 900, np.random.default_rng(0))
    table.validate(316)
    assert table.columns.dtype == np.uint16 and table.columns.max() > 256
