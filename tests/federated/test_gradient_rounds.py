"""Rounds of gradients move, prune and regrow on the server, and make lists better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.splitting import split_random
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import PacketError
from sparserec_np.evaluation.measuring import measure
from sparserec_np.federated.gradient_rounds import GradientWay
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.server import Server
from sparserec_np.federated.simulation import clients_of, simulate
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.models.fism import Fism
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.schedules import DropSchedule
from sparserec_np.starts.uniform import Uniform
from sparserec_np.training.plan import model_over
from tests.federated.test_server import damaged
from tests.makers.clients import all_answer, server_for, world
from tests.makers.small import same_bits

RANDOM = GradientWay(
    begin=None,
    rounds=30,
    rate=0.1,
    negatives=20,
    asked=1.0,
    exploration=Exploration(1.0),
    drops=DropSchedule(interval=3),
)
FROM_START = replace(RANDOM, begin=SpectralWay(), rounds=8, rate=0.05)


def tables_of(way: GradientWay, server: Server, clients: list) -> list[SparseTable]:
    """The table after each pass that has one."""
    found = []
    while question := server.next_pass():
        for client in clients:
            server.take(client.answer(question))
        server.end_pass()  # before the next begins, as a table is wanted that no pass works on
        if server.learned.table is not None:
            found.append(server.learned.table.copy())
    return found


def loss_of(log: Interactions, table: SparseTable) -> float:
    """The softmax of each pair among all that its user did not touch, averaged over pairs."""
    rows, weights = table.to_dense(8), 1 / np.maximum(log.item_degrees, 1)
    total = 0.0
    for user in range(log.n_users):
        items = log.items[log.indptr[user] : log.indptr[user + 1]]
        scores = rows @ (weights[items] @ rows[items])
        own = scores[items] - weights[items] * (rows[items] ** 2).sum(axis=1)
        others = np.exp(np.delete(scores, items)).sum()
        total += float((np.log(others + np.exp(own)) - own).sum())
    return total / log.n_interactions


@pytest.mark.parametrize("way", [RANDOM, FROM_START], ids=["random", "start"])
def test_entries_come_and_go_within_the_budget_and_lists_get_better(way: GradientWay) -> None:
    log, _ = world(200, 80)
    train, test = split_random(log, 0.2, np.random.default_rng(1))
    server = server_for(train, way, 8, 200)
    tables = tables_of(way, server, clients_of(train, None, 0))
    assert {table.nnz for table in tables} == {200}
    losses = [loss_of(train, table) for table in tables[-way.rounds :]]
    assert losses[-1] < min(losses[: way.rounds // 2]) and losses[-1] < 0.98 * losses[0]
    settings = server.config.resolved()
    if way.begin is None:
        chance = Uniform(way.deviation).rows(80, 8, 200, np.random.default_rng(3))
        first, last = (
            measure(model_over(settings, table, 8, train).ranker(), test, train, (10,))["ndcg@10"]
            for table in (chance, tables[-1])
        )
        assert last > 2 * first
    moved = [
        not np.array_equal(one.columns, other.columns)
        for one, other in zip(tables[:-1], tables[1:], strict=True)
    ]
    # From a start the scaled table comes in between; the mask changes every third round up to 0.75.
    rounds = moved[-(way.rounds - 1) :]
    changes = [number for number, changed in enumerate(rounds, 2) if changed]
    due = range(3, way.rounds + 1, 3)
    assert changes == [number for number in due if int(200 * way.drops.fraction(number, way.rounds))]


def test_a_start_is_scaled_to_its_mean_score() -> None:
    log, clients = world()
    way = replace(FROM_START, rounds=1, rate=0.0, drops=DropSchedule(0.0))
    server = server_for(log, way)
    start, scaled, _ = tables_of(way, server, clients)
    assert np.array_equal(start.columns, scaled.columns)
    assert np.ptp(scaled.values / start.values) < 1e-4
    model = model_over(server.config.resolved(), scaled, 6, log)
    assert isinstance(model, Fism) and model.mean_product() == pytest.approx(way.score, rel=0.05)


def test_the_model_is_the_same_whoever_is_asked_first() -> None:
    log, clients = world()
    tables = []
    for conditions in (Conditions(), Conditions(0.1, silent=0.3, late=0.2, repeated=0.5)):
        server = server_for(log, FROM_START)
        ledger = simulate(server, clients, conditions, seed=5)
        tables.append(server.finish().model.served())
    assert same_bits(*tables)
    assert [record["answers"] for record in ledger.passes] == [90] * len(ledger.passes)


def test_a_round_asks_a_part_of_the_clients() -> None:
    log, clients = world()
    way = replace(FROM_START, asked=0.2)
    ledger = simulate(server_for(log, way), clients, Conditions(0.1), 1)
    assert [record["answers"] for record in ledger.passes] == [90] * 3 + [18] * 9
    ledger = simulate(server_for(log, way, part=0.5), clients, Conditions(0.1), 1)
    assert [record["answers"] for record in ledger.passes] == [45] * 3 + [9] * 9


def test_damaged_packets_change_no_sum_of_gradients() -> None:
    log, clients = world(40, 50)
    server, rng = server_for(log, replace(RANDOM, rounds=1), 4, 60), np.random.default_rng(6)
    first = server.next_pass()
    for client in clients:
        server.take(client.answer(first))
    question = server.next_pass()
    packets = [client.answer(question) for client in clients]
    server.take(packets[0])
    sums = server._sums
    entries, explored = sums.entries.copy(), sums.explored.copy()
    for k in range(2_000):
        with pytest.raises(PacketError):
            server.take(damaged(packets[k % 40], rng))
    assert np.array_equal(sums.entries, entries) and np.array_equal(sums.explored, explored)
    assert server.answers == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_other_optimizers_step_too(optimizer: str) -> None:
    log, clients = world()
    server = server_for(log, replace(RANDOM, rounds=4, optimizer=optimizer, loss="bpr"))
    all_answer(server, clients)
    assert server.finish().model.served().nnz == 150
