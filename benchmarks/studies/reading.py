"""How long does it take to read ten million rows, from each kind of file and frame, and how much memory?

    python -m benchmarks.studies.reading FOLDER [--rows 10000000] [--ids numbers names uuids]
    [--ways csv parquet polars ...] [--repeat 3] [--page PAGE.md] [--threads 1] [--json]

About 20 minutes. It makes interactions whose users and items are as unequal as in real logs, with
ids that are numbers, texts of 11 or 12 characters, or texts of 36, and writes them into FOLDER in
every format; files that are there already are taken. Then each way to read them is measured in a
process of its own, and ways take turns: seconds, and the peak of memory over what the process held
before, with all modules loaded and frames made. Beside them stand pandas and polars that read the
same CSV and number the ids, which is the least that anybody needs, and makes no Interactions yet.
Every way must give the same interactions.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sparserec_np
from benchmarks import machine
from benchmarks.arguments import parser_of
from benchmarks.figures import prose, spread, table
from benchmarks.output import write, write_json
from benchmarks.pages import command_line, provenance
from benchmarks.processes import memory, peak_resident, pin, run_module

Record = dict[str, Any]

IDS = ("numbers", "names", "uuids")
FILES = {
    "csv": "log.csv",
    "quoted": "quoted.csv",
    "tsv": "log.tsv",
    "jsonl": "log.jsonl",
    "parquet": "log.parquet",
    "feather": "log.feather",
    "npz": "log.npz",
}
FRAMES = ("pandas", "polars", "pyarrow")
YARDSTICKS = ("pandas alone", "polars alone")
NAMES = {
    "csv": "CSV",
    "quoted": "CSV, all ids in quotes",
    "tsv": "TSV",
    "jsonl": "JSON lines",
    "parquet": "Parquet",
    "feather": "Feather",
    "npz": "`.npz` of SciPy",
    **{name: f"frame of {name}" for name in FRAMES},
    "pandas alone": "*pandas: `read_csv`, `factorize`*",
    "polars alone": "*polars: `read_csv`, codes*",
}
ARROW = ("pyarrow.compute", "pyarrow.ipc", "pyarrow.parquet")
MODULES = {"parquet": ARROW, "feather": ARROW, "npz": ("scipy.io", "scipy.sparse")}
MADE = "made.json"
ROWS_OF_A_USER, ROWS_OF_AN_ITEM = 50, 200  # on average
PACKAGES = ("pandas", "polars", "pyarrow")


# ---- making the files


def make_rows(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Draws users and items of interactions, (rows,) int64 each, numbered from 0 without gaps.

    How often somebody comes falls with their rank as in logs of shops and of songs: log-normal.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for share in (ROWS_OF_A_USER, ROWS_OF_AN_ITEM):
        weights = np.cumsum(rng.lognormal(0, 1.3, max(rows // share, 2)))
        numbers = np.searchsorted(weights, rng.random(rows) * weights[-1])
        drawn.append(np.unique(numbers, return_inverse=True)[1].astype(np.int64))
    return drawn[0], drawn[1]


def name_ids(kind: str, noun: str, count: int, seed: int) -> Any:
    """Names ``count`` users or items: int64 numbers, or a list of texts in their order."""
    if kind == "numbers":
        return np.arange(count, dtype=np.int64)
    if kind == "names":
        return [f"{noun}-{number:07d}" for number in range(count)]
    drawn = np.random.default_rng(seed).bytes(16 * count).hex()
    whole = (drawn[start : start + 32] for start in range(0, len(drawn), 32))
    return sorted(f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}" for one in whole)


def make_files(folder: Path, kind: str, rows: int) -> None:
    """Writes the same interactions in every format, unless they are there."""
    made = {"rows": rows, "kind": kind}
    if (folder / MADE).exists() and json.loads((folder / MADE).read_text()) == made:
        return
    import polars
    import pyarrow.feather
    import pyarrow.parquet
    from scipy import sparse

    folder.mkdir(parents=True, exist_ok=True)
    numbers = dict(zip(("user", "item"), make_rows(rows), strict=True))
    columns = {
        noun: polars.Series(noun, name_ids(kind, noun, int(codes.max()) + 1, seed))[codes]
        for seed, (noun, codes) in enumerate(numbers.items(), 1)
    }
    frame = polars.DataFrame(columns)
    frame.write_csv(folder / FILES["csv"])
    frame.write_csv(folder / FILES["quoted"], quote_style="always")
    frame.write_csv(folder / FILES["tsv"], separator="\t")
    frame.write_ndjson(folder / FILES["jsonl"])
    arrow = pyarrow.table({noun: column.to_arrow() for noun, column in columns.items()})
    pyarrow.parquet.write_table(arrow, folder / FILES["parquet"])
    pyarrow.feather.write_feather(arrow, str(folder / FILES["feather"]))
    if kind == "numbers":
        ones = np.ones(rows, dtype=np.float32)
        sparse.save_npz(folder / FILES["npz"], sparse.csr_matrix((ones, (numbers["user"], numbers["item"]))))
    write_json(folder / MADE, made)


def ways_of(kind: str) -> list[str]:
    """Lists the ways to read ids of this kind."""
    return [way for way in (*FILES, *FRAMES, *YARDSTICKS) if way != "npz" or kind == "numbers"]


# ---- one measurement, in a process of its own


def reader_of(way: str, folder: Path) -> Callable[[], Any]:
    """Prepares a way to read, with all that does not count: modules, and the frame to convert."""
    if way in FILES:
        path = folder / FILES[way]
        for name in MODULES.get(way, ()):
            importlib.import_module(name)
        return lambda: sparserec_np.read_interactions(path)
    path = folder / FILES["parquet"]
    library = importlib.import_module(way.split()[0])
    if way == "pandas alone":
        return lambda: _numbered_by_pandas(library, folder / FILES["csv"])
    if way == "polars alone":
        return lambda: _numbered_by_polars(library, folder / FILES["csv"])
    from sparserec_np.data.conversion import as_interactions

    importlib.import_module("narwhals")
    if way == "pyarrow":
        frame = importlib.import_module("pyarrow.parquet").read_table(path)
    else:
        frame = library.read_parquet(path)
    return lambda: as_interactions(frame)


def _numbered_by_pandas(pandas: Any, path: Path) -> list[Any]:
    frame = pandas.read_csv(path)
    return [pandas.factorize(frame[noun], sort=True) for noun in ("user", "item")]


def _numbered_by_polars(polars: Any, path: Path) -> Any:
    frame = polars.read_csv(path)
    if frame.schema["user"] != polars.String:
        return frame.select(polars.all().rank("dense"))
    return frame.select(polars.all().cast(polars.Categorical).to_physical())


def forget_peak() -> None:
    """Makes the peak of memory begin anew, where Linux lets a process do that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def measure(way: str, folder: str, threads: int) -> Record:
    """Measures a way: its seconds, its peak of memory, and what it gave."""
    pin(threads)
    read = reader_of(way, Path(folder))
    gc.collect()
    forget_peak()
    before = memory("VmRSS")
    clock, processors = time.perf_counter(), time.process_time()
    found = read()
    seconds, busy = time.perf_counter() - clock, time.process_time() - processors
    peak = peak_resident() - before
    own = isinstance(found, sparserec_np.Interactions)
    return {
        "seconds": seconds,
        "processor_seconds": busy,
        "peak_bytes": peak,
        "held_bytes": found.nbytes if own else None,
        "digest": found.digest() if own else None,
        "rows": found.n_interactions + found.duplicates if own else None,
    }


