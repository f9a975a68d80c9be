"""Small worlds of clients for the tests of federated learning."""

from __future__ import annotations

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.synthetic import generate
from sparserec_np.federated.client import Client
from sparserec_np.federated.server import Server, Way
from sparserec_np.federated.simulation import clients_of
from sparserec_np.training.settings import Config


def world(n_users: int = 90, n_items: int = 60) -> tuple[Interactions, list[Client]]:
    """A generated log with groups, and a client for each of its users."""
    log = generate(n_users, n_items, 12 * n_users, groups=5, seed=1)
    return log, clients_of(log, None, seed=0)


def server_for(log: Interactions, way: Way, dim: int = 6, nnz: int = 150, **more: object) -> Server:
    """A server that knows the items of a log, and how many clients there are."""
    return Server(log.item_ids, way, Config(dim=dim, entries=nnz), log.n_users, **more)  # type: ignore[arg-type]


def all_answer(server: Server, clients: list[Client], order: np.random.Generator | None = None) -> None:
    """Has each client answer each pass, in a drawn order if one is asked for."""
    while question := server.next_pass():
        places = range(len(clients)) if order is None else order.permutation(len(clients)).tolist()
        for place in places:
            server.take(clients[place].answer(question))


def moving_on(n_users: int = 80, n_items: int = 60) -> Interactions:
    """A log whose users touch items of one group, and then of the next: what came last tells what comes."""
    rng, size = np.random.default_rng(4), n_items // 6
    users, items = [], []
    for user in range(n_users):
        first = int(rng.integers(6))
        for step in range(3):
            users += [user] * 5
            items += (((first + step) % 6) * size + rng.choice(size, 5, replace=False)).tolist()
    return Interactions.from_pairs(users, items, times=np.arange(len(items)))
