"""Trainings of ``sparserec federate`` by one protocol or several, which go on after a stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.federated.ledger import figures
from sparserec_np.federated.measuring import measures
from sparserec_np.federated.server import Server, Way, settings_for, with_recency
from sparserec_np.training.checkpoints import Checkpoints
from sparserec_np.training.fitted import Fitted, Record, reached_in
from sparserec_np.training.settings import Config
from sparserec_np.training.snapshot import Snapshot, table_in, within

from .audience import Audience

OF_ALL = ("phase", "protocol", "measured", "epoch")  # what all records of a training have


@dataclass(frozen=True)
class Learned:
    """One training, by one protocol.

    Attributes:
        name: the protocol.
        measured: whether clients have kept items back, and measured their lists.
        history: a record of each pass, and then one of all of it.
        fitted: its model; None of one that ended before a stop and was not the best.
    """

    name: str
    measured: bool
    history: list[Record]
    fitted: Fitted | None

    @property
    def title(self) -> str:
        """What it is called in print."""
        return f"{self.name}, measured" if self.measured else f"{self.name}, from all items"

    @property
    def passes(self) -> list[Record]:
        """A record of each pass."""
        return [
            {name: value for name, value in one.items() if name not in OF_ALL} for one in self.history[:-1]
        ]

    @property
    def short(self) -> list[str]:
        """The passes in which fewer have answered than were asked for."""
        return [record["pass"] for record in self.passes if not record["enough"]]

    @property
    def reached(self) -> float:
        """The NDCG@20 that clients have measured; -1 where they have not."""
        return reached_in(self.history)

    @property
    def metrics(self) -> dict[str, Any]:
        """What clients have measured."""
        return {
            name: value
            for name, value in self.history[-1].items()
            if "@" in name or name in ("users", "recency")
        }

    @property
    def validation(self) -> dict[str, float]:
        """What lists reached, by the names of other commands; empty where none was measured."""
        return {f"validation_{name}": value for name, value in self.metrics.items() if "@" in name}

    @property
    def refused(self) -> dict[str, int]:
        """Counts of refused packets by reason."""
        return dict(self.history[-1]["refused"])

    @property
    def sent(self) -> dict[str, Array]:
        """Bytes that each client has sent ("up") and was sent ("down"), (clients,) int64."""
        return {way: np.asarray(self.history[-1][way], np.int64) for way in ("up", "down")}

    @property
    def totals(self) -> dict[str, int]:
        """The median client's bytes, and the largest."""
        return figures(**self.sent)

    def told(self) -> dict[str, Any]:
        """Reports what was sent, and what was reached."""
        return {
            "protocol": self.name,
            "measured": self.measured,
            **(self.validation if self.measured else {}),
            "bytes": self.totals,
            "refused": self.refused,
            "passes": self.passes,
        }


@dataclass(frozen=True)
class Asking:
    """How clients are asked.

    Attributes:
        config: what is stored, and the seed.
        audience: the clients.
        enough: part of them who are to answer.
        on_pass: is called with the record of each pass.
        checkpoints: what keeps how far it has come.
    """

    config: Config
    audience: Audience
    enough: float
    on_pass: Callable[[Record], None]
    checkpoints: Checkpoints

    def tried(self, name: str, way: Way, measured: bool) -> Learned:
        """Learns by one of the protocols that are compared; where ``measured``, clients keep items back."""
        server = self._server(way, measured)

        def make(report: Callable[[Record], object]) -> Fitted:
            return self._run(server, name, measured, report)

        def again(kept: Snapshot, history: list[Record]) -> Fitted:
            table = table_in(within("table", kept.arrays))
            return server.fitted(table, kept.arrays["weights"], history)

        def told(record: Record) -> None:
            if "pass" in record:
                self.on_pass(record)

        stage = self.checkpoints.take(f"{name}, measured: {measured}", make, told, again)
        return Learned(name, measured, stage.history, stage.fitted)

    def learned(self, best: Learned, way: Way) -> Learned:
        """Learns from all items, by the protocol that was the best, with the recency that was."""
        config = with_recency(self.config, best.history[-1])
        server = replace(self, config=config)._server(way, False)
        fitted = self._run(server, best.name, False, self.on_pass)
        return Learned(best.name, False, fitted.history, fitted)

    def _server(self, way: Way, measured: bool) -> Server:
        audience = self.audience
        own = settings_for(way, self.config)
        last = measures(own, audience.ordered) if measured else []
        return Server(audience.item_ids, way, own, audience.clients, self.enough, last)

    def _run(self, server: Server, name: str, measured: bool, report: Callable[[Record], object]) -> Fitted:
        """Takes a server through its passes; the model's history holds them, and then all in one record."""
        of_all = dict(zip(OF_ALL, ("federated", name, measured, 0), strict=True))

        def told(record: Record) -> None:
            report(of_all | record)

        ledger = self.audience.run(server, measured, told, self.checkpoints)
        fitted = server.finish()
        sent = {"up": ledger.up.tolist(), "down": ledger.down.tolist()}
        summary = of_all | fitted.history[0] | {"refused": dict(server.refused)} | sent
        fitted.history = [*(of_all | record for record in ledger.passes), summary]
        return fitted
