"""What do rounds of gradients reach over rounds and over bytes, beside protocols of linear sums?

    python -m benchmarks.studies.federated_rounds FILE --name NAME --folder FOLDER [--seeds 3]
    [--ways start random ...] [--dim 64] [--entries 40666] [--page PAGE.md]

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
from sparserec_np.data.interactions import Interactions
from sparserec_np.evaluation.measuring import measure
from sparserec_np.federated.client import Client
from sparserec_np.federated.gradient_rounds import GradientWay
from sparserec_np.federated.least_squares import LeastSquaresWay
from sparserec_np.federated.rounds import Conditions
from sparserec_np.federated.server import Server, Way
from sparserec_np.federated.simulation import clients_of, simulate
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.sparsity.exploration import Exploration
from sparserec_np.sparsity.schedules import DropSchedule
from sparserec_np.training.plan import model_over

HELD_OUT = 0.2
CONDITIONS = Conditions(asked=0.1, silent=0.2)
MASK_KEPT = DropSchedule(0.0)
START = GradientWay()
RANDOM = GradientWay(begin=None, rounds=300, rate=0.1, exploration=Exploration(1.0))
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
POINTS = (1, 2, 5, 10, 20, 40, 80, 150, 300)  # rounds after which is measured
SHOWN = (10, 40, 150)  # of these, those in the table
DRAWN = ("random", "random-static", "start", "static", "spectral", "least-squares")
# Name of a picture -> what its axis is called.
AXES = {"rounds": "rounds of gradients", "bytes": "kB that the median client had sent"}


class Counted(Client):
    """A client that counts the bytes that it has sent."""

    sent = 0

    def answer(self, packet: bytes) -> bytes:
        """Answers, and counts."""
        answer = super().answer(packet)
        self.sent += len(answer)
        return answer


def learned(name: str, log: Interactions, seed: int, dim: int, entries: int) -> Cell:
    """Learns in one way: rounds of gradients, bytes of the median client, and NDCG@20, now and then."""
    way = WAYS[name][1]
    train, test = sparserec_np.split_random(log, HELD_OUT, np.random.default_rng([0, 2]))
    server = Server(
        train.item_ids, way, sparserec_np.Config(dim=dim, entries=entries, seed=seed), train.n_users
    )
    settings = server.config.resolved()
    clients = clients_of(train, None, seed)
    for client in clients:
        client.__class__ = Counted
    points: list[list[float]] = []

    def told(record: dict[str, Any]) -> None:
        word, _, number = record["pass"].partition(" ")
        if word != "scale" and not (
            isinstance(way, GradientWay) and word == "round" and int(number) in POINTS
        ):
            return
        server.end_pass()  # so that the table is the one after it
        assert server.learned.table is not None
        model = model_over(settings, server.learned.table.copy(), dim, train)
        reached = measure(model.ranker(), test, train, (20,))["ndcg@20"]
        sent = statistics.median(client.sent for client in clients)  # type: ignore[attr-defined]
        points.append([int(number or 0), sent, reached])

    ledger = simulate(server, clients, CONDITIONS, seed, told)
    model = model_over(settings, server.finish().model.served(), dim, train)
    reached = measure(model.ranker(), test, train, (20,))["ndcg@20"]
    if not points:
        points.append([0, ledger.totals()["up_median"], reached])
    return {"points": points, "ndcg": reached, "bytes": ledger.totals(), "passes": len(ledger.passes)}


def cells_of(given: argparse.Namespace, cells: Cells) -> None:
    """Makes all cells that are asked for and not there yet, seed after seed."""
    log = sparserec_np.read_interactions(given.file)
    for seed in range(given.seeds):
        for way in given.ways:
            what = {
                "data": given.name,
                "file": digest(given.file),
                "way": way,
                "seed": seed,
                "dim": given.dim,
                "entries": given.entries,
                "protocol": repr(WAYS[way][1]),
            }
            cells.make(what, lambda w=way, s=seed: learned(w, log, s, given.dim, given.entries))  # type: ignore[misc]


def means(cells: Sequence[Cell]) -> list[list[float]]:
    """Averages the points of several seeds: rounds, bytes and NDCG@20.

    >>> means([{"points": [[1, 100, 0.1]]}, {"points": [[1, 300, 0.3]]}])
    [[1, 200, 0.2]]
    """
    return [
        [statistics.mean(numbers) for numbers in zip(*points, strict=True)]
        for points in zip(*(cell["points"] for cell in cells), strict=True)
    ]


def seeds_of(count: int) -> str:
    """Says what the figures of so many seeds are.

    >>> seeds_of(1), seeds_of(3)
    ('one seed', 'means of 3 seeds, and the range at the end')
    """
    return "one seed" if count == 1 else f"means of {count} seeds, and the range at the end"


def section(name: str, cells: Sequence[Cell], pictures: Sequence[str]) -> str:
    """Writes the table of a data set, and links the pictures."""
    rows = []
    for way, (title, _) in WAYS.items():
        own = [cell for cell in cells if cell["what"]["way"] == way]
        if own:
            found = means(own)
            shown = [found[0], *(point for point in found[1:] if point[0] in SHOWN), found[-1]]
            reached = [cell["ndcg"] for cell in own]
            for rounds, sent, ndcg in dict.fromkeys(map(tuple, shown)):
                spread = f"{min(reached):.4f} to {max(reached):.4f}" if rounds == found[-1][0] else ""
                rows.append([title, f"{rounds:.0f}", f"{sent / 1000:.2f}", f"{ndcg:.4f}", spread])
    what, count = cells[0]["what"], len({cell["what"]["seed"] for cell in cells})
    words = f"{what['dim']} columns, {what['entries']:,} entries; {seeds_of(count)}."
    head = ["way", "rounds of gradients", "kB up, median client", "NDCG@20", "range"]
    links = [
        f"![{name}: NDCG@20 over {kind}]({picture})" for kind, picture in zip(AXES, pictures, strict=False)
    ]
    return "\n\n".join([f"## {name}", words, table(head, rows), *links])


def curves_of(cells: Sequence[Cell], axis: int) -> list[Curve]:
    """Makes a curve of each way over its rounds (axis 0) or its kB (axis 1)."""
    curves = []
    for way in DRAWN:
        own = [cell for cell in cells if cell["what"]["way"] == way]
        points = [(point[axis] / (1000 if axis else 1), point[2]) for point in (means(own) if own else [])]
        # A logarithmic axis has no place for what comes before the first round.
        curves.append(Curve(WAYS[way][0], sorted((x, y) for x, y in points if x > 0)))
    return curves


def page(cells: Cells, path: Path) -> str:
    """Writes the page of all data sets for ``path``, and two pictures of each beside it."""
    words = (
        "NDCG@20 on a fifth of each user's items that was held out of the published training part, after some rounds"
        " of gradients and after as many bytes as the median client had sent by then, those of all passes before the"
        " rounds included. A round asks a tenth of the clients, of whom a fifth are silent, until enough have answered."
        " Settings were chosen on a held-out fifth, too, so that a part of the figures is flattery, of all ways alike."
        " Least squares and the spectral protocol have a table after their last pass only."
    )
    sections = []
    for name in dict.fromkeys(cell["what"]["data"] for cell in cells.all):
        own, pictures = cells.of(data=name), []
        for axis, across in enumerate(AXES.values()):
            stem = f"{path.stem}-{name.lower().replace(' ', '-')}-{list(AXES)[axis]}"
            picture = path.with_name(f"{stem}.png")
            if draw_panels(picture, {name: curves_of(own, axis)}, across, "NDCG@20 on the held-out fifth"):
                pictures.append(picture.name)
        sections.append(section(name, own, pictures))
    machines = [cell["machine"] for cell in cells.all]
    return page_of("Rounds of gradients over clients", "federated_rounds", machines, words, sections)


def main() -> None:
    """Makes the cells that are missing, and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("file", nargs="?", help="the interactions")
    add_page(parser)
    parser.add_argument("--folder", type=Path, default=Path("federated-rounds"), help="where cells are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--entries", type=int, default=40_666)
    given = parser.parse_args()
    cells = Cells(given.folder, 1)
    if given.file:
        cells_of(given, cells)
    finish(given, cells, page)


if __name__ == "__main__":
    main()
