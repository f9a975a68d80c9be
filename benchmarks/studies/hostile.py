"""What does a file made to harm do to the reader: a sentence or not, in how long and how much memory?

    python -m benchmarks.studies.hostile [--only NAME ...] [--page PAGE.md]

About 10 minutes. Each file is made, and described by the command in a process of its own, which may
take ten minutes. The study fails where a process ends in anything but a sentence and the exit code
1, or what was read, or where it takes more than the memory or time said to be its bounds.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import add_page, parser_of
from benchmarks.figures import table
from benchmarks.machine import describe
from benchmarks.output import tell, write
from benchmarks.pages import page_of
from benchmarks.processes import environment_for

MOST_SECONDS, MOST_BYTES = 600, 3_000_000_000
LONG = 2 << 30  # bytes of a line, or of what a bomb unpacks to
PART = 1 << 20
# The command in a process that says its peak at the end.
RUN = """
import sys
from benchmarks.processes import memory
from cli.main import main
try:
    main(["data", "describe", sys.argv[1]])
finally:
    print(memory("VmHWM"))
"""


def _long(opener: Callable[..., Any], what: bytes, head: bytes = b"") -> Callable[[Path], None]:
    """Makes a file of one part again and again, compressed or not."""

    def make(path: Path) -> None:
        with opener(path, "wb") as stream:
            stream.write(head)
            for _ in range(LONG // PART):
                stream.write(what * (PART // len(what)))

    return make


def _text(content: bytes) -> Callable[[Path], None]:
    return lambda path: void(path.write_bytes(content))


def void(_: object) -> None:
    """Returns nothing, whatever it is given."""


def _distinct(path: Path) -> None:
    """Ten million users, and as many items, each with one interaction."""
    with open(path, "wb") as stream:
        for start in range(0, 10**7, 10**5):
            stream.write(b"".join(b"%d,%d\n" % (one, 10**9 + one) for one in range(start, start + 10**5)))


def _words(path: Path) -> None:
    """The same, with words for ids."""
    with open(path, "wb") as stream:
        for start in range(0, 10**7, 10**5):
            stream.write(b"".join(b"u%d,i%d\n" % (one, one) for one in range(start, start + 10**5)))


def _objects(path: Path) -> None:
    """An archive of arrays of objects, which would be unpickled."""
    odd = np.array([{"a": 1}], dtype=object)
    np.savez(path, data=odd, indices=odd, indptr=odd, shape=odd, format=odd)


def _matrix_bomb(path: Path) -> None:
    """An archive of a sparse matrix, whose one array unpacks to two gigabytes of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, some in (("indices", [0]), ("indptr", [0, 1]), ("shape", [1, 1])):
            whole = io.BytesIO()
            np.save(whole, np.array(some))
            archive.writestr(f"{name}.npy", whole.getvalue())
        whole = io.BytesIO()
        np.save(whole, np.array(b"csr"))
        archive.writestr("format.npy", whole.getvalue())
        whole = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            whole, {"descr": "<f8", "fortran_order": False, "shape": (LONG // 8,)}
        )
        with archive.open("data.npy", "w", force_zip64=True) as stream:
            stream.write(whole.getvalue())
            for _ in range(LONG // PART):
                stream.write(bytes(PART))


def _zip_bomb(path: Path) -> None:
    """An archive of one CSV that unpacks to two gigabytes on one line."""
    packed = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", packed) as archive, archive.open("log.csv", "w", force_zip64=True) as one:
        for _ in range(LONG // PART):
            one.write(b"1" * PART)


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: os.symlink(target, path)


MATRIX = b"%%MatrixMarket matrix coordinate real general\n"
# What it is -> the name of the file, and what makes it.
FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "ids up to 2^63 and beyond": ("ids.csv", _text(b"9223372036854775807,1\n9223372036854775808,2\n-1,3\n")),
    "10^7 users and 10^7 items, numbers": ("many.csv", _distinct),
    "10^7 users and 10^7 items, words": ("words.csv", _words),
    "a line of 2 GB": ("line.csv", _long(open, b"1")),
    "2 GB of line ends": ("ends.csv", _long(open, b"\n", b"1,2\n")),
    "2 GB of commas": ("commas.csv", _long(open, b",")),
    "a header of 2 GB": ("header.csv", _long(open, b"a,", b"user,item,")),
    "gzip of a line of 2 GB": ("line.csv.gz", _long(gzip.open, b"1")),
    "gzip of 2 GB of line ends": ("ends.csv.gz", _long(gzip.open, b"\n")),
    "bzip2 of a line of 2 GB": ("line.csv.bz2", _long(bz2.open, b"1")),
    "xz of a line of 2 GB": ("line.csv.xz", _long(lzma.open, b"1")),
    "zip of a line of 2 GB": ("line.zip", _zip_bomb),
    "npz of an array of 2 GB": ("bomb.npz", _matrix_bomb),
    "mtx in gzip, 2 GB of blanks": (
        "bomb.mtx.gz",
        _long(gzip.open, b" ", MATRIX),
    ),
    "mtx of 2*10^9 rows": (
        "rows.mtx",
        _text(b"%%MatrixMarket matrix coordinate real general\n2000000000 2000000000 1\n1 1 1\n"),
    ),
    "JSON 10^6 deep": ("deep.jsonl", _text(b'{"user": ' * 10**6 + b"1" + b"}" * 10**6 + b"\n")),
    "JSON of brackets 10^6 deep": ("brackets.jsonl", _text(b'{"user": 1, "item": ' + b"[" * 10**6 + b"\n")),
    "a JSON number of 10^6 digits": ("digits.jsonl", _text(b'{"user": 1, "item": ' + b"7" * 10**6 + b"}\n")),
    "NUL bytes": ("nul.csv", _text(b"user,item\n1,2\n3,\0\n")),
    "nothing but NUL bytes": ("zeros.csv", _text(bytes(10**7))),
    "UTF-16 with a mark": ("mark.csv", _text("user,item\n1,2\n".encode("utf-16"))),
    "UTF-16 without a mark": ("bare.csv", _text("user,item\n1,2\n".encode("utf-16-le"))),
    "an npz of objects": ("objects.npz", _objects),
    "an npy of objects": ("objects.npy", lambda path: np.save(path, np.array([{}], dtype=object))),
    "a name of 20 kB among 10^5 short ones": (
        "wide.csv",
        _text(b"".join(b"u%d,i%d\n" % (one, one) for one in range(10**5)) + b"u," + b"x" * 20_000 + b"\n"),
    ),
    "/dev/zero": ("zero", _link("/dev/zero")),
    "/dev/urandom": ("random", _link("/dev/urandom")),
    "a folder": ("folder.csv", lambda path: path.mkdir()),
    "an empty file": ("empty.csv", _text(b"")),
}


def tried(what: str, folder: Path) -> dict[str, Any]:
    """Makes a file, has it described, and says how that ended."""
    name, make = FILES[what]
    path = folder / name
    make(path)
    clock = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(path)],
        env=environment_for(1),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, said = process.communicate(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, said = process.communicate()
        said = f"ended after {MOST_SECONDS} seconds"
    seconds = time.perf_counter() - clock
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    lines = out.split()
    peak = int(lines[-1]) if lines and lines[-1].isdigit() else 0
    sentence = " ".join(said.replace(str(folder) + os.sep, "").split())
    sound = process.returncode in (0, 1) and "Traceback" not in said and 0 < peak < MOST_BYTES
    return {
        "what": what,
        "code": process.returncode,
        "said": sentence or "read",
        "seconds": seconds,
        "peak": peak,
        "sound": sound and seconds < MOST_SECONDS,
    }


def shown(rows: list[dict[str, Any]]) -> str:
    """Writes the figures as a table."""
    cells = [
        [
            row["what"],
            str(row["code"]),
            f"{row['seconds']:.1f}",
            f"{row['peak'] / 1e6:.0f}",
            row["said"][:160].replace("|", "\\|"),
        ]
        for row in rows
    ]
    return table(["file", "exit code", "seconds", "peak MB", "what was said"], cells)


def main() -> int:
    """Tries all files, and prints or writes the table."""
    parser = parser_of(__file__, __doc__ or "")
    parser.add_argument("--only", nargs="+", choices=list(FILES), default=list(FILES))
    add_page(parser)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for what in given.only:
            rows.append(tried(what, Path(scratch)))
            sys.stderr.write(f"{rows[-1]}\n")
    tell(rows, given.json, shown)
    if given.page:
        words = (
            "Files made to harm, each described by `sparserec data describe` in a process of its own: how it ended,"
            " what it said, and the most memory the system saw (VmHWM)."
        )
        write(given.page, page_of("Hostile files", "hostile", [describe(1)], words, [shown(rows)]))
    return int(not all(row["sound"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
