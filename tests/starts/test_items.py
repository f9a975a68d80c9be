"""The starts of models that store items alone."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.factorization.item_rows import RowPenalties
from sparserec_np.starts.items import (
    CondensedItems,
    ItemWishes,
    LeastSquaresItems,
    SpectralItems,
    UniformItems,
)
from sparserec_np.starts.spectral import Spectral
from sparserec_np.starts.start import Start
from sparserec_np.starts.uniform import Uniform
from tests.makers.small import same_bits, small_log

LOG = small_log()
DIM = 8
EVERY_START = pytest.mark.parametrize(
    "start",
    [SpectralItems(), UniformItems(), LeastSquaresItems(), CondensedItems()],
    ids=lambda start: type(start).__name__,
)
SOLVING = pytest.mark.parametrize(
    "start", [LeastSquaresItems(), CondensedItems()], ids=lambda start: type(start).__name__
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@EVERY_START
@pytest.mark.parametrize("nnz", [1, LOG.n_items - 1, 3 * LOG.n_items + 7, DIM * LOG.n_items])
def test_a_row_for_each_item_and_the_whole_budget_in_them(start: Start, nnz: int) -> None:
    table = start(LOG, DIM, nnz, rng())
    table.validate(DIM)
    assert (table.rows, table.nnz, table.values.dtype) == (LOG.n_items, nnz, np.float32)


@EVERY_START
def test_a_seed_gives_the_same_bits_for_any_threads(start: Start) -> None:
    one, two, other = (start(LOG, DIM, 100, rng(seed), threads) for seed, threads in ((0, 1), (0, 2), (1, 1)))
    assert same_bits(one, two)
    assert not same_bits(one, other)


def test_more_columns_than_the_data_have_ranks_are_left_empty() -> None:
    log = small_log(12, 40, 200)
    table = SpectralItems()(log, 20, 300, rng())
    table.validate(20)
    assert table.nnz == 300 and table.columns.max() < 12


def test_a_full_start_scores_as_the_dense_formula_does() -> None:
    """At density 1 nothing is pruned: users who are sums of ``w_j / d_j`` score as R D_i^-1 W W', W = D_i^1/2 V."""
    dense = SpectralItems(Spectral(iterations=30))(LOG, DIM, DIM * LOG.n_items, rng()).to_dense(DIM)
    degrees = np.maximum(LOG.item_degrees, 1)
    users = np.zeros((LOG.n_users, DIM))
    for user, item in zip(LOG.pair_users(), LOG.items, strict=True):
        users[user] += dense[item].astype(np.float64) / degrees[item]
    matrix = np.zeros((LOG.n_users, LOG.n_items))
    matrix[LOG.pair_users(), LOG.items] = 1
    normal = matrix / np.sqrt(np.maximum(LOG.user_degrees, 1))[:, None] / np.sqrt(degrees)
    factors = np.sqrt(degrees)[:, None] * np.linalg.svd(normal)[2][:DIM].T
    expected = matrix / degrees @ factors @ factors.T
    assert np.abs(expected).max() > 0.5
    assert np.allclose(users @ dense.T, expected, atol=2e-3)


def test_the_largest_entries_are_kept_and_no_row_has_a_floor() -> None:
    full = SpectralItems()(LOG, DIM, DIM * LOG.n_items, rng())
    table = SpectralItems()(LOG, DIM, 45, rng())
    magnitudes = np.sort(np.abs(full.values))
    np.testing.assert_array_equal(np.sort(np.abs(table.values)), magnitudes[-45:])
    assert np.diff(table.indptr).min() == 0
    floored = SpectralItems(floor=1)(LOG, DIM, 45, rng())
    assert np.diff(floored.indptr).min() == 1


def test_a_start_at_random_shares_evenly() -> None:
    table = UniformItems(Uniform(deviation=0.5))(LOG, DIM, 3 * LOG.n_items + 7, rng())
    lengths = np.diff(table.indptr)
    assert lengths.min() == 3 and np.count_nonzero(lengths == 4) == 7
    assert 0.3 < table.values.std() < 0.7


@SOLVING
def test_items_are_fitted_to_the_weights_of_users_rows(start: LeastSquaresItems | CondensedItems) -> None:
    other = start.fitted_to(ItemWishes(RowPenalties(2.0, 5.0)))
    assert (other.passes, other.penalties) == (start.passes, RowPenalties(2.0, 5.0))
    one, two = (some(LOG, DIM, 100, rng()) for some in (start, other))
    assert not same_bits(one, two)


@SOLVING
def test_every_item_keeps_an_entry(start: Start) -> None:
    assert np.diff(start(LOG, DIM, 2 * LOG.n_items, rng()).indptr).min() >= 1


@SOLVING
def test_more_columns_than_ranks_and_rows_of_nobody_do_no_harm(start: Start) -> None:
    kinds = rng(2).random((4, 12)) < 0.5
    kinds[:, 0] = True
    pairs = np.nonzero(np.tile(kinds, (10, 1)))
    log = Interactions.from_pairs(*pairs, user_ids=np.arange(43), item_ids=np.arange(15))
    table = start(log, 20, 100, rng())
    table.validate(20)
    assert (table.rows, table.nnz) == (15, 100) and np.isfinite(table.values).all()
