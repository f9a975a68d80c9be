"""Files that are no interactions at all, or that something has to be done with first, by their first bytes."""

from __future__ import annotations

import io
import zipfile

from sparserec_np.data.formats.source import Source
from sparserec_np.errors import DataError

_UNPACK = "unpack it first; what gzip, bzip2 or xz compressed is read as it is"
_EXPORT = "export a table of users and items from it, as CSV"
# First bytes -> what the file is, and what to do.
_KNOWN = {
    b"\x93NUMPY": (
        "an array of NumPy (.npy)",
        "pass its columns to Interactions.from_pairs, or write CSV with numpy.savetxt",
    ),
    b"BZh": ("compressed twice, inside by bzip2", _UNPACK),
    b"\xfd7zXZ\x00": ("compressed twice, inside by xz", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", _UNPACK),
    b"\x04\x22\x4d\x18": ("compressed by lz4", _UNPACK),
    b"\x1f\x8b": ("compressed twice, inside by gzip", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"Rar!\x1a\x07": ("a RAR archive", _UNPACK),
    b"PK\x05\x06": ("an empty zip archive", _UNPACK),
    b"FEA1": ("a Feather file of version 1", "write it again as version 2, or as Parquet"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("a workbook of Excel", "save it as CSV"),
    b"SQLite format 3\x00": ("a database of SQLite", _EXPORT),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", _EXPORT),
    b"Obj\x01": ("an Avro file", _EXPORT),
    b"ORC": ("an ORC file", "write it as Parquet, or as CSV"),
    b"%PDF": ("a PDF document", _EXPORT),
}
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in (2, 3, 4, 5))
_PAGES = (b"<!doctype", b"<html", b"<?xml")


def refuse_foreign(source: Source) -> None:
    """Refuses what is no table or matrix of interactions, and says what it is.

    Raises:
        DataError: it is another kind of file.
    """
    head = source.head()
    what, advice = _found(head)
    if what:
        raise DataError(f"{source.name} is {what}; {advice}.")


def refuse_archive(name: str, content: bytes) -> None:
    """Refuses a zip file that holds no arrays of NumPy.

    Raises:
        DataError: it is a workbook, or an archive of other files.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # what reads it says more
    if any(one.endswith(".npy") for one in names):
        return
    if "[Content_Types].xml" in names:
        raise DataError(f"{name} is a workbook or document of Office; save it as CSV.")
    inside = f", of {names[0]!r} and others" if len(names) > 1 else f" of {names[0]!r}" if names else ""
    raise DataError(f"{name} is a zip archive{inside}; {_UNPACK}.")


def _found(head: bytes) -> tuple[str, str]:
    for start, said in _KNOWN.items():
        if head.startswith(start) and not (start == b"ORC" and head[3:4].isalnum()):
            return said
    if head.startswith(_PICKLES):
        return "a pickle of Python, which is never opened here", "write the interactions as CSV"
    if head[257:262] == b"ustar":
        return "a tar archive", _UNPACK
    if head.lstrip()[:9].lower().startswith(_PAGES):
        return "a page of HTML or XML", "download or export the data themselves"
    return "", ""
