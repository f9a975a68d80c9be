"""A federated training from pass to pass, which can be kept between two of them and go on from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.federated.ledger import Ledger
from sparserec_np.federated.server import Server
from sparserec_np.training.checkpoints import Checkpoints
from sparserec_np.training.snapshot import Snapshot, under, within


def nothing() -> Snapshot:
    """Names nothing that is to be kept besides."""
    return Snapshot({}, {})


class Course:
    """The passes of a server, and the bytes of each.

    Where checkpoints hold how far this training had come, it goes on from there, and tells the
    records of before once more.

    Args:
        server: before its first pass.
        clients: how many there are.
        on_pass: is called with the record of each pass when it is over.
        checkpoints: what keeps it.
        besides: names what whoever runs the passes keeps, too.

    Attributes:
        ledger: of the passes so far.
        before: what ``besides`` had named; None where the training begins.
    """

    def __init__(
        self,
        server: Server,
        clients: int,
        on_pass: Callable[[dict[str, Any]], object],
        checkpoints: Checkpoints,
        besides: Callable[[], Snapshot] = nothing,
    ) -> None:
        self.ledger = Ledger(np.zeros(clients, np.int64), np.zeros(clients, np.int64))
        self.before: Snapshot | None = None
        self._server, self._on_pass = server, on_pass
        self._checkpoints, self._besides = checkpoints, besides
        if (kept := checkpoints.running()) is not None:
            self._go_on(kept)

    def passes(self) -> Iterator[bytes]:
        """Yields the question of each pass; before the next is asked for, :meth:`end` is to be called."""
        while question := self._server.next_pass():
            yield question
            self._server.end_pass()
            self._checkpoints.epoch(self._snapshot)

    def end(self, up: Array, down: Array, record: dict[str, Any]) -> None:
        """Notes a pass: bytes (clients,) of each client, and its record."""
        self.ledger.up += up
        self.ledger.down += down
        self.ledger.passes.append(record)
        self._on_pass(record)

    def _snapshot(self) -> Snapshot:
        """Names all that the next pass goes on from."""
        server, besides = self._server.snapshot(), self._besides()
        bytes_so_far = {"up": self.ledger.up, "down": self.ledger.down}
        arrays = under("server", server.arrays) | under("besides", besides.arrays) | bytes_so_far
        facts = {"server": server.facts, "besides": besides.facts, "passes": self.ledger.passes}
        return Snapshot(arrays, facts)

    def _go_on(self, kept: Snapshot) -> None:
        self._server.load(Snapshot(within("server", kept.arrays), kept.facts["server"]))
        self.before = Snapshot(within("besides", kept.arrays), kept.facts["besides"])
        self.ledger.up += kept.arrays["up"]
        self.ledger.down += kept.arrays["down"]
        for record in kept.facts["passes"]:
            self.ledger.passes.append(record)
            self._on_pass(record)
