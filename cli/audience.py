"""The clients of ``sparserec federate``: users of a file in this process, or devices that ask over HTTP."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import click
import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.item_list import read_items
from sparserec_np.data.splitting import hold_out
from sparserec_np.data.table import Array
from sparserec_np.federated.desk import Desk
from sparserec_np.federated.endpoint import Endpoint, Manners
from sparserec_np.federated.ledger import Ledger
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.server import Server
from sparserec_np.federated.simulation import clients_of, simulate
from sparserec_np.federated.tokens import Tokens
from sparserec_np.training.checkpoints import Checkpoints
from sparserec_np.training.fitted import Record

from .hiding_options import privacy_told
from .interrupts import check_interrupts
from .output import counted
from .writing import Source

FAREWELL = 3  # times the pause of clients, for which they are told that it is over


class Audience(Protocol):
    """Clients, wherever they are."""

    @property
    def clients(self) -> int:
        """How many there are."""
        ...

    @property
    def item_ids(self) -> Array:
        """The catalogue, sorted."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether they are known to have touched items in an order of time."""
        ...

    @property
    def source(self) -> Source:
        """Where the interactions come from."""
        ...

    def title(self) -> str:
        """Says who and what there is."""
        ...

    def facts(self) -> dict[str, Any]:
        """Says what a training follows from, besides its settings."""
        ...

    def run(
        self, server: Server, measured: bool, on_pass: Callable[[Record], None], checkpoints: Checkpoints
    ) -> Ledger:
        """Takes a server through its passes; ``measured`` if clients are to keep items back."""
        ...

    def told(self, passes: Sequence[Record]) -> dict[str, Any]:
        """Returns what there is to report besides, of the passes that are over."""
        ...

    def next_step(self, run: str) -> str:
        """Says what may be done with the run."""
        ...


@dataclass(frozen=True)
class Simulated:
    """Every user of a log, in this process.

    Attributes:
        log: the interactions.
        kept, held_out: its parts, where lists are measured.
        conditions: how clients take part.
        seed: of all that is drawn.
        source: where the log comes from.
    """

    log: Interactions
    kept: Interactions
    held_out: Interactions | None
    conditions: Conditions
    seed: int
    source: Source

    @classmethod
    def of(
        cls, log: Interactions, part: float, conditions: Conditions, seed: int, source: Source
    ) -> Simulated:
        """Holds a part of each user's items out."""
        kept, held_out = log, None
        if part:
            kept, held_out = hold_out(log, part, np.random.default_rng([seed, 1]))
        return cls(log, kept, held_out, conditions, seed, source)

    @property
    def clients(self) -> int:
        """How many there are."""
        return self.log.n_users

    @property
    def item_ids(self) -> Array:
        """The catalogue."""
        return self.log.item_ids

    @property
    def ordered(self) -> bool:
        """Whether the log has times, or an order."""
        return self.log.times is not None

    def title(self) -> str:
        """Says who and what there is."""
        return (
            f"{self.clients:,} clients, {self.log.n_items:,} items, {self.log.n_interactions:,} interactions"
        )

    def facts(self) -> dict[str, Any]:
        """Says what a training follows from: the log and the conditions."""
        hidden = {"hiding": repr(self.conditions.hiding)}
        return {"interactions": self.log.digest(), **vars(self.conditions), **hidden}

    def run(
        self, server: Server, measured: bool, on_pass: Callable[[Record], None], checkpoints: Checkpoints
    ) -> Ledger:
        """Has users answer, as the conditions say."""
        halves = (self.kept, self.held_out) if measured else (self.log, None)
        privacy = self.conditions.privacy
        clients = clients_of(*halves, self.seed, None if privacy is None else privacy.items)
        return simulate(server, clients, self.conditions, self.seed, on_pass, checkpoints)

    def told(self, passes: Sequence[Record]) -> dict[str, Any]:
        """Reports what noise has cost, where there is any."""
        return privacy_told(self.conditions.privacy, passes)

    def next_step(self, run: str) -> str:
        """Says what may be done with the run."""
        return f"sparserec evaluate {run} TEST --known {self.source.train}"


@dataclass(frozen=True)
class Served:
    """Devices that ask over HTTP.

    Attributes:
        item_ids: the catalogue.
        desk: where they ask.
        endpoint: how they reach it.
        part: of its items that a client keeps back, where lists are measured.
    """

    item_ids: Array
    desk: Desk
    endpoint: Endpoint
    part: float

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self.endpoint.tokens)

    @property
    def ordered(self) -> bool:
        """Says that nobody has told."""
        return False

    @property
    def source(self) -> Source:
        """Says that nobody's interactions are here."""
        return Source(None, None, {})

    def title(self) -> str:
        """Says who and what there is, and where."""
        return f"{counted(self.clients, 'token')}, {len(self.item_ids):,} items, at {self.endpoint.address}"

    def facts(self) -> dict[str, Any]:
        """Says what a training follows from: the catalogue; who takes part may change."""
        digest = hashlib.sha256(repr(self.item_ids.tolist()).encode()).hexdigest()
        return {"items": digest, "tokens": self.clients}

    def run(
        self, server: Server, measured: bool, on_pass: Callable[[Record], None], checkpoints: Checkpoints
    ) -> Ledger:
        """Waits for devices."""
        return self.desk.run(server, self.part if measured else 0.0, on_pass, checkpoints)

    def told(self, passes: Sequence[Record]) -> dict[str, Any]:
        """Reports the requests that were no packets."""
        return {"requests_refused": dict(self.endpoint.refused)}

    def next_step(self, run: str) -> str:
        """Says what may be done with the run."""
        return f"sparserec recommend {run} --items ID,ID"


@contextlib.contextmanager
def serving(
    place: tuple[str, int], items_file: str, tokens: Tokens, desk: Desk, manners: Manners, part: float
) -> Iterator[Served]:
    """Lets devices ask while the context is open; those that are around are told when it is over."""
    item_ids = read_items(items_file)
    endpoint = Endpoint(place, desk, tokens, item_ids, manners)
    desk.on_turn = check_interrupts  # of which nothing may have come
    with endpoint.running() as address:
        click.echo(f"Listening at {address} (Ctrl-C ends it)", err=True)
        yield Served(item_ids, desk, endpoint, part)
        desk.end(FAREWELL * manners.pause)
