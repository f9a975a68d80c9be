"""A silo: answers for its users. Write ``users_of`` anew for a database of your own."""

from __future__ import annotations

import functools
import hashlib

from flwr.app import Context

from sparserec_np import read_interactions
from sparserec_np.data.item_list import read_items
from sparserec_np.federated.client import Client
from sparserec_np.federated.flower import client_app


def users_of(context: Context) -> list[Client]:
    """Makes a client of each user of this silo.

    A node has a file of its own, as ``--node-config 'interactions="/data/shop.csv"'`` says, or a
    part of the users of one file, as in a simulation. Tokens of answers are made of the node's
    secret, or of its number, which is another when it is started again: then it would be counted
    twice in a pass.
    """
    node, run = context.node_config, context.run_config
    files = (str(node.get(name) or run[name]) for name in ("interactions", "items"))
    everybody = items_by_user(*files)
    part, parts = int(node.get("partition-id", 0)), int(node.get("num-partitions", 1))
    key = hashlib.blake2b(str(node.get("secret") or context.node_id).encode()).digest()
    names = list(everybody)[part::parts]
    return [Client(everybody[name], hashlib.blake2b(name.encode(), key=key).digest()) for name in names]


@functools.cache
def items_by_user(interactions: str, items: str) -> dict[str, list[int]]:
    """Reads each user's items, by their numbers in the catalogue; others are left out."""
    numbers = {str(name): number for number, name in enumerate(read_items(items).tolist())}
    log = read_interactions(interactions)
    known = [numbers.get(str(name)) for name in log.item_ids.tolist()]
    found = {}
    for user, name in enumerate(log.user_ids.tolist()):
        touched = log.items[log.indptr[user] : log.indptr[user + 1]].tolist()
        found[str(name)] = [number for item in touched if (number := known[item]) is not None]
    return found


app = client_app(users_of)
