"""The protocol of least squares solves the equations that it writes down."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.splitting import split_random
from sparserec_np.evaluation.measuring import measure
from sparserec_np.factorization.singular_vectors import fewer_columns
from sparserec_np.federated.least_squares import LeastSquaresWay, Round, Rows, fewer_columns_of
from sparserec_np.federated.packets import Answer
from sparserec_np.federated.server import Learned, Sums
from sparserec_np.federated.simulation import clients_of
from sparserec_np.starts.items import CondensedItems
from sparserec_np.training.plan import model_over
from tests.makers.clients import all_answer, server_for, world


def test_a_round_solves_for_the_items() -> None:
    log, clients = world()
    way, width = LeastSquaresWay(), 5
    rng = np.random.default_rng(1)
    learned = Learned(log.n_items, 4, 50, 0, kept={"rows": rng.standard_normal((log.n_items, width))})
    rows = Rows(way, width)
    one = Round(rows, "round 1")
    question = one.ask(learned)
    sent = question.rows * question.scales[:, None].astype(np.float64)
    assert np.square(sent).sum() / log.n_items == pytest.approx(1)
    assert question.base == pytest.approx(way.untouched * sent.T @ sent, rel=1e-4)
    sums, own = Sums(question, log.n_users), np.zeros((log.n_users, width))
    for user, client in enumerate(clients):
        answer = Answer.decode(client.answer(question.encode()), question)
        sums.add(answer)
        own[user] = answer.values * 2.0 ** (question.grid + answer.shift)
    one.take(learned, sums)
    gram = own.T @ own
    assert learned.kept["gram"] == pytest.approx(gram)
    users = log.pair_users()
    for item, count in enumerate(log.item_degrees.tolist()):
        matrix = (way.untouched + way.share * count / log.n_users) * gram
        matrix += way.ridge * np.trace(gram) / log.n_users * np.sqrt(max(count, 1)) * np.eye(width)
        target = own[users[log.items == item]].sum(axis=0)
        assert learned.kept["rows"][item] == pytest.approx(np.linalg.solve(matrix, target), abs=1e-8)


def test_fewer_columns_are_those_of_the_rows_themselves() -> None:
    rng = np.random.default_rng(2)
    users, items = rng.standard_normal((30, 6)), rng.standard_normal((20, 6))
    own, theirs = fewer_columns(users, items, 3)
    made = fewer_columns_of(items, users.T @ users, 3)
    # The products of users' and items' rows are what an axis may turn in.
    assert made @ made.T == pytest.approx(items @ theirs @ theirs.T @ items.T, abs=1e-3)
    assert own.shape == (6, 3) and fewer_columns_of(items, users.T @ users, 9).shape == (20, 6)


def test_lists_are_nearly_as_good_as_those_of_one_machine() -> None:
    log, _ = world(200, 80)
    train, test = split_random(log, 0.2, np.random.default_rng(1))
    server = server_for(train, LeastSquaresWay(), 8, 300)
    all_answer(server, clients_of(train, None, 0))
    fitted = server.finish()
    central = CondensedItems()(train, 8, 300, np.random.default_rng(0))
    settings = server.config.resolved()
    own, theirs = (
        measure(model_over(settings, table, 8, train).ranker(), test, train, (10,))["ndcg@10"]
        for table in (fitted.model.served(), central)
    )
    assert fitted.model.served().nnz == 300
    assert own > 0.9 * theirs > 0.15
