"""A plain server bears visitors who are slow, silent, many, or speak no HTTP."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator

import pytest

from sparserec_np.machine.http_server import PlainHandler, PlainServer, in_blocks


class Echo(PlainHandler):
    idle, patience = 0.3, 0.6
    size = 0

    def do_GET(self) -> None:
        content = b"x" * self.size or self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.send_blocks(in_blocks(content), len(content))


class Large(Echo):
    size = 30_000_000


def served(handler: type[Echo]) -> Iterator[int]:
    server = PlainServer(("127.0.0.1", 0), handler, connections=3)
    with server.running():
        yield server.server_port


@pytest.fixture
def port() -> Iterator[int]:
    yield from served(Echo)


@pytest.fixture
def large() -> Iterator[int]:
    yield from served(Large)


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def until_closed(connection: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    connection.settimeout(10)
    found = b""
    try:
        while some := connection.recv(1 << 16):
            found += some
    except ConnectionResetError:
        pass
    return found


def test_a_connection_serves_several_requests(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for path in ("/a", "/b"):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, path.encode())
    connection.close()


def test_who_says_nothing_or_a_byte_now_and_then_is_sent_away(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as silent:
        assert until_closed(silent) == b""
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.settimeout(0.05)
        begun, ended = time.monotonic(), False
        for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 1000:
            try:
                slow.sendall(bytes([byte]))
                ended = slow.recv(10) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
            if ended:
                break
        assert ended and time.monotonic() - begun < 10  # 1,000 bytes at this pace take 50 s
    assert ask(port, "/still") == (200, b"/still")


def test_who_reads_nothing_is_sent_away(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparserec_np.machine.http_server.SLOWEST", 1 << 40)
    with socket.create_connection(("127.0.0.1", large)) as lazy:
        lazy.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(1.5)
        assert len(until_closed(lazy)) < Large.size
    assert len(ask(large, "/")[1]) == Large.size


def test_more_visitors_than_places_are_told_to_try_again(port: int) -> None:
    many = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    time.sleep(0.1)  # until their threads have begun
    with socket.create_connection(("127.0.0.1", port)) as fourth:
        said = until_closed(fourth)
    assert said.startswith(b"HTTP/1.1 503") and b"Retry-After" in said and b"busy" in said
    for one in many:
        one.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            if ask(port, "/again")[0] == 200:
                break
        except (ConnectionError, http.client.HTTPException):
            pass
        assert time.monotonic() < deadline


def test_what_is_no_http_is_refused(port: int) -> None:
    for said in (b"\x16\x03\x01\x02\x00hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/" * 70_000):
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.sendall(said)
            found = until_closed(rude)
            assert b"200" not in found[:20]
    assert ask(port, "/still") == (200, b"/still")


def test_the_head_of_a_request_is_bounded(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as large:
        large.settimeout(10)
        sent = 0
        with pytest.raises(ConnectionError):
            large.sendall(b"GET / HTTP/1.1\r\n")
            while sent < 50_000_000:
                sent += large.send(b"X: " + b"a" * 5_000 + b"\r\n")
    assert ask(port, "/still") == (200, b"/still")


def test_a_server_ends_where_something_asks_for_it_while_nobody_comes() -> None:
    turns = []

    def third() -> None:
        turns.append(None)
        if len(turns) == 3:
            raise KeyboardInterrupt

    with PlainServer(("127.0.0.1", 0), Echo) as server:
        server.on_turn = third
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.01)
    assert len(turns) == 3


def test_a_server_can_begin_again_at_once() -> None:
    server = PlainServer(("127.0.0.1", 0), Echo)
    place = server.server_port
    with server.running(), socket.create_connection(("127.0.0.1", place)) as silent:
        assert (
            until_closed(silent) == b""
        )  # the server closes first, and its port remembers that for a minute
    with PlainServer(("127.0.0.1", place), Echo), pytest.raises(OSError, match="in use"):
        PlainServer(("127.0.0.1", place), Echo)


def test_addresses_are_said_as_they_are_asked_for() -> None:
    with PlainServer(("127.0.0.1", 0), Echo) as server:
        assert server.address == f"http://127.0.0.1:{server.server_port}/"
    try:
        six = PlainServer(("::1", 0), Echo)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with six:
        assert six.address == f"http://[::1]:{six.server_port}/"
