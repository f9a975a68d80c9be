"""What do rows of Compressed ELSA list beside our `fism`, with as many stored entries and by the same measure?

    python -m benchmarks.studies.compressed_elsa TRAIN TEST --name NAME --folder FOLDER
    [--per-item 6 1] [--settings 64:1024:0.1:10 64:128:0.03:10] [--page PAGE.md] [--threads 1]

About 60 minutes for LastFM. The peer is `compresso-recsys`: put a CPU build of PyTorch there first,
then `pip install compresso-recsys`. It factors items alone, as `fism` does: a user is the sum of
the rows of what they touched, and every row keeps as many entries, which --per-item says. Ours get
as many in all, `--entries`, and choose the rest themselves. A setting of the peer is
COLUMNS:BATCH:RATE:EPOCHS:MOST, where epochs are those after the search of the mask, and at most
MOST, by default 20, go into a stage of the search; all else is as the example of its documentation
has it. The settings are compared on the quarter of TRAIN that `train` holds out as well. The best
is fitted to all of TRAIN, and its own lists are measured on TEST, once; without TEST settings are
tried, and that is all. Each fit is a process of its own. Cells are lines of JSON in FOLDER, and
those that are there are not made again; PAGE shows all of them, of all data sets.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import sparserec_np
from benchmarks.arguments import add_page, parser_of
from benchmarks.cells import Cell, Cells, digest, finish
from benchmarks.data import as_matrix
from benchmarks.figures import table
from benchmarks.machine import package_version
from benchmarks.pages import page_of
from benchmarks.peers import dense_ranker
from benchmarks.processes import peak_resident, run_module
from benchmarks.studies.quality_at_bytes import DTYPES, WAYS, measure_ours
from benchmarks.timing import timed
from sparserec_np.runtime import Array

TOP = 20
PART, SEED = 0.25, 0  # what `train` holds out to choose by, and the seed it draws that with
MAX_OUTPUT = 10_000  # items that a batch is scored for, as in the package's example
OURS, PEER, TRIAL = "fism", "elsa", "trial"
NAMES = {OURS: "fism", PEER: "Compressed ELSA"}
PACKAGES = ("compresso-recsys", "compresso-pytorch", "torch")


class Setting(NamedTuple):
    """How the peer is trained.

    Attributes:
        columns: of the table, before and after compression.
        batch: users at once.
        rate: of learning, which falls to nothing along a cosine once the mask is found.
        epochs: after the search of the mask.
        stage: most epochs of a stage of the search, 20 in the package's example.
    """

    columns: int
    batch: int
    rate: float
    epochs: int
    stage: int = 20

    @classmethod
    def read(cls, text: str) -> Setting:
        """Reads COLUMNS:BATCH:RATE:EPOCHS, and perhaps :MOST.

        >>> Setting.read("64:1024:0.1:10")
        Setting(columns=64, batch=1024, rate=0.1, epochs=10, stage=20)
        """
        columns, batch, rate, *epochs = text.split(":")
        return cls(int(columns), int(batch), float(rate), *map(int, epochs))


class Lists(NamedTuple):
    """Lists that somebody else made, items (n_users, n) and their scores, as a ranker."""

    items: Array
    scores: Array

    def rank(self, users: Array, n: int, seen: Any) -> tuple[Array, Array]:
        """Gives the first ``n`` of each list, as ``Ranker.rank`` says; what is in ``seen`` is not looked at."""
        return self.items[users, :n], self.scores[users, :n]


# ---- the peer


def measure_peer(files: Sequence[str], per_item: int, setting: Setting, threads: int) -> Cell:
    """Fits the peer in a process of its own: to all of a first file, or to what is not held out of an only one."""
    words = ["--fit", json.dumps([list(files), per_item, setting, threads])]
    return json.loads(run_module("benchmarks.studies.compressed_elsa", words, threads).splitlines()[-1])


def fit_peer(files: Sequence[str], per_item: int, setting: Setting, threads: int) -> Cell:
    """Fits to all of the first file and lists for the second, or to three quarters of it for the rest."""
    from sparserec_np.data.splitting import hold_out  # heavy: `--help` does not wait for it

    log = sparserec_np.read_interactions(files[0])
    if len(files) > 1:
        test, _ = sparserec_np.read_interactions(files[1]).aligned_to(log)
    else:
        log, test = hold_out(log, PART, np.random.default_rng([SEED, 1]))
    trainer, seconds = timed(lambda: fitted(log, per_item, setting, threads))
    peak = peak_resident()
    rows = rows_of(trainer)
    own = Lists(*lists_of(trainer, log))
    found = sparserec_np.evaluate(own, test, log)
    again = by_rows(rows, setting.columns, test, log)
    searched = [one for one in trainer.history if one["phase"] == "mask_search"]
    cell: Cell = {
        "dim": setting.columns,
        "entries": rows.nnz,
        "seconds": seconds,
        "peak_bytes": peak,
        "search_epochs": len(searched),
        "forced": sum(one["transition"] == "forced" for one in searched),
        "stages": sum(one["transition"] != "none" for one in searched),
        "float32": {"recall": found["recall@20"], "ndcg": found["ndcg@20"], "ndcg_of_rows": again["ndcg@20"]},
    }
    small = by_rows(rounded(rows, setting.columns), setting.columns, test, log)
    cell["int8"] = {"recall": small["recall@20"], "ndcg": small["ndcg@20"]}
    for dtype in DTYPES:
        cell[dtype]["bytes"] = bytes_of(rows, setting.columns, dtype)
    return cell | {"packages": {name: package_version(name) for name in PACKAGES}}


def fitted(log: Any, per_item: int, setting: Setting, threads: int) -> Any:
    """Trains Compressed ELSA as the package's example does, but for the setting."""
    import torch
    from compresso_recsys.models import ELSACompressionConfig, ELSAConfig, ELSATrainer

    torch.set_num_threads(threads)
    compression = ELSACompressionConfig(
        k_target=per_item,
        num_stages=10,
        stability_window=5,
        change_threshold=0.01,
        mask_update_interval=10,
        max_epochs_per_stage=setting.stage,
    )
    trainer = ELSATrainer(
        ELSAConfig(
            latent_dim=setting.columns,
            batch_size=setting.batch,
            max_output=MAX_OUTPUT,
            epochs=setting.epochs,
            lr=setting.rate,
            decay=True,
            seed=SEED,
            show_progress=False,
            compression=compression,
        )
    )
    with contextlib.redirect_stdout(sys.stderr):  # it prints each stage
        return trainer.fit(as_matrix(log))


