"""Starts: exact budgets, floors, what they score, and the rotation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError
from sparserec_np.starts.masks import (
    NMF,
    STARTS,
    Condensed,
    Spectral,
    Start,
    Uniform,
    balance,
    prune_factors,
    varimax,
)
from tests.makers.small import Array, same_bits, small_log

LOG = small_log()
ROWS = LOG.n_users + LOG.n_items
EVERY_START = pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@EVERY_START
@pytest.mark.parametrize(
    ("dim", "nnz"),
    [
        (8, 1),
        (8, ROWS - 1),  # less than one entry a row
        (8, ROWS),
        (8, 3 * ROWS + 7),
        (8, 8 * ROWS - 1),
        (8, 8 * ROWS),  # full
        (1, ROWS),
        (50, 10 * ROWS),  # wider than there are items
        (50, 50 * ROWS),
        (300, 5 * ROWS),  # columns of two bytes
    ],
)
def test_the_budget_is_met_exactly(start: Start, dim: int, nnz: int) -> None:
    table = start(LOG, dim, nnz, rng())
    table.validate(dim)
    assert (table.rows, table.nnz) == (ROWS, nnz)
    assert table.values.dtype == np.float32
    if nnz >= ROWS:
        assert np.diff(table.indptr).min() >= 1


@EVERY_START
def test_the_start_depends_on_the_seed_and_not_on_threads(start: Start) -> None:
    one, two, three = (start(LOG, 24, 6 * ROWS, rng(3), threads) for threads in (1, 2, 3))
    assert same_bits(one, two) and same_bits(one, three)
    if start != STARTS["nmf"]:  # its first factors do not depend on chance where no zero is filled at random
        assert not same_bits(one, start(LOG, 24, 6 * ROWS, rng(4)))


@EVERY_START
def test_users_without_items_and_items_without_users_are_rows_too(start: Start) -> None:
    log = Interactions.from_pairs(
        *np.nonzero(rng().random((12, 9)) < 0.4), user_ids=np.arange(15), item_ids=np.arange(14)
    )
    table = start(log, 6, 60, rng())
    table.validate(6)
    assert table.nnz == 60 and np.diff(table.indptr).min() >= 1


@EVERY_START
def test_users_that_are_alike_do_no_harm(start: Start) -> None:
    """Ten users of four kinds: the matrix has rank four, and ten columns are wanted."""
    kinds = rng(2).random((4, 12)) < 0.5
    kinds[:, 0] = True
    table = start(Interactions.from_pairs(*np.nonzero(np.tile(kinds, (10, 1)))), 10, 200, rng())
    table.validate(10)
    assert table.nnz == 200


def test_a_uniform_start_shares_evenly() -> None:
    table = Uniform(deviation=0.5)(LOG, 8, 3 * ROWS + 7, rng())
    lengths = np.diff(table.indptr)
    assert lengths.min() == 3 and np.count_nonzero(lengths == 4) == 7
    many = Uniform(deviation=0.5)(small_log(900, 400, 9000), 20, 13_000, rng())
    assert abs(many.values.std() - 0.5) < 0.02 and abs(many.values.mean()) < 0.02
    by_column = np.bincount(many.columns, minlength=20)
    assert ((by_column - 650) ** 2 / 650).sum() < 50  # chi-square of 19 degrees of freedom


def test_factors_of_nmf_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As scikit-learn's start makes them where a singular value is zero, which depends on the last bits."""

    def divided_by_zero(self: Any, matrix: Any) -> Array:
        self.components_ = np.zeros((2, matrix.shape[1]), np.float32)
        return np.full((matrix.shape[0], 2), np.nan, np.float32)

    monkeypatch.setattr("sklearn.decomposition.NMF.fit_transform", divided_by_zero)
    with pytest.raises(DataError, match="not finite, .* use --start spectral"):
        NMF()(LOG, 2, 55, rng())


def test_factors_of_nmf_are_never_negative_and_align_pairs() -> None:
    table = NMF()(LOG, 8, 3 * ROWS, rng()).to_dense(8)
    assert table.min() >= 0
    scores = table[: LOG.n_users] @ table[LOG.n_users :].T
    pairs = np.zeros_like(scores, dtype=bool)
    pairs[LOG.pair_users(), LOG.items] = True
    assert scores[pairs].mean() > 1.5 * scores[~pairs].mean()


