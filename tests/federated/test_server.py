"""A server sums up whole numbers, refuses what it must, and makes an ordinary run."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from sparserec_np import Recommender, load_model
from sparserec_np.errors import ConfigError, DataError, PacketError
from sparserec_np.federated.client import Client
from sparserec_np.federated.gradient_rounds import GradientWay
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.packets import CHECK, LARGEST, Answer, Kind, Question
from sparserec_np.federated.server import Server, Sums
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.sparsity.schedules import DropSchedule
from sparserec_np.training.run_directory import load_run, save_run
from sparserec_np.training.settings import Config
from tests.makers.clients import all_answer, server_for, world
from tests.makers.small import same_bits

ROUNDS = GradientWay(rounds=4, negatives=12, asked=1.0, drops=DropSchedule(interval=2))
WAYS = (SpectralWay(), LeastSquaresWay(rounds=2), ROUNDS)
NAMES = ["spectral", "least squares", "gradients"]


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_the_order_of_answers_changes_no_bit(way) -> None:
    log, clients = world()
    tables = []
    for order in (None, np.random.default_rng(1), np.random.default_rng(2)):
        server = server_for(log, way)
        all_answer(server, clients, order)
        tables.append(server.finish().model.served())
    assert all(same_bits(tables[0], other) for other in tables[1:])
    assert tables[0].nnz == 150


def test_sums_are_those_of_the_answers() -> None:
    rng = np.random.default_rng(3)
    question = Question(Kind.SOLVE, 1, 8, 4, most=5)
    sums, rows, gram, counts = Sums(question, 9), np.zeros((8, 4)), np.zeros((4, 4)), np.zeros(8)
    for _ in range(300):  # products are added 256 at a time
        items = np.flatnonzero(rng.random(8) < 0.5)
        answer = Answer(1, 0, items, int(rng.integers(6)), rng.integers(-127, 128, 4).astype(np.int8))
        sums.add(answer)
        values = answer.values * 2.0**answer.shift
        rows[items] += values
        counts[items] += 1
        gram += np.outer(values, values)
    assert np.array_equal(sums.rows, rows) and np.array_equal(sums.gram, gram)
    assert np.array_equal(sums.counts, counts) and sums.answers == 300


def test_sums_that_could_run_over_take_no_more() -> None:
    question = Question(Kind.ROWS, 1, 2, 1, most=16)
    answer = Answer(1, 0, np.array([1]), 16, np.array([LARGEST], np.int8))
    sums = Sums(question, expected=100)
    assert sums.rows.dtype == np.int32
    for _ in range(258):
        sums.add(answer)
    with pytest.raises(PacketError, match="one more") as refused:
        sums.add(answer)
    assert refused.value.reason == "overflow"
    assert sums.rows.tolist() == [[0], [258 * (LARGEST << 16)]] and sums.answers == 258
    sums.add(Answer(1, 0, np.array([0]), 16, answer.values))  # another item has room
    assert Sums(question, expected=10**6).rows.dtype == np.int64


def test_a_client_counts_once_and_a_foreign_pass_not_at_all() -> None:
    log, clients = world()
    server = server_for(log, SpectralWay(), part=0.5)
    first = server.next_pass()
    for client in clients[:60]:
        server.take(client.answer(first))
    for packet, reason in ((clients[0].answer(first), "repeated"), (b"", "length"), (b"x" * 40, "garbage")):
        with pytest.raises(PacketError) as refused:
            server.take(packet)
        assert refused.value.reason == reason
    assert (server.answers, server.enough, server.pass_name) == (60, True, "count")
    second = server.next_pass()
    with pytest.raises(PacketError, match="another pass"):
        server.take(clients[70].answer(first))
    foreign = Server(log.item_ids, SpectralWay(), Config(dim=6, entries=150, seed=4), 90).next_pass()
    with pytest.raises(PacketError, match="another training"):
        server.take(clients[70].answer(foreign))
    server.take(clients[70].answer(second))
    assert dict(server.refused) == {"repeated": 1, "length": 1, "garbage": 1, "pass": 2}
    assert int(server.learned.counts.sum()) == int(log.user_degrees[:60].sum())


def damaged(packet: bytes, rng: np.random.Generator) -> bytes:
    """A packet that something has happened to: bytes changed, lost, added, or all of it made up."""
    some = bytearray(packet)
    way = rng.integers(5)
    if way == 0:
        some[rng.integers(len(some))] ^= 1 << int(rng.integers(8))
    elif way == 1:
        del some[int(rng.integers(len(some))) :]
    elif way == 2:
        some += rng.bytes(int(rng.integers(1, 9)))
    elif way == 3:
        some = bytearray(rng.bytes(int(rng.integers(0, 60))))
    else:  # by one who knows the check sum
        some, lie = some[:-4], rng.integers(4)
        if lie == 0:
            some[13] = 200  # a shift
        elif lie == 1:
            some[1] ^= 1  # of the tag
        elif lie == 2:
            some[14] += 1  # one item more than are listed
        else:
            some += rng.bytes(int(rng.integers(1, 9)))
        some += CHECK.pack(zlib.crc32(some))
    return bytes(some)


def test_ten_thousand_damaged_packets_change_no_sum() -> None:
    log, clients = world(40, 50)
    server = server_for(log, SpectralWay(sketch=1.0), dim=4, nnz=60)
    rng = np.random.default_rng(6)
    first = server.next_pass()
    for client in clients:
        server.take(client.answer(first))
    question = server.next_pass()
    packets = [client.answer(question) for client in clients]
    for packet in packets[:20]:
        server.take(packet)
    assert server._sums is not None
    rows, counts = server._sums.rows.copy(), server._sums.counts.copy()
    for k in range(10_000):
        with pytest.raises(PacketError):
            server.take(damaged(packets[k % 40], rng))
    assert np.array_equal(server._sums.rows, rows) and np.array_equal(server._sums.counts, counts)
    assert server.refused.total() == 10_000 and server.answers == 20
    for packet in packets[20:]:
        server.take(packet)
    assert server.answers == 40


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_the_run_is_an_ordinary_one_of_nobody(way, tmp_path) -> None:
    log, clients = world()
    server = server_for(log, way)
    all_answer(server, clients)
    fitted = server.finish()
    save_run(tmp_path / "run", fitted, server.nobody)
    model = load_model(tmp_path / "run")
    assert (model.items.nnz, len(model.user_ids), model.has_seen) == (150, 0, False)
    known = log.items[log.indptr[3] : log.indptr[4]]
    found = Recommender.open(tmp_path / "run").recommend_for_items(log.item_ids[known].tolist(), 5)
    assert len(found.items) == 5 and not set(found.items) & set(log.item_ids[known].tolist())
    again = load_run(tmp_path / "run", known=log)
    users = np.arange(log.n_users)
    lists, _ = again.model.ranker().rank(users, 5, log)
    assert log.item_ids[lists[3]].tolist() == list(found.items)
    with pytest.raises(DataError, match="exported without"):
        load_run(tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["model"], config["user_rows"], config["entries"]) == (
        "fism",
        way.settings["user_rows"],
        150,
    )


def test_what_makes_no_sense_is_refused() -> None:
    log, clients = world()
    for clients_given, part in ((0, 1.0), (5, 0.0), (5, 1.5)):
        with pytest.raises(ConfigError, match="needs clients"):
            Server(log.item_ids, SpectralWay(), Config(), clients_given, part)
    server = server_for(log, SpectralWay())
    with pytest.raises(PacketError, match="no pass"):
        server.take(b"")
    with pytest.raises(ConfigError, match="passes left"):
        server.finish()
    server.next_pass()
    with pytest.raises(ConfigError, match="Nobody has answered"):
        server.next_pass()


def test_one_client_is_enough_to_go_through_all_passes() -> None:
    for way in WAYS:
        server = Server(np.arange(4), way, Config(dim=2, entries=6), clients=1)
        all_answer(server, [Client([1, 3], b"me")])
        assert server.finish().model.served().nnz <= 6