def lists_of(trainer: Any, log: Any) -> tuple[Array, Array]:
    """Lists for everybody as the package itself does: items and scores, (n_users, TOP)."""
    found = trainer.predict(as_matrix(log), k=TOP, show_progress=False)
    return found.cols.numpy().astype(np.int32), found.vals.numpy()


def rows_of(trainer: Any) -> sparserec_np.SparseTable:
    """Takes the rows that the package exports: as many entries each, of length 1."""
    found = trainer.elsa.export_item_embeddings()
    columns, values = found.cols.numpy(), found.vals.numpy()
    return table_of(columns, values, int(found.shape[1]))


def table_of(columns: Array, values: Array, dim: int) -> sparserec_np.SparseTable:
    """Makes a table of rows of equal length: columns and values (rows, entries of each), in any order."""
    order = np.argsort(columns, axis=1)
    columns, values = (np.take_along_axis(each, order, axis=1) for each in (columns, values))
    bounds = np.arange(len(columns) + 1, dtype=np.int32) * np.int32(columns.shape[1])
    narrow = np.uint8 if dim <= 256 else np.uint16
    return sparserec_np.SparseTable(bounds, columns.ravel().astype(narrow), values.ravel().astype(np.float32))


def by_rows(rows: sparserec_np.SparseTable, dim: int, test: Any, log: Any) -> dict[str, float]:
    """Measures our exact lists by rows: a user's is the sum of those of what they touched.

    The peer takes what users touched off its scores, and no more, and these items are not listed.
    It sets scores below 0 to 0, where its lists come in any order.
    """
    items = rows.to_dense(dim)
    return sparserec_np.evaluate(dense_ranker(as_matrix(log) @ items, items), test, log)


