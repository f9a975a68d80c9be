"""The choice of a file's grammar, from its first bytes and its name."""

from __future__ import annotations

from sparserec_np.data.formats.layout import first_lines, sniff_separator
from sparserec_np.data.formats.mapped import looks_mapped
from sparserec_np.data.formats.source import Source, shown
from sparserec_np.errors import ConfigError, DataError

# Grammar -> what it looks like, in the words of a help text.
FORMATS = {
    "adjacency": "'user item item ...' a line, separated by blanks (LightGCN)",
    "udata": "user, item, rating, time separated by tabs (MovieLens u.data)",
    "ratings-dat": "user::item::rating::time (MovieLens ratings.dat)",
    "csv": "fields separated by commas, semicolons, bars, tabs or blanks, with or without a header",
    "tsv": "fields separated by tabs, with or without a header",
    "inter": "RecBole: tabs, and a header such as user_id:token, item_id:token",
    "npz": "a SciPy sparse matrix, users x items, numbered from 0",
    "mtx": "a Matrix Market matrix, users x items, numbered from 1",
    "safetensors": "this library's own: the arrays as they lie in memory, mapped instead of read",
}

_ENDINGS = {
    ".npz": "npz",
    ".mtx": "mtx",
    ".safetensors": "safetensors",
    ".inter": "inter",
    ".csv": "csv",
    ".tsv": "tsv",
    ".data": "udata",
    ".dat": "ratings-dat",
    ".txt": "adjacency",
}


def format_of_name(path: str) -> str | None:
    """Returns the grammar that a file's ending stands for, ``.gz`` aside, or None.

    >>> format_of_name("ratings.CSV.gz"), format_of_name("notes")
    ('csv', None)
    """
    name = path.lower().removesuffix(".gz")
    return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)


def check_format(name: str) -> str:
    """Returns the name of a format, if there is such a format.

    Raises:
        ConfigError: there is no such format.
    """
    if name not in FORMATS:
        raise ConfigError(f"There is no format {name!r}; choose one of {', '.join(FORMATS)}.")
    return name


def detect_format(source: Source) -> str:
    """Tells the grammar of an open source: by content, by name where content leaves a choice.

    Raises:
        DataError: the file is empty, or like none of the grammars.
    """
    head = source.head()
    if head.startswith(b"PK\x03\x04"):
        return "npz"
    if head[:14].lower() == b"%%matrixmarket":
        return "mtx"
    if looks_mapped(head):
        return "safetensors"
    lines = first_lines(head)
    if not lines:
        raise DataError(f"{source.name} is empty: expected one interaction a line.")
    named = format_of_name(source.name)
    if named in ("npz", "mtx", "safetensors"):
        raise DataError(f"{source.name} does not start like a {named} file; name the --format it is in.")
    first = lines[0]
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
    if all(field.isdigit() for field in first.split()):
        return "adjacency"
    number = 1 + first_lines(head, blank_too=True).index(first)
    raise DataError(
        f"{source.name}, line {number}: expected an interaction in one of the formats {', '.join(FORMATS)}, "
        f"found {shown(first)}; name its --format if it is one of them."
    )
