"""Simulated clients under masks make the table of plain packets, and the ledger counts all that they send."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("cryptography")

from sparserec_np.errors import ConfigError
from sparserec_np.federated.circles import FEWEST, Circles
from sparserec_np.federated.gradient_rounds import GradientWay
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.packets import Kind, Question
from sparserec_np.federated.privacy import Privacy
from sparserec_np.federated.rounds import Conditions, Hiding
from sparserec_np.federated.secure import MaskedSum, kind_of, pack_masked, unpack_masked
from sparserec_np.federated.simulation import simulate
from sparserec_np.federated.spectral import SpectralWay
from tests.makers.clients import server_for, world
from tests.makers.small import same_bits

MASKED = Hiding(masks=True)
# A fifth leave after their masks were dealt; others come late, or twice.
DROPPING = Conditions(silent=0.2, late=0.05, repeated=0.1)


@pytest.mark.parametrize(
    "way",
    [SpectralWay(), LeastSquaresWay(rounds=1), GradientWay(rounds=3, asked=0.5)],
    ids=["spectral", "least squares", "gradients"],
)
def test_the_table_is_that_of_plain_packets(way) -> None:
    log, clients = world(40, 30)
    tables, records = [], []
    for hiding in (None, MASKED):
        server = server_for(log, way, 4, 60, part=0.6)
        ledger = simulate(server, clients, replace(DROPPING, hiding=hiding), 3)
        tables.append(server.finish().model.served())
        records.append([(one["pass"], one["asked"], one["answers"], one["rounds"]) for one in ledger.passes])
    assert same_bits(*tables) and records[0] == records[1]
    assert all(answers < asked for _, asked, answers, _ in records[0][:3])


def test_the_ledger_counts_keys_letters_vectors_and_shares() -> None:
    log, clients = world(30, 25)
    ledger = simulate(server_for(log, SpectralWay(), 4, 60), clients, Conditions(hiding=MASKED), 0)
    count, sketch, _ = ledger.passes
    keys, letters, shares = 68, 20 * (4 + 2 * 66 + 16), 20 * (4 + 66)  # 20 neighbours each
    for record, numbers in ((count, 1 + 25), (sketch, 1 + 25 + 25 * 12)):
        vector = 9 + 4 * numbers + 4
        assert record["up_mean"] == {
            "keys": keys,
            "letters": letters,
            "vectors": vector,
            "shares": shares,
        }
        assert record["up_largest"] == keys + letters + vector + shares
        assert record["unopened"] == 0
    assert count["down_largest"] == 48 + 20 * keys + letters + 4  # a bit for each of 30 who have sent


def test_packets_of_a_pass_have_one_length_and_no_zeros(monkeypatch) -> None:
    log, clients = world(30, 25)
    packets: list[np.ndarray] = []
    plain = MaskedSum.take

    def take(self, number, vector):
        packets.append(vector.copy())
        plain(self, number, vector)

    monkeypatch.setattr(MaskedSum, "take", take)
    simulate(server_for(log, SpectralWay(), 4, 60), clients, Conditions(hiding=MASKED), 0)
    assert len(packets) == 90
    for some in (packets[:30], packets[30:60], packets[60:]):
        assert len({len(packet) for packet in some}) == 1
    # Plain vectors are zeros nearly everywhere; of masked numbers one in 2 ** 32 is one.
    every = np.concatenate(packets)
    assert every.dtype == np.uint32 and np.count_nonzero(every == 0) == 0
    counts = np.bincount(every.view(np.uint8), minlength=256)
    expected = counts.sum() / 256
    assert np.square(counts - expected).sum() / expected < 255 + 7 * np.sqrt(2 * 255)  # chi squared


def test_a_sum_over_few_is_not_opened_and_its_clients_are_asked_again() -> None:
    log, clients = world(40, 30)
    server = server_for(log, SpectralWay(), 4, 60, part=0.9)
    ledger = simulate(server, clients, Conditions(asked=0.3, silent=0.25, hiding=MASKED), 1)
    assert sum(record["unopened"] for record in ledger.passes) > 0
    assert all(record["answers"] in (0, *range(FEWEST, 41)) for record in ledger.passes)
    with pytest.raises(ConfigError, match="found 9"):
        simulate(server_for(log, SpectralWay(), 4, 60), clients[:9], Conditions(hiding=MASKED), 0)
    # Fewer than a sum takes are never asked.
    server = server_for(log, SpectralWay(), 4, 60)
    server.next_pass()
    lonely = Circles(
        server,
        clients,
        Conditions(hiding=MASKED),
        np.random.default_rng(0),
        Question(Kind.COUNT, 0, 30).encode(),
    )
    with pytest.raises(ConfigError, match="No sum could be opened"):
        lonely.run(np.arange(FEWEST - 1))
    assert server.answers == 0 and not lonely.down.any()


def test_a_pass_in_which_no_sum_can_be_opened_ends_with_a_sentence() -> None:
    log, clients = world(40, 30)
    noisy = Hiding(masks=False, privacy=Privacy(8, 1.0))
    server = server_for(log, SpectralWay(), 4, 60)  # all are to answer, and a third is silent
    with pytest.raises(ConfigError, match="pass count.*--enough"):
        simulate(server, clients, Conditions(silent=0.3, hiding=noisy), 0)


def test_numbers_have_room_for_sums_over_all_clients() -> None:
    signs = Question(Kind.SIGNS, 0, 10, 4, most=10)
    assert kind_of(signs, 16_000) is np.uint32 and kind_of(signs, 17_000) is np.uint64
    assert 17_000 * (127 << 10) > 2**31 > 16_000 * (127 << 10)
    for kind in (Kind.SOLVE, Kind.GRADIENT):
        assert kind_of(Question(kind, 0, 10, 4), 10) is np.uint64


def test_damaged_masked_packets_are_refused() -> None:
    packet = pack_masked(7, 3, np.arange(5, dtype=np.uint32))
    number, vector = unpack_masked(packet, 7, np.uint32)
    assert number == 3 and vector.tolist() == [0, 1, 2, 3, 4]
    rng = np.random.default_rng(0)
    for _ in range(500):
        broken = bytearray(packet)
        place = int(rng.integers(len(packet)))
        broken[place] ^= int(rng.integers(1, 256))
        with pytest.raises(ValueError, match="packet"):
            unpack_masked(bytes(broken), 7, np.uint32)
    for wrong in (b"", packet[:8], packet[:-1], packet + b"x"):
        with pytest.raises(ValueError, match="packet"):
            unpack_masked(wrong, 7, np.uint32)
    with pytest.raises(ValueError, match="another pass"):
        unpack_masked(packet, 8, np.uint32)
