"""What quality does a number of served bytes buy, for sparse models and for dense peers?

    python -m benchmarks.studies.quality_at_bytes TRAIN TEST --name NAME --folder FOLDER
    [--ways fism mf dense-small magnitude als] [--densities 0.01 0.025 0.05 0.1]
    [--factors 4 8 16 32 64] [--page PAGE.md] [--threads 2] [--shorter "--epochs 6"]

About 90 minutes for Gowalla. Each cell of the table is trained by the installed command `sparserec`
in a process of its own, with whatever it chooses by a held-out part of TRAIN, exported in float32
and in int8, and evaluated on TEST, once. A density is a part of a full table of 64 columns for
users and items, and all sparse ways store as many entries of it. implicit's ALS chooses its
regularization and weight by a held-out tenth. Bytes are those of values, columns, row bounds
and item weights, without ids and without what users had. SHORTER are options of `sparserec train`
for all ways but `fism`, where trainings would take too long. Cells are lines of JSON in FOLDER, and
those that are there are not made again. PAGE shows all cells in FOLDER, of all data sets, and
beside it a picture of each where matplotlib is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import sparserec_np
from benchmarks.arguments import add_page, parser_of
from benchmarks.cells import Cell, Cells, digest, finish
from benchmarks.curves import Curve, draw_panels
from benchmarks.data import as_matrix
from benchmarks.figures import prose, table
from benchmarks.installed import RefusedError, sparserec
from benchmarks.pages import page_of
from benchmarks.peers import als, dense_ranker, fit
from benchmarks.processes import peak_resident, run_module
from benchmarks.timing import timed
from sparserec_np.runtime import Array

COLUMNS = 64  # of the full table that densities are parts of
ITERATIONS = 15
# Regularization and weight of what was touched, of which the held-out part chooses.
GRID = ((1.0, 10.0), (10.0, 10.0), (20.0, 40.0), (100.0, 40.0))
DTYPES = ("float32", "int8")


class Published(NamedTuple):
    """Figures that others published for a dense table of 64 columns, on the same split.

    Attributes:
        users, items, interactions: of the training part, by which the split is told.
        recall, ndcg: at 20, on the test part.
        source: who published them.
    """

    users: int
    items: int
    interactions: int
    recall: float
    ndcg: float
    source: str


LIGHTGCN = (
    Published(29_858, 40_981, 810_128, 0.1830, 0.1554, "He et al. 2020"),
    Published(31_668, 38_048, 1_237_259, 0.0649, 0.0530, "He et al. 2020"),
)

# Way -> the options of `sparserec train`, of a density and as many entries.
WAYS = {
    "fism": "--model fism --entries {entries}",
    "mf": "--model mf --entries {entries}",
    "dense-small": "--model mf --dim 64 --method dense-small --density {density}",
    "magnitude": "--model mf --dim 64 --method magnitude --density {density}",
}
ALS = "als"
CURVES = {
    "fism": "fism",
    "mf": "mf",
    "magnitude": "mf, full then pruned",
    "dense-small": "mf, few columns",
    ALS: "implicit ALS",
    "lightgcn": "LightGCN, published",
}


# ---- ours


def measure_ours(train: str, test: str, options: str, threads: int) -> Cell:
    """Trains, exports and evaluates; what cannot be trained is told in ``refused``."""
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        try:
            done = sparserec("train", train, "-o", run, "--threads", threads, *options.split())
        except RefusedError as refusal:
            return {"refused": str(refusal)}
        tested = sparserec("evaluate", run, test, "--threads", threads).report
        cell: Cell = {
            "dim": done.report["dim"],
            "entries": done.report["nnz"],
            "held_out": done.report.get("validation_ndcg@20"),
            "epochs": done.report["best_epoch"],
            "seconds": done.seconds,
            "peak_bytes": done.peak_bytes,
            "float32": {"bytes": None, "recall": tested["recall@20"], "ndcg": tested["ndcg@20"]},
        }
        for dtype in DTYPES:
            exported = os.path.join(folder, dtype)
            weighed = sparserec("export", run, "-o", exported, "--dtype", dtype).report["bytes_after"]
            cell.setdefault(dtype, {})["bytes"] = weighed["tables"] + weighed["weights"]
            cell["seen_bytes"] = weighed["seen"]
        small = sparserec("evaluate", exported, test, "--threads", threads).report
        cell["int8"] |= {"recall": small["recall@20"], "ndcg": small["ndcg@20"]}
    return cell


# ---- implicit's ALS


def measure_als(train: str, test: str, factors: int, threads: int) -> Cell:
    """Fits implicit's ALS in a process of its own, so that its peak of memory is its own."""
    words = ["--als", json.dumps([train, test, factors, threads])]
    return json.loads(run_module("benchmarks.studies.quality_at_bytes", words, threads).splitlines()[-1])


