"""Methods: what each makes of a budget, and how it grows."""

from __future__ import annotations

import pytest

from sparserec_np.errors import ConfigError
from sparserec_np.sparsity.budget import Budget
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.growth import AccumulatedGrowth, LastBatchGrowth, NoGrowth, RandomGrowth
from sparserec_np.sparsity.methods import METHODS

BUDGET = Budget(rows=100, dim=64, nnz=659, id_bytes=12)


def test_names_are_keys() -> None:
    assert list(METHODS) == [
        "sparserec",
        "rigl",
        "set",
        "static",
        "magnitude",
        "granet",
        "dense-small",
        "dense",
    ]
    assert all(method.name == name and method.summary for name, method in METHODS.items())


@pytest.mark.parametrize("name", METHODS)
def test_no_method_but_dense_stores_more_than_the_budget(name: str) -> None:
    spent = METHODS[name].spend(BUDGET)
    assert (spent.rows, spent.id_bytes) == (100, 12)
    if name == "dense":
        assert (spent.dim, spent.nnz, spent.density) == (64, 6400, 1)
    elif name == "dense-small":
        assert (spent.dim, spent.nnz, spent.density) == (6, 600, 1)
        assert spent.total_bytes <= BUDGET.total_bytes
    else:
        assert spent == BUDGET


def test_a_full_table_of_less_than_one_column_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="dense-small needs an entry for each of 100 rows, found a budget of 99"
    ):
        METHODS["dense-small"].spend(Budget(rows=100, dim=64, nnz=99))
    assert METHODS["dense-small"].spend(Budget(rows=100, dim=64, nnz=100)).dim == 1


def test_a_method_is_its_growth() -> None:
    some, all_rows = Exploration(0.5, "uniform"), Exploration(1.0)
    kinds = {name: type(method.growth_with(some)) for name, method in METHODS.items()}
    assert kinds.pop("sparserec") is AccumulatedGrowth
    assert kinds.pop("rigl") is kinds.pop("granet") is LastBatchGrowth
    assert kinds.pop("set") is RandomGrowth
    assert set(kinds.values()) == {NoGrowth}
    assert METHODS["sparserec"].growth_with(some) == AccumulatedGrowth(some, prunes_explored_only=True)
    assert METHODS["sparserec"].growth_with(all_rows) == AccumulatedGrowth(
        all_rows, prunes_explored_only=False
    )
    assert not METHODS["rigl"].growth_with(some).prunes_explored_only


def test_two_begin_full_and_one_of_them_shrinks_step_by_step() -> None:
    assert {name for name, method in METHODS.items() if method.full_until} == {"magnitude", "granet"}
    left = {
        name: [METHODS[name].entries_after(part, 900, 100) for part in (0, 0.25, 0.5, 0.99, 1, 2)]
        for name in ("magnitude", "granet", "static")
    }
    assert left["magnitude"] == left["static"] == [900, 900, 900, 900, 100, 100]
    assert left["granet"] == [900, 100 + 338, 200, 100, 100, 100]