# ---- the table


def measure_all(given: argparse.Namespace, kind: str) -> dict[str, list[Record]]:
    """Measures all ways in turns, each in a process of its own; returns the records by way."""
    folder = given.folder / kind
    ways = [way for way in ways_of(kind) if not given.ways or way in given.ways]
    found: dict[str, list[Record]] = {way: [] for way in ways}
    for turn in range(given.repeat):
        for way, records in found.items():
            words = json.dumps([way, str(folder), given.threads])
            said = run_module("benchmarks.studies.reading", ["--one", words], given.threads)
            records.append(json.loads(said.splitlines()[-1]))
            one = records[-1]
            peak = f"{one['peak_bytes'] / 1e6:6.0f} MB"
            print(
                f"{turn + 1}  {one['seconds']:7.2f} s  {one['processor_seconds']:7.2f} s  {peak}  {kind}, {way}",
                flush=True,
            )
    check_same(found)
    return found


def check_same(found: dict[str, list[Record]]) -> None:
    """Leaves the program if two ways gave other interactions."""
    digests = {one["digest"]: way for way, records in found.items() for one in records if one["digest"]}
    if len(digests) > 1:
        raise SystemExit(f"Error: {' and '.join(digests.values())} give other interactions.")


def written(found: dict[str, list[Record]], folder: Path) -> str:
    """Writes the records of one kind of ids as a table."""
    head = ["way", "MB on disk", "s", "s of processors", "peak MB", "MB held"]
    rows = []
    for way, records in found.items():
        path = folder / FILES.get(way, "csv" if way in YARDSTICKS else "none")
        path = folder / FILES["csv"] if way in YARDSTICKS else path
        held = records[0]["held_bytes"]
        rows.append(
            [
                NAMES[way],
                f"{path.stat().st_size / 1e6:,.0f}" if path.is_file() else "-",
                str(spread(one["seconds"] for one in records)),
                f"{spread(one['processor_seconds'] for one in records).median:.2f}",
                f"{spread(one['peak_bytes'] for one in records).median / 1e6:,.0f}",
                f"{held / 1e6:,.0f}" if held else "-",
            ]
        )
    return table(head, rows)


