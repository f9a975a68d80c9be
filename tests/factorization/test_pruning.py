"""Factors pruned to a budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.factorization.pruning import Factors, balance, prune_factors


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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
        Factors(lambda a, b: users[a:b], lambda a, b: items[a:b], n_users, rows - n_users), nnz, floor
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
    both = Factors(lambda a, b: users[a:b], lambda a, b: items[a:b], 5, 9)
    table = prune_factors(both, 42, 0, balance(both))
    assert balance(both._replace(items=lambda a, b: 0 * items[a:b])) == 1
    squares = np.square(table.to_dense(3))
    assert squares[:5].sum() == pytest.approx(squares[5:].sum(), rel=1e-5)
    assert table.values[15:] / table.values[15] == pytest.approx(ratio, rel=1e-5)
