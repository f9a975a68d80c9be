"""Public data sets by name: where each is published, on what terms, and what it becomes.

The table is ``catalogue.json`` beside this module: data, not code.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True)
class PublishedFile:
    """A file as its publisher offers it.

    Attributes:
        address: where it is, by http or https.
        bytes: its size; None where none is published.
        checksum: ``kind:digest``, where the kind is a row of
            :data:`~sparserec_np.data.download.DIGESTS`; None where none is known.
        checksum_from: who says so.
    """

    address: str
    bytes: int | None = None
    checksum: str | None = None
    checksum_from: str | None = None

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.rpartition("/")[2]


@dataclass(frozen=True)
class Part:
    """A file that a data set becomes.

    Attributes:
        to: its name.
        by: how it is made, a row of :data:`~sparserec_np.data.published.CONVERSIONS`.
        source: the name of the published file.
        member: what it is in an archive; None where the published file is no archive.
    """

    to: str
    by: str
    source: str
    member: str | None = None


@dataclass(frozen=True)
class DataSet:
    """A row of the catalogue.

    Attributes:
        name: what it is fetched by.
        title: its name in full.
        users, items: how many there are, as those who publish it count them.
        interactions: how many pairs of both there are.
        to_test: how many of them are in the published test part; None where there is no such part.
        licence: the terms, in short.
        licence_address: where the terms, or the publisher, can be read.
        citation: what a publication that uses it cites.
        files: as they are published.
        parts: what they become.
    """

    name: str
    title: str
    users: int
    items: int
    interactions: int
    to_test: int | None
    licence: str
    licence_address: str
    citation: str
    files: tuple[PublishedFile, ...]
    parts: tuple[Part, ...]

    @property
    def bytes(self) -> int | None:
        """What is to be downloaded; None where a size is not known."""
        total = 0
        for file in self.files:
            if file.bytes is None:
                return None
            total += file.bytes
        return total


def read_catalogue(path: Path) -> dict[str, DataSet]:
    """Reads a table of data sets.

    >>> sorted(read_catalogue(TABLE))[-2:]
    ['ml-32m', 'yelp2018']
    """
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: DataSet(
            name=name,
            files=tuple(PublishedFile(**file) for file in row.pop("files")),
            parts=tuple(Part(**part) for part in row.pop("parts")),
            **row,
        )
        for name, row in rows.items()
    }


@functools.cache
def catalogue() -> Mapping[str, DataSet]:
    """Returns name -> data set, in the order in which they are listed."""
    return read_catalogue(TABLE)
