"""The desk ends passes by its rules, counts a client once, and tells of every byte."""

from __future__ import annotations

import time

import numpy as np
import pytest

from sparserec_np.errors import PacketError
from sparserec_np.federated.desk import Desk, Rules
from sparserec_np.federated.spectral import SpectralWay
from tests.makers.clients import server_for, world
from tests.makers.devices import running


def wait_for(condition) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def answer_all(desk: Desk, clients, some) -> None:
    """Has some clients answer each question until the desk is over, or this one stays."""
    for k in some:
        handout = desk.question_for(k)
        assert handout is not None
        desk.was_sent(k, len(handout.packet))
        desk.take(k, clients[k].answer(handout.packet))


def test_it_counts_a_client_once_and_refuses_what_comes_between_passes() -> None:
    log, clients = world(20, 30)
    server, desk = server_for(log, SpectralWay(), dim=4, nnz=60), Desk(20, Rules())
    with pytest.raises(PacketError, match="No training"):
        desk.take(0, b"")
    with running(desk, server) as ledgers:
        for number in range(3):
            wait_for(lambda: desk.question_for(19) is not None)
            handout = desk.question_for(0)
            assert handout is not None and handout.validation == 0
            answer_all(desk, clients, range(19))
            assert desk.question_for(0) is None
            with pytest.raises(PacketError, match="counts once"):
                desk.take(0, clients[0].answer(handout.packet))
            with pytest.raises(PacketError, match="damaged|bytes"):
                desk.take(19, b"garbage" * 5)
            assert server.answers == 19
            answer_all(desk, clients, [19])
            if number == 2:
                with pytest.raises(PacketError) as refused:
                    desk.take(5, clients[5].answer(handout.packet))
                assert refused.value.reason in ("pass", "repeated")
    passes = ledgers[0].passes
    assert [one["answers"] for one in passes] == [20] * 3 and all(one["enough"] for one in passes)
    assert [one["refused"]["repeated"] >= 1 for one in passes] == [True] * 3
    assert passes[0]["down_median"] == 48 and ledgers[0].up.min() > 3 * 18
    assert ledgers[0].totals()["up_median"] == int(np.median(ledgers[0].up))


def test_a_deadline_ends_a_pass_if_enough_have_answered() -> None:
    log, clients = world(20, 30)
    server, desk = server_for(log, SpectralWay(), dim=4, nnz=60), Desk(20, Rules(deadline=0.3, least=0.5))
    with running(desk, server) as ledgers:
        answer_all(desk, clients, range(9))
        time.sleep(0.5)
        assert server.pass_name == "count"  # nine are too few
        answer_all(desk, clients, [9])
        for name in ("sketch", "iteration 1"):
            wait_for(lambda: server.pass_name == name and desk.question_for(0) is not None)  # noqa: B023
            answer_all(desk, clients, range(12))
    assert [one["answers"] for one in ledgers[0].passes] == [10, 12, 12]
    assert not any(one["enough"] for one in ledgers[0].passes)
    assert server.finish().model.served().nnz == 60


def test_who_was_around_is_told_that_it_is_over() -> None:
    log, clients = world(2, 30)
    server, desk = server_for(log, SpectralWay(), dim=2, nnz=20), Desk(2, Rules())
    with running(desk, server):
        for _ in range(3):
            wait_for(lambda: desk.question_for(0) is not None)
            answer_all(desk, clients, [0, 1])
    begun = time.monotonic()
    desk.end(0.2)  # nobody asks again
    assert desk.is_over and time.monotonic() - begun >= 0.2
    for k in (0, 1):
        assert desk.question_for(k) is None
    begun = time.monotonic()
    desk.end(0.2)  # they know when they have been sent word
    assert time.monotonic() - begun >= 0.2
    for k in (0, 1):
        desk.was_told(k)
    begun = time.monotonic()
    desk.end(30)
    assert time.monotonic() - begun < 10


def test_who_waits_can_be_asked_to_end() -> None:
    log, _ = world(3, 30)
    server, desk = server_for(log, SpectralWay(), dim=4, nnz=60), Desk(3, Rules())
    turns = []

    def second() -> None:
        turns.append(None)
        if len(turns) == 2:
            raise KeyboardInterrupt

    desk.on_turn = second
    with pytest.raises(KeyboardInterrupt):
        desk.run(server, 0.0, lambda record: None)
    assert len(turns) == 2 and desk.question_for(0) is None
