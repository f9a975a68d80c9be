"""Simulated clients answer as they are told to, and the ledger tells of every byte."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.errors import ConfigError
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.simulation import clients_of, simulate
from sparserec_np.federated.spectral import SpectralWay
from tests.makers.clients import server_for, world
from tests.makers.small import same_bits


def test_the_table_is_the_same_whoever_is_asked_first() -> None:
    log, clients = world()
    tables = []
    for conditions in (Conditions(), Conditions(0.1, silent=0.2), Conditions(0.03, late=0.3, repeated=0.5)):
        server = server_for(log, LeastSquaresWay(rounds=1))
        ledger = simulate(server, clients, conditions, seed=5)
        tables.append(server.finish().model.served())
        assert all(record["enough"] and record["answers"] == 90 for record in ledger.passes)
    assert all(same_bits(tables[0], table) for table in tables[1:])
    refused = ledger.passes[-1]["refused"]
    assert refused["repeated"] > 10 and refused["pass"] > 5


def test_the_ledger_counts_bytes() -> None:
    log, clients = world()
    server, told = server_for(log, SpectralWay()), []
    ledger = simulate(server, clients, Conditions(), 0, told.append)
    assert ledger.passes == told
    assert [record["pass"] for record in told] == ["count", "sketch", "iteration 1"]
    assert [record["down_largest"] for record in told] == [48, 48 + 4 * 60, 48 + 4 * 60 + 6 * 60]
    lists = told[0]["up_largest"]
    assert [record["up_largest"] for record in told[1:]] == [lists + 18, lists + 6]
    lists = log.user_degrees + 1 + 18  # no gap takes two bytes
    assert told[0]["up_median"] == int(np.median(lists))
    assert ledger.up.tolist() == (3 * lists + 24).tolist()
    assert ledger.totals()["down_median"] == sum(record["down_median"] for record in told)


def test_a_part_of_the_clients_is_enough_and_some_may_leave() -> None:
    log, clients = world()
    server = server_for(log, SpectralWay(), part=0.5)
    ledger = simulate(server, clients, Conditions(asked=0.2), 1)
    assert [(record["answers"], record["rounds"]) for record in ledger.passes] == [
        (54, 3)
    ] * 3  # whole rounds
    assert ledger.passes[0]["asked"] == 54
    server = server_for(log, SpectralWay())
    ledger = simulate(server, clients, Conditions(gone=0.5), 1)
    answers = [record["answers"] for record in ledger.passes]
    assert answers[0] == 90 and 40 < answers[2] < answers[1] < 90
    assert not ledger.passes[2]["enough"] and server.finish().model.served().nnz == 150


def test_silence_is_as_frequent_as_was_asked_for() -> None:
    log, clients = world()
    ledger = simulate(server_for(log, SpectralWay(), part=0.6), clients, Conditions(silent=0.3), 2)
    assert [record["rounds"] for record in ledger.passes] == [1, 1, 1]
    assert 0.6 * 90 < np.mean([record["answers"] for record in ledger.passes]) < 0.8 * 90


@pytest.mark.parametrize(
    "wrong", [{"asked": 0.0}, {"silent": -0.1}, {"gone": 1.1}, {"silent": 0.6, "late": 0.4}]
)
def test_impossible_conditions_are_refused(wrong) -> None:
    with pytest.raises(ConfigError, match="part"):
        Conditions(**wrong)


def test_secrets_of_clients_differ() -> None:
    log, _ = world()
    one, other = (clients_of(log, None, seed)[0]._secret for seed in (0, 1))
    assert one != other != clients_of(log, None, 1)[1]._secret
