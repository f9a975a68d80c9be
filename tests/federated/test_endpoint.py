"""Over HTTP: the same model as in one process, and refusals that change no sum."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pytest

from sparserec_np.errors import PacketError
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.server import Server
from sparserec_np.federated.simulation import clients_of, simulate
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.training.run_directory import save_run
from sparserec_np.training.settings import Config
from tests.federated.test_server import damaged
from tests.makers.clients import server_for, world
from tests.makers.devices import Served, all_take_part, client_of, running, served, token

PAGE = "https://shop.example"


def model_bytes(folder, server) -> bytes:
    save_run(folder, server.finish(), server.nobody)
    return (folder / "model.safetensors").read_bytes()


def items_of(log) -> list[list[int]]:
    return [
        log.item_ids[log.items[a:b]].tolist() for a, b in zip(log.indptr[:-1], log.indptr[1:], strict=True)
    ]


@pytest.mark.parametrize("way", [SpectralWay(), LeastSquaresWay(rounds=1)], ids=lambda way: way.start)
def test_fifty_devices_make_the_model_of_the_simulation(way, tmp_path) -> None:
    log, _ = world(50, 60)
    simulated = server_for(log, way)
    simulate(simulated, clients_of(log, None, 0), Conditions(0.3, silent=0.2), 1)
    server = server_for(log, way)
    with served(50, log.item_ids, connections=16) as place:
        with running(place.desk, server) as ledgers:
            threads, counted = all_take_part(place.address, items_of(log))
        place.desk.end(20)
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    assert counted == [len(ledgers[0].passes)] * 50
    assert model_bytes(tmp_path / "served", server) == model_bytes(tmp_path / "simulated", simulated)
    assert [one["answers"] for one in ledgers[0].passes] == [50] * len(ledgers[0].passes)


def refuse_damaged(place: Served, server, clients, count: int) -> None:
    """Sends packets that something has happened to; the sums must stay as they are."""
    question = place.desk.question_for(0)
    assert question is not None
    packets = [clients[k].answer(question.packet) for k in range(40)]
    for k in range(20):
        assert place.ask("POST", "/v1/answer", k, packets[k])[0] == 204
    rows, counts = server._sums.rows.copy(), server._sums.counts.copy()
    rng, statuses = np.random.default_rng(8), set()
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(place.address).port, timeout=10)
    for k in range(count):
        headers = {"Authorization": f"Bearer {token(k % 40)}"}
        connection.request("POST", "/v1/answer", damaged(packets[k % 40], rng), headers)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        statuses.add((answer.status, said["reason"]))
        assert said["error"]
    connection.close()
    assert statuses >= {(400, "garbage"), (400, "length"), (409, "repeated"), (409, "pass")}
    assert all(status in (400, 409) for status, _ in statuses)
    assert np.array_equal(server._sums.rows, rows) and np.array_equal(server._sums.counts, counts)
    assert server.refused.total() == count and server.answers == 20
    for k in range(20, 40):
        assert place.ask("POST", "/v1/answer", k, packets[k])[0] == 204


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_bodies_change_no_sum(count: int) -> None:
    log, clients = world(40, 50)
    server = server_for(log, SpectralWay(sketch=1.0, iterations=0), dim=4, nnz=60)
    with served(40, log.item_ids) as place, running(place.desk, server) as ledgers:
        first = place.ask("GET", "/v1/question")[2]
        for k in range(40):
            assert place.ask("POST", "/v1/answer", k, clients[k].answer(first))[0] == 204
        while place.ask("GET", "/v1/question")[0] == 204:
            pass
        refuse_damaged(place, server, clients, count)
    assert ledgers[0].passes[1]["answers"] == 40


@pytest.fixture
def place() -> Iterator[Served]:
    """Three clients in the pass of counts; what is left of the training is answered in the end."""
    server = Server(np.arange(3), SpectralWay(iterations=0), Config(dim=2, entries=5), clients=3)
    with served(3, ["b", "a", "é"], origins=[PAGE]) as place, running(place.desk, server, 0.25) as ledgers:
        yield place
        while not ledgers:
            for k in range(3):
                if (handout := place.desk.question_for(k)) is not None:
                    with contextlib.suppress(PacketError):
                        place.desk.take(k, client_of(k, [0, k]).answer(handout.packet))


def raw(place: Served, said: bytes) -> bytes:
    """What a server says to bytes, until it hangs up."""
    with socket.create_connection(("127.0.0.1", urlsplit(place.address).port), timeout=10) as connection:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while some := connection.recv(1 << 16):
            found += some
    return found


def test_items_and_questions_are_sent_once(place: Served) -> None:
    status, headers, content = place.ask("GET", "/v1/items")
    assert (status, json.loads(content)) == (200, ["b", "a", "é"])
    assert headers["Content-Type"] == "application/json" and headers["Cache-Control"] == "no-store"
    assert place.ask("GET", "/v1/items", If_None_Match=headers["ETag"])[::2] == (304, b"")
    status, headers, question = place.ask("GET", "/v1/question")
    assert (status, len(question), headers["Sparserec-Validation"]) == (200, 48, "0.25")
    again = place.ask("GET", "/v1/question", If_None_Match=f'"x", W/{headers["ETag"]}')
    assert (again[0], again[2], again[1]["ETag"]) == (304, b"", headers["ETag"])
    assert place.ask("POST", "/v1/answer", 0, client_of(0, [1]).answer(question))[0] == 204
    status, headers, content = place.ask("GET", "/v1/question")
    assert (status, headers["Retry-After"], content) == (204, "1", b"")
    assert headers["Connection"] == "close"
    assert place.ask("GET", "/v1/question", 1)[0] == 200


def test_nobody_asks_without_a_token(place: Served) -> None:
    for said in ("", "Bearer", "Bearer wrong-token-0123456", f"Basic {token(0)}", f"Bearer {token(0)}x"):
        for method, path in (("GET", "/v1/items"), ("GET", "/v1/question"), ("POST", "/v1/answer")):
            status, headers, content = place.ask(method, path, None, b"body", Authorization=said)
            assert (status, json.loads(content)["reason"], headers["WWW-Authenticate"]) == (
                401,
                "token",
                "Bearer",
            )
    assert place.endpoint.refused == {"token": 15}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/items/../question", 404),
        ("GET", "/v1/answer", 405),
        ("POST", "/v1/items", 405),
        ("PUT", "/v1/answer", 501),
        ("HEAD", "/v1/items", 501),
    ],
)
def test_other_paths_and_methods_are_refused(place: Served, method: str, path: str, status: int) -> None:
    found, headers, content = place.ask(method, path, 0, b"" if method == "POST" else None)
    assert found == status and headers["Content-Type"] == "application/json"
    assert method == "HEAD" or json.loads(content)["reason"] == "request"
    if status == 405:
        assert headers["Allow"].endswith(", OPTIONS")


def test_bodies_are_bounded_and_have_a_length(place: Served) -> None:
    head = f"POST /v1/answer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(0)}\r\n".encode()
    for more, status in (
        (b"\r\n", 411),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"Content-Length: -1\r\n\r\n", 400),
        (b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400),
        (b"Content-Length: 999999999999\r\n\r\n", 413),
        (b"Content-Length: 2000000\r\n\r\n" + bytes(2_000_000), 413),
        (b"Content-Length: 400\r\n\r\nabc", 400),
    ):
        said = raw(place, head + more)
        assert said.startswith(b"HTTP/1.1 %d " % status), said[:200]
        assert b"Connection: close" in said and said.count(b"HTTP/1.1") == 1
    assert place.ask("GET", "/v1/question")[0] == 200


def test_a_refusal_leaves_the_connection_in_step(place: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(place.address).port, timeout=10)
    for token_said, status in (("nobody", 401), (token(0), 400), ("nobody", 401)):
        connection.request(
            "POST", "/v1/answer", b"GET /v1/items HTTP/1.1\r\n\r\n", {"Authorization": f"Bearer {token_said}"}
        )
        answer = connection.getresponse()
        assert answer.status == status and json.loads(answer.read())["error"]
    connection.close()


def test_pages_of_named_origins_may_ask_and_no_others(place: Served) -> None:
    status, headers, _ = place.ask("OPTIONS", "/v1/answer", None, Origin=PAGE)
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (204, PAGE, "Origin")
    assert headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert "Authorization" in headers["Access-Control-Allow-Headers"]
    status, headers, _ = place.ask("GET", "/v1/question", Origin=PAGE)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    assert "Sparserec-Validation" in headers["Access-Control-Expose-Headers"]
    assert place.ask("GET", "/v1/question", None, Origin=PAGE)[1]["Access-Control-Allow-Origin"] == PAGE
    for method in ("OPTIONS", "GET"):
        status, headers, content = place.ask(method, "/v1/question", Origin="https://shop.example.evil")
        assert (status, json.loads(content)["reason"]) == (403, "origin")
        assert "Access-Control-Allow-Origin" not in headers
    with served(1, ["a"]) as closed:
        assert closed.ask("GET", "/v1/items", Origin=PAGE)[0] == 403
        status, headers, _ = closed.ask("GET", "/v1/items")
        assert status == 200 and "Vary" not in headers


def test_the_end_is_told() -> None:
    with served(1, ["a"]) as place:
        assert place.ask("GET", "/v1/question")[0] == 204
        assert place.ask("POST", "/v1/answer", 0, b"early")[0] == 409
        place.desk.end(0)
        for method, path in (("GET", "/v1/question"), ("POST", "/v1/answer")):
            status, _, content = place.ask(method, path, 0, b"" if method == "POST" else None)
            assert (status, json.loads(content)["reason"]) == (410, "over")
