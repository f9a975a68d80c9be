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
from sparserec_np.federated.spectral import Products, Sketch, SpectralWay
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


def taught(log, clients: list[Client], widths: list[int]) -> list[np.ndarray]:
    """The vectors (n_items, k) that passes of these widths find, after each."""
    learned = Learned(log.n_items, dim=4, nnz=10, seed=3, counts=log.item_degrees.astype(np.int64))
    found = []
    for number, width in enumerate(widths):
        sketch = Sketch(width, f"pass {number}")
        sketch.take(learned, summed(sketch.ask(learned), clients))
        found.append(Products(learned).vectors(width)[0 : log.n_items])
    return found


def test_vectors_are_those_of_the_matrix() -> None:
    log, clients = world()
    strengths, axes = np.linalg.eigh(normalised(log))
    learned = Learned(log.n_items, dim=4, nnz=10, seed=3, counts=log.item_degrees.astype(np.int64))
    sketch = Sketch(log.n_items, "sketch")
    sketch.take(learned, summed(sketch.ask(learned), clients))
    found = Products(learned)
    assert found.strengths[:5] ** 2 == pytest.approx(strengths[::-1][:5] / strengths[-1], rel=0.02)
    for rows in taught(log, clients, [log.n_items, 20]):
        rows = rows[:, :20]
        assert rows.T @ rows == pytest.approx(np.eye(20), abs=1e-3)
        angles = np.linalg.svd(axes[:, ::-1][:, :5].T @ rows[:, :5])[1]
        assert angles[:4].min() > 0.98


def test_an_iteration_comes_closer() -> None:
    log, clients = world()
    best = np.linalg.eigh(normalised(log))[1][:, ::-1][:, :5]
    caught = [float(np.square(best.T @ rows).sum()) for rows in taught(log, clients, [8, 8, 8])]
    assert caught[0] < caught[1] < caught[2] and caught[2] > 0.97 * 5


def test_no_product_is_forgotten() -> None:
    log, clients = world()
    best = np.linalg.eigh(normalised(log))[1][:, ::-1][:, :4]
    learned = Learned(log.n_items, dim=4, nnz=10, seed=3, counts=log.item_degrees.astype(np.int64))
    for name, width in (("sketch", 16), ("iteration 1", 6)):
        sketch = Sketch(width, name)
        sketch.take(learned, summed(sketch.ask(learned), clients))
    both, alone = Products(learned), Products(learned)
    rows = np.concatenate([both.sent(block)[:, 16:] for block in both.blocks()]).astype(np.float64)
    alone.parts, width = [alone.parts[1]], rows.shape[1]
    matrix = normalised(log)
    assert alone.parts[0] == pytest.approx(matrix @ rows, abs=0.02 * np.abs(matrix @ rows).max())
    own = np.linalg.qr(matrix @ rows)[0]
    caught = [np.square(best.T @ some).sum() for some in (both.vectors(4)[0 : log.n_items], own[:, :width])]
    assert caught[0] > caught[1]  # four vectors of both catch more than all six of the last alone


def test_what_is_sent_is_of_one_size() -> None:
    log, clients = world()
    learned = Learned(log.n_items, dim=4, nnz=10, seed=3, counts=log.item_degrees.astype(np.int64))
    sketch = Sketch(16, "sketch")
    sketch.take(learned, summed(sketch.ask(learned), clients))
    question = Sketch(12, "iteration 1").ask(learned)
    said = [Answer.decode(client.answer(question.encode()), question) for client in clients]
    sizes = np.sqrt(np.square([one.values.astype(float) * 2.0**one.shift for one in said]).mean(axis=0))
    assert sizes.max() < 2 * sizes.min()


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
