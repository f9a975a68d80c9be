"""How good are full rows that users and items share by hashing, in as many bytes as sparse rows?

    python -m benchmarks.studies.shared_rows TRAIN TEST --name NAME --folder FOLDER [--seeds 3]
    [--densities 0.01 0.05 0.1] [--ways hash double quotient narrow random sparserec]
    [--widths 32 16 8] [--epochs 40] [--page PAGE.md] [--threads 1]

About 60 minutes for LastFM. All of it is matrix factorisation with the default loss, and what
training holds out chooses the learning rate and the epochs of each. Shared rows: `hash` gives each
user and item one stored row, `double` the sum of two that were drawn, and `quotient` the product of
two, which no other has (Shi et al. 2020). They are trained by the library's own loop from random
values, with as many stored rows as the bytes of a sparse table of 64 columns and the density hold,
its row bounds and columns among them; the width of these rows is chosen on the part held out, too.
Beside them the sparse table (`sparserec`), the same from random entries (`random`), and full rows
of fewer columns in as many bytes (`narrow`). TEST is looked at once a seed and way. Cells
are lines of JSON in FOLDER, and those that are there are not made again; PAGE shows all of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import sparserec_np
from benchmarks.arguments import add_page, parser_of
from benchmarks.cells import Cell, Cells, digest, finish
from benchmarks.figures import table
from benchmarks.hashed import SHARINGS, SharedPlan
from benchmarks.pages import page_of
from sparserec_np.errors import ConfigError
from sparserec_np.machine.threads import kernel_threads
from sparserec_np.training.fitted import SELECT_BY, Fitted
from sparserec_np.training.loop import Phase, fit
from sparserec_np.training.plan import Plan, budget_of
from sparserec_np.training.search import search
from sparserec_np.training.settings import Config

DIM = 64  # columns of the sparse table, whose bytes all have
LOOKS = 5  # epochs from one look at what is held out to the next
TABLES = {
    "narrow": {"method": "dense-small", "start": "uniform"},
    "random": {"method": "sparserec", "start": "uniform"},
    "sparserec": {"method": "sparserec", "start": "spectral"},
}
WAYS = {
    "hash": "one shared row",
    "double": "sum of two shared rows",
    "quotient": "quotient and remainder",
    "narrow": "full rows of fewer columns",
    "random": "sparserec, from random entries",
    "sparserec": "sparserec, from the data",
}


def shared(
    log: Any, config: Config, way: str, width: int, threads: int
) -> tuple[Fitted, float, dict[str, Any]]:
    """Chooses on a part of ``log`` and trains on all of it; returns the model, held-out NDCG and sizes.

    Raises:
        ValueError: the bytes hold too few rows.
    """
    budget = budget_of(log, config)
    stored = budget.total_bytes // (4 * width)
    if stored < 2:
        raise ValueError(f"{budget.total_bytes:,} bytes hold no two rows of {width} columns")
    rng = np.random.default_rng([config.seed, 6])
    sharing = SHARINGS[way]((log.n_users, log.n_items), stored, rng)
    own = replace(config, method="dense", start="uniform", dim=width)
    plan = SharedPlan.sharing_rows(Plan.of(own, log), sharing)
    kept, held_out = sparserec_np.split_random(
        log, config.validation, np.random.default_rng([config.seed, 1])
    )
    with kernel_threads(threads) as given:
        chosen = search(kept, held_out, plan, given, lambda record: None)
        rate = chosen.config.learning_rate
        assert rate is not None
        again = plan.with_trial("uniform", rate)
        whole = fit(log, again, plan.start, Phase("refit", chosen.best_epoch), lambda record: None)
    sizes = {"bytes": 4 * stored * width, "width": width, "rows": stored}
    return whole, reached(chosen), sizes | {"epochs": chosen.best_epoch, "rate": rate}


def reached(fitted: Fitted) -> float:
    """Finds the NDCG on what was held out of the epochs that were chosen."""
    return max(float(record[SELECT_BY]) for record in fitted.history if SELECT_BY in record)


def best_shared(
    log: Any, config: Config, way: str, widths: Sequence[int], threads: int
) -> tuple[Any, float, dict[str, Any]] | str:
    """Trains with each width, and keeps the best on what is held out; or says why none can be."""
    tried, reason = [], ""
    for width in widths:
        try:
            tried.append(shared(log, config, way, width, threads))
        except ValueError as error:
            reason = str(error)
    return max(tried, key=lambda one: one[1]) if tried else reason


def sparse(log: Any, config: Config, way: str, threads: int) -> tuple[Any, float, dict[str, Any]] | str:
    """Trains a table of its own rows with the library; or says why that cannot be."""
    own = replace(config, **TABLES[way])
    if way == "narrow":  # a full table needs no columns and no bounds
        own = replace(own, entries=budget_of(log, config).total_bytes // 4)
    try:
        fitted = sparserec_np.train(log, own, threads=threads)
    except ConfigError as error:
        return str(error)
    sizes = {"bytes": fitted.budget.total_bytes, "width": fitted.budget.dim, "rows": fitted.budget.rows}
    if way == "narrow":
        sizes["bytes"] = 4 * fitted.budget.nnz
    sizes |= {"epochs": fitted.best_epoch, "rate": fitted.config.learning_rate}
    return fitted, reached(fitted), sizes


def measure(given: argparse.Namespace, density: float, way: str, seed: int) -> Cell:
    """Trains one way, and looks at the test part once."""
    log = sparserec_np.read_interactions(given.train)
    config = Config(
        model="mf", dim=DIM, density=density, epochs=given.epochs, evaluate_every=LOOKS, seed=seed
    )
    clock = time.perf_counter()
    if way in SHARINGS:
        found = best_shared(log, config, way, given.widths, given.threads)
    else:
        found = sparse(log, config, way, given.threads)
    if isinstance(found, str):
        return {"impossible": found}
    model, held_out, sizes = found
    seconds = time.perf_counter() - clock
    figures = sparserec_np.evaluate(model, given.test, log)
    return {
        "held_out": held_out,
        "ndcg": figures["ndcg@20"],
        "recall": figures["recall@20"],
        "seconds": seconds,
        **sizes,
    }


def cells_of(given: argparse.Namespace, cells: Cells) -> None:
    """Makes all cells that are asked for and not there yet."""
    content = [digest(file) for file in (given.train, given.test)]
    for density in given.densities:
        for way in given.ways:
            for seed in range(given.seeds):
                what = {"data": given.name, "files": content, "density": density, "way": way, "seed": seed}
                what |= {"epochs": given.epochs, "widths": given.widths if way in SHARINGS else []}

                def made(density: float = density, way: str = way, seed: int = seed) -> Cell:
                    return measure(given, density, way, seed)

                cells.make(what, made)


def section(name: str, cells: Sequence[Cell]) -> str:
    """Writes the table of a data set: a row for each density and way."""
    head = ["density", "way", "kB", "rows", "columns", "seeds", "held out N@20", "R@20", "N@20", "sd", "s"]
    rows = []
    for density in dict.fromkeys(cell["what"]["density"] for cell in cells):
        for way, words in WAYS.items():
            of_way = [
                cell for cell in cells if (cell["what"]["density"], cell["what"]["way"]) == (density, way)
            ]
            own = [cell for cell in of_way if "impossible" not in cell]
            if own:
                rows.append([f"{density:g}", words, *_figures(own)])
            elif of_way:
                rows.append([f"{density:g}", words, *"-" * (len(head) - 2)])
    return "\n\n".join([f"## {name}", table(head, rows)])


def _figures(own: Sequence[Cell]) -> list[str]:
    held_out, ndcg, recall, seconds = (
        [cell[field] for cell in own] for field in ("held_out", "ndcg", "recall", "seconds")
    )
    sizes = [", ".join(dict.fromkeys(f"{cell[field]:,}" for cell in own)) for field in ("rows", "width")]
    return [
        f"{max(cell['bytes'] for cell in own) / 1000:.1f}",
        *sizes,
        str(len(own)),
        f"{statistics.mean(held_out):.4f}",
        f"{statistics.mean(recall):.4f}",
        f"{statistics.mean(ndcg):.4f}",
        f"{statistics.stdev(ndcg):.4f}" if len(own) > 1 else "-",
        f"{statistics.mean(seconds):.0f}",
    ]


def page(cells: Cells, _: Path) -> str:
    """Writes the page of all data sets."""
    words = (
        "Matrix factorisation with rows that users and items share, beside rows of their own that are sparse, or"
        " narrow, in as many bytes. Means over seeds; R@20 and N@20 are on the test part, and sd is that of N@20."
        " Rate, epochs, and the width of shared rows are chosen on what training holds out. Rows and columns are"
        " those of the stored table. A dash: the bytes are too few for it."
    )
    names = dict.fromkeys(cell["what"]["data"] for cell in cells.all)
    sections = [section(name, cells.of(data=name)) for name in names]
    machines = [cell["machine"] for cell in cells.all]
    return page_of("Rows that are shared by hashing", "shared_rows", machines, words, sections)


def main() -> None:
    """Makes the cells that are missing, and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("train", nargs="?", help="interactions to train on")
    parser.add_argument("test", nargs="?", help="interactions to measure on")
    add_page(parser)
    parser.add_argument("--folder", type=Path, default=Path("shared-rows"))
    parser.add_argument("--densities", nargs="+", type=float, default=[0.01, 0.05, 0.1])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--widths", nargs="+", type=int, default=[32, 16, 8], help="of shared rows, to try")
    parser.add_argument("--epochs", type=int, default=40, help="at most")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    cells = Cells(given.folder, given.threads)
    if given.train:
        cells_of(given, cells)
    finish(given, cells, page)


if __name__ == "__main__":
    main()
