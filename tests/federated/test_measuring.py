"""What clients measure themselves is what full ranking measures."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.splitting import split_random
from sparserec_np.evaluation.measuring import measure
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.measuring import Measure
from sparserec_np.federated.server import Server, settings_for
from sparserec_np.federated.simulation import clients_of
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.training.plan import model_over
from sparserec_np.training.settings import Config
from tests.makers.clients import all_answer, world


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
