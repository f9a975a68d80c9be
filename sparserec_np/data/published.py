"""Fetching a public data set: downloaded, verified, and converted into files that the commands read."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from sparserec_np.data.catalogue import DataSet, Part
from sparserec_np.data.download import PART, Downloaded, Watcher, digest_of, download
from sparserec_np.errors import DataError
from sparserec_np.machine.files import gathering

RECORD = "SOURCE.json"  # what a folder holds of where its files come from
ORIGINAL = "original"  # the folder in it of files as they were published
RATINGS_HEADER = b"userId,movieId,rating,timestamp\n"
ITEMS_HEADER = ("movieId", "title", "genres")
# The columns of marks in u.item, in their order there.
GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)

Conversion = Callable[[IO[bytes], IO[bytes]], None]


@dataclass(frozen=True)
class Fetched:
    """A data set in a folder.

    Attributes:
        folder: where it is.
        record: what ``SOURCE.json`` holds: where the files come from, on what terms, how large they
            are, and their digests.
        downloaded: whether anything had to be done for it.
    """

    folder: str
    record: dict[str, Any]
    downloaded: bool


def mirrored(address: str, mirror: str | None) -> str:
    """Returns where a mirror has a file: under its own address, by host and path, as ``wget -x`` lays it out.

    >>> mirrored("https://files.grouplens.org/datasets/x.zip", "http://127.0.0.1:8000/")
    'http://127.0.0.1:8000/files.grouplens.org/datasets/x.zip'
    """
    if mirror is None:
        return address
    place = urlsplit(address)
    return f"{mirror.rstrip('/')}/{place.netloc}{place.path}"


def already_fetched(chosen: DataSet, folder: str, overwrite: bool = False) -> Fetched | None:
    """Returns what a folder holds of a data set, whole and unchanged; None where it is to be fetched.

    Raises:
        DataError: the folder holds another data set, or files of the same names that are not from
            there, and they are not to be overwritten.
    """
    record = read_record(folder)
    there = [part.to for part in chosen.parts if os.path.lexists(os.path.join(folder, part.to))]
    if record is not None and record.get("name") == chosen.name and len(there) == len(chosen.parts):
        written = {row["file"]: row["sha256"] for row in record["files"]}
        paths = {name: os.path.join(folder, name) for name in there}
        if all(digest_of(paths[name], "sha256") == written.get(name) for name in there):
            return Fetched(folder, record, downloaded=False)
    taken = ", ".join(there) if there else record and record["name"]
    if taken and not overwrite:
        raise DataError(
            f"{folder} holds {taken} already, not as {chosen.name} has it; name another folder, or give"
            " --overwrite to replace it."
        )
    return None


def read_record(folder: str) -> dict[str, Any] | None:
    """Returns what ``SOURCE.json`` in a folder holds; None where there is none, or it is not ours."""
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as stream:
            record = json.load(stream)
        return record if isinstance(record["files"], list) and record["name"] else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def fetch(
    chosen: DataSet,
    folder: str,
    mirror: str | None = None,
    keep: bool = False,
    watcher: Watcher | None = None,
) -> Fetched:
    """Downloads a data set, verifies and converts it, and writes the result into a folder.

    What is published lies in the folder ``original`` of it meanwhile, and stays there if it is to
    be kept, or the download broke off. The converted files and ``SOURCE.json`` appear together, or
    none does.

    Args:
        chosen: a row of the catalogue. Whoever calls this has accepted its licence.
        folder: where to write to; made if it is not there.
        mirror: address to download from instead; see :func:`mirrored`.
        keep: whether the files stay as they were published, too.
        watcher: is told how it goes.

    Raises:
        DataError: what is published cannot be had, or is not what it should be.
        OSError: of the disk.
    """
    original = os.path.join(folder, ORIGINAL)
    was_there = os.path.isdir(folder)
    os.makedirs(original, exist_ok=True)
    try:
        got = {
            file.name: download(file, original, mirrored(file.address, mirror), watcher)
            for file in chosen.files
        }
        with gathering(folder) as unfinished:
            rows = [
                {"file": part.to, **_make(part, got[part.source], os.path.join(unfinished, part.to))}
                for part in chosen.parts
            ]
            record = _record(chosen, got, rows)
            with open(os.path.join(unfinished, RECORD), "w", encoding="utf-8") as stream:
                json.dump(record, stream, indent=2)
                stream.write("\n")
        if not keep:
            shutil.rmtree(original)
    finally:
        for place in (original, *(() if was_there else (folder,))):
            with contextlib.suppress(OSError):  # it holds something, or is gone
                os.rmdir(place)
    return Fetched(folder, record, downloaded=True)


def parts_left(folder: str) -> list[str]:
    """Names the files in a folder whose download broke off and can go on."""
    original = os.path.join(folder, ORIGINAL)
    names = os.listdir(original) if os.path.isdir(original) else []
    return sorted(os.path.join(original, name) for name in names if name.endswith(PART))


def _record(chosen: DataSet, got: dict[str, Downloaded], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Says where files come from, on what terms, and what they were compared with."""
    return {
        "name": chosen.name,
        "title": chosen.title,
        "licence": chosen.licence,
        "licence_address": chosen.licence_address,
        "citation": chosen.citation,
        "published": [
            {
                "address": file.address,
                "bytes": got[file.name].bytes,
                "sha256": got[file.name].sha256,
                "compared": got[file.name].compared,
                "checksum_from": file.checksum_from,
            }
            for file in chosen.files
        ],
        "files": rows,
    }


