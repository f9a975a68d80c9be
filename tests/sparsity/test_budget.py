"""Budgets: densities, bytes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.errors import ConfigError
from sparserec_np.sparsity.budget import Budget, parse_bytes
from tests.makers.small import random_table


@given(st.integers(1, 10**6), st.integers(1, 1024), st.floats(0, 1, exclude_min=True))
def test_densities_are_rounded_to_entries(rows: int, dim: int, density: float) -> None:
    try:
        budget = Budget.of_density(rows, dim, density)
    except ConfigError as error:
        assert "leaves none" in str(error) and density * rows * dim <= 0.5
        return
    assert abs(budget.nnz - density * rows * dim) <= 0.5
    assert 1 <= budget.nnz <= rows * dim and 0 < budget.density <= 1


@pytest.mark.parametrize("density", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_densities_outside_are_refused(density: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and at most at 1"):
        Budget.of_density(10, 10, density)


@given(st.integers(1, 10**6), st.integers(1, 65_536), st.data())
def test_entries_are_as_many_as_were_asked_for(rows: int, dim: int, data: st.DataObject) -> None:
    entries = data.draw(st.integers(1, rows * dim))
    budget = Budget.of_entries(rows, dim, entries, 7)
    assert budget == Budget(rows, dim, entries, 7) and 0 < budget.density <= 1
    assert Budget.of_density(rows, dim, budget.density, 7) == budget


@pytest.mark.parametrize("entries", [-1, 0, 101])
def test_entries_that_cannot_be_are_refused_with_how_many_can(entries: int) -> None:
    assert [Budget.of_entries(20, 5, good).nnz for good in (1, 100)] == [1, 100]
    with pytest.raises(ConfigError) as refused:
        Budget.of_entries(20, 5, entries)
    assert str(refused.value) == (
        f"A budget of {entries} entries is impossible: 20 rows of 5 columns hold 1 to 100; change --entries or --dim"
    )


@given(
    st.integers(1, 10**9),
    st.sampled_from([1, 6, 64, 256, 257, 1024]),
    st.integers(1, 10**13),
    st.integers(0, 10**6),
)
def test_bytes_are_used_up_and_never_exceeded(rows: int, dim: int, limit: int, id_bytes: int) -> None:
    """Up to budgets whose row bounds take 8 bytes each."""
    try:
        budget = Budget.of_bytes(rows, dim, limit, id_bytes)
    except ConfigError as error:
        assert "impossible" in str(error)
        assert Budget(rows, dim, 1, id_bytes).total_bytes > limit
        return
    assert 1 <= budget.nnz <= rows * dim and budget.total_bytes <= limit
    more = Budget(rows, dim, budget.nnz + 1, id_bytes)
    assert budget.nnz == rows * dim or more.total_bytes > limit


def test_an_impossible_budget_is_refused_with_its_arithmetic() -> None:
    with pytest.raises(ConfigError) as refused:
        Budget.of_bytes(998, 64, 4_007, 3)
    assert str(refused.value) == (
        "A memory budget of 4,007 B is impossible: 998 rows need 4,000 B of row bounds and 3 B of ids before"
        " the first entry; give more than 4,008 B"
    )
    assert Budget.of_bytes(998, 64, 4_008, 3).nnz == 1


def test_an_impossible_budget_is_said_as_it_was_given_weights_and_all() -> None:
    with pytest.raises(ConfigError) as refused:
        Budget(998, 64, 1, 3).filled(4_999, weight_bytes=1_000)
    assert str(refused.value) == (
        "A memory budget of 4,999 B is impossible: 998 rows need 4,000 B of row bounds, 3 B of ids and 1,000 B of"
        " weights before the first entry; give more than 5,008 B"
    )
    assert Budget(998, 64, 1, 3).filled(5_013, weight_bytes=1_000).nnz == 2


def test_columns_beyond_256_take_two_bytes() -> None:
    assert [Budget(10, dim, 5).entry_bytes for dim in (1, 256, 257)] == [5, 5, 6]


def test_the_bytes_are_those_of_the_served_tables() -> None:
    table = random_table(np.random.default_rng(0), 30, 8, 77)
    served = [table.slice_rows(0, 20), table.slice_rows(20, 30)]
    assert Budget(30, 8, 77).total_bytes == sum(part.nbytes for part in served)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1", 1),
        ("1.5MB", 1_500_000),
        (" 2 kib ", 2048),
        (".5GB", 500_000_000),
        ("1GiB", 2**30),
        ("1TB", 10**12),
        (".25 TiB", 2**38),
        ("3b", 3),
        ("10 KB", 10_000),
    ],
)
def test_amounts_of_memory(text: str, wanted: int) -> None:
    assert parse_bytes(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "MB", "-1MB", "0", "1.5XB", "1,5MB", "1e6", "1 M B", "nan", "0.2", "9" * 400]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no amount of memory"):
        parse_bytes(text)
