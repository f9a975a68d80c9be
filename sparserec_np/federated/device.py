"""A device's side of federated learning over HTTP: asks a server, and answers it. NumPy alone.

As a program, ``python -m sparserec_np.federated.device URL --items FILE --token-file FILE`` takes
part in a training until it is over. FILE holds the id of an item that the person touched in each
line; the token is the one that the server's operator gave to this device.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from sparserec_np.errors import ConfigError, DataError, PacketError, SparseRecError
from sparserec_np.federated.client import Client

HERE = ("127.0.0.1", "::1", "localhost")
LARGEST = 1 << 30  # bytes of a question
TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
COUNTED_OR_LATE = HTTPStatus.CONFLICT


@dataclass(frozen=True)
class Patience:
    """How long a device waits.

    Attributes:
        tries: to reach the server, one after another; then it gives up.
        longest: seconds between two tries, or between two questions, at most.
        timeout: seconds that the server may say nothing.
    """

    tries: int = 10
    longest: float = 60.0
    timeout: float = 60.0

    def after(self, failures: int) -> float:
        """Draws how long to wait after so many failures: twice as long each time, half of it at random."""
        return min(2.0 ** min(failures - 1, 30), self.longest) * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Reply:
    """What a server has replied: status, headers by small letters, and body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """The way to a server.

    Args:
        address: where it is, such as ``https://example.org/learn``; without TLS only on this
            machine, as the token goes with every request.
        token: of this client.
        patience: how long it waits.

    Raises:
        ConfigError: the address is none, or another machine's without TLS.
    """

    def __init__(self, address: str, token: str, patience: Patience | None = None) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"Expected an address such as https://example.org/learn, found {address!r}")
        if parts.scheme == "http" and parts.hostname not in HERE:
            raise ConfigError(
                f"{address} has no TLS, so that whoever carries the token could take it: give an address with https"
            )
        self._base, self._token = address.rstrip("/"), token
        self._patience = patience or Patience()
        # A server that sends the token elsewhere is not followed.
        self._opener = urllib.request.build_opener(_NoRedirects)

    def items(self) -> list[str]:
        """Asks for the catalogue: the ids of items, in the order of their numbers."""
        reply = self._ask("/v1/items")
        try:
            ids = json.loads(reply.body)
        except ValueError:
            ids = None
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise DataError(f"{self._base} has sent no catalogue: is it a server of sparserec?")
        return ids

    def question(self) -> Reply | None:
        """Asks for a question, and waits until there is one; None when the training is over."""
        while True:
            reply = self._ask("/v1/question")
            if reply.status == HTTPStatus.GONE:
                return None
            if reply.status == HTTPStatus.OK:
                return reply
            self._wait(reply)

    def answer(self, packet: bytes) -> bool:
        """Hands an answer in; tells whether it counts, now or since a try whose reply was lost."""
        reply = self._ask("/v1/answer", packet)
        return reply.status == HTTPStatus.NO_CONTENT or _said(reply)[0] == "repeated"

    def _ask(self, path: str, body: bytes | None = None) -> Reply:
        """Asks until there is a reply that says something."""
        for failures in range(1, self._patience.tries + 1):
            try:
                reply = self._once(path, body)
                if reply.status not in TRY_AGAIN:
                    return _sound(reply)
                said = f"status {reply.status}"
            except (OSError, HTTPException) as error:
                reply, said = None, str(getattr(error, "reason", error)) or type(error).__name__
            if failures < self._patience.tries:
                self._wait(reply, self._patience.after(failures))
        raise SparseRecError(f"{self._base} could not be reached in {self._patience.tries} tries: {said}")

    def _once(self, path: str, body: bytes | None) -> Reply:
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": "sparserec"}
        if body is not None:
            headers["Content-Type"] = "application/octet-stream"
        request = urllib.request.Request(self._base + path, body, headers)
        try:
            with self._opener.open(request, timeout=self._patience.timeout) as answer:
                return _read(answer)
        except urllib.error.HTTPError as error:
            with error:
                return _read(error)

    def _wait(self, reply: Reply | None, least: float = 0.0) -> None:
        """Waits as long as the reply says, and a little more at random, so that not all ask at once."""
        said = "" if reply is None else reply.headers.get("retry-after", "")
        seconds = float(said) if said.isascii() and said.isdigit() else 1.0
        time.sleep(min(max(seconds * random.uniform(1.0, 1.5), least), self._patience.longest))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follows nothing."""


def _read(answer: Any) -> Reply:
    """Reads a reply.

    Raises HTTPException where its end is missing.
    """
    body = answer.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise SparseRecError(f"The server has sent more than {LARGEST:,} bytes: ask its operator")
    length = answer.headers.get("Content-Length")
    if length is not None and length.isdigit() and len(body) < int(length):
        raise HTTPException("the connection was closed within an answer")
    return Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)


def _sound(reply: Reply) -> Reply:
    """Returns a reply that a client can go on with.

    Raises:
        PacketError: an answer was refused for what is in it.
        SparseRecError: the server says that the client is wrong.
    """
    if reply.status < 300 or reply.status in (HTTPStatus.GONE, COUNTED_OR_LATE):
        return reply
    reason, sentence = _said(reply)
    if reply.status == HTTPStatus.BAD_REQUEST and reason != "request":
        raise PacketError(reason, f"The server has refused an answer: {sentence}")
    raise SparseRecError(f"The server has refused a request with status {reply.status}: {sentence}")


def _said(reply: Reply) -> tuple[str, str]:
    """Reads why a server has refused something: a word, and a sentence."""
    try:
        said = json.loads(reply.body)
        return str(said["reason"]), str(said["error"])
    except (ValueError, KeyError, TypeError):
        return "", "it is no server of sparserec, or a proxy stands before it"


def take_part(line: Line, ids: Sequence[str | int], secret: bytes) -> int:
    """Takes part in a training until it is over.

    Args:
        line: to the server.
        ids: of the items that the person touched, the latest last as far as that is known; those
            that the server does not know are left out.
        secret: of this device, 16 bytes or more that it keeps: what is held back, and the tokens of
            answers, are drawn from it.

    Returns:
        How many answers were counted.

    Raises:
        SparseRecError: the server cannot be reached, refuses the token, or asks for what this
            client does not understand.
    """
    numbers = {name: number for number, name in enumerate(line.items())}
    items = [numbers[name] for name in map(str, ids) if name in numbers]
    counted = 0
    while (asked := line.question()) is not None:
        try:
            part = float(asked.headers.get("sparserec-validation", "0"))
        except ValueError:
            part = math.nan
        if not 0 <= part < 1:
            raise SparseRecError("The server says no part of items to keep back: expected 0, or a part of 1")
        kept, held_out = kept_back(items, part, secret)
        counted += line.answer(Client(kept, secret, held_out).answer(asked.body))
    return counted


def kept_back(items: Sequence[int], part: float, secret: bytes) -> tuple[list[int], list[int]]:
    """Keeps back a part of the items, drawn by the secret; one is always left to learn from.

    Both keep the order of the items, of which each counts once, where it comes last. What is drawn
    does not depend on it.

    >>> kept_back([9, 3, 5, 8], 0.5, b"secret")
    ([3, 5], [9, 8])
    """
    in_order = list(dict.fromkeys(reversed(items)))[::-1]
    items = sorted(in_order)
    size = max(min(math.floor(part * len(items) + 0.5), len(items) - 1), 0)
    seed = int.from_bytes(hashlib.blake2b(b"kept back", key=secret[:64]).digest(), "little")
    order = np.random.default_rng(seed).permutation(len(items)).tolist()
    out = {items[k] for k in order[:size]}
    return [one for one in in_order if one not in out], [one for one in in_order if one in out]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    parser = argparse.ArgumentParser("sparserec_np.federated.device", description="Take part in a training.")
    parser.add_argument("url", help="address of the server, such as https://example.org/learn")
    parser.add_argument("--items", required=True, metavar="FILE", help="ids of the items touched, one a line")
    parser.add_argument("--token-file", required=True, metavar="FILE", help="the token of this device")
    given = parser.parse_args(arguments)
    try:
        ids, token = (_lines(path) for path in (given.items, given.token_file))
        if len(token) != 1:
            raise DataError(f"{given.token_file} has {len(token)} lines, expected one: the token")
        secret = hashlib.blake2b(token[0].encode(), person=b"sparserec").digest()
        counted = take_part(Line(given.url, token[0]), ids, secret)
    except (SparseRecError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return 130
    sys.stdout.write(f"The training is over: {counted} answers were counted.\n")
    return 0


def _lines(path: str) -> list[str]:
    """Reads the lines of a file that hold something."""
    with open(path, encoding="utf-8") as stream:
        return [line.strip() for line in stream if line.strip()]


if __name__ == "__main__":
    sys.exit(main())
