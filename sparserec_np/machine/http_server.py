"""A plain HTTP server that bears rude visitors: so many connections at once, and so long for a request."""

from __future__ import annotations

import contextlib
import http.server
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

IDLE = 5.0  # seconds that a connection may say nothing between requests
PATIENCE = 30.0  # seconds in which a request has to be there, from its first byte to its last
SLOWEST = 1 << 14  # bytes a second that a reader has to take
MOST_HEAD = 1 << 16  # bytes of a request before its body
CONNECTIONS = 64  # at once; each has a thread
BLOCK = 1 << 16  # bytes that are sent at once
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: sparserec\r\nRetry-After: 5\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s"
)
BUSY_TEXT = b'{"reason": "busy", "error": "Too many connections are open: try again in a few seconds"}'


class PlainServer(http.server.ThreadingHTTPServer):
    """A server with a thread for each connection, of which there are at most ``connections``.

    Args:
        address: host and port; port 0 for any that is free.
        handler: answers requests.
        connections: more than so many are told to try again, and closed.

    Attributes:
        on_turn: is called after each visitor, and whenever one was waited for in vain; what it
            raises ends the server.

    Raises OSError where the port is taken or the host is not of this machine.
    """

    on_turn: Callable[[], object] | None = None
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[PlainHandler], connections: int = CONNECTIONS
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._places = threading.BoundedSemaphore(connections)
        super().__init__(address, handler)

    @property
    def address(self) -> str:
        """Where this machine finds it."""
        host = str(self.server_address[0])
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/"

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Answers in a thread of its own while the context is open; gives the address."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self.address
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def service_actions(self) -> None:
        """Does what is to be done in each turn."""
        if self.on_turn is not None:
            self.on_turn()

    def server_bind(self) -> None:
        """Takes the port, without asking a name server what this machine is called."""
        if os.name != "nt":  # where it would let another program take the port, too
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a thread for a connection, or refuses it."""
        if self._places.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except BaseException:
                self._places.release()
                raise
            return
        self.refuse_busy(request)

    def refuse_busy(self, request: Any) -> None:
        """Tells a visitor for whom there is no place to try again."""
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(BUSY % (len(BUSY_TEXT), BUSY_TEXT))
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers a connection, and gives its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of visitors that hang up."""


class Patient(io.RawIOBase):
    """Bytes of a connection, which have to come before a moment.

    Args:
        connection: the socket.

    Attributes:
        until: the moment, by ``time.monotonic``.
        left: how many bytes may come yet; None for any number.

    Raises TimeoutError when the moment has passed, ConnectionError where more bytes come.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.until = time.monotonic() + PATIENCE
        self.left: int | None = None

    def readable(self) -> bool:
        """Says that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Waits for bytes, and returns how many there are; 0 at the end."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request has taken too long")
        self._connection.settimeout(left)
        size = self._connection.recv_into(buffer)
        if self.left is not None:
            self.left -= size
            if self.left < 0:
                raise ConnectionError("the head of the request is too long")
        return size


class PlainHandler(http.server.BaseHTTPRequestHandler):
    """Reads requests that come in time, and keeps no log."""

    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    disable_nagle_algorithm = True  # a head and its body are two packets, which else wait for each other
    idle: ClassVar[float] = IDLE
    patience: ClassVar[float] = PATIENCE
    rfile: io.BufferedReader

    def setup(self) -> None:
        """Takes the connection, and puts a limit on how long a request may take."""
        super().setup()
        self._patient = Patient(self.connection)
        self.rfile = io.BufferedReader(self._patient)

    def handle_one_request(self) -> None:
        """Answers a request, for which time begins with its first byte."""
        self._patient.until = time.monotonic() + self.idle
        try:
            self.rfile.peek(1)
        except TimeoutError:
            self.close_connection = True
            return
        self._patient.until = time.monotonic() + self.patience
        self._patient.left = MOST_HEAD
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Reads the head of a request, which is bounded; its body is bounded by who reads it."""
        is_one = super().parse_request()
        self._patient.left = None
        return is_one

    def flush_headers(self) -> None:
        """Sends what was said so far; the time for it is its own, and not what reading has left."""
        self.connection.settimeout(self.patience)
        super().flush_headers()

    def version_string(self) -> str:
        """Names the server."""
        return "sparserec"

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps no log."""

    def send_blocks(self, blocks: Iterable[bytes | memoryview], size: int) -> None:
        """Sends a body of ``size`` bytes to a reader who has to take ``SLOWEST`` bytes a second.

        Raises TimeoutError where it does not; the connection is of no use then.
        """
        until = time.monotonic() + self.patience + size / SLOWEST
        for block in blocks:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the reader is too slow")
            self.connection.settimeout(min(left, self.patience))
            self.wfile.write(block)


def in_blocks(content: bytes) -> Iterator[memoryview]:
    """Cuts bytes into blocks, which are not copied.

    >>> [bytes(block) for block in in_blocks(b"abc")]
    [b'abc']
    """
    whole = memoryview(content)
    return (whole[start : start + BLOCK] for start in range(0, len(whole), BLOCK))
