"""The plain HTTP endpoint of a federated server; docs/federated.md says what is asked for, and how."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar

from sparserec_np.data.table import Array
from sparserec_np.errors import PacketError
from sparserec_np.federated.desk import Desk
from sparserec_np.federated.tokens import Tokens
from sparserec_np.machine.http_server import BLOCK, CONNECTIONS, PlainHandler, PlainServer, in_blocks

ITEMS, QUESTION, ANSWER = "/v1/items", "/v1/question", "/v1/answer"
METHODS = {ITEMS: "GET", QUESTION: "GET", ANSWER: "POST"}
LARGEST = 1 << 20  # bytes of an answer; where there are many items, two for each if that is more
MOST_READ_AWAY = 1 << 23  # bytes of a body that is refused; of a longer one the connection is closed
CHANGED = {"pass", "repeated"}  # reasons of refusals that are nobody's fault
BYTES, JSON = "application/octet-stream", "application/json"
VALIDATION = "Sparserec-Validation"
SEEN = f"ETag, Retry-After, {VALIDATION}"
SENT = "Authorization, Content-Type, If-None-Match"


@dataclass(frozen=True)
class Manners:
    """How an endpoint behaves.

    Attributes:
        origins: of browser pages that may ask, such as ``https://shop.example``.
        pause: seconds after which a client may ask again, when there is nothing to do for it.
        connections: at once, at most.
    """

    origins: Sequence[str] = ()
    pause: int = 2
    connections: int = CONNECTIONS


class Endpoint(PlainServer):
    """Lets clients of a desk ask and answer over HTTP.

    Args:
        address: host and port; port 0 for any that is free.
        desk: of the trainings.
        tokens: of the clients, as many as the desk has.
        item_ids: (n_items,) the catalogue, sorted.
        manners: how it behaves.

    Attributes:
        refused: requests that did not reach the desk, by reason: "token", "origin", "length",
            "request" or "busy".

    Raises OSError where the port is taken or the host is not of this machine.
    """

    def __init__(
        self, address: tuple[str, int], desk: Desk, tokens: Tokens, item_ids: Array, manners: Manners
    ) -> None:
        self.desk, self.tokens, self.manners = desk, tokens, manners
        self.items = json.dumps([str(one) for one in item_ids.tolist()], ensure_ascii=False).encode()
        self.items_name = hashlib.blake2b(self.items, digest_size=8).hexdigest()
        self.largest = max(LARGEST, 2 * len(item_ids))
        self.refused: Counter[str] = Counter()
        self._counting = threading.Lock()
        super().__init__(address, _Handler, manners.connections)

    def count(self, reason: str) -> None:
        """Counts a request that is refused."""
        with self._counting:
            self.refused[reason] += 1

    def refuse_busy(self, request: Any) -> None:
        """Counts a visitor for whom there is no place, too."""
        self.count("busy")
        super().refuse_busy(request)


@dataclass
class _Refusal(Exception):
    """What a request is answered that is refused."""

    status: HTTPStatus
    reason: str
    sentence: str
    headers: Mapping[str, str] = field(default_factory=dict)


class _Handler(PlainHandler):
    server: Endpoint

    def do_GET(self) -> None:
        """Sends the catalogue or the question."""
        self._answer()

    def do_POST(self) -> None:
        """Takes an answer."""
        self._answer()

    def do_OPTIONS(self) -> None:
        """Tells browsers what a page of an origin that was named may ask."""
        self._answer()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Says what is wrong with a request that is none, in the words of all other refusals."""
        self.close_connection = True
        self.server.count("request")
        self._refuse(_Refusal(HTTPStatus(code), "request", message or HTTPStatus(code).phrase))

    def _answer(self) -> None:
        self._unread = 0
        try:
            self._unread = self._length()
            self._check_origin()
            path = self.path.partition("?")[0]
            if path not in METHODS:
                raise _Refusal(
                    HTTPStatus.NOT_FOUND, "request", f"There is nothing but {', '.join(sorted(METHODS))} here"
                )
            if self.command == "OPTIONS":
                self._reply(HTTPStatus.NO_CONTENT)
            elif self.command != METHODS[path]:
                allowed = f"{METHODS[path]}, OPTIONS"
                raise _Refusal(
                    HTTPStatus.METHOD_NOT_ALLOWED,
                    "request",
                    f"Expected {METHODS[path]} for {path}",
                    {"Allow": allowed},
                )
            else:
                self._ANSWERS[path](self, self._client())
        except _Refusal as refusal:
            self.server.count(refusal.reason)
            self._refuse(refusal)
        except PacketError as error:
            status = HTTPStatus.CONFLICT if error.reason in CHANGED else HTTPStatus.BAD_REQUEST
            self._refuse(_Refusal(status, error.reason, str(error)))

    def _items(self, client: int) -> None:
        name = self.server.items_name
        self._reply_named(name, {"Content-Type": JSON}, b"" if self._knows(name) else self.server.items)

    def _question(self, client: int) -> None:
        handout = self.server.desk.question_for(client)
        if self.server.desk.is_over:
            raise _over()
        if handout is None:
            self._reply(HTTPStatus.NO_CONTENT, {"Retry-After": str(self.server.manners.pause)})
            return
        packet = b"" if self._knows(handout.name) else handout.packet
        self.server.desk.was_sent(client, len(packet))
        headers = {"Content-Type": BYTES, VALIDATION: f"{handout.validation:g}"}
        self._reply_named(handout.name, headers, packet)

    def _take(self, client: int) -> None:
        packet = self._body()
        if self.server.desk.is_over:
            raise _over()
        self.server.desk.take(client, packet)
        self._reply(HTTPStatus.NO_CONTENT)

    _ANSWERS: ClassVar[dict[str, Callable[[_Handler, int], None]]] = {
        ITEMS: _items,
        QUESTION: _question,
        ANSWER: _take,
    }

    def _length(self) -> int:
        """Reads how long the body is."""
        said = self.headers.get_all("Content-Length") or []
        needed = self.command == "POST"
        if self.headers.get("Transfer-Encoding") is not None or (needed and not said):
            self.close_connection = True
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "length", "Expected a body with a Content-Length")
        if len(set(said)) > 1 or not all(re.fullmatch(r"[0-9]{1,18}", one) for one in said):
            self.close_connection = True
            raise _Refusal(HTTPStatus.BAD_REQUEST, "request", "Expected one Content-Length, in bytes")
        return int(said[0]) if said else 0

    def _check_origin(self) -> None:
        origin = self.headers.get("Origin")
        if origin is not None and origin not in self.server.manners.origins:
            raise _Refusal(HTTPStatus.FORBIDDEN, "origin", "Pages of this origin may not ask here")

    def _client(self) -> int:
        """Finds out who asks."""
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        client = self.server.tokens.client_of(token.strip()) if scheme.lower() == "bearer" else None
        if client is None:
            raise _Refusal(
                HTTPStatus.UNAUTHORIZED,
                "token",
                "Expected the header Authorization: Bearer and a token that this server knows",
                {"WWW-Authenticate": "Bearer"},
            )
        return client

    def _body(self) -> bytes:
        if self._unread > self.server.largest:
            raise _Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "length",
                f"An answer has at most {self.server.largest:,} bytes, found {self._unread:,}",
            )
        length, self._unread = self._unread, 0
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            raise _Refusal(HTTPStatus.BAD_REQUEST, "length", f"The body ended after {len(body):,} bytes")
        return body

    def _knows(self, name: str) -> bool:
        """Tells whether the client has what is called so."""
        known = (self.headers.get("If-None-Match") or "").split(",")
        return f'"{name}"' in [one.strip().removeprefix("W/") for one in known]

    def _reply_named(self, name: str, headers: Mapping[str, str], content: bytes) -> None:
        """Sends a content that has a name, or says that the client has it."""
        status = HTTPStatus.OK if content else HTTPStatus.NOT_MODIFIED
        self._reply(status, {**headers, "ETag": f'"{name}"'}, content)

    def _refuse(self, refusal: _Refusal) -> None:
        text = json.dumps({"reason": refusal.reason, "error": refusal.sentence})
        self._reply(refusal.status, {**refusal.headers, "Content-Type": JSON}, text.encode())

    def _reply(
        self, status: HTTPStatus, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> None:
        self._read_away()
        self.send_response(status)
        for name, value in {**(headers or {}), **self._crossing()}.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.send_blocks(in_blocks(content), len(content))

    def _crossing(self) -> dict[str, str]:
        """Tells a browser which page may read this: one of an origin that was named."""
        if not self.server.manners.origins:
            return {}
        headers = getattr(self, "headers", None)  # there are none where the request is no request
        origin = str(headers.get("Origin")) if headers else ""
        if origin not in self.server.manners.origins:
            return {"Vary": "Origin"}
        more = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": SEEN,
            "Vary": "Origin",
        }
        if self.command == "OPTIONS":
            more |= {
                "Access-Control-Allow-Methods": "GET, POST",
                "Access-Control-Allow-Headers": SENT,
                "Access-Control-Max-Age": "600",
            }
        return more

    def _read_away(self) -> None:
        """Reads what is left of a body: a connection that is closed before may lose the answer."""
        left = getattr(self, "_unread", 0)
        self._unread = 0
        if left > self.server.largest:
            self.close_connection = True
        with contextlib.suppress(OSError):
            left = min(left, MOST_READ_AWAY)
            while left > 0 and (block := self.rfile.read(min(left, BLOCK))):
                left -= len(block)


def _over() -> _Refusal:
    return _Refusal(HTTPStatus.GONE, "over", "The training is over: there is nothing left to answer")