def test_a_full_spectral_start_scores_as_the_dense_formula_does() -> None:
    """At density 1 nothing is pruned, and the rotation cancels: users R D_i^-1/2 V, items D_i^1/2 V."""
    dim = 8
    table = Spectral(iterations=30)(LOG, dim, dim * ROWS, rng()).to_dense(dim)
    matrix = np.zeros((LOG.n_users, LOG.n_items))
    matrix[LOG.pair_users(), LOG.items] = 1
    roots = np.sqrt(np.maximum(LOG.item_degrees, 1))
    vectors = np.linalg.svd(matrix / np.sqrt(LOG.user_degrees)[:, None] / roots)[2][:dim].T
    users = matrix / roots @ vectors
    users /= np.linalg.norm(users, axis=1, keepdims=True)
    items = vectors * roots[:, None]
    items *= np.sqrt(LOG.n_users / np.square(items).sum())
    assert np.allclose(table[: LOG.n_users] @ table[LOG.n_users :].T, users @ items.T, atol=2e-3)


def test_rotating_saves_what_pruning_would_cost() -> None:
    log = small_log(400, 200, 8000)
    rows = log.n_users + log.n_items
    full = Spectral(rotation_iterations=0)(log, 16, 16 * rows, rng())

    def kept(iterations: int) -> float:
        table = Spectral(rotation_iterations=iterations)(log, 16, 3 * rows, rng())
        return float(np.square(table.values, dtype=np.float64).sum())

    whole = float(np.square(full.values, dtype=np.float64).sum())
    assert whole - kept(30) < 0.7 * (whole - kept(0))


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.data())
def test_pruned_factors_are_the_largest_above_the_floor(
    seed: int, n_users: int, n_items: int, dim: int, data: st.DataObject
) -> None:
    rows = n_users + n_items
    nnz = data.draw(st.integers(1, rows * dim))
    floor = data.draw(st.integers(0, dim))
    dense = rng(seed).permutation(rows * dim).reshape(rows, dim).astype(np.float32) + 1  # no ties
    users, items = dense[:n_users], dense[n_users:]
    table = prune_factors(
        lambda a, b: users[a:b], lambda a, b: items[a:b], n_users, rows - n_users, nnz, floor
    )
    floor = min(floor, nnz // rows)
    keys = dense.copy()
    if floor:
        keys[dense >= np.sort(dense, axis=1)[:, -floor, None]] += 1e6
    wanted = np.sort(np.argsort(-keys.ravel())[:nnz])
    assert np.flatnonzero(table.to_dense(dim)).tolist() == wanted.tolist()
    assert np.diff(table.indptr).min() >= floor
    assert np.array_equal(table.values, dense.ravel()[wanted])


def test_both_sides_are_brought_to_equal_sums_of_squares() -> None:
    users, items = rng().random((5, 3), np.float32), 100 * rng(1).random((9, 3), np.float32)
    ratio = items.ravel() / items[0, 0]
    both = lambda a, b: users[a:b], lambda a, b: items[a:b]
    table = prune_factors(*both, 5, 9, 42, 0, balance(*both, 5, 9))
    assert balance(both[0], lambda a, b: 0 * items[a:b], 5, 9) == 1
    squares = np.square(table.to_dense(3))
    assert squares[:5].sum() == pytest.approx(squares[5:].sum(), rel=1e-5)
    assert table.values[15:] / table.values[15] == pytest.approx(ratio, rel=1e-5)


def criterion(loadings: Array) -> float:
    """Kaiser's: the variance of the squared loadings, summed over columns."""
    return float(np.square(loadings).var(axis=0).sum())


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_varimax_turns_and_raises_the_criterion(dim: int) -> None:
    rows = 2500  # more than are turned together
    sparse = rng().standard_normal((rows, dim)) * (rng(1).random((rows, dim)) < 0.2)
    turn = np.linalg.qr(rng(2).standard_normal((dim, dim)))[0]
    mixed = (sparse @ turn).astype(np.float32)
    rotation = varimax(mixed, 100)
    assert rotation.dtype == np.float32 and rotation.shape == (dim, dim)
    assert np.allclose(rotation.T @ rotation, np.eye(dim), atol=1e-5)
    if dim > 1:
        assert criterion(mixed @ rotation) > 1.2 * criterion(mixed)
        assert criterion(mixed @ rotation) > 0.98 * criterion(sparse)  # the axes that had been hidden


def test_varimax_of_columns_of_zeros() -> None:
    loadings = np.pad(rng().standard_normal((40, 3)), ((0, 0), (0, 2))).astype(np.float32)
    rotation = varimax(loadings, 30)
    assert np.allclose(rotation.T @ rotation, np.eye(5), atol=1e-5)


def test_a_condensed_start_lists_what_the_groups_like() -> None:
    """Two groups with tastes of their own, and one pair in five left out, to be found."""
    group = np.kron(np.eye(2), np.ones((30, 25))) > 0
    known = group & (rng().random(group.shape) < 0.8)
    table = Condensed()(Interactions.from_pairs(*np.nonzero(known)), 8, 2 * 110, rng()).to_dense(8)
    scores = table[:60] @ table[60:].T
    assert scores[group & ~known].min() > scores[~group].max()
