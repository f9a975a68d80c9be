"""Readers and writers of interaction files.

=============  ==========================================================  =========
grammar        a line of it                                                written?
=============  ==========================================================  =========
adjacency      ``user item item ...`` (LightGCN)                           yes
udata          ``user <tab> item <tab> rating <tab> time`` (MovieLens)     no
ratings-dat    ``user::item::rating::time`` (MovieLens)                    no
csv, tsv       fields, with or without a header                            yes
inter          tabs, header ``user_id:token item_id:token ...`` (RecBole)  yes
npz            a SciPy sparse matrix, users x items, numbered from 0       yes
mtx            a Matrix Market matrix, users x items, numbered from 1      yes
safetensors    the arrays themselves, mapped into memory                   yes
=============  ==========================================================  =========

Each may be compressed with gzip, and each may come from standard input, named ``-``.
"""

from __future__ import annotations

import math
import os
from typing import NamedTuple

from sparserec_np.data.formats.adjacency import read_adjacency
from sparserec_np.data.formats.delimited import FoundPairs, read_delimited
from sparserec_np.data.formats.detect import FORMATS, check_format, detect_format
from sparserec_np.data.formats.layout import Columns, find_layout
from sparserec_np.data.formats.mapped import read_mapped
from sparserec_np.data.formats.matrices import read_matrix
from sparserec_np.data.formats.source import Source
from sparserec_np.data.formats.writing import WRITABLE, format_to_write, write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, DataError

__all__ = [
    "FORMATS",
    "WRITABLE",
    "Reading",
    "format_to_write",
    "read_file",
    "read_interactions",
    "write_interactions",
]


class Reading(NamedTuple):
    """The interactions that a file held, and how the file was understood."""

    interactions: Interactions
    format: str
    pairs_read: int
    below_min_rating: int


def read_interactions(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    user_col: str | int | None = None,
    item_col: str | int | None = None,
    rating_col: str | int | None = None,
    time_col: str | int | None = None,
    min_rating: float | None = None,
) -> Interactions:
    """Reads a file of interactions, in any grammar of :data:`FORMATS`, compressed or not.

    Ids stay what they are in the file. A column of ids is read as integers if all of it is integers
    without leading zeros, else as strings. Repeated pairs are merged and counted; users without
    items are kept (``adjacency``, ``npz``, ``mtx``, ``safetensors``); times are read where there
    are any, ISO dates as seconds since 1970.

    Args:
        path: the file, or ``"-"`` for standard input.
        format: its grammar; by default told from content and name.
        user_col: for ``csv``, ``tsv`` and the like: the name in the header, or the number from 0,
            of the user column.
        item_col: likewise of the item column.
        rating_col: likewise of the rating column.
        time_col: likewise of the time column.
        min_rating: leave out pairs rated below this.

    Returns:
        The interactions, at least one.

    Raises:
        DataError: the file is empty, a line is no interaction (the message holds its number), or a
            column is missing.
        ConfigError: the format is unknown, ``min_rating`` is not finite, or columns are named for a
            format without columns.
        OSError: the file cannot be opened.
    """
    return read_file(
        path,
        format=format,
        min_rating=min_rating,
        user_col=user_col,
        item_col=item_col,
        rating_col=rating_col,
        time_col=time_col,
    ).interactions


def read_file(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    min_rating: float | None = None,
    **columns: str | int | None,
) -> Reading:
    """Reads a file as :func:`read_interactions` does, and says how it was understood.

    ``columns`` are ``user_col`` and so on.
    """
    if min_rating is not None and not math.isfinite(min_rating):
        raise ConfigError(f"The lowest rating must be a finite number, found {min_rating}.")
    wanted = Columns(**{name.removesuffix("_col"): column for name, column in columns.items()})
    with Source(os.fspath(path)) as source:
        kind = check_format(format) if format else detect_format(source)
        pairs = _read(source, kind, wanted, min_rating, named=format is not None)
        if pairs.interactions.n_interactions == 0:
            rest = f" at or above rating {min_rating:g}" if pairs.below and min_rating is not None else ""
            raise DataError(f"{source.name} holds no interaction{rest}: expected at least one.")
        return Reading(pairs.interactions, kind, pairs.read, pairs.below)


def _read(source: Source, kind: str, columns: Columns, min_rating: float | None, named: bool) -> FoundPairs:
    """Hands an open source to the reader of its grammar."""
    if kind not in ("adjacency", "npz", "mtx", "safetensors"):
        return read_delimited(source, find_layout(source, kind, columns), min_rating)
    if any(wish is not None for wish in columns):
        raise DataError(
            f"{source.name} is read as {kind}, which has no columns to name; pass --format csv if it has columns."
        )
    if kind in ("npz", "mtx"):
        return read_matrix(source, kind, min_rating)
    if min_rating is not None:
        raise DataError(
            f"{source.name} is read as {kind}, which has no rating column for --min-rating {min_rating:g}; "
            "name its --format if it has one."
        )
    if kind == "safetensors":
        mapped = read_mapped(source)
        return FoundPairs(mapped, mapped.n_interactions, 0)
    interactions, read = read_adjacency(source, words=named)
    return FoundPairs(interactions, read, 0)
