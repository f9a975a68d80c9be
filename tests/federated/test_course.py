"""A training that is kept between any two passes goes on to the same table, and tells the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from sparserec_np.federated.measuring import Measure
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.server import Way, settings_for
from sparserec_np.federated.simulation import clients_of, simulate
from sparserec_np.training.checkpoints import NoCheckpoints
from sparserec_np.training.settings import Config
from sparserec_np.training.snapshot import Snapshot
from tests.federated.test_server import NAMES, WAYS
from tests.makers.clients import server_for, world
from tests.makers.small import same_bits


class Kept(NoCheckpoints):
    """Checkpoints in memory; ``given`` is where the training stands that goes on."""

    def __init__(self, given: Snapshot | None = None) -> None:
        self.given = given
        self.all: list[Snapshot] = []

    def running(self) -> Snapshot | None:  # type: ignore[override]
        return self.given

    def epoch(self, state: Callable[[], Snapshot]) -> None:
        made = state()
        self.all.append(Snapshot(copy.deepcopy(made.arrays), json.loads(json.dumps(made.facts))))


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_a_training_goes_on_from_after_any_pass(way: Way) -> None:
    log, _ = world()
    conditions = Conditions(0.2, silent=0.1, late=0.3, repeated=0.2, gone=0.2)
    last = [Measure(settings_for(way, Config(dim=6, entries=150)))]

    def run(kept: Kept) -> tuple[Any, Any, list[dict[str, Any]], Any]:
        server, told = server_for(log, way, last=last), []
        clients = clients_of(log, log, 0)
        ledger = simulate(server, clients, conditions, 3, told.append, kept)
        return server.finish(), ledger, told, server.refused

    whole = Kept()
    fitted, ledger, told, refused = run(whole)
    assert len(whole.all) == len(told) > 3
    for snapshot in whole.all:
        again, other, records, also_refused = run(Kept(snapshot))
        assert same_bits(again.model.served(), fitted.model.served())
        assert (records, also_refused, again.history) == (told, refused, fitted.history)
        assert other.up.tolist() == ledger.up.tolist() and other.down.tolist() == ledger.down.tolist()
