"""What clients measure themselves is what full ranking measures."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.splitting import split_latest, split_random
from sparserec_np.evaluation.measuring import measure
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.measuring import POWERS, Measure, measures
from sparserec_np.federated.packets import Kind, Question
from sparserec_np.federated.server import Learned, Server, Sums, settings_for
from sparserec_np.federated.simulation import clients_of
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.training.plan import model_over
from sparserec_np.training.settings import Config
from tests.makers.clients import all_answer, moving_on, world


@pytest.mark.parametrize("way", [SpectralWay(), LeastSquaresWay(rounds=1)], ids=lambda way: way.start)
def test_sums_of_gains_are_those_of_a_full_ranking(way) -> None:
    log, _ = world()
    train, test = split_random(log, 0.2, np.random.default_rng(1))
    config = settings_for(way, Config(dim=6, entries=200))
    server = Server(log.item_ids, way, config, log.n_users, last=[Measure(config, length=10)])
    all_answer(server, clients_of(train, test, 0))
    fitted = server.finish()
    model = model_over(config.resolved(), fitted.model.served(), 6, train)
    if len(fitted.model.served_weights):
        model.load_weights(fitted.model.served_weights)
    theirs = measure(model.ranker(), test, train, (10,))
    own = fitted.history[0]
    assert own["users"] == theirs["users"]
    assert own["ndcg@10"] == pytest.approx(theirs["ndcg@10"], abs=0.02)  # the clients' file is int8
    assert own["recall@10"] == pytest.approx(theirs["recall@10"], abs=0.02)


def test_who_keeps_nothing_back_counts_for_nothing() -> None:
    log, clients = world()
    config = settings_for(SpectralWay(), Config(dim=6, entries=200))
    server = Server(log.item_ids, SpectralWay(), config, log.n_users, last=[Measure(config)])
    all_answer(server, clients)
    assert server.finish().history == [{"epoch": 0}]


def test_clients_choose_how_much_later_items_count() -> None:
    log = moving_on()
    train, test = split_latest(log, 0.2)
    config = settings_for(SpectralWay(), Config(dim=6, entries=200))
    server = Server(log.item_ids, SpectralWay(), config, log.n_users, last=measures(config, ordered=True))
    all_answer(server, clients_of(train, test, 0))
    fitted = server.finish()
    reached = {}
    for power in POWERS:
        own = settings_for(SpectralWay(), Config(model="fism", dim=6, entries=200, recency=power))
        model = model_over(own.resolved(), fitted.model.served(), 6, train)
        model.load_weights(fitted.model.served_weights)
        reached[power] = measure(model.ranker(), test, train, (20,))["ndcg@20"]
    chosen = fitted.config.recency
    assert chosen == fitted.history[0]["recency"] > 0
    assert fitted.history[0]["ndcg@20"] == pytest.approx(reached[chosen], abs=0.02)
    assert (
        reached[chosen] == pytest.approx(max(reached.values()), abs=0.02) and reached[chosen] > reached[0.0]
    )


def test_the_best_of_several_measures_is_kept() -> None:
    config, learned = settings_for(SpectralWay(), Config(dim=6, entries=200)), Learned(60, 6, 200, 0)
    for power, ndcg in ((0.0, 5), (0.5, 8), (1.0, 7)):
        sums = Sums(Question(Kind.RANK, 0, 60, lands=False), 1)
        sums.measured += (1, 9, ndcg)
        Measure(config, recency=power).take(learned, sums)
    assert (learned.measured["recency"], learned.measured["ndcg@20"]) == (0.5, 8 / 65536)


def test_recency_is_asked_for_where_it_means_something() -> None:
    spectral, least_squares = (
        settings_for(way, Config(dim=6, entries=200)) for way in (SpectralWay(), LeastSquaresWay())
    )
    assert [one.name for one in measures(spectral, ordered=True)] == [
        "measure",
        *(f"measure, recency {power}" for power in ("0.25", "0.5", "0.75", "1")),
    ]
    given = settings_for(SpectralWay(), Config(model="fism", dim=6, entries=200, recency=0.5))
    for config, ordered in ((spectral, False), (least_squares, True), (given, True)):
        assert measures(config, ordered) == [Measure(config)]
