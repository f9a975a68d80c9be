"""The choice of a file's grammar, from its first bytes and its name."""

from __future__ import annotations

import re

from sparserec_np.data.formats.header import ITEM_NAMES, USER_NAMES, plain
from sparserec_np.data.formats.layout import sniff_separator
from sparserec_np.data.formats.mapped import looks_mapped
from sparserec_np.data.formats.options import FORMATS
from sparserec_np.data.formats.packed import ENDINGS, ZIP
from sparserec_np.data.formats.source import Source, shown
from sparserec_np.errors import DataError

_JSON = re.compile(rb'\s*(\{\s*("|\}|$)|\[\s*(\{|\[|$))')  # not {...} around an id
_ENDINGS = {
    ".npz": "npz",
    ".mtx": "mtx",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
    ".safetensors": "safetensors",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".inter": "inter",
    ".csv": "csv",
    ".tsv": "tsv",
    ".data": "udata",
    ".dat": "ratings-dat",
    ".txt": "adjacency",
}


def format_of_name(path: str) -> str | None:
    """Returns the grammar that a file's ending stands for, that of its compression aside, or None.

    >>> format_of_name("ratings.CSV.gz"), format_of_name("notes")
    ('csv', None)
    """
    name = path.lower()
    name = next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)
    return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)


# First bytes -> the grammar that they stand for.
_STARTS = {
    ZIP: "npz",
    b"PAR1": "parquet",
    b"ARROW1": "feather",
    b"\xff\xff\xff\xff": "feather",  # Arrow's stream
}
BINARY = ("npz", "mtx", "parquet", "feather", "safetensors")


def detect_format(source: Source) -> str:
    """Tells the grammar of an open source: by content, by name where content leaves a choice.

    Raises:
        DataError: the file is empty, or like none of the grammars.
    """
    head = source.head()
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    if head[:14].lower() == b"%%matrixmarket":
        return "mtx"
    if looks_mapped(head):
        return "safetensors"
    numbered = source.lines(20)
    if not numbered:
        raise DataError(f"{source.name} is empty: expected one interaction a line.")
    lines = [line for _, line in numbered]
    named = format_of_name(source.ending)
    if named in BINARY:
        raise DataError(f"{source.name} does not start like a {named} file; name the --format it is in.")
    first = lines[0]
    if named == "jsonl" or _JSON.match(first):
        return "jsonl"
    if b"\t" in first and b":token" in first:
        return "inter"
    if first.count(b"::") >= 1 and b"," not in first and b"\t" not in first:
        return "ratings-dat"
    if named in ("csv", "tsv") and (sniff_separator(lines, named) in first):
        return named
    separator = sniff_separator(lines)
    if (
        separator == b"\t"
        and first.count(b"\t") == 3
        and all(field.strip().isdigit() for field in first.split(b"\t"))
    ):
        return "udata"
    if separator in (b",", b"\t", b";", b"|") and separator in first:
        return "tsv" if separator == b"\t" else "csv"
    fields = first.split()
    if all(field.isdigit() for field in fields):
        return "adjacency"
    names = {plain(field.decode("utf-8", "replace")) for field in fields}
    if names & {*USER_NAMES} and names & {*ITEM_NAMES}:
        return "csv"
    table = len({len(line.split()) for line in lines}) == 1 and len(fields) > 1
    raise source.refuse(
        numbered[0][0],
        f"an interaction in one of the formats {', '.join(FORMATS)}",
        shown(first),
        "pass --format csv if it is a table separated by blanks, --format adjacency if ids are words"
        if table
        else "name its --format if it is one of them",
    )
