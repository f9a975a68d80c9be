"""Tiny data sets in the grammars of those of the catalogue, with checksums that fit."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from urllib.parse import urlsplit

from sparserec_np.data.catalogue import DataSet, catalogue
from tests.makers.web import Page, Web

GENRE_MARKS = "|".join("1" if place in (3, 5) else "0" for place in range(19))
RATED = "".join(f"{1 + n % 6}\t{10 + n % 7}\t{1 + n % 5}\t{880000000 + n}\n" for n in range(40))
MEMBERS = {
    "ml-100k/u.data": RATED,
    "ml-100k/u.item": f"1|Toy Story (1995)|01-Jan-1995||http://x|{GENRE_MARKS}\n"
    + f"2|Café, Le (1996)|01-Jan-1996||http://y|{GENRE_MARKS}\n",
    **{f"ml-100k/u{k}.{part}": RATED for k in range(1, 6) for part in ("base", "test")},
    "ml-1m/ratings.dat": RATED.replace("\t", "::"),
    "ml-1m/movies.dat": "1::Toy Story (1995)::Animation|Comedy\n2::Café, Le (1996)::Drama\n",
    "ml-20m/ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n2,2,4.0,1112486028\n",
    "ml-20m/movies.csv": 'movieId,title,genres\n2,"Café, Le (1996)",Drama\n',
}
LISTS = b"0 3 1 2\n1 0 4\n2 1 \n"
PAIRS = b"3\t2\t57\r\n1\t4\t9\r\n1\t3\t9\r\n"


def archive(folder: str) -> bytes:
    """A zip file of the members in a folder, and one whose name leads out of it.

    It has the same bytes whenever it is made.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:

        def add(name: str, content: bytes) -> None:
            file.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # of the year 1980

        add("../../escaped.txt", b"out")
        for name, text in MEMBERS.items():
            if name.startswith(f"{folder}/"):
                add(name, text.encode("utf-8" if name.endswith(".csv") else "latin-1"))
    return packed.getvalue()


def published(name: str) -> dict[str, bytes]:
    """Name -> bytes of the files of a tiny data set."""
    files = catalogue()[name].files
    if files[0].name.endswith(".zip"):
        return {file.name: archive(name) for file in files}
    return {file.name: PAIRS if name == "lastfm" else LISTS for file in files}


def tiny(name: str, contents: dict[str, bytes] | None = None) -> DataSet:
    """A row of the catalogue whose sizes and checksums are those of the tiny files."""
    row, contents = catalogue()[name], contents or published(name)
    files = tuple(
        dataclasses.replace(
            file,
            bytes=len(contents[file.name]),
            checksum=f"sha256:{hashlib.sha256(contents[file.name]).hexdigest()}",
        )
        for file in row.files
    )
    return dataclasses.replace(row, files=files)


def mirror(web: Web, name: str, contents: dict[str, bytes] | None = None) -> None:
    """Lays out a tiny data set on a server as a mirror has it."""
    contents = contents or published(name)
    for file in catalogue()[name].files:
        place = urlsplit(file.address)
        web.pages[f"/{place.netloc}{place.path}"] = Page(contents[file.name])