def fit_als(train: str, test_file: str, factors: int, threads: int) -> Cell:
    """Chooses among the settings of ``GRID`` by a held-out tenth, fits to all and evaluates."""
    log = sparserec_np.read_interactions(train)
    test, _ = sparserec_np.read_interactions(test_file).aligned_to(log)
    kept, held_out = sparserec_np.split_random(log, 0.1, np.random.default_rng([0, 1]))

    def fitted(part: Any, setting: tuple[float, float]) -> Any:
        model = als(factors, ITERATIONS, threads, *setting)
        fit(model, as_matrix(part))
        return model

    def reached(users: Array, items: Array, part: Any, seen: Any) -> dict[str, float]:
        return sparserec_np.evaluate(dense_ranker(users, items), part, seen)

    tried = {}
    for setting in GRID:
        model = fitted(kept, setting)
        tried[setting] = reached(model.user_factors, model.item_factors, held_out, kept)["ndcg@20"]
    best = max(tried, key=lambda setting: tried[setting])
    model, seconds = timed(lambda: fitted(log, best))
    sides = model.user_factors, model.item_factors
    entries = sum(side.size for side in sides)
    cell: Cell = {
        "dim": factors,
        "entries": entries,
        "held_out": tried[best],
        "setting": best,
        "seconds": seconds,
    }
    for dtype, some, size in (
        ("float32", sides, 4 * entries),
        ("int8", tuple(map(rounded, sides)), entries + 8 * factors),
    ):
        found = reached(*some, test, log)
        cell[dtype] = {"bytes": size, "recall": found["recall@20"], "ndcg": found["ndcg@20"]}
    return cell | {"peak_bytes": peak_resident()}


def rounded(side: Array) -> Array:
    """Rounds (rows, dim) to int8 with a scale for each column, as our exports do, and back to float32."""
    scales = np.abs(side).max(axis=0) / np.float32(127)
    return np.rint(side / np.maximum(scales, 1e-30)) * scales


# ---- the table


def cells_of(given: argparse.Namespace, cells: Cells) -> None:
    """Makes all cells that are asked for and not there yet."""
    log = sparserec_np.read_interactions(given.train)
    about = {
        "data": given.name,
        "users": log.n_users,
        "items": log.n_items,
        "interactions": log.n_interactions,
        "files": [digest(given.train), digest(given.test)],
    }
    full = COLUMNS * (log.n_users + log.n_items)
    del log
    for way in given.ways:
        for density in given.densities if way in WAYS else []:
            options = WAYS[way].format(entries=round(density * full), density=density)
            options += f" {given.shorter}" if given.shorter and way != "fism" else ""
            what = about | {"way": way, "size": density, "options": options}
            cells.make(what, lambda o=options: measure_ours(given.train, given.test, o, given.threads))  # type: ignore[misc]
        for factors in given.factors if way == ALS else []:
            if importlib.util.find_spec("implicit") is None:
                print("implicit is not installed: pip install 'sparserec_np[bench]'")
                break
            what = about | {"way": way, "size": factors, "options": ""}
            cells.make(what, lambda f=factors: measure_als(given.train, given.test, f, given.threads))  # type: ignore[misc]


def published_for(cell: Cell) -> Published | None:
    """Finds what was published for the split that a cell was measured on."""
    what = cell["what"]
    shape = tuple(what[name] for name in ("users", "items", "interactions"))
    return next((one for one in LIGHTGCN if one[:3] == shape), None)


