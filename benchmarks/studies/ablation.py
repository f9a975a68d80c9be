"""What does each of the method's three ideas add, alone and together, from random and NMF starts?

    python -m benchmarks.studies.ablation TRAIN TEST --name NAME --folder FOLDER [--seeds 3]
    [--starts uniform nmf] [--drops 0.3 0.9] [--base "--model mf --dim 64 --density 0.1"]
    [--options "--epochs 40 --learning-rate 0.01"] [--page PAGE.md] [--threads 1]

About 30 minutes for LastFM. The ideas: the mask is taken from factors of the interactions (the
start `nmf`, and not `uniform`); entries grow where gradients that were summed over an epoch are
largest (`sparserec`, and not `rigl`, which sees the last batch alone); and only some rows are
summed at a time (`--explore 0.25`, and not 1). Without sums there is nothing to explore, so the
third stands on the second. Beside them a mask that stays, and growth at random. Each way is trained
with each of the drop fractions, and the page shows the one that is best on what training holds out,
in the mean over seeds; the test part is looked at once a run. Cells are lines of JSON in FOLDER,
and those that are there are not made again; PAGE shows all of them, of all data sets.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.arguments import add_page, parser_of
from benchmarks.cells import Cell, Cells, digest, finish
from benchmarks.figures import prose, table
from benchmarks.installed import sparserec
from benchmarks.pages import page_of


class Way(NamedTuple):
    """A way to change the mask.

    Attributes:
        name: what it is called.
        options: of `sparserec train`.
        accumulates, samples: which of the ideas it has.
        drops: whether the mask changes, so that a drop fraction says how much.
    """

    name: str
    options: str
    accumulates: bool = False
    samples: bool = False
    drops: bool = True


WAYS = {
    "static": Way("the mask stays", "--method static", drops=False),
    "random": Way("growth at random", "--method set"),
    "last": Way("growth by the last batch", "--method rigl"),
    "sums": Way("growth by sums of all rows", "--method sparserec --explore 1", accumulates=True),
    "sampled": Way(
        "growth by sums of a quarter of the rows", "--method sparserec --explore 0.25", True, True
    ),
}
FROM_FACTORS = "nmf"


def measure(files: Sequence[str], options: Sequence[Any]) -> Cell:
    """Trains on the first file, and looks at the second once."""
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        done = sparserec("train", files[0], "-o", run, *options)
        found = sparserec("evaluate", run, files[1]).report
    return {
        "held_out": done.report["validation_ndcg@20"],
        "ndcg": found["ndcg@20"],
        "recall": found["recall@20"],
        "epochs": done.report["best_epoch"],
        "entries": done.report["nnz"],
        "seconds": done.seconds,
        "peak_bytes": done.peak_bytes,
    }


def cells_of(given: argparse.Namespace, cells: Cells) -> None:
    """Makes all cells that are asked for and not there yet, seed after seed."""
    content = [digest(file) for file in (given.train, given.test)]
    for seed in range(given.seeds):
        for start in given.starts:
            for key, way in WAYS.items():
                for drop in given.drops if way.drops else [None]:
                    what = {"data": given.name, "files": content, "start": start, "way": key, "drop": drop}
                    what |= {"seed": seed, "options": f"{given.base} {given.options}"}
                    words = f"{given.base} {given.options} --start {start} {way.options}".split()
                    words += ["--drop-fraction", str(drop)] if way.drops else []
                    words += ["--seed", str(seed), "--threads", str(given.threads)]

                    def made(words: list[str] = words) -> Cell:
                        return measure((given.train, given.test), words)

                    cells.make(what, made)


def best_of(cells: Sequence[Cell]) -> list[Cell]:
    """Keeps the cells of the drop fraction that is best on held-out data, in the mean over seeds.

    Only fractions that all seeds have count, where there are such; of equals the first.
    """
    by_drop: dict[Any, list[Cell]] = {}
    for cell in cells:
        by_drop.setdefault(cell["what"]["drop"], []).append(cell)
    most = max(map(len, by_drop.values()))
    whole = [own for own in by_drop.values() if len(own) == most]
    return max(whole, key=lambda own: statistics.mean(cell["held_out"] for cell in own))


def section(name: str, cells: Sequence[Cell]) -> str:
    """Writes the table of a data set: a row for each start and way."""
    head = ["mask from factors", "sums", "sampled", "way", "drop", "seeds", "held out N@20", "sd"]
    head += ["R@20", "N@20", "epochs", "s", "peak MB"]
    rows = []
    for start in dict.fromkeys(cell["what"]["start"] for cell in cells):
        for key, way in WAYS.items():
            own = [cell for cell in cells if (cell["what"]["start"], cell["what"]["way"]) == (start, key)]
            if own:
                rows.append(_row(start, way, best_of(own)))
    words = prose(f"`sparserec train` with `{cells[0]['what']['options']}`.")
    return "\n\n".join([f"## {name}", words, table(head, rows)])


def _row(start: str, way: Way, own: Sequence[Cell]) -> list[str]:
    held_out, ndcg, recall, seconds = (
        [cell[field] for cell in own] for field in ("held_out", "ndcg", "recall", "seconds")
    )
    drop = own[0]["what"]["drop"]
    ideas = ["yes" if has else "" for has in (start == FROM_FACTORS, way.accumulates, way.samples)]
    deviation = f"{statistics.stdev(held_out):.4f}" if len(own) > 1 else "-"
    return [
        *ideas,
        f"`{start}`, {way.name}",
        "-" if drop is None else f"{drop:g}",
        str(len(own)),
        f"{statistics.mean(held_out):.4f}",
        deviation,
        f"{statistics.mean(recall):.4f}",
        f"{statistics.mean(ndcg):.4f}",
        ", ".join(str(cell["epochs"]) for cell in own),
        f"{statistics.mean(seconds):.0f}",
        f"{max(cell['peak_bytes'] for cell in own) / 1e6:.0f}",
    ]


def page(cells: Cells, _: Path) -> str:
    """Writes the page of all data sets."""
    words = (
        "What each of the three ideas adds: the mask from factors of the interactions, growth by gradients that are"
        " summed over an epoch, and sums of some rows at a time. All ways store as many entries. Means over seeds;"
        " the drop fraction is the one that is best on what training holds out, by which epochs are chosen as well;"
        " sd is that of the held-out figure. R@20 and N@20 are on the test part."
    )
    names = dict.fromkeys((cell["what"]["data"], cell["what"]["options"]) for cell in cells.all)
    sections = [section(name, cells.of(data=name, options=options)) for name, options in names]
    machines = [cell["machine"] for cell in cells.all]
    return page_of("The three ideas, alone and together", "ablation", machines, words, sections)


def main() -> None:
    """Makes the cells that are missing, and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("train", nargs="?", help="interactions to train on")
    parser.add_argument("test", nargs="?", help="interactions to measure on")
    add_page(parser)
    parser.add_argument("--folder", type=Path, default=Path("ablation"))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--starts", nargs="+", default=["uniform", FROM_FACTORS])
    parser.add_argument("--drops", nargs="+", type=float, default=[0.3, 0.9], help="drop fractions to try")
    parser.add_argument("--base", default="--model mf --dim 64 --density 0.1", help="what is trained")
    parser.add_argument("--options", default="--epochs 40 --learning-rate 0.01", help="how")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    cells = Cells(given.folder, given.threads)
    if given.train:
        cells_of(given, cells)
    finish(given, cells, page)


if __name__ == "__main__":
    main()
