"""Going on: the start keeps to the budget and has room for new rows; only what is new is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_ones
from sparserec_np.data.splitting import split_random
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.starts import STARTS
from sparserec_np.starts.condensed import Condensed
from sparserec_np.starts.previous import PreviousModel, hold_out_new
from tests.makers.small import same_bits, small_log

DIM = 8
LOG = small_log(50, 40, 800)
KNOWN = LOG.subset(LOG.items % 5 > 0)
PART = Interactions.from_pairs(KNOWN.user_ids[KNOWN.pair_users()], KNOWN.item_ids[KNOWN.items])
NNZ = 240


def former() -> PreviousModel:
    table = STARTS["spectral"](PART, DIM, NNZ, np.random.default_rng(0))
    return PreviousModel(table, DIM, PART)


def start(log: Interactions = LOG, nnz: int = NNZ, threads: int = 1):
    return former().start()(log, DIM, nnz, np.random.default_rng(1), threads)


@settings(deadline=None)  # the first call compiles
@given(st.integers(90, 700))
def test_all_rows_share_the_budget(nnz: int) -> None:
    table = start(nnz=nnz)
    table.validate(DIM)
    assert table.rows == LOG.n_users + LOG.n_items
    assert table.nnz == nnz and np.diff(table.indptr).min() >= 1


def test_new_items_are_near_to_those_that_the_same_users_had() -> None:
    """The generated log has groups; a new item's row is nearest to rows of its own group more often than by chance."""
    dense = start(nnz=LOG.n_users * DIM).to_dense(DIM)
    users, items = dense[: LOG.n_users], dense[LOG.n_users :]
    scores = users @ items.T
    had = np.zeros(scores.shape, dtype=bool)
    had[LOG.pair_users(), LOG.items] = True
    new = ~np.isin(LOG.item_ids, PART.item_ids)
    assert new.any()
    assert scores[:, new][had[:, new]].mean() > 1.1 * scores[:, new][~had[:, new]].mean()


def test_the_same_bits_for_any_threads() -> None:
    assert same_bits(start(), start(threads=3))


def test_what_was_condensed_is_condensed_again_over_all_interactions() -> None:
    plain = start()
    condensed = Condensed(widening=1, passes=2, solving=2)
    again = replace(former(), condensed=condensed).start()
    found, threaded = (again(LOG, DIM, NNZ, np.random.default_rng(1), threads) for threads in (1, 3))
    found.validate(DIM)
    assert (found.rows, found.nnz) == (plain.rows, NNZ) and np.diff(found.indptr).min() >= 1
    assert same_bits(found, threaded)
    with one_blas_thread():
        full = condensed.full_rows(LOG, matrix_of_ones(LOG), DIM, np.random.default_rng(1), 1)
    wanted = full[0] @ full[1].T
    away = [
        np.square(made.to_dense(DIM)[: LOG.n_users] @ made.to_dense(DIM)[LOG.n_users :].T - wanted).sum()
        for made in (found, plain)
    ]
    assert away[0] < 0.8 * away[1]


def test_the_columns_stay() -> None:
    with pytest.raises(ConfigError, match="fills 8 columns, .* room for 7 only"):
        former().start()(LOG, 7, NNZ, np.random.default_rng(1))


def test_a_model_without_entries_on_one_side_is_nothing_to_go_by() -> None:
    known = former()
    dense = known.table.to_dense(DIM)
    dense[: PART.n_users] = 0
    with pytest.raises(ConfigError, match="no entry of any user.* train anew, within a larger budget"):
        replace(known, table=SparseTable.from_dense(dense)).start()(LOG, DIM, 60, np.random.default_rng(1))


@pytest.mark.parametrize("few", ["users", "items"])
def test_both_sides_keep_some_entries(few: str) -> None:
    """A side that stored next to nothing would be left without where its share is rounded."""
    known = former()
    dense = known.table.to_dense(DIM)
    side = slice(0, PART.n_users) if few == "users" else slice(PART.n_users, None)
    dense[side].flat[:] = 0
    dense[side][0, 0] = 1
    table = replace(known, table=SparseTable.from_dense(dense)).start()(LOG, DIM, 9, np.random.default_rng(1))
    assert 0 < table.indptr[LOG.n_users] < table.nnz <= 9


def test_only_what_is_new_is_held_out() -> None:
    kept, held = hold_out_new(PART, LOG, 0.3, np.random.default_rng(0))
    known, _ = PART.aligned_to(LOG)
    assert held.n_interactions and held.shared_with(known) == 0 and kept.shared_with(held) == 0
    assert kept.union(held).digest() == LOG.digest() and known.shared_with(kept) == known.n_interactions


def test_where_nobody_has_any_to_spare_nothing_is_held_out() -> None:
    kept, held = hold_out_new(PART, PART, 0.3, np.random.default_rng(0))
    assert held is None and kept.digest() == PART.digest()


def test_a_part_of_the_log_is_what_splitting_holds_out_where_nothing_is_known() -> None:
    nobody = LOG.subset(np.zeros(LOG.n_interactions, dtype=bool))
    ours = hold_out_new(nobody, LOG, 0.3, np.random.default_rng(0))
    theirs = split_random(LOG, 0.3, np.random.default_rng(0))
    assert [part.digest() for part in ours] == [part.digest() for part in theirs]
