"""Which method makes the most of a budget, by model and by density, on several data sets?

    python -m benchmarks.studies.comparisons TRAIN TEST --name NAME --folder FOLDER --runs RUNS
    [--models mf fism lightgcn neumf] [--densities 0.01 0.05 0.1] [--methods sparserec static ...]
    [--seeds 3] [--options "--epochs 5"] [--said "what was shortened"] [--jobs 2] [--page PAGE.md]

About 70 minutes for LastFM. A cell is a model and a density: the installed command `sparserec
compare` trains all methods of it from one start, each tuned by held-out data as always, and looks
at TEST once a run. Its runs stay in RUNS, where a call that was stopped goes on. What came out is a
line of JSON in FOLDER, and a cell that is there is not made again; PAGE shows all of them, of all
data sets. The gain is that of `sparserec` over the best of the others on TEST itself, which favours
the other; p is that of Wilcoxon's test over users, and after it corrected for all tests of a data
set (Holm).
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import add_page, parser_of
from benchmarks.cells import Cell, Cells, digest, finish
from benchmarks.figures import prose, table
from benchmarks.installed import sparserec
from benchmarks.pages import page_of

OURS = "sparserec"
METHODS = (OURS, "rigl", "set", "static", "magnitude", "granet", "dense-small")
MODELS = ("mf", "fism", "lightgcn", "neumf")


def measured(given: argparse.Namespace, model: str, density: float) -> Cell:
    """Compares all methods of a cell."""
    folder = given.runs / given.name
    words = ["--model", model, "--density", density, "--start", given.start, "--seeds", given.seeds]
    words += [word for method in given.methods for word in ("--method", method)]
    words += ["--jobs", given.jobs, *given.options.split()]
    sparserec("compare", given.train, "--test", given.test, "-o", folder, *words)
    return cell_of(json.loads((folder / "report.json").read_text(encoding="utf-8")))


def cell_of(report: dict[str, Any]) -> Cell:
    """Takes from the report of one model and density what a page shows of it."""
    figures = [
        {
            "method": one["method"],
            "entries": one["entries"],
            "bytes": one["bytes"],
            "ndcg": one["figures"]["ndcg@20"]["mean"],
            "deviation": one["figures"]["ndcg@20"]["deviation"],
            "recall": one["figures"]["recall@20"]["mean"],
            "held_out": statistics.mean(run["validation"] for run in one["runs"]),
            "seconds": statistics.mean(run["seconds"] for run in one["runs"]),
            "peak_bytes": max(run["peak_bytes"] for run in one["runs"]),
        }
        for one in report["variants"]
    ]
    gains = [{name: one[name] for name in ("other", "gain", "p")} for one in report["gains"]]
    return {"methods": figures, "gains": gains, "impossible": [one["reason"] for one in report["impossible"]]}


def cells_of(given: argparse.Namespace, cells: Cells) -> None:
    """Makes all cells that are asked for and not there yet."""
    content = [digest(file) for file in (given.train, given.test)]
    for model in given.models:
        for density in given.densities:
            what = {"data": given.name, "files": content, "model": model, "density": density}
            what |= {"methods": given.methods, "start": given.start, "seeds": given.seeds}
            what |= {"options": given.options, "said": given.said}

            def made(model: str = model, density: float = density) -> Cell:
                return measured(given, model, density)

            cells.make(what, made)


def section(name: str, cells: Sequence[Cell]) -> str:
    """Writes the tables of a data set: quality by method, the gains, and what it cost."""
    methods = [one for one in METHODS if any(one in names_of(cell) for cell in cells)]
    quality = table(["model", "density", *methods], [_row(cell, methods, _quality) for cell in cells])
    cost = table(["model", "density", *methods], [_row(cell, methods, _cost) for cell in cells])
    found = [(cell, gain) for cell in cells for gain in cell["gains"]]
    from sparserec_np.evaluation.user_values import holm  # heavy: `--help` does not wait for it

    corrected = holm(np.array([gain["p"] for _, gain in found]))
    gains = [_gain(cell, gain, float(p)) for (cell, gain), p in zip(found, corrected, strict=True)]
    words = "; ".join(dict.fromkeys(_said(cell) for cell in cells))
    parts = [f"## {name}", prose(words), "N@20 on the test part, and its deviation over seeds:", quality]
    parts += [table(["model", "density", "best other", "gain", "p", "p (Holm)"], gains)]
    parts += ["Seconds of a run, its choice of a learning rate included, and MB at the peak:", cost]
    return "\n\n".join(parts)


def names_of(cell: Cell) -> list[str]:
    """Lists the methods that a cell has figures of."""
    return [one["method"] for one in cell["methods"]]


def _row(cell: Cell, methods: Sequence[str], write: Any) -> list[str]:
    found = {one["method"]: one for one in cell["methods"]}
    best = max(one["ndcg"] for one in cell["methods"])
    row = [write(found[one], found[one]["ndcg"] == best) if one in found else "-" for one in methods]
    return [cell["what"]["model"], f"{cell['what']['density']:g}", *row]


def _quality(one: dict[str, Any], best: bool) -> str:
    figure = f"**{one['ndcg']:.4f}**" if best else f"{one['ndcg']:.4f}"
    return figure if one["deviation"] is None else f"{figure} ± {one['deviation']:.4f}"


def _cost(one: dict[str, Any], best: bool) -> str:
    return f"{one['seconds']:.0f} s, {one['peak_bytes'] / 1e6:.0f}"


def _gain(cell: Cell, gain: dict[str, Any], p: float) -> list[str]:
    what, found = cell["what"], [f"{one:.3f}" if one >= 0.001 else "< .001" for one in (gain["p"], p)]
    other = next(one for one in METHODS if f"-{one}-density" in gain["other"])
    return [what["model"], f"{what['density']:g}", other, f"{100 * gain['gain']:+.2f} %", *found]


def _said(cell: Cell) -> str:
    what = cell["what"]
    words = f"start `{what['start']}`, {what['seeds']} seed{'s' * (what['seeds'] != 1)}"
    words += f", `{what['options']}`" if what["options"] else ""
    return f"{words} ({what['said']})" if what["said"] else words


def page(cells: Cells, _: Path) -> str:
    """Writes the page of all data sets."""
    words = (
        "What methods make of as many stored entries, from the same start, each tuned in the same way by data that"
        " training holds out. 64 columns. The gain is that of sparserec over the best of the others on the test part"
        " itself. dense-small cannot be where there is less than one entry a row."
    )
    names = dict.fromkeys(cell["what"]["data"] for cell in cells.all)
    machines = [cell["machine"] for cell in cells.all]
    return page_of(
        "Methods at the same budget",
        "comparisons",
        machines,
        words,
        [section(name, cells.of(data=name)) for name in names],
    )


def main() -> None:
    """Makes the cells that are missing, and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("train", nargs="?", help="interactions to train on")
    parser.add_argument("test", nargs="?", help="interactions to measure on")
    add_page(parser)
    parser.add_argument("--folder", type=Path, default=Path("comparisons"))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where trained runs stay")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--densities", nargs="+", type=float, default=[0.01, 0.05, 0.1])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--start", default="spectral", help="that all methods have")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--options", default="", help="more options of `sparserec compare`")
    parser.add_argument("--said", default="", help="why there are such options, for the page")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    cells = Cells(given.folder, 1)
    if given.train:
        cells_of(given, cells)
    finish(given, cells, page)


if __name__ == "__main__":
    main()
