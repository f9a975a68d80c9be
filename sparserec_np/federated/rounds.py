"""The rounds in which a pass asks simulated clients, who may be silent, or late, or answer twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, PacketError
from sparserec_np.federated.client import Client
from sparserec_np.federated.ledger import figures
from sparserec_np.federated.privacy import Privacy
from sparserec_np.federated.server import Server

PARTS = ("asked", "silent", "late", "repeated", "gone")
ROUNDS = 1_000  # in which a pass asks before it makes do with who has answered


@dataclass(frozen=True)
class Hiding:
    """What hides a client's answer.

    Attributes:
        masks: whether the server learns sums alone.
        privacy: bounds and noise; None for neither.
    """

    masks: bool
    privacy: Privacy | None = None


@dataclass(frozen=True)
class Conditions:
    """How clients take part; all parts are of 1.

    Attributes:
        asked: part of the clients that a round asks.
        silent: chance that a client that is asked does not answer.
        late: chance that its answer comes when the pass is over; it is asked again, too.
        repeated: chance that an answer comes twice.
        gone: part of the clients who leave for good, before a pass that is drawn.
        hiding: what hides their answers; None for plain packets.

    Raises:
        ConfigError: a part is out of range.
    """

    asked: float = 1.0
    silent: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    gone: float = 0.0
    hiding: Hiding | None = None

    @property
    def privacy(self) -> Privacy | None:
        """Bounds and noise of answers; None for neither."""
        return None if self.hiding is None else self.hiding.privacy

    def __post_init__(self) -> None:
        for name in PARTS:
            value = getattr(self, name)
            if not 0 <= value <= 1 or (name == "asked" and not value):
                raise ConfigError(
                    f"The part {name} must be from 0 to 1, and of those asked above 0; found {value:g}"
                )
        if self.silent + self.late >= 1:
            raise ConfigError(
                "Of the clients that are asked some must answer: set the parts silent and late to below 1"
            )


@dataclass
class Rounds:
    """A pass over simulated clients, whose answers are packets that the server reads.

    Attributes:
        server: in the pass.
        clients: all that there are.
        conditions: how they take part.
        rng: draws who is asked, and what becomes of it.
        question: of the pass.
        up, down: (clients,) int64 bytes so far.
    """

    server: Server
    clients: Sequence[Client]
    conditions: Conditions
    rng: np.random.Generator
    question: bytes

    fewest: ClassVar[int] = 1  # clients that a round asks

    def __post_init__(self) -> None:
        self.up, self.down = (np.zeros(len(self.clients), np.int64) for _ in range(2))
        self._refused_before, self._rounds = Counter(self.server.refused), 0

    def deliver(self, packets: Sequence[bytes]) -> None:
        """Gives packets to the server, which may refuse them."""
        for packet in packets:
            try:
                self.server.take(packet)
            except PacketError:  # which the server has counted
                continue

    def run(self, here: Array) -> list[bytes]:
        """Asks until enough have answered, or nobody is left; returns what is late."""
        waiting = self.rng.permutation(here).tolist()
        size = max(1, int(np.ceil(self.conditions.asked * len(self.clients))))
        late: list[bytes] = []
        while waiting and not self.server.enough and self._rounds < ROUNDS:
            cohort, waiting = waiting[:size], waiting[size:]
            if len(cohort) < self.fewest:
                break
            self._rounds += 1
            fates = self.rng.random((len(cohort), 2))
            again, too_late = self.ask(cohort, fates)
            waiting += again
            late += too_late
        return late

    def ask(self, cohort: list[int], fates: Array) -> tuple[list[int], list[bytes]]:
        """Asks some clients: returns who is to be asked again, and packets that are late.

        Args:
            cohort: numbers of clients.
            fates: (len(cohort), 2) from 0 to 1, what becomes of an answer, and whether it comes
                again.
        """
        waiting, late = [], []
        for client, fate, again in zip(cohort, fates[:, 0].tolist(), fates[:, 1].tolist(), strict=True):
            self.down[client] = len(self.question)  # once: it is kept for the pass
            if fate < self.conditions.silent:
                waiting.append(client)
                continue
            packet = self.clients[client].answer(self.question)
            self.up[client] += len(packet)
            if fate < self.conditions.silent + self.conditions.late:
                late.append(packet)
                waiting.append(client)
                continue
            self.deliver([packet])
            if again < self.conditions.repeated:
                self.up[client] += len(packet)
                self.deliver([packet])
        return waiting, late

    def record(self) -> dict[str, Any]:
        """Tells of the pass."""
        asked = self.down > 0
        return {
            "pass": self.server.pass_name,
            "asked": int(asked.sum()),
            "answers": self.server.answers,
            "rounds": self._rounds,
            "enough": self.server.enough,
            "refused": dict(self.server.refused - self._refused_before),
            **figures(self.up[asked], self.down[asked]),
        }