EXAMPLES = {
    "numbers": "whole numbers",
    "names": "texts such as `user-0012345`",
    "uuids": "texts of 36 characters",
}


def page_of(tables: dict[str, str], rows: int, command: str, about: dict[str, Any]) -> str:
    """Writes the page of one run."""
    words = (
        f"Seconds from a file, or from a frame in memory, to `Interactions`; {rows:,} rows of two columns, in no order,"
        " users and items as unequal as in real logs. Each measurement is a process of its own, ways take turns:"
        " medians, with the least and the most behind them. Modules are loaded and frames are made before the clock"
        " runs. Peak MB are over what the process held then, so they count the interactions and not the frame; MB held"
        " are the interactions alone. The two yardsticks in italics read the same CSV and number the ids, and have no"
        " rows in order, no duplicates merged and nothing checked then. All other ways gave the same interactions, by"
        " their digest."
    )
    parts = ["# Reading: files and frames", "", provenance(command, [about]), "", prose(words)]
    for kind, text in tables.items():
        parts += ["", f"## Ids that are {EXAMPLES[kind]}", "", text]
    return "\n".join([*parts, ""])


def main() -> None:
    """Makes the files, measures, prints and writes the page."""
    parser = parser_of(__file__, __doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the files are, or are made")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--ids", nargs="*", choices=IDS, default=list(IDS))
    parser.add_argument("--ways", nargs="*", choices=list(NAMES), help="by default all")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--page", type=Path, help="the page to write")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--make", choices=IDS, help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*json.loads(given.one))))
        return
    if given.folder is None:
        parser.error("expected FOLDER")
    if given.make:
        make_files(given.folder / given.make, given.make, given.rows)
        return
    records, tables = {}, {}
    for kind in given.ids:  # a process of its own makes files: what it took is given back
        words = [str(given.folder), "--make", kind, "--rows", str(given.rows)]
        run_module("benchmarks.studies.reading", words)
        records[kind] = measure_all(given, kind)
        tables[kind] = written(records[kind], given.folder / kind)
    if given.page:
        about = machine.describe(given.threads)
        about["versions"] |= {name: machine.package_version(name) for name in PACKAGES}
        write(given.page, page_of(tables, given.rows, command_line("reading"), about))
    print(json.dumps(records) if given.json else "\n\n".join(tables.values()))


if __name__ == "__main__":
    main()
