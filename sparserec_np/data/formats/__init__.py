"""Readers and writers of interaction files.

=============  ==========================================================  =========
grammar        a line of it                                                written?
=============  ==========================================================  =========
adjacency      ``user item item ...`` (LightGCN)                           yes
udata          ``user <tab> item <tab> rating <tab> time`` (MovieLens)     no
ratings-dat    ``user::item::rating::time`` (MovieLens)                    no
csv, tsv       fields, with or without a header                            yes
inter          tabs, header ``user_id:token item_id:token ...`` (RecBole)  yes
jsonl          ``{"user": 1, "item": 7}``                                  no
npz            a SciPy sparse matrix, users x items, numbered from 0       yes
mtx            a Matrix Market matrix, users x items, numbered from 1      yes
parquet        a table of Arrow's, read by pyarrow                         no
feather        the same                                                    no
safetensors    the arrays themselves, mapped into memory                   yes
=============  ==========================================================  =========

Each may be compressed with gzip, bzip2 or xz, or be alone in a zip archive, and each may come from
standard input, named ``-``.

One rule holds for what is rated, in all of them: a rating of 0 or less is no interaction.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from sparserec_np.data.core import k_core
from sparserec_np.data.formats.adjacency import read_adjacency, refuse_doubtful, would_be_doubtful
from sparserec_np.data.formats.arrow import read_arrow
from sparserec_np.data.formats.delimited import TableReader
from sparserec_np.data.formats.detect import detect_format
from sparserec_np.data.formats.json_lines import read_json_lines
from sparserec_np.data.formats.layout import find_layout
from sparserec_np.data.formats.mapped import read_mapped
from sparserec_np.data.formats.matrices import read_matrix
from sparserec_np.data.formats.options import FORMATS, ReaderOptions, without_core
from sparserec_np.data.formats.signatures import refuse_foreign
from sparserec_np.data.formats.source import Source
from sparserec_np.data.formats.tally import Tally
from sparserec_np.data.formats.writing import WRITABLE, format_to_write, write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError

__all__ = [
    "FORMATS",
    "WRITABLE",
    "Reading",
    "format_to_write",
    "read_file",
    "read_interactions",
    "without_core",
    "would_be_doubtful",
    "write_interactions",
]

TABLES = ("csv", "tsv", "udata", "ratings-dat", "inter")


@dataclass(frozen=True)
class Reading:
    """The interactions that a file held, and how the file was understood.

    Attributes:
        name: of the file, for messages.
        interactions: what it held.
        format: its grammar.
        tally: what was counted on the way.
        unread: names of its columns that were not read.
    """

    name: str
    interactions: Interactions
    format: str
    tally: Tally
    unread: tuple[str, ...] = ()

    @property
    def pairs_read(self) -> int:
        """Rows with an interaction, those left out for their rating included."""
        return self.tally.read

    @property
    def below_min_rating(self) -> int:
        """Of these, left out by ``min_rating``."""
        return self.tally.below

    @property
    def doubts(self) -> list[str]:
        """What may be wrong with the file, or with how it was read, in sentences."""
        return [f"{self.name}: {note}" for note in self.tally.doubts()]

    @property
    def notes(self) -> list[str]:
        """The same, and which rows are no interactions."""
        return [*self.doubts, *(f"{self.name}: {note}" for note in self.tally.left_out())]


def read_interactions(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    user_col: str | int | None = None,
    item_col: str | int | None = None,
    rating_col: str | int | None = None,
    time_col: str | int | None = None,
    min_rating: float | None = None,
    header: bool | None = None,
    quote: str | None = None,
    on_bad_line: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    line_order: str | None = None,
    min_user: int | None = None,
    min_item: int | None = None,
    weight_col: str | int | None = None,
    dislike_below: float | None = None,
) -> Interactions:
    """Reads a file of interactions, in any grammar of :data:`FORMATS`, compressed or not.

    A column of ids is read as integers if all of it is integers without leading zeros, else as
    strings; an id that is empty, NaN, NULL or the like is refused. Repeated pairs are merged and
    counted; users without items are kept (``adjacency``, ``npz``, ``mtx``, ``safetensors``). A
    rating of 0 or less, or false, is no interaction; a missing or unreadable one leaves out
    nothing. Times are read where all can be, ISO dates as seconds since 1970. What was asked for by
    name is never unreadable in silence.

    Args:
        path: the file, or ``"-"`` for standard input.
        format: its grammar; by default told from content and name.
        user_col: for ``csv`` and the like: the column's name in the header, or its number from 0.
        item_col: the same of items.
        rating_col: the same of ratings; ``"none"`` for no such column.
        time_col: the same of times; ``"none"`` for no such column.
        min_rating: leave out pairs rated below this, instead of those rated 0 or less.
        header: whether the first line names the columns; by default told from the first lines.
        quote: ``"double"``, if fields may stand in double quotes, or ``"none"``. By default the
            first, except that where tabs separate fields a quoted one ends on its own line.
        on_bad_line: ``"error"`` refuses a line that is no interaction, ``"skip"`` leaves it out.
        encoding: of text; by default UTF-8, or what a byte order mark says.
        decimal: the mark in decimal fractions, ``"."`` or ``","``.
        line_order: of adjacency files, ``"time"`` where lines are in the order of time, or
            ``"none"``; by default the first, unless nearly all lines are sorted.
        min_user: leave out users with fewer interactions, again and again until all have as many.
        min_item: the same of items, in turn with users.
        weight_col: a column of weights; of a matrix ``"values"``. Those of repeated pairs add up.
        dislike_below: rows rated below this are dislikes; a pair that is rated both ways is one.

    Returns:
        The interactions, at least one.

    Raises:
        DataError: the file is empty, a line is no interaction, a column is missing, or two readings
            fit; the message names the line, or the options that tell.
        ConfigError: a value that is none of these, or columns are named for a format without.
        OSError: the file cannot be opened.
    """
    return read_file(**locals()).interactions


def read_file(path: str | os.PathLike[str], **given: Any) -> Reading:
    """Reads a file as :func:`read_interactions` does, and says how it was understood.

    ``given`` are the keywords of that.
    """
    options = ReaderOptions(**given)
    with Source(os.fspath(path), options.encoding) as source:
        tally = Tally.of(source, options)
        refuse_foreign(source)
        kind = options.format or detect_format(source)
        log = _read(source, kind, options, tally)
        tally.check_most_were_read(source.name)
        if log.n_interactions == 0:
            raise DataError(
                f"{source.name} holds no interaction{_why_none(tally, options)}: expected at least one."
            )
        if options.min_user is not None or options.min_item is not None:
            log = k_core(log, options.min_user or 1, options.min_item or 1)
        return Reading(source.name, log, kind, tally, tuple(source.unread))


def _mapped(source: Source, options: ReaderOptions, tally: Tally) -> Interactions:
    """Opens a mapped file, and leaves out its weights where they are not wanted."""
    mapped = read_mapped(source)
    tally.read = mapped.n_interactions
    if options.weight_col is not None and options.weighs_by is None:
        return replace(mapped, weights=None)
    if options.weighs_by is not None and mapped.weights is None:
        raise DataError(f"{source.name} was written without weights, which --weight-col values asks for.")
    tally.weight = None if mapped.weights is None else "weights"
    tally.disliked = 0 if mapped.disliked is None else mapped.disliked.n_interactions
    return mapped


def _why_none(tally: Tally, options: ReaderOptions) -> str:
    if tally.below and options.min_rating is not None:
        return f" at or above rating {options.min_rating:g}"
    if tally.not_positive:
        return f" with {tally.rating} above 0 (--rating-col none counts all rows)"
    return ""


def _read(source: Source, kind: str, options: ReaderOptions, tally: Tally) -> Interactions:
    """Hands an open source to the reader of its grammar."""
    if kind in TABLES:
        return TableReader(source, find_layout(source, kind, options), options, tally).read()
    if kind == "jsonl":
        return read_json_lines(source, options, tally)
    if kind in ("parquet", "feather"):
        return read_arrow(source, kind, options, tally)
    if options.describes_columns:
        raise DataError(
            f"{source.name} is read as {kind}, which has no columns to name; pass --format csv if it has columns."
        )
    if kind in ("npz", "mtx"):
        return read_matrix(source, kind, options, tally)
    for option, bound in (("--min-rating", options.min_rating), ("--dislike-below", options.dislike_below)):
        if bound is not None:
            raise DataError(
                f"{source.name} is read as {kind}, which has no rating column for {option} {bound:g}; "
                "name its --format, as --format csv, if it has one."
            )
    if kind == "safetensors":
        return _mapped(source, options, tally)
    if options.weighs_by is not None:
        raise DataError(f"{source.name} is read as {kind}, which has no weights for --weight-col values.")
    if options.format is None:
        refuse_doubtful(source)
    return read_adjacency(source, options.format is not None, tally, options.line_order)
