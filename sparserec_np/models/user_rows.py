"""Ways to make a user's row of the rows of the items they touched, by name in :data:`USER_ROWS`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import Array, SparseTable, column_dtype, index_dtype
from sparserec_np.kernels.arguments import NO_TRUSTS, Rows
from sparserec_np.machine.threads import made_together, shared_threads
from sparserec_np.runtime import RidgeTerms, Table, mark_factors, ridge_terms, row_entries

USERS_AT_ONCE = 1024  # whose rows a thread makes together
ROWS_AT_ONCE = 16_384  # that are held to be ranked together, at most,
ENTRIES_AT_ONCE = 1 << 21  # or with so many entries behind their sums, but for one row with more


class UserRows(Protocol):
    """A way to make users' rows, as lists are made with them.

    Attributes:
        marks_items: whether items have a column each, behind the others.
    """

    marks_items: ClassVar[bool]

    @property
    def row_entries(self) -> int | None:
        """The most entries that a row is cut to; None for as many as its dim asks for."""
        ...

    def cut_to(self, entries: int) -> UserRows:
        """Makes the same way, of rows cut to so many entries."""
        ...

    def made_by(self, items: SparseTable, dim: int) -> RowMaker:
        """Gets ready to make rows of ``items`` (n_items, dim), which stay as they are meanwhile."""
        ...

    def maker_bytes(self, items: SparseTable, dim: int) -> int:
        """Counts the bytes that this takes beside ``items``."""
        ...


class RowMaker(Protocol):
    """A way to make users' rows, with all that depends on the items alone."""

    def rows_of(self, users: Array, touched: Touched) -> SparseTable:
        """Makes the rows of ``users`` (m,) int32 of what they touched: m rows, float32."""
        ...

    def blocks(self, users: Array, touched: Touched) -> list[slice]:
        """Divides ``users`` (m,) into parts whose rows take some megabytes, if one user's do not."""
        ...


@dataclass(frozen=True)
class SumOfRows:
    """Rows that are weighted sums of the touched ones, of which the largest entries are kept.

    Attributes:
        weights: (n_items,) the numbers ``c``.
        row_entries: of a user's row, those of largest magnitude, of equals the lower column; None
            for as many as :func:`~sparserec_np.runtime.row_entries` says.
    """

    weights: Array
    row_entries: int | None = None

    summary: ClassVar[str] = "the sum of the touched items' rows, each times a number of the item's"
    trained: ClassVar[bool] = True
    solved: ClassVar[bool] = False
    # Settings that it trains best with, besides the model's: on tenths held out from MovieLens 1M
    # it then adds to what fitting reaches, where softmax, and a mask that changes, add nothing.
    advice: ClassVar[Mapping[str, Any]] = {
        "loss": "bpr",
        "method": "static",
        "relative_rate": True,
        "pairs_together": 16,
    }
    marks_items: ClassVar[bool] = False  # in a column for each, behind the others
    item_bytes: ClassVar[int] = 4  # beside its row, in the model file

    def cut_to(self, entries: int) -> UserRows:
        """Makes the same way, of rows cut to so many entries."""
        return replace(self, row_entries=entries)

    def made_by(self, items: SparseTable, dim: int) -> RowMaker:
        """Gets ready to make rows; see :class:`UserRows`."""
        return _Sums(self, items, dim)

    def maker_bytes(self, items: SparseTable, dim: int) -> int:
        """Counts nothing; see :class:`UserRows`."""
        return 0


@dataclass(frozen=True)
class _Sums:
    """The sums of rows of a table."""

    kind: SumOfRows
    items: SparseTable
    dim: int

    def rows_of(self, users: Array, touched: Touched) -> SparseTable:
        most = min(self.kind.row_entries or row_entries(self.dim), self.dim)
        columns = np.empty((len(users), most), np.int32)
        values = np.empty(columns.shape, self.items.values.dtype)
        counts = np.empty(len(users), np.int32)

        def make(some: slice) -> None:
            made = columns[some], values[some], counts[some]
            of_users = touched.of_users(users[some])
            kernels.fism.cut_sums(Rows.of(self.items), self.kind.weights, *of_users, self.dim, *made)

        starts = range(0, len(users), USERS_AT_ONCE)
        made_together(make, [slice(start, start + USERS_AT_ONCE) for start in starts], shared_threads())
        return _first_of(columns, values, counts, self.dim)

    def blocks(self, users: Array, touched: Touched) -> list[slice]:
        return _blocks_of(len(users))


