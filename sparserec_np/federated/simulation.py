"""Federated learning in one process: every user of a log is a client, who may be silent, late or gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, PacketError
from sparserec_np.federated.client import Client
from sparserec_np.federated.course import Course
from sparserec_np.federated.ledger import Ledger, figures
from sparserec_np.federated.server import Server
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from sparserec_np.training.snapshot import Snapshot, set_states, states_of

ROUNDS = 1_000  # in which a pass asks before it makes do with who has answered


@dataclass(frozen=True)
class Conditions:
    """How clients take part; all parts are of 1.

    Attributes:
        asked: part of the clients that a round asks.
        silent: chance that a client that is asked does not answer.
        late: chance that its answer comes when the pass is over; it is asked again, too.
        repeated: chance that an answer comes twice.
        gone: part of the clients who leave for good, before a pass that is drawn.

    Raises:
        ConfigError: a part is out of range.
    """

    asked: float = 1.0
    silent: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    gone: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1 or (name == "asked" and not value):
                raise ConfigError(
                    f"The part {name} must be from 0 to 1, and of those asked above 0; found {value:g}"
                )
        if self.silent + self.late >= 1:
            raise ConfigError(
                "Of the clients that are asked some must answer: set the parts silent and late to below 1"
            )


def clients_of(log: Interactions, held_out: Interactions | None, seed: int) -> list[Client]:
    """Makes a client of every user: of its items in ``log``, and what it keeps back of them."""
    clients = []
    for user in range(log.n_users):
        kept = [] if held_out is None else _items_of(held_out, user)
        secret = np.random.SeedSequence([seed, 2, user]).generate_state(4).tobytes()
        clients.append(Client(_items_of(log, user), secret, kept))
    return clients


def _items_of(log: Interactions, user: int) -> list[int]:
    """Lists the items of a user."""
    items: list[int] = log.items[log.indptr[user] : log.indptr[user + 1]].tolist()
    return items


def simulate(
    server: Server,
    clients: Sequence[Client],
    conditions: Conditions,
    seed: int,
    on_pass: Callable[[dict[str, Any]], object] = lambda record: None,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Ledger:
    """Has the clients answer all passes of a server.

    A pass asks round by round, those who have not been asked first, until enough have answered;
    then come those who did not answer.

    Args:
        server: before its first pass.
        clients: all that there are.
        conditions: how they take part.
        seed: of what is drawn here.
        on_pass: is called with the record of each pass when it is over.
        checkpoints: what keeps how far it has come, and gives it back after a stop.
    """
    rng = np.random.default_rng([seed, 3])
    leaving = np.where(rng.random(len(clients)) < conditions.gone, rng.random(len(clients)), 2.0)
    late: list[bytes] = []

    def besides() -> Snapshot:
        packets = {f"{number}": np.frombuffer(packet, np.uint8) for number, packet in enumerate(late)}
        return Snapshot(packets, {"generators": states_of([rng])})

    course = Course(server, len(clients), on_pass, checkpoints, besides)
    if course.before is not None:
        set_states([rng], course.before.facts["generators"])
        late = [course.before.arrays[f"{number}"].tobytes() for number in range(len(course.before.arrays))]
    for question in course.passes():
        here = np.flatnonzero(leaving > server.done)
        running = _Pass(server, clients, conditions, rng, question)
        running.deliver(late)  # those of the pass before
        with one_blas_thread():  # clients' matrices are small: several threads would wait for each other
            late = running.run(here)
        course.end(running.up, running.down, running.record())
    return course.ledger


class _Pass:
    """A pass over simulated clients."""

    def __init__(
        self,
        server: Server,
        clients: Sequence[Client],
        conditions: Conditions,
        rng: np.random.Generator,
        question: bytes,
    ) -> None:
        self._server, self._clients, self._conditions = server, clients, conditions
        self._rng, self._question = rng, question
        self._refused_before = Counter(server.refused)
        self._rounds = 0
        self.up, self.down = np.zeros(len(clients), np.int64), np.zeros(len(clients), np.int64)

    def deliver(self, packets: Sequence[bytes]) -> None:
        """Gives packets to the server, which may refuse them."""
        for packet in packets:
            try:
                self._server.take(packet)
            except PacketError:  # which the server has counted
                continue

    def run(self, here: Array) -> list[bytes]:
        """Asks until enough have answered, or nobody is left; returns what is late."""
        waiting = self._rng.permutation(here).tolist()
        size = max(1, int(np.ceil(self._conditions.asked * len(self._clients))))
        late: list[bytes] = []
        while waiting and not self._server.enough and self._rounds < ROUNDS:
            self._rounds += 1
            cohort, waiting = waiting[:size], waiting[size:]
            fates = self._rng.random((len(cohort), 2))
            for client, fate, again in zip(cohort, fates[:, 0].tolist(), fates[:, 1].tolist(), strict=True):
                self.down[client] = len(self._question)  # once: it is kept for the pass
                if fate < self._conditions.silent:
                    waiting.append(client)
                    continue
                packet = self._clients[client].answer(self._question)
                self.up[client] += len(packet)
                if fate < self._conditions.silent + self._conditions.late:
                    late.append(packet)
                    waiting.append(client)
                    continue
                self.deliver([packet])
                if again < self._conditions.repeated:
                    self.up[client] += len(packet)
                    self.deliver([packet])
        return late

    def record(self) -> dict[str, Any]:
        """Tells of the pass."""
        asked = self.down > 0
        return {
            "pass": self._server.pass_name,
            "asked": int(asked.sum()),
            "answers": self._server.answers,
            "rounds": self._rounds,
            "enough": self._server.enough,
            "refused": dict(self._server.refused - self._refused_before),
            **figures(self.up[asked], self.down[asked]),
        }
