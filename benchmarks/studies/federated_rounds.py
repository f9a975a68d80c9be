"""What do rounds of gradients reach over rounds and over bytes, beside protocols of linear sums?

    python -m benchmarks.studies.federated_rounds FILE --name NAME --folder FOLDER [--seeds 3]
    [--ways sums start static start-bpr random random-static] [--dim 64] [--entries 40666]
    [--page PAGE.md]

About 25 minutes for LastFM. A fifth of each user's items in FILE is held out, which settings were
chosen by, too: what is compared is flattered alike. Every user is a client in this process; a round
asks a tenth of them, of whom a fifth are silent. After some rounds the table is measured by the
held-out items, and the bytes that the median client had sent by then are noted. Least squares and
the spectral protocol are points: before their last pass they have no table. Cells are lines of JSON
in FOLDER, and those that are there are not made again; PAGE shows all of them, and beside it are
two pictures where matplotlib is installed.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import sparserec_np
from benchmarks.arguments import add_page, parser_of
from benchmarks.cells import Cell, Cells, digest, finish
from benchmarks.curves import Curve, draw_panels
from benchmarks.figures import table
from benchmarks.pages import page_of
from sparserec_np.evaluation.measuring import measure
from sparserec_np.federated.gradient_rounds import GradientWay
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.server import Server, Way
from sparserec_np.federated.simulation import Conditions, clients_of, simulate
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.schedules import DropSchedule
from sparserec_np.training.plan import model_over

HELD_OUT = 0.2
CONDITIONS = Conditions(asked=0.1, silent=0.2)
MASK_KEPT = DropSchedule(0.0)
START = GradientWay()
RANDOM = GradientWay(begin=None, rounds=600, rate=0.1, exploration=Exploration(1.0))
# Way -> what it is called, and the protocol.
WAYS: dict[str, tuple[str, Way]] = {
    "random": ("from random", RANDOM),
    "random-static": ("from random, mask kept", replace(RANDOM, drops=MASK_KEPT)),
    "start": ("from the start", START),
    "static": ("from the start, mask kept", replace(START, drops=MASK_KEPT)),
    "start-bpr": ("from the start, bpr", replace(START, loss="bpr")),
    "spectral": ("spectral", SpectralWay()),
    "least-squares": ("least squares", LeastSquaresWay()),
}
POINTS = (1, 2, 5, 10, 20, 40, 80, 150, 300, 450, 600)  # rounds after which is measured


def measured(name: str, log: Any, seed: int, dim: int, entries: int) -> Cell:
    """Learns in one way, and measures on the way: rounds, bytes of the median client, NDCG@20."""
    way = WAYS[name][1]
    train, test = sparserec_np.split_random(log, HELD_OUT, np.random.default_rng([0, 2]))
    config = sparserec_np.Config(dim=dim, entries=entries, seed=seed)
    server = Server(train.item_ids, way, config, train.n_users)
    settings = server.config.resolved()
    points: list[tuple[int, int, float]] = []
    sent = np.zeros(train.n_users, np.int64)
    passes: list[dict[str, Any]] = []

    def ndcg() -> float:
        assert server.learned.table is not None
        model = model_over(settings, server.learned.table.copy(), dim, train)
        return float(measure(model.ranker(), test, train, (20,))["ndcg@20"])

    def told(record: dict[str, Any]) -> None:
        passes.append(record)
        words = record["pass"].split()
        number = int(words[-1]) if len(words) > 1 and isinstance(way, GradientWay) else 0
        first = record["pass"] == "scale"
        if first or (words[0] == "round" and number in POINTS):
            points.append((number, 0, ndcg()))

    ledger = simulate(server, clients_of(train, None, seed), CONDITIONS, seed, told)
    fitted = server.finish()
    del sent, fitted
    points.append((len(ledger.passes), ledger.totals()["up_median"], ndcg()))
    return {"points": points, "bytes": ledger.totals(), "passes": len(passes)}