@dataclass(frozen=True)
class RidgeSolve:
    """Rows that least squares give: near 1 on what was touched, near 0 elsewhere, and short.

    See :func:`~sparserec_np.runtime.solved_row`, of which this is the compiled form.

    Attributes:
        untouched: weight of an item that was not touched, against 1 of one that was.
        ridge: weight of the row's own length, in parts of the items' mean squared length.
        row_entries: the most that a user's row has; None as for sums.
    """

    untouched: float
    ridge: float
    row_entries: int | None = None

    summary: ClassVar[str] = "solved for by ridge regression, as in folding in; not trained further"
    trained: ClassVar[bool] = False
    solved: ClassVar[bool] = True
    advice: ClassVar[Mapping[str, Any]] = {}
    marks_items: ClassVar[bool] = False
    item_bytes: ClassVar[int] = 0

    def cut_to(self, entries: int) -> UserRows:
        """Makes the same way, of rows cut to so many entries."""
        return replace(self, row_entries=entries)

    def made_by(self, items: SparseTable, dim: int) -> RowMaker:
        """Gets ready to make rows; see :class:`UserRows`.

        Memory: (dim, dim) float64 at most.
        """
        terms = ridge_terms(Table(*items), dim, self.untouched, self.ridge)
        # Read-only arrays, as those of a mapped file, would be compiled for anew.
        table = SparseTable(*(np.require(array, requirements=["C", "A", "W"]) for array in items))
        return _Solutions(table, terms, min(self.row_entries or row_entries(dim), dim))

    def maker_bytes(self, items: SparseTable, dim: int) -> int:
        """Counts the products of all pairs of columns."""
        return 8 * dim**2


@dataclass(frozen=True)
class _Solutions:
    """The solutions from rows of a table."""

    items: SparseTable
    terms: RidgeTerms
    most: int

    def rows_of(self, users: Array, touched: Touched) -> SparseTable:
        log = touched.log
        columns = np.empty((len(users), self.most), np.int32)
        values = np.empty(columns.shape, np.float32)
        counts = np.empty(len(users), np.int32)
        trusts = NO_TRUSTS if log.own_weights is None else log.own_weights
        kernels.ridge.solve_users(
            self.items, *self.terms, log.indptr, log.items, trusts, users, columns, values, counts
        )
        return _first_of(columns, values, counts, len(self.terms.places))

    def blocks(self, users: Array, touched: Touched) -> list[slice]:
        return _blocks_of(len(users))


@dataclass(frozen=True)
class SumAndItems:
    """Rows that are cut sums in the first columns, and mark the touched items in those behind.

    Behind the marks, in as many columns more, are replies: what the touched items' rows say of
    others in the columns of these. So a pair of items stands once, and counts both ways. See
    :class:`~sparserec_np.runtime.SumsAndItems`, of which this is the compiled form.

    Attributes:
        weights: (n_items,) the numbers ``c``.
        power: of the numbers, by which marks count.
        row_entries: of the sums; None for as many as for sums alone.
    """

    weights: Array
    power: float = 0.0
    row_entries: int | None = None

    summary: ClassVar[str] = "the sum, and beside it the touched items themselves"
    trained: ClassVar[bool] = True
    solved: ClassVar[bool] = False
    # On parts held out from Gowalla and Yelp2018 it adds 1 to 2 percent, with many
    # entries and with few; a rate that is counted in values is about right for all four.
    advice: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 0.0045,
        "relative_rate": True,
        "batch_size": 3072,
        "negatives": 512,
        "pairs_together": 8,
        "epochs": 6,
        "evaluate_every": 2,
    }
    marks_items: ClassVar[bool] = True
    item_bytes: ClassVar[int] = 4

    def cut_to(self, entries: int) -> UserRows:
        """Makes the same way, of rows cut to so many entries."""
        return replace(self, row_entries=entries)

    def made_by(self, items: SparseTable, dim: int) -> RowMaker:
        """Gets ready to make rows; see :class:`UserRows`.

        Memory: both parts of the entries.
        """
        summed = dim - items.rows
        first = items.columns < summed
        before = np.concatenate([[0], np.cumsum(first)]).astype(items.indptr.dtype)
        rows = SparseTable(before[items.indptr], items.columns[first], items.values[first])
        pairs = SparseTable(
            items.indptr - rows.indptr,
            items.columns[~first] - np.asarray(summed, items.columns.dtype),
            items.values[~first],
        )
        sums = SumOfRows(self.weights, self.row_entries).made_by(rows, summed)
        return _SumsAndItems(sums, pairs, mark_factors(self.weights, self.power), summed)

    def maker_bytes(self, items: SparseTable, dim: int) -> int:
        """Counts a copy of the entries."""
        return items.nbytes + items.indptr.nbytes


