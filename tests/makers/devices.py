"""Devices that take part over the loopback interface, and a desk for them to ask at."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from sparserec_np.federated.client import Client
from sparserec_np.federated.desk import Desk, Rules
from sparserec_np.federated.device import Line, Patience, take_part
from sparserec_np.federated.endpoint import Endpoint, Manners
from sparserec_np.federated.server import Server
from sparserec_np.federated.simulation import Ledger
from sparserec_np.federated.tokens import Tokens

HASTY = Patience(tries=4, longest=0.02, timeout=10)


def token(client: int) -> str:
    return f"the-token-of-client-{client}"


@dataclass
class Served:
    """A desk that is asked over HTTP."""

    desk: Desk
    endpoint: Endpoint

    @property
    def address(self) -> str:
        return self.endpoint.address

    def ask(
        self, method: str, path: str, client: int | None = 0, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any, bytes]:
        """Status, headers and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self.address).port, timeout=10)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if client is not None:
            given.setdefault("Authorization", f"Bearer {token(client)}")
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        found = answer.status, answer.headers, answer.read()
        connection.close()
        return found


@contextmanager
def served(
    clients: int, item_ids: Sequence[Any], rules: Rules | None = None, **manners: Any
) -> Iterator[Served]:
    desk = Desk(clients, rules or Rules())
    tokens = Tokens([token(k) for k in range(clients)])
    how = Manners(**{"pause": 1, **manners})
    endpoint = Endpoint(("127.0.0.1", 0), desk, tokens, np.asarray(item_ids), how)
    with endpoint.running():
        yield Served(desk, endpoint)


@contextmanager
def running(desk: Desk, server: Server, validation: float = 0.0) -> Iterator[list[Ledger]]:
    """Takes a server through its passes in a thread; the ledger is there when the context is left."""
    found: list[Ledger] = []
    begun = threading.Event()
    steps = server.next_pass

    def next_pass() -> bytes:
        packet = steps()
        begun.set()
        return packet

    server.next_pass = next_pass  # type: ignore[method-assign]
    thread = threading.Thread(
        target=lambda: found.append(desk.run(server, validation, lambda record: None)), daemon=True
    )
    thread.start()
    assert begun.wait(10)
    yield found
    thread.join(60)
    assert not thread.is_alive()


def all_take_part(address: str, items: Sequence[Sequence[Any]]) -> tuple[list[threading.Thread], list[int]]:
    """Starts a device for each list of ids; their numbers of counted answers come in when they are joined."""
    counted = [0] * len(items)

    def one(k: int) -> None:
        counted[k] = take_part(Line(address, token(k), HASTY), items[k], token(k).encode())

    threads = [threading.Thread(target=one, args=(k,), daemon=True) for k in range(len(items))]
    for thread in threads:
        thread.start()
    return threads, counted


def client_of(k: int, items: Sequence[int]) -> Client:
    return Client(items, token(k).encode())
