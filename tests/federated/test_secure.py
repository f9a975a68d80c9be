"""Masked sums are those of plain answers, and no packet tells of its client."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cryptography")

from sparserec_np.errors import PacketError
from sparserec_np.federated.client import Client
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.packets import Answer, Question
from sparserec_np.federated.secure import (
    Circle,
    MaskedSum,
    Masker,
    join_secret,
    split_secret,
    vector_of,
)
from sparserec_np.federated.spectral import SpectralWay
from tests.makers.clients import server_for, world
from tests.makers.small import same_bits

LEAST = 10


def dealt(circle: Circle) -> tuple[list[Masker], dict[int, bytes]]:
    """Clients who have dealt their shares, and their public keys."""
    maskers = [Masker(number, circle, LEAST) for number in range(circle.clients)]
    keys = {masker.number: masker.public_keys() for masker in maskers}
    letters = [masker.deal([keys[other] for other in circle.of(masker.number)]) for masker in maskers]
    for sender, written in enumerate(letters):
        for receiver, letter in written.items():
            maskers[receiver].take_letter(sender, letter)
    return maskers, keys


def summed(vectors: dict[int, np.ndarray], circle: Circle) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The opened sum of those who have vectors, and the packets that they sent; the others are gone."""
    maskers, keys = dealt(circle)
    total = MaskedSum(circle, keys, len(next(iter(vectors.values()))))
    packets = {number: maskers[number].masked(vector) for number, vector in vectors.items()}
    for number, packet in packets.items():
        total.take(number, packet)
    return total.opened({number: maskers[number].reveal(total.sent) for number in vectors}), packets


def answers_to(question: Question, clients: list[Client], some: list[int]) -> dict[int, Answer]:
    packets = {number: clients[number].answer(question.encode()) for number in some}
    return {number: Answer.decode(packet, question) for number, packet in packets.items()}


@pytest.mark.parametrize("way", [SpectralWay(), LeastSquaresWay(rounds=1)], ids=lambda way: way.start)
def test_the_table_is_that_of_plain_answers(way) -> None:
    log, clients = world(30, 25)
    rng = np.random.default_rng(1)
    plain, secure = server_for(log, way, 3, 40), server_for(log, way, 3, 40)
    while packet := plain.next_pass():
        question = Question.decode(secure.next_pass())
        stay = np.sort(rng.choice(30, 24, replace=False)).tolist()  # a fifth has gone after dealing
        for number in stay:
            plain.take(clients[number].answer(packet))
        vectors = {k: vector_of(question, one) for k, one in answers_to(question, clients, stay).items()}
        secure.take_sum(summed(vectors, Circle(30, seed=2, neighbours=12))[0])
        assert secure.answers == 24
    secure.next_pass()
    assert same_bits(plain.finish().model.served(), secure.finish().model.served())


def test_a_packet_is_uniform_whatever_it_hides() -> None:
    circle = Circle(12, seed=1, neighbours=6)
    for value in (0, 1, 2**63):
        vectors = {number: np.full(4_000, value, np.uint64) for number in range(12)}
        total, packets = summed(vectors, circle)
        assert (total == np.uint64(value * 12 % 2**64)).all()
        counts = np.bincount(np.concatenate(list(packets.values())).view(np.uint8), minlength=256)
        expected = counts.sum() / 256
        assert np.square(counts - expected).sum() / expected < 255 + 7 * np.sqrt(2 * 255)  # chi squared
        for one, other in zip(packets.values(), list(packets.values())[1:], strict=False):
            assert np.count_nonzero(one == other) == 0


def test_recorded_packets_do_not_tell_lists_or_counts() -> None:
    log, clients = world(30, 25)
    server = server_for(log, SpectralWay(), 3, 40)
    question = Question.decode(server.next_pass())
    vectors = {
        k: vector_of(question, one) for k, one in answers_to(question, clients, list(range(30))).items()
    }
    lengths = {len(vector) for vector in vectors.values()}
    total, packets = summed(vectors, Circle(30, seed=2, neighbours=12))
    assert lengths == {1 + 25} and total[1:].tolist() == log.item_degrees.tolist()
    # Sums of all packets but one are as uniform as each: the masks of the one do not cancel.
    rest = sum((packets[number] for number in range(1, 30)), np.zeros(26, np.uint64))
    assert (rest.view(np.int64) > 1_000).any() and (packets[0] > 1_000).all()


def test_few_clients_are_not_added_up() -> None:
    circle = Circle(12, seed=1, neighbours=6)
    maskers, keys = dealt(circle)
    total = MaskedSum(circle, keys, 3)
    for number in range(9):
        total.take(number, maskers[number].masked(np.ones(3, np.uint64)))
    with pytest.raises(PacketError, match="9 clients is not opened"):
        maskers[0].reveal(total.sent)
    with pytest.raises(PacketError, match="too few to open"):
        total.opened({})
    total.take(9, maskers[9].masked(np.ones(3, np.uint64)))
    shares = {number: maskers[number].reveal(total.sent) for number in range(10)}
    assert total.opened(shares).tolist() == [10] * 3


def test_nothing_is_said_twice() -> None:
    circle = Circle(12, seed=1, neighbours=6)
    maskers, keys = dealt(circle)
    total = MaskedSum(circle, keys, 3)
    packet = maskers[0].masked(np.zeros(3, np.uint64))
    total.take(0, packet)
    for wrong in (
        lambda: total.take(0, packet),
        lambda: total.take(40, packet),
        lambda: total.take(1, packet[:2]),
        lambda: maskers[0].masked(np.ones(3, np.uint64)),
        lambda: maskers[2].take_letter(1, b"x" * 40),
        lambda: Masker(3, circle, 5).deal([keys[4]]),
    ):
        with pytest.raises(PacketError):
            wrong()
    everybody = set(range(12))
    assert maskers[0].reveal(everybody)
    with pytest.raises(PacketError, match="once"):
        maskers[0].reveal(everybody - {1})  # which would give both secrets of 1 away


def test_each_has_as_many_neighbours_and_is_theirs() -> None:
    for clients in (2, 7, 8, 30):
        circle = Circle(clients, seed=5, neighbours=6)
        for number in range(clients):
            near = circle.of(number)
            assert len(near) == min(clients - 1, 6) and number not in near
            assert all(number in circle.of(other) for other in near)
    assert Circle(1_000, 0).threshold == 7 and Circle(2, 0).threshold == 1
    assert Circle(30, 1, 6).of(0) != Circle(30, 2, 6).of(0)


def test_a_share_too_few_tells_another_number() -> None:
    secret = bytes(range(1, 33))
    shares = split_secret(secret, range(9), 5)
    assert join_secret({point: shares[point] for point in (0, 3, 4, 7, 8)}) == secret
    with pytest.raises(PacketError, match="go together"):
        join_secret({point: shares[point] for point in (0, 3, 4, 7)})


def test_a_sum_that_no_clients_can_have_is_refused() -> None:
    log, _ = world(30, 25)
    server = server_for(log, SpectralWay(), 3, 40)
    with pytest.raises(PacketError, match="no pass"):
        server.take_sum(np.zeros(26, np.uint64))
    server.next_pass()
    for wrong in (np.zeros(26), np.ones(25), np.concatenate([[2], np.full(25, 3)]), np.full(26, 2**63)):
        with pytest.raises(PacketError):
            server.take_sum(wrong.astype(np.uint64))
    assert server.answers == 0
