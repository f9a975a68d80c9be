"""Noise has the size that was asked for, and no client moves a sum by more than it was measured by."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest

from sparserec_np.errors import ConfigError, SparseRecError
from sparserec_np.federated import privacy as module
from sparserec_np.federated.client import Client
from sparserec_np.federated.packets import Answer, Kind, Question, grid_for
from sparserec_np.federated.privacy import FINE, Privacy, releases, spent
from sparserec_np.federated.rounds import Conditions, Hiding
from sparserec_np.federated.secure import vector_of
from sparserec_np.federated.simulation import clients_of, simulate
from sparserec_np.federated.spectral import SpectralWay
from tests.makers.clients import server_for, world

COUNT = Question(Kind.COUNT, 0, 400)
SIGNS = Question(
    Kind.SIGNS, 0, 400, 8, grid=grid_for(1.0, 10), most=10, seed=3, ridge=0.4, scales=np.ones(400, np.float32)
)


def answer_of(question: Question, items, most: int | None = None) -> Answer:
    packet = Client(items, b"secret", most=most).answer(question.encode())
    return Answer.decode(packet, question)


@pytest.mark.parametrize(
    ("question", "length"), [(COUNT, FINE * math.sqrt(9)), (SIGNS, 3 * 0.4 * 2.0**-SIGNS.grid)]
)
def test_noise_has_the_deviation_that_was_asked_for(question, length) -> None:
    privacy, rng = Privacy(items=9, noise=2.0), np.random.default_rng(1)
    vector = vector_of(question, privacy.clipped(question, answer_of(question, [], 9)))
    shares = [privacy.noised(question, vector, 25, rng).view(np.int64) for _ in range(25)]
    assert [int(share[0]) for share in shares] == [1] * 25  # how many have answered is no secret
    summed = sum(shares)[1:]
    summed = summed[400:] if question.kind == Kind.SIGNS else summed
    assert summed.std() == pytest.approx(2.0 * length, rel=0.08)
    assert abs(summed.mean()) < 4 * 2.0 * length / math.sqrt(len(summed))


def test_no_client_moves_a_sum_by_more_than_its_length() -> None:
    privacy = Privacy(items=9, noise=1.0)
    for items in ([5], [5, 6], list(range(200))):
        for question, most in ((COUNT, 3.0), (SIGNS, 3 * 0.4 * 2.0**-SIGNS.grid)):
            answer = privacy.clipped(question, answer_of(question, items, privacy.items))
            assert len(answer.items) == min(len(items), 9)
            vector = vector_of(question, answer).view(np.int64)[1:].astype(float)
            moved = vector[400:] if question.kind == Kind.SIGNS else vector
            assert np.linalg.norm(moved) <= most * (1 + 1e-12)


def test_counts_are_not_released_twice() -> None:
    privacy = Privacy(items=9, noise=1.0)
    answer = privacy.clipped(SIGNS, answer_of(SIGNS, [5, 6], 9))
    noised = privacy.noised(SIGNS, vector_of(SIGNS, answer), 25, np.random.default_rng(0))
    assert not noised[1:401].any() and noised[401:].any()


def test_what_a_client_answers_from_is_always_the_same() -> None:
    one, two = (answer_of(COUNT, range(100), 7).items for _ in range(2))
    other = Answer.decode(Client(range(100), b"other", most=7).answer(COUNT.encode()), COUNT).items
    assert one.tolist() == two.tolist() != other.tolist() and len(one) == 7


def test_sums_are_read_as_counts_that_there_can_be() -> None:
    privacy = Privacy(items=4, noise=1.0)
    vector = np.array([20, -3 * FINE, FINE, 7 * FINE + 5, 90 * FINE], np.int64)
    counts = privacy.summed(Question(Kind.COUNT, 0, 4), vector.view(np.uint64)).view(np.int64)
    assert counts.tolist() == [20, 2, 2, 7, 20]  # below the deviation of 2 nothing can be told
    ranked = privacy.summed(
        Question(Kind.RANK, 0, 4), np.array([9, 12 * FINE, -5, 99 << 16], np.int64).view(np.uint64)
    )
    assert ranked.view(np.int64).tolist() == [9, 9, 0, 9 << 16]


def test_a_training_with_noise_ends_and_differs_from_one_without() -> None:
    log, _ = world(60, 40)
    tables = []
    for privacy in (None, Privacy(8, 0.05), Privacy(8, 0.05), Privacy(8, 5.0)):
        clients = clients_of(log, None, 0, None if privacy is None else privacy.items)
        server = server_for(log, SpectralWay(), 4, 90)
        hiding = None if privacy is None else Hiding(masks=False, privacy=privacy)
        ledger = simulate(server, clients, Conditions(hiding=hiding), 0)
        tables.append(server.finish().model.served().to_dense(4))
        if privacy is not None:
            assert [record["released"] for record in ledger.passes] == [1, 1, 1]
            assert min(server.learned.counts) >= math.ceil(privacy.noise * math.sqrt(8))
    assert np.array_equal(tables[1], tables[2])  # same seed
    assert not np.array_equal(tables[0], tables[1]) and not np.array_equal(tables[1], tables[3])


def test_what_has_no_bound_is_refused() -> None:
    for kind in (Kind.SOLVE, Kind.GRADIENT):
        with pytest.raises(ConfigError, match="protocol spectral"):
            Privacy(8, 1.0).expect(Question(kind, 0, 5))
    for wrong in ((0, 1.0), (5, 0.0), (5, math.inf)):
        with pytest.raises(ConfigError, match="noise above 0"):
            Privacy(*wrong)


def test_epsilon_is_that_of_a_gaussian() -> None:
    pytest.importorskip("dp_accounting")
    assert [releases(Question(kind, 0, 5)) for kind in (Kind.COUNT, Kind.RANK)] == [1, 2]
    for noise, count in ((2.0, 1), (1.0, 3), (5.0, 4)):
        # Balle and Wang 2018, theorem 8: the delta of a Gaussian at an epsilon.
        epsilon, sigma = spent(noise, count, 1e-5), noise / math.sqrt(count)
        below = 0.5 * math.erfc(-(0.5 / sigma - epsilon * sigma) / math.sqrt(2))
        above = 0.5 * math.erfc((0.5 / sigma + epsilon * sigma) / math.sqrt(2))
        assert below - math.exp(epsilon) * above == pytest.approx(1e-5, rel=0.02)


def test_a_missing_accountant_is_named(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SparseRecError, match=r"dp-accounting.*sparserec_np\[privacy\]"):
        module.expect_accountant()
