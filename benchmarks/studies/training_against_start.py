"""What does training add to its start, by loss and with or without growth, on interactions held out?

    python -m benchmarks.studies.training_against_start FILE --name NAME --folder FOLDER
    [--seeds 5] [--ways softmax static bpr bpr-static] [--base "--entries 453370 --dim 512"]
    [--options "--epochs 6 --learning-rate 0.003"] [--page PAGE.md] [--threads 2]

About 180 minutes for Gowalla. Each seed holds out a tenth of FILE of its own, which nothing is
chosen by. On the rest the installed command `sparserec` makes a fism whose users are sums: from its
start alone, and trained in several ways. Learning rate and epochs are chosen as they always are, on
a part of that rest, unless --options names them; epoch 0 may be what is kept. --base holds what all
ways have in common: the same start, if it pins one. Means and paired tests are over seeds. A way
that the product refuses is told with its sentence. Cells are lines of JSON in FOLDER, and those
that are there are not made again; PAGE shows all of them, of all data sets.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import sparserec_np
from benchmarks.arguments import add_page, parser_of
from benchmarks.cells import Cell, Cells, digest, finish
from benchmarks.figures import prose, table
from benchmarks.installed import RefusedError, sparserec
from benchmarks.pages import page_of

HELD_OUT = 0.1
MODEL = "--model fism --user-rows sum"
START = "start"
# Way -> what it is called, and its options of `sparserec train`. With `static` no entry comes or goes.
WAYS = {
    START: ("start alone", "--epochs 0"),
    "softmax": ("softmax, growth", "--loss softmax --method sparserec"),
    "static": ("softmax, mask kept", "--loss softmax --method static"),
    "bpr": ("bpr, growth", "--loss bpr --method sparserec"),
    "bpr-static": ("bpr, mask kept", "--loss bpr --method static"),
}


class Difference(NamedTuple):
    """What a way adds to the start, over the seeds that have both.

    Attributes:
        seeds: how many.
        mean, deviation: of the differences in NDCG@20; the deviation is 0 for one seed.
        t, wilcoxon: p of the paired tests, two-sided; None where they say nothing, as of one seed
            or where nothing differs.
    """

    seeds: int
    mean: float
    deviation: float
    t: float | None
    wilcoxon: float | None


def compare(start: Sequence[float], trained: Sequence[float]) -> Difference:
    """Compares NDCG@20 by seed.

    >>> compare([0.1, 0.2], [0.1, 0.2])
    Difference(seeds=2, mean=0.0, deviation=0.0, t=None, wilcoxon=None)
    """
    apart = [one - other for one, other in zip(trained, start, strict=True)]
    mean = statistics.mean(apart)
    if len(apart) < 2:
        return Difference(len(apart), mean, 0.0, None, None)
    deviation = statistics.stdev(apart)
    if not any(apart) or deviation < 1e-12:
        return Difference(len(apart), mean, deviation, None, None)
    from scipy import stats  # heavy: `--help` does not wait for it

    t = float(stats.ttest_rel(trained, start).pvalue)
    wilcoxon = float(stats.wilcoxon([one for one in apart if one]).pvalue)
    return Difference(len(apart), mean, deviation, t, wilcoxon)


def hold_out(file: str, seed: int, folder: str) -> tuple[str, str]:
    """Writes the two parts of a seed: to train on, and to measure on; returns their paths."""
    log = sparserec_np.read_interactions(file)
    parts = sparserec_np.split_random(log, HELD_OUT, np.random.default_rng([seed, 2]))
    paths = tuple(os.path.join(folder, name) for name in ("kept.safetensors", "held_out.safetensors"))
    for part, path in zip(parts, paths, strict=True):
        sparserec_np.write_interactions(part, path)
    return paths[0], paths[1]


def measure(parts: tuple[str, str], options: Sequence[Any]) -> Cell:
    """Trains on one part and measures on the other; what cannot be trained is told in ``refused``."""
    kept, held_out = parts
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        try:
            done = sparserec("train", kept, "-o", run, *options)
        except RefusedError as refusal:
            return {"refused": str(refusal)}
        found = sparserec("evaluate", run, held_out).report
        settings = json.loads(Path(run, "config.json").read_text(encoding="utf-8"))
    return {
        "ndcg": found["ndcg@20"],
        "recall": found["recall@20"],
        "chosen": {name: settings.get(name) for name in ("dim", "start", "learning_rate")},
        "epochs": done.report["best_epoch"],
        "entries": done.report["nnz"],
        "seconds": done.seconds,
        "peak_bytes": done.peak_bytes,
    }


def cells_of(given: argparse.Namespace, cells: Cells) -> None:
    """Makes all cells that are asked for and not there yet, seed after seed."""
    content = digest(given.file)
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            parts: tuple[str, str] | None = None
            for way in [START, *given.ways]:
                _, own = WAYS[way]
                of_training = "" if way == START else given.options
                options = " ".join(filter(None, [own, of_training]))
                what = {"data": given.name, "file": content, "way": way, "seed": seed, "base": given.base}
                what |= {"options": options}
                words = [
                    *f"{MODEL} {given.base} {options}".split(),
                    "--seed",
                    seed,
                    "--threads",
                    given.threads,
                ]

                def made(words: list[Any] = words) -> Cell:
                    nonlocal parts
                    parts = parts or hold_out(given.file, seed, folder)  # noqa: B023
                    return measure(parts, words)

                cells.make(what, made)


def section(name: str, cells: Sequence[Cell]) -> str:
    """Writes the table of what has one base: a row for each way and its options."""
    starts = {cell["what"]["seed"]: cell["ndcg"] for cell in cells if cell["what"]["way"] == START}
    head = ["way", "options", "seeds", "N@20", "added", "sd", "t, p", "Wilcoxon, p", "epochs", "s", "peak MB"]
    rows, refused = [], []
    kinds = dict.fromkeys((cell["what"]["way"], cell["what"]["options"]) for cell in cells)
    for way, options in sorted(kinds, key=lambda kind: list(WAYS).index(kind[0])):
        own = [cell for cell in cells if (cell["what"]["way"], cell["what"]["options"]) == (way, options)]
        refused += [f"* {WAYS[way][0]}: {cell['refused']}" for cell in own[:1] if "refused" in cell]
        own = [cell for cell in own if "refused" not in cell and cell["what"]["seed"] in starts]
        if own:
            rows.append([WAYS[way][0], f"`{options}`", *_figures(way, own, starts)])
    base = f"{MODEL} {cells[0]['what']['base']}".strip()
    lines = [f"## {name}, `{base}`", "", table(head, rows)]
    return "\n".join([*lines, "", *map(prose, refused)] if refused else lines)


def _figures(way: str, own: Sequence[Cell], starts: dict[int, float]) -> list[str]:
    reached = [cell["ndcg"] for cell in own]
    added = ["", "", "", ""]
    if way != START:
        found = compare([starts[cell["what"]["seed"]] for cell in own], reached)
        tests = ["-" if p is None else f"{p:.3f}" for p in (found.t, found.wilcoxon)]
        added = [f"{found.mean:+.4f}", f"{found.deviation:.4f}", *tests]
    epochs = ", ".join(str(cell["epochs"]) for cell in own)
    seconds = statistics.mean(cell["seconds"] for cell in own)
    peak = max(cell["peak_bytes"] for cell in own) / 1e6
    mean = statistics.mean(reached)
    return [str(len(own)), f"{mean:.4f}", *added, epochs, f"{seconds:.0f}", f"{peak:.0f}"]


def page(cells: Cells, _: Path) -> str:
    """Writes the page of all data sets."""
    words = (
        "NDCG@20 on a tenth of the training part that each seed holds out and that nothing is chosen by, as a mean over"
        " seeds; what training adds to the start of the same seed, the standard deviation of that, and p of paired"
        " tests. Learning rate and epochs are chosen on a part of the rest, unless the options name them; epochs are"
        " those kept, of each seed. A fism takes no teacher, so distillation has no row."
    )
    kinds = dict.fromkeys((cell["what"]["data"], cell["what"]["base"]) for cell in cells.all)
    sections = [section(name, cells.of(data=name, base=base)) for name, base in kinds]
    machines = [cell["machine"] for cell in cells.all]
    return page_of("Training against its start", "training_against_start", machines, words, sections)


def main() -> None:
    """Makes the cells that are missing, and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("file", nargs="?", help="interactions, of which parts are held out")
    add_page(parser)
    parser.add_argument("--folder", type=Path, default=Path("training-against-start"))
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    trained = [way for way in WAYS if way != START]
    parser.add_argument("--ways", nargs="*", choices=trained, default=trained)
    parser.add_argument("--base", default="", help="options of `sparserec train` that all ways have")
    parser.add_argument("--options", default="", help="options that all ways but the start alone have")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    cells = Cells(given.folder, given.threads)
    if given.file:
        cells_of(given, cells)
    finish(given, cells, page)


if __name__ == "__main__":
    main()
