"""What every start keeps to: exact budgets, floors, the same bits for a seed."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.starts import STARTS
from sparserec_np.starts.start import Start
from tests.makers.small import same_bits, small_log

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