@dataclass(frozen=True)
class _SumsAndItems:
    """The sums of rows, with marks of the touched items and replies behind them."""

    sums: RowMaker
    pairs: SparseTable
    factors: Array  # of marks
    summed: int  # columns of sums

    def rows_of(self, users: Array, touched: Touched) -> SparseTable:
        sums = self.sums.rows_of(users, touched)
        starts, items, shares = touched.of_users(users)
        marks = SparseTable(starts, items, shares * self.factors[items])
        firsts = 0, self.summed, self.summed + self.pairs.rows
        return side_by_side((sums, marks, self._replies(marks)), firsts)

    def blocks(self, users: Array, touched: Touched) -> list[slice]:
        log = touched.log
        room = self._room(log.indptr, log.items)[users]
        return _blocks_of(len(users), room + np.diff(log.indptr)[users])

    def _room(self, indptr: Array, items: Array) -> Array:
        """Bounds the replies of users who touched ``items``, one user after another: (users,) int64."""
        before = np.concatenate([[0], np.cumsum(np.diff(self.pairs.indptr)[items], dtype=np.int64)])
        return np.minimum(np.diff(before[indptr]), self.pairs.rows)

    def _replies(self, marks: SparseTable) -> SparseTable:
        """Sums up what the rows of the marked items say of others: a row for each user."""
        begins = np.concatenate([[0], np.cumsum(self._room(marks.indptr, marks.columns))])
        columns = np.empty(begins[-1], np.int32)
        values = np.empty(begins[-1], self.pairs.values.dtype)
        counts = np.empty(marks.rows, np.int32)

        def make(some: slice) -> None:
            own = slice(some.start, some.stop + 1)
            given = self.pairs, marks.indptr[own], marks.columns, marks.values, begins[own]
            kernels.pairs.replies(*given, columns, values, counts[some])

        starts = range(0, marks.rows, USERS_AT_ONCE)
        made_together(make, [slice(start, start + USERS_AT_ONCE) for start in starts], shared_threads())
        ends = np.repeat(begins[:-1] + counts, np.diff(begins))
        there = np.arange(len(columns)) < ends
        indptr = np.zeros(len(counts) + 1, index_dtype(int(begins[-1])))
        np.cumsum(counts, out=indptr[1:])
        return SparseTable(indptr, columns[there], values[there])


# What --user-rows names.
USER_ROWS: dict[str, type[SumOfRows] | type[RidgeSolve] | type[SumAndItems]] = {
    "sum": SumOfRows,
    "ridge": RidgeSolve,
    "neighbours": SumAndItems,
}


def full_rows(table: Rows, weights: Array, of_users: tuple[Array, Array, Array], dim: int) -> Array:
    """Makes every entry of the sums of m users: (m, dim) of the table's dtype.

    ``of_users`` are starts, items and shares, as :meth:`Touched.of_users
    <sparserec_np.data.recency.Touched.of_users>` gives them.
    """
    rows = np.empty((len(of_users[0]) - 1, dim), dtype=table.values.dtype)
    kernels.fism.sum_rows(table, weights, *of_users, rows)
    return rows


def _blocks_of(count: int, entries: Array | None = None) -> list[slice]:
    """Divides users into parts of ``ROWS_AT_ONCE``, or of ``ENTRIES_AT_ONCE`` of their entries (count,)."""
    places = np.arange(count) // ROWS_AT_ONCE
    if entries is not None:
        places = np.maximum(places, np.cumsum(entries) // ENTRIES_AT_ONCE)
    bounds = [*np.flatnonzero(np.diff(places, prepend=-1)).tolist(), count]
    return [slice(start, end) for start, end in itertools.pairwise(bounds)]


def side_by_side(parts: Sequence[SparseTable], firsts: Sequence[int]) -> SparseTable:
    """Puts tables of equally many rows beside each other; the columns of each begin at one of ``firsts``.

    Columns of the result are uint32.
    """
    ends = np.zeros(parts[0].rows + 1, index_dtype(sum(part.nnz for part in parts)))
    for part in parts:
        ends += part.indptr.astype(ends.dtype)
    columns, values = np.empty(ends[-1], np.uint32), np.empty(ends[-1], parts[0].values.dtype)
    begins = ends[:-1].copy()
    for part, first in zip(parts, firsts, strict=True):
        lengths = np.diff(part.indptr)
        places = np.arange(part.nnz) + np.repeat(begins - part.indptr[:-1], lengths)
        columns[places], values[places] = part.columns + np.uint32(first), part.values
        begins += lengths.astype(begins.dtype)
    return SparseTable(ends, columns, values)


def _first_of(columns: Array, values: Array, counts: Array, dim: int) -> SparseTable:
    """Makes a table whose row t holds the first ``counts[t]`` of ``columns`` (m, most) and ``values``."""
    there = np.arange(columns.shape[1]) < counts[:, None]
    indptr = np.zeros(len(counts) + 1, index_dtype(int(counts.sum())))
    np.cumsum(counts, out=indptr[1:])
    return SparseTable(indptr, columns[there].astype(column_dtype(dim)), values[there])
