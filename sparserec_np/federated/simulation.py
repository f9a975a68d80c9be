"""Federated learning in one process: every user of a log is a client, who may be silent, late or gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.federated.circles import Circles
from sparserec_np.federated.client import Client
from sparserec_np.federated.course import Course
from sparserec_np.federated.ledger import Ledger
from sparserec_np.federated.rounds import Conditions, Rounds
from sparserec_np.federated.server import Server
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from sparserec_np.training.snapshot import Snapshot, set_states, states_of


def clients_of(
    log: Interactions, held_out: Interactions | None, seed: int, most: int | None = None
) -> list[Client]:
    """Makes a client of every user: of its items in ``log``, and what it keeps back of them.

    It answers from at most ``most`` items, if that is given. Items are in the order of their times.
    """
    clients = []
    for user in range(log.n_users):
        kept = [] if held_out is None else _items_of(held_out, user)
        secret = np.random.SeedSequence([seed, 2, user]).generate_state(4).tobytes()
        clients.append(Client(_items_of(log, user), secret, kept, most))
    return clients


def _items_of(log: Interactions, user: int) -> list[int]:
    """Lists the items of a user."""
    place = slice(log.indptr[user], log.indptr[user + 1])
    items = log.items[place]
    if log.times is not None:
        items = items[np.argsort(log.times[place], kind="stable")]
    return list(items.tolist())


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
        kind = Rounds if conditions.hiding is None else Circles
        running = kind(server, clients, conditions, rng, question)
        running.deliver(late)  # those of the pass before
        with one_blas_thread():  # clients' matrices are small: several threads would wait for each other
            late = running.run(here)
        course.end(running.up, running.down, running.record())
    return course.ledger
