"""The desk between a server and its clients: hands the question out, takes answers in, and ends passes."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparserec_np.errors import PacketError
from sparserec_np.federated.course import Course
from sparserec_np.federated.ledger import Ledger, figures
from sparserec_np.federated.server import Server
from sparserec_np.training.checkpoints import NO_CHECKPOINTS, Checkpoints

LOOK = 0.5  # seconds after which the one who waits looks at the clock, and for signals to end


@dataclass(frozen=True)
class Rules:
    """When a pass is over, but for the part of the clients that a server wants.

    Attributes:
        deadline: seconds after which fewer are enough.
        least: part of all clients, without whose answers no pass ends.
    """

    deadline: float = math.inf
    least: float = 0.5


@dataclass(frozen=True)
class Handout:
    """A question as it is handed out.

    Attributes:
        packet: the question.
        name: of the packet, the same for all that are the same.
        validation: part of its items that a client is to keep back.
    """

    packet: bytes
    name: str
    validation: float


class Desk:
    """Where clients ask and answer, from any thread, while one thread runs the server.

    Args:
        clients: how many there are; they are numbered from 0.
        rules: when a pass is over.

    Attributes:
        is_over: whether there is nothing to ask for any more.
        on_turn: is called now and then by who waits for clients; what it raises ends the training.
    """

    on_turn: Callable[[], object] | None = None

    def __init__(self, clients: int, rules: Rules) -> None:
        self.is_over = False
        self._clients, self._rules = clients, rules
        self._door = threading.Condition()
        self._server: Server | None = None
        self._handout: Handout | None = None
        self._answered: set[int] = set()
        self._around: set[int] = set()  # who have asked since the pass began, and know of no end
        self._up, self._down = np.zeros(clients, np.int64), np.zeros(clients, np.int64)

    def question_for(self, client: int) -> Handout | None:
        """Hands out the question; None where there is none, or the client has answered it."""
        with self._door:
            if self.is_over:
                return None
            self._around.add(client)
            return None if client in self._answered else self._handout

    def was_told(self, client: int) -> None:
        """Notes that a client has been sent word of the end: who waits for it need not any more."""
        with self._door:
            self._around.discard(client)
            self._door.notify_all()

    def was_sent(self, client: int, size: int) -> None:
        """Notes how many bytes a client was sent."""
        with self._door:
            self._down[client] += size

    def take(self, client: int, packet: bytes) -> None:
        """Takes an answer in.

        Raises:
            PacketError: it is refused and counted; no sum has changed.
        """
        with self._door:
            if self._server is None:
                raise PacketError("pass", "No training has begun: ask for the question")
            if self._handout is None:
                self._server.refused["pass"] += 1
                raise PacketError("pass", "An answer has come while no pass goes on: ask for the question")
            if client in self._answered:
                self._server.refused["repeated"] += 1
                raise PacketError("repeated", "This client has answered in this pass: its answer counts once")
            self._server.take(packet)
            self._answered.add(client)
            self._up[client] += len(packet)
            self._door.notify_all()

    def run(
        self,
        server: Server,
        validation: float,
        on_pass: Callable[[dict[str, Any]], object],
        checkpoints: Checkpoints = NO_CHECKPOINTS,
    ) -> Ledger:
        """Takes a server through all its passes.

        Args:
            server: before its first pass, or where it goes on.
            validation: part of its items that a client keeps back in this training.
            on_pass: is called with the record of each pass when it is over.
            checkpoints: what keeps how far it has come, and gives it back after a stop.
        """
        course = Course(server, self._clients, on_pass, checkpoints)
        for packet in course.passes():
            before, begun = Counter(server.refused), time.monotonic()
            self._open(
                server, Handout(packet, hashlib.blake2b(packet, digest_size=8).hexdigest(), validation)
            )
            try:
                self._wait(server, begun)
            finally:
                self._close()
            course.end(self._up, self._down, self._record(server, before, time.monotonic() - begun))
        return course.ledger

    def end(self, farewell: float) -> None:
        """Tells clients that it is over: waits until all that were around know, or so many seconds."""
        until = time.monotonic() + farewell
        with self._door:
            self.is_over = True
            while self._around and (left := until - time.monotonic()) > 0:
                self._door.wait(min(left, LOOK))

    def _open(self, server: Server, handout: Handout) -> None:
        with self._door:
            self._server, self._handout = server, handout
            self._answered, self._around = set(), set()
            self._up[:], self._down[:] = 0, 0

    def _wait(self, server: Server, begun: float) -> None:
        least = math.ceil(self._rules.least * self._clients)
        with self._door:
            while not server.enough:
                left = begun + self._rules.deadline - time.monotonic()
                if left <= 0 and server.answers >= least:
                    return
                self._door.wait(LOOK if left <= 0 else min(left, LOOK))
                if self.on_turn is not None:
                    self.on_turn()

    def _close(self) -> None:
        with self._door:
            self._handout = None

    def _record(self, server: Server, before: Counter[str], seconds: float) -> dict[str, Any]:
        with self._door:
            asked = self._down > 0
            return {
                "pass": server.pass_name,
                "asked": int(asked.sum()),
                "answers": server.answers,
                "rounds": 1,
                "enough": server.enough,
                "refused": dict(server.refused - before),
                "seconds": seconds,
                **figures(self._up[asked], self._down[asked]),
            }