def section(name: str, cells: Sequence[Cell], picture: str | None) -> str:
    """Writes the table of a data set, ways in the order of ``CURVES``, and links the picture."""
    head = [
        "way",
        "of 64 columns",
        "columns",
        "entries",
        "float32 kB",
        "R@20 / N@20",
        "int8 kB",
        "R@20 / N@20",
    ]
    rows, refused = [], []
    for way in CURVES:
        for cell in sorted((one for one in cells if one["what"]["way"] == way), key=_size):
            size = cell["what"]["size"]
            if "refused" in cell:
                refused.append(prose(f"* {CURVES[way]} at {size:g}: {cell['refused']}"))
                continue
            part = f"{size:.1%}" if way in WAYS else f"{size / COLUMNS:.0%}"
            figures = [f"{cell['dim']:,}", f"{cell['entries']:,}", *_of_dtypes(cell)]
            rest = [_number(cell.get("seconds"), 1), _number(cell["peak_bytes"], 1e6)]
            rows.append([CURVES[way], part, *figures, *rest])
    published, what = published_for(cells[0]), cells[0]["what"]
    if published:
        entries = COLUMNS * (published.users + published.items)
        reached = f"{published.recall:.4f} / {published.ndcg:.4f}"
        of_it = [f"{COLUMNS}", f"{entries:,}", f"{4 * entries / 1000:,.0f}", reached, "-", "-", "-", "-"]
        rows.append([f"{CURVES['lightgcn']} ({published.source})", "100%", *of_it])
    words = f"{what['users']:,} users, {what['items']:,} items, {what['interactions']:,} training pairs."
    lines = [f"## {name}", "", words, "", table([*head, "train s", "peak MB"], rows)]
    lines += ["", *refused] if refused else []
    lines += ["", f"![Quality at a number of bytes: {name}]({picture})"] if picture else []
    return "\n".join(lines)


def _of_dtypes(cell: Cell) -> list[str]:
    found = []
    for one in (cell[dtype] for dtype in DTYPES):
        found += [f"{one['bytes'] / 1000:,.0f}", f"{one['recall']:.4f} / {one['ndcg']:.4f}"]
    return found


def _size(cell: Cell) -> float:
    return float(cell["what"]["size"])


def _number(value: float | None, unit: float) -> str:
    return "-" if value is None else f"{value / unit:,.0f}"


def curves_of(cells: Sequence[Cell], dtype: str) -> list[Curve]:
    """Makes a curve of each way, without points where there are none: kB of a dtype, and NDCG@20."""
    points: dict[str, list[tuple[float, float]]] = {way: [] for way in CURVES}
    for cell in cells:
        if "refused" not in cell:
            points[cell["what"]["way"]].append((cell[dtype]["bytes"] / 1000, cell[dtype]["ndcg"]))
    published = published_for(cells[0])
    if published and dtype == "float32":
        size = 4 * COLUMNS * (published.users + published.items) / 1000
        points["lightgcn"].append((size, published.ndcg))
    return [Curve(CURVES[way], sorted(found)) for way, found in points.items()]


def page(cells: Cells, path: Path) -> str:
    """Writes the page of all data sets for ``path``, and a picture of each beside it."""
    names = list(dict.fromkeys(cell["what"]["data"] for cell in cells.all))
    words = (
        "NDCG@20 on the test part against the bytes of the served tables, without ids and without what users had."
        " `fism` stores no users: they are made of what they touched, which a server has to know anyhow, and a device"
        " of its own person. Seconds are those of the whole command, which tries several models and settings, and of"
        " implicit's ALS those of the last fit. Settings were chosen on a held-out part of the training part;"
        " LightGCN's figures are published, with the best epoch chosen on the test part. int8 has a scale for each"
        " column."
    )
    sections = []
    for name in names:
        own = cells.of(data=name)
        picture = path.with_name(f"{path.stem}-{name.lower().replace(' ', '-')}.png")
        panels = {f"{name}, {dtype}": curves_of(own, dtype) for dtype in DTYPES}
        axes = ("kB of the served tables", "NDCG@20 on the test part")
        drawn = draw_panels(picture, panels, *axes)
        sections.append(section(name, own, picture.name if drawn else None))
    machines = [cell["machine"] for cell in cells.all]
    return page_of("Quality at a number of bytes", "quality_at_bytes", machines, words, sections)


def main() -> None:
    """Makes the cells that are missing, and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("train", nargs="?", help="the interactions to train on")
    parser.add_argument("test", nargs="?", help="the interactions to evaluate on")
    add_page(parser)
    parser.add_argument("--folder", type=Path, default=Path("quality-at-bytes"), help="where cells are kept")
    parser.add_argument("--ways", nargs="+", choices=[*WAYS, ALS], default=[*WAYS, ALS])
    parser.add_argument("--densities", nargs="+", type=float, default=[0.01, 0.025, 0.05, 0.1])
    parser.add_argument("--factors", nargs="+", type=int, default=[4, 8, 16, 32, 64], help="of ALS")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shorter", default="", help="options of training for all ways but fism")
    parser.add_argument("--als", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.als:
        print(json.dumps(fit_als(*json.loads(given.als))))
        return
    cells = Cells(given.folder, given.threads)
    if given.train and given.test:
        cells_of(given, cells)
    finish(given, cells, page)


if __name__ == "__main__":
    main()