def rounded(rows: sparserec_np.SparseTable, dim: int) -> sparserec_np.SparseTable:
    """Rounds values to int8 with a scale for each column, as our exports do, and back to float32."""
    most = np.zeros(dim, dtype=np.float32)
    np.maximum.at(most, rows.columns, np.abs(rows.values))
    scales = np.maximum(most / np.float32(127), np.float32(1e-30))[rows.columns]
    return rows._replace(values=np.rint(rows.values / scales) * scales)


def bytes_of(rows: sparserec_np.SparseTable, dim: int, dtype: str) -> int:
    """Counts the bytes that our export of such a table takes.

    Values with, in int8, a scale for each column; columns, or the steps between them where that is
    less; and lengths of rows.
    """
    from sparserec_np.serving.packing import encode_ends, encode_steps, narrowest

    values = 4 * rows.nnz if dtype == "float32" else rows.nnz + 4 * dim
    steps = encode_steps(rows.indptr, rows.columns, dim)
    bounds = narrowest(np.diff(rows.indptr)), encode_ends(rows.indptr)
    return values + min(rows.columns.nbytes, steps.nbytes) + min(each.nbytes for each in bounds)


# ---- the table


def cells_of(given: argparse.Namespace, cells: Cells) -> None:
    """Makes all cells that are asked for and not there yet; settings are tried before anything is tested."""
    log = sparserec_np.read_interactions(given.train)
    about = {
        "data": given.name,
        "users": log.n_users,
        "items": log.n_items,
        "interactions": log.n_interactions,
        "train": digest(given.train),
    }
    del log
    has_peer = importlib.util.find_spec("compresso_recsys") is not None
    if not has_peer:
        print("compresso-recsys is not installed", file=sys.stderr)
    for per_item in given.per_item:
        for setting in given.settings if has_peer else []:
            what = about | {"way": TRIAL, "per_item": per_item, "setting": setting}
            cells.make(what, lambda k=per_item, s=setting: measure_peer([given.train], k, s, given.threads))  # type: ignore[misc]
    for per_item in given.per_item if given.test else []:
        tested = about | {"test": digest(given.test), "per_item": per_item}
        options = WAYS[OURS].format(entries=per_item * about["items"])
        cells.make(
            tested | {"way": OURS, "options": options},
            lambda o=options: measure_ours(given.train, given.test, o, given.threads),  # type: ignore[misc]
        )
        tried = cells.of(way=TRIAL, per_item=per_item, train=about["train"])
        if tried and has_peer:
            best = Setting(*best_of(tried)["what"]["setting"])
            files = [given.train, given.test]
            cells.make(
                tested | {"way": PEER, "setting": best},
                lambda k=per_item, f=files, s=best: measure_peer(f, k, s, given.threads),  # type: ignore[misc]
            )


def best_of(tried: Sequence[Cell]) -> Cell:
    """Finds the setting with the best lists of what is held out; of equals the first."""
    return max(tried, key=lambda cell: cell["float32"]["ndcg"])


def section(name: str, cells: Sequence[Cell]) -> str:
    """Writes the tables of a data set: what is reached, and which settings of the peer were tried."""
    what = cells[0]["what"]
    words = f"{what['users']:,} users, {what['items']:,} items, {what['interactions']:,} training pairs."
    trials = [cell for cell in cells if cell["what"]["way"] == TRIAL]
    head = ["entries an item", "way", "columns", "entries", "float32 kB", "R@20 / N@20", "int8 kB"]
    head += ["R@20 / N@20", "held out N@20", "train s", "peak MB"]
    rows = []
    for cell in sorted((one for one in cells if one["what"]["way"] in NAMES), key=_place):
        rows.append(_row(cell, [one for one in trials if _size(one) == _size(cell)]))
    lines = [f"## {name}", "", words, "", table(head, rows)]
    head = [
        "entries an item",
        "columns",
        "batch",
        "rate",
        "epochs",
        "most of a stage",
        "of the search",
        "cut short",
    ]
    head += ["held out R@20 / N@20", "s", "peak MB"]
    return "\n".join([*lines, "", "Settings of Compressed ELSA:", "", table(head, map(_trial, trials))])


