"""Who may take part: a token for each client, which it shows with every request."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence

from sparserec_np.errors import DataError

TOKEN = re.compile(
    r"[A-Za-z0-9._~+/=-]{16,200}"
)  # what RFC 6750 lets a bearer show, long enough not to be guessed
WANTED = "16 to 200 letters, digits or - . _ ~ + / ="


class Tokens:
    """The tokens of all clients.

    One is looked up by a digest under a key that is drawn anew for each of these objects: how long
    that takes says nothing of the tokens that there are.

    Args:
        tokens: one a client; all differ.

    >>> tokens = Tokens(["a" * 16, "b" * 16])
    >>> len(tokens), tokens.client_of("b" * 16), tokens.client_of("c" * 16)
    (2, 1, None)
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._key = os.urandom(32)
        self._clients = {self._digest(token): place for place, token in enumerate(tokens)}

    def __len__(self) -> int:
        """Counts the clients."""
        return len(self._clients)

    def client_of(self, token: str) -> int | None:
        """Returns the place of the client that has a token; None for nobody's."""
        return self._clients.get(self._digest(token))

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode("utf-8", "surrogateescape"), key=self._key).digest()


def read_tokens(path: str) -> Tokens:
    """Reads a file with a token a line; empty lines are left out.

    Raises:
        DataError: there are none, or a line is none, or repeats one. No token is quoted.
        OSError: the file cannot be read.
    """
    lines: dict[str, int] = {}
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, 1):
            token = line.strip()
            if not token:
                continue
            if not TOKEN.fullmatch(token):
                raise DataError(f"{path}, line {number}: expected a token of {WANTED}; draw it at random")
            if token in lines:
                raise DataError(
                    f"{path}, line {number}: this token stands in line {lines[token]}, too: give each client its own"
                )
            lines[token] = number
    if not lines:
        raise DataError(f"{path} holds no token: write one a line, for each client that may take part")
    return Tokens(list(lines))
