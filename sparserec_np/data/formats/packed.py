"""Compressed files as streams of what is in them: gzip, bzip2, xz, and zip archives of one file.

They are told by their first bytes, whatever they are called. What is read stays a stream: nothing
is unpacked into a file or as a whole.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import zipfile
import zlib
from typing import Any, NamedTuple

from sparserec_np.errors import DataError

ZIP = b"PK\x03\x04"
ENDINGS = (".gz", ".bz2", ".xz", ".zip")
LONGEST_START = 10  # bytes that are looked at


class Packing(NamedTuple):
    """A kind of compression.

    Attributes:
        noun: what a file of it is called.
        start: a pattern of its first bytes.
        module: of the standard library, which a small Python may lack.
        opens: the class in it that makes a stream of a stream.
    """

    noun: str
    start: re.Pattern[bytes]
    module: str
    opens: str


PACKINGS = (
    Packing("gzip", re.compile(rb"\x1f\x8b"), "gzip", "GzipFile"),
    Packing("bzip2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), "bz2", "BZ2File"),
    Packing("xz", re.compile(rb"\xfd7zXZ\x00"), "lzma", "LZMAFile"),
)


class Unpacked(NamedTuple):
    """A stream of what a file holds.

    Attributes:
        stream: buffered, so that fewer bytes than were asked for mean the end.
        noun: what the file is called, as "gzip file"; empty where it is not compressed.
        name: of the file inside an archive, or None.
    """

    stream: Any
    noun: str = ""
    name: str | None = None


def unpacked(outer: io.BufferedReader[Any], name: str) -> Unpacked:
    """Makes a stream of what a file holds, compressed or not.

    A zip archive of arrays, as SciPy writes, is left as it is, and so is one of several files.

    Args:
        outer: the file, at its beginning.
        name: of the file, for messages.

    Raises:
        DataError: this Python lacks the module that unpacks it, or an archive cannot be read.
    """
    head = outer.peek(LONGEST_START)
    if head.startswith(ZIP):
        return _of_archive(outer, name)
    packing = next((one for one in PACKINGS if one.start.match(head)), None)
    if packing is None:
        return Unpacked(outer)
    try:
        opens = getattr(importlib.import_module(packing.module), packing.opens)
    except ImportError:
        raise DataError(
            f"{name} is compressed by {packing.noun}, and this Python has no module {packing.module};"
            " unpack it first, or compress it with gzip."
        ) from None
    return Unpacked(
        opens(filename=None, fileobj=outer) if packing.noun == "gzip" else opens(outer),
        f"{packing.noun} file",
    )


def is_damage(error: Exception) -> bool:
    """Tells whether an error, raised while a stream was read, is about what is compressed in it."""
    if isinstance(error, (EOFError, zlib.error, zipfile.BadZipFile)) or type(error).__name__ == "LZMAError":
        return True
    return isinstance(error, OSError) and error.errno is None  # of the system's errors, each has a number


def _of_archive(outer: io.BufferedReader[Any], name: str) -> Unpacked:
    """Opens the file in a zip archive, if it holds one alone that is no array of NumPy."""
    if not outer.seekable():  # the list of what is in it stands at its end
        outer = io.BufferedReader(io.BytesIO(outer.read()))
    try:
        archive = zipfile.ZipFile(outer)
        inside = [one for one in archive.infolist() if not _is_beside(one)]
        if len(inside) == 1 and not inside[0].filename.endswith(".npy"):
            return Unpacked(archive.open(inside[0]), "zip archive", inside[0].filename)
    except (zipfile.BadZipFile, ValueError, EOFError):  # which the reader of matrices has words for
        pass
    except (NotImplementedError, RuntimeError) as error:  # of a password, or of another compression
        reason = re.sub(r"<[^>]*>", "it", str(error)).rstrip(".")
        raise DataError(
            f"{name} is a zip archive that cannot be read here ({reason}); unpack it first."
        ) from None
    outer.seek(0)
    return Unpacked(outer)


def _is_beside(one: zipfile.ZipInfo) -> bool:
    """Tells whether something in an archive is no file of its own: a folder, or what macOS adds."""
    return (
        one.filename.endswith("/")
        or one.filename.startswith("__MACOSX/")
        or os.path.basename(one.filename) == ".DS_Store"
    )