def _size(cell: Cell) -> int:
    return int(cell["what"]["per_item"])


def _place(cell: Cell) -> tuple[int, int]:
    return -_size(cell), list(NAMES).index(cell["what"]["way"])


def _row(cell: Cell, trials: Sequence[Cell]) -> list[str]:
    held_out = cell.get("held_out")
    if cell["what"]["way"] == PEER:
        own = [one for one in trials if one["what"]["setting"] == cell["what"]["setting"]]
        held_out = own[0]["float32"]["ndcg"]
    figures = []
    for one in (cell[dtype] for dtype in DTYPES):
        figures += [f"{one['bytes'] / 1000:,.1f}", f"{one['recall']:.4f} / {one['ndcg']:.4f}"]
    named = [str(_size(cell)), NAMES[cell["what"]["way"]], f"{cell['dim']:,}", f"{cell['entries']:,}"]
    rest = [f"{held_out:.4f}", f"{cell['seconds']:,.0f}", f"{cell['peak_bytes'] / 1e6:,.0f}"]
    return [*named, *figures, *rest]


def _trial(cell: Cell) -> list[str]:
    setting, found = Setting(*cell["what"]["setting"]), cell["float32"]
    named = [f"{_size(cell)}", f"{setting.columns:,}", f"{setting.batch:,}", f"{setting.rate:g}"]
    named += [
        f"{setting.epochs}",
        f"{setting.stage}",
        f"{cell['search_epochs']}",
        f"{cell['forced']} of {cell['stages']}",
    ]
    reached = f"{found['recall']:.4f} / {found['ndcg']:.4f}"
    return [*named, reached, f"{cell['seconds']:,.0f}", f"{cell['peak_bytes'] / 1e6:,.0f}"]


def page(cells: Cells, _: Path) -> str:
    """Writes the page of all data sets."""
    versions = [cell["packages"] for cell in cells.all if "packages" in cell]
    peer = ", ".join(f"{name} {version}" for name, version in versions[-1].items()) if versions else "no peer"
    words = (
        f"Compressed ELSA ({peer}) and `fism` store items alone, and here as many entries. R@20 and N@20 are on the"
        " test part, which was looked at once for each row, over all items that a user did not touch; those of"
        " Compressed ELSA in float32 are of the package's own lists. Held out is the quarter of the training part by"
        " which both choose. Bytes are those of an export without ids and without what users had: values, in int8 with"
        " a scale for each column, the columns in one byte each where that is possible, lengths of rows, and of `fism`"
        " a weight of each item where it has any. Seconds of `fism` are of the whole command, which tries widths,"
        " starts and epochs; those of Compressed ELSA are of one fit, and trials come on top. Each has one thread, and"
        " peaks are of whole processes, PyTorch among them."
    )
    names = dict.fromkeys(cell["what"]["data"] for cell in cells.all)
    sections = [section(name, cells.of(data=name)) for name in names]
    machines = [cell["machine"] for cell in cells.all]
    return page_of("Compressed ELSA at as many entries", "compressed_elsa", machines, words, sections)


def main() -> None:
    """Makes the cells that are missing, and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("train", nargs="?", help="interactions to train on")
    parser.add_argument("test", nargs="?", help="interactions to measure on")
    add_page(parser)
    parser.add_argument("--folder", type=Path, default=Path("compressed-elsa"), help="where cells are kept")
    parser.add_argument(
        "--per-item", nargs="+", type=int, default=[6, 1], help="entries of a row of the peer"
    )
    parser.add_argument(
        "--settings",
        nargs="*",
        type=Setting.read,
        default=[],
        help="of the peer: COLUMNS:BATCH:RATE:EPOCHS:MOST",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fit", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fit:
        files, per_item, setting, threads = json.loads(given.fit)
        print(json.dumps(fit_peer(files, per_item, Setting(*setting), threads)))
        return
    cells = Cells(given.folder, given.threads)
    if given.train:
        cells_of(given, cells)
    finish(given, cells, page)


if __name__ == "__main__":
    main()
