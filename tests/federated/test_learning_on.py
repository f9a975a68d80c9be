"""A table learns on: known items keep their rows, new ones get theirs, within the budget."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.evaluation.measuring import measure
from sparserec_np.federated.learning_on import LearningOn
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.server import Way
from sparserec_np.federated.simulation import clients_of, simulate
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.starts.previous import spread_rows
from sparserec_np.training.plan import model_over
from tests.makers.clients import server_for, world
from tests.makers.small import same_bits


def learned(way: Way, log: Interactions, nnz: int = 300) -> tuple[SparseTable, list[dict]]:
    server = server_for(log, way, 8, nnz)
    ledger = simulate(server, clients_of(log, None, 0), Conditions(0.3), 0)
    return server.finish().model.served(), ledger.passes


def earlier(log: Interactions) -> Interactions:
    """What there was before a tenth of the items, a tenth of the users, and some more came."""
    rng, users = np.random.default_rng(5), log.pair_users()
    old = (log.items % 10 != 3) & (users % 10 != 4) & (rng.random(log.n_interactions) < 0.9)
    return Interactions.from_pairs(log.user_ids[users[old]], log.item_ids[log.items[old]])


@pytest.mark.parametrize("way", [LeastSquaresWay(), SpectralWay()], ids=["least squares", "spectral"])
def test_new_items_get_rows_that_find_them(way: Way) -> None:
    log, _ = world(200, 80)
    train, test = split_random(log, 0.2, np.random.default_rng(1))
    before = earlier(train)
    table, _ = learned(way, before)
    on, passes = learned(LearningOn(way, table, before.item_ids, train.item_ids), train)
    anew, _ = learned(way, train)
    places = np.searchsorted(train.item_ids, before.item_ids)
    as_it_was = spread_rows(table, places, train.n_items)
    assert [record["pass"] for record in passes] == ["count", "new items"]
    assert on.nnz == 300 and train.n_items - len(places) == 8
    settings = server_for(train, way, 8, 300).config.resolved()
    left, now, all_anew = (
        measure(model_over(settings, one.copy(), 8, train).ranker(), test, train, (10,))["ndcg@10"]
        for one in (as_it_was, on, anew)
    )
    assert now > 1.01 * left and now > 0.85 * all_anew


def test_known_rows_stay_and_the_weakest_entries_make_room() -> None:
    log, _ = world(200, 80)
    before, way = earlier(log), LeastSquaresWay(rounds=1)
    table, _ = learned(way, before)
    on, _ = learned(LearningOn(way, table, before.item_ids, log.item_ids), log, nnz=320)
    places = np.searchsorted(log.item_ids, before.item_ids)
    old, now = spread_rows(table, places, 80).to_dense(8), on.to_dense(8)
    known = now[places][now[places] != 0]
    assert np.array_equal(known, old[places][now[places] != 0])
    left = np.abs(old[places][now[places] == 0])
    assert left.max(initial=0) <= np.abs(on.values).min()
    new = np.delete(np.arange(80), places)
    assert np.count_nonzero(now[new]) > 8


def test_nothing_new_changes_nothing_and_items_that_are_gone_leave() -> None:
    log, _ = world(100, 60)
    table, _ = learned(SpectralWay(), log)
    same, _ = learned(LearningOn(SpectralWay(), table, log.item_ids, log.item_ids), log)
    assert same_bits(same, table)
    fewer = Interactions.from_pairs(*log_without(log, 7))
    kept, _ = learned(LearningOn(SpectralWay(), table, log.item_ids, fewer.item_ids), fewer)
    assert np.array_equal(kept.to_dense(8), np.delete(table.to_dense(8), 7, axis=0))


def log_without(log: Interactions, item: int) -> tuple[np.ndarray, np.ndarray]:
    kept = log.items != item
    return log.user_ids[log.pair_users()[kept]], log.item_ids[log.items[kept]]


def test_a_table_of_more_columns_is_refused() -> None:
    log, _ = world(60, 40)
    wide = SparseTable.full(np.ones((40, 9), np.float32))
    with pytest.raises(ConfigError, match="more than 8 columns"):
        server_for(log, LearningOn(SpectralWay(), wide, log.item_ids, log.item_ids), 8, 300)