def _make(part: Part, source: Downloaded, path: str) -> dict[str, Any]:
    """Makes one file of what was downloaded; tells its size and digest.

    Names in an archive are looked up and never written to.

    Raises:
        DataError: the archive is damaged, or lacks the file.
    """
    try:
        with _opened(part, source.path) as given, open(path, "wb") as made:
            CONVERSIONS[part.by](given, made)
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(f"{source.path} is no sound archive: {error}.") from error
    except (ValueError, IndexError) as error:
        raise DataError(f"{part.member or part.source} is not as expected: {error}.") from error
    return {"bytes": os.path.getsize(path), "sha256": digest_of(path, "sha256")}


@contextlib.contextmanager
def _opened(part: Part, path: str) -> Iterator[IO[bytes]]:
    """Opens what a part is made of: a file, or a file in an archive."""
    if part.member is None:
        with open(path, "rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive:
        try:
            member = archive.open(part.member)
        except KeyError as error:
            raise DataError(f"{path} holds no {part.member}, which was published in it.") from error
        with member:
            yield member


def _copy(given: IO[bytes], made: IO[bytes]) -> None:
    shutil.copyfileobj(given, made, 1 << 20)


def _ratings(mark: bytes) -> Conversion:
    """Makes CSV of lines of a user, an item, a rating and a time, with a mark between them."""

    def convert(given: IO[bytes], made: IO[bytes]) -> None:
        made.write(RATINGS_HEADER)
        for number, line in enumerate(given, 1):
            fields = line.split(mark)
            if len(fields) != 4:
                raise ValueError(f"line {number} has {len(fields)} fields, expected 4")
            made.write(b",".join(fields).rstrip(b"\r\n") + b"\n")

    return convert


def _films(mark: str, genres: Callable[[list[str]], str]) -> Conversion:
    """Makes CSV of films of lines of their number, title and more, with a mark between them."""

    def convert(given: IO[bytes], made: IO[bytes]) -> None:
        # Both were published in Latin-1.
        lines = io.TextIOWrapper(given, encoding="latin-1", newline=None)
        text = io.TextIOWrapper(made, encoding="utf-8", newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(ITEMS_HEADER)
        for line in lines:
            fields = line.rstrip("\n").split(mark)
            if len(fields) > 1:
                rows.writerow((fields[0], fields[1], genres(fields)))
        text.flush()
        text.detach()

    return convert


def _marked_genres(fields: list[str]) -> str:
    """Names the genres of a film whose last fields mark them by 1."""
    return "|".join(name for name, mark in zip(GENRES, fields[-len(GENRES) :], strict=True) if mark == "1")


def _pairs(given: IO[bytes], made: IO[bytes]) -> None:
    """Makes sorted lists of pairs counted from 1; in the lists, users and items count from 0."""
    lists: dict[int, set[int]] = {}
    for line in given:
        user, item = map(int, line.split()[:2])
        lists.setdefault(user - 1, set()).add(item - 1)
    for user in sorted(lists):
        made.write(" ".join(map(str, (user, *sorted(lists[user])))).encode() + b"\n")


# How a part is made of what is published.
CONVERSIONS: dict[str, Conversion] = {
    "copy": _copy,
    "tabs": _ratings(b"\t"),
    "colons": _ratings(b"::"),
    "films-by-bars": _films("|", _marked_genres),
    "films-by-colons": _films("::", lambda fields: fields[2]),
    "pairs": _pairs,
}
