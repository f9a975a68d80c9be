"""The spectral protocol finds the vectors that one machine finds, from sums alone."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.recency import Touched
from sparserec_np.data.splitting import split_random
from sparserec_np.evaluation.measuring import measure
from sparserec_np.federated.client import Client
from sparserec_np.federated.packets import Answer, Question
from sparserec_np.federated.server import Learned, Sums
from sparserec_np.federated.simulation import clients_of
from sparserec_np.federated.spectral import Sketch, SpectralWay, Vectors
from sparserec_np.models.fism import Fism
from sparserec_np.starts.items import SpectralItems
from tests.makers.clients import all_answer, server_for, world


def summed(question: Question, clients: list[Client]) -> Sums:
    sums = Sums(question, len(clients))
    for client in clients:
        sums.add(Answer.decode(client.answer(question.encode()), question))
    return sums


def normalised(log) -> np.ndarray:
    """A of the module, from a full matrix."""
    ones = np.zeros((log.n_users, log.n_items))
    ones[log.pair_users(), log.items] = 1
    of_users, of_items = (np.maximum(some, 1) for some in (log.user_degrees, log.item_degrees))
    matrix = ones / np.sqrt(of_users)[:, None] / np.sqrt(of_items)
    return matrix.T @ matrix


def test_vectors_are_those_of_the_matrix() -> None:
    log, clients = world()
    learned = Learned(log.n_items, dim=4, nnz=10, seed=3, counts=log.item_degrees.astype(np.int64))
    vectors = Vectors(width=log.n_items, dim=4)
    strengths, axes = np.linalg.eigh(normalised(log))
    for name in ("sketch", "iteration 1"):
        sketch = Sketch(vectors, name)
        sketch.take(learned, summed(sketch.ask(learned), clients))
        found = vectors.found
        assert found is not None
        rows = found[0 : log.n_items]
        assert rows.T @ rows == pytest.approx(np.eye(log.n_items), abs=1e-3)
        assert found.strengths[:5] ** 2 == pytest.approx(strengths[::-1][:5] / strengths[-1], rel=0.02)
        angles = np.linalg.svd(axes[:, ::-1][:, :5].T @ rows[:, :5])[1]
        assert angles[:4].min() > 0.98


def test_an_iteration_comes_closer() -> None:
    log, clients = world()
    learned = Learned(log.n_items, dim=4, nnz=10, seed=3, counts=log.item_degrees.astype(np.int64))
    best = np.linalg.eigh(normalised(log))[1][:, ::-1][:, :5]
    vectors, caught = Vectors(width=8, dim=4), []
    for name in ("sketch", "iteration 1", "iteration 2"):
        sketch = Sketch(vectors, name)
        sketch.take(learned, summed(sketch.ask(learned), clients))
        assert vectors.found is not None
        caught.append(float(np.square(best.T @ vectors.found[0 : log.n_items]).sum()))
    assert caught[0] < caught[1] < caught[2] and caught[2] > 0.97 * 5


def test_lists_are_as_good_as_those_of_one_machine() -> None:
    log, _ = world(200, 80)
    train, test = split_random(log, 0.2, np.random.default_rng(1))
    central = SpectralItems()(train, 8, 300, np.random.default_rng(0))
    server = server_for(train, SpectralWay(sketch=3.0), 8, 300)
    all_answer(server, clients_of(train, None, 0))
    fitted = server.finish()
    own, theirs = (
        measure(Fism(table, 8, Touched(train)).ranker(), test, train, (10,))["ndcg@10"]
        for table in (fitted.model.served(), central)
    )
    assert fitted.model.served().nnz == 300
    assert own > 0.95 * theirs > 0.15
