"""What a client answers of a gradient: a row, a pull and slopes, which say all of it. NumPy alone.

The model is FISM's (:mod:`sparserec_np.models.fism`). Of the items N that a client touched, with
stored rows ``w_j`` and numbers ``c_j``, its row is ``x = sum over N of c_j w_j``. Item i of N
scores ``w_i . x - c_i w_i . w_i``, which leaves it out of the row, and a negative k scores ``w_k .
x``. A loss gives each score a slope, ``p_i`` or ``q_k``. With the pull ``y = sum over N of p_i w_i
+ sum over negatives of q_k w_k`` the gradient is

    of w_i, i in N:    p_i x + c_i y - 2 p_i c_i w_i
    of w_k, negative:  q_k x

So x, y and the slopes hold the gradient of every entry of every row that the client touched, stored
or not, for a byte a number. Negatives are drawn from a seed and the client's list, and so cost a
slope each, and no number of an item. That this is how it is sent is our choice.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparserec_np.errors import PacketError
from sparserec_np.federated.packets import (
    Answer,
    Array,
    Question,
    decode_items,
    encode_items,
    on_grid,
)

HEAD = struct.Struct("<QBBiii")  # stored entries, bytes of a column, the loss; grids of x, of y, of slopes
PARTS = 4  # x, y, slopes of items, slopes of negatives; an answer begins with the shift of each
FARTHEST = 2.0**40  # of a number that is rounded to the question's grid
MOST = 1 << 41  # of any number that one client can add: of 63 bits, room for 2 million clients
CLIP = 87.0  # beyond which no exponential is taken, as in kernels/reference/elementary.py


@dataclass(frozen=True)
class Announced:
    """The table that a gradient is taken of, as a question holds it.

    Attributes:
        loss: a place in :data:`LOSSES`.
        grids: what 1 stands for in x, in y, and in slopes, as exponents of 2.
        explored: rows whose every entry is summed up, ascending; a client in plain packets need not
            know them.
        weights: c, (n_items,) float32.
        steps: (n_items,) float32 what 1 stands for in each row.
        lengths: (n_items,) uint16 stored entries of each row.
        values: (nnz,) int8.
        columns: (nnz,) uint8 or uint16.
        indptr: (n_items + 1,) int64, where rows begin; the sums of ``lengths``.
    """

    loss: int
    grids: tuple[int, int, int]
    explored: Array
    weights: Array
    steps: Array
    lengths: Array
    values: Array
    columns: Array
    indptr: Array

    def encode(self) -> bytes:
        """Writes it: a head, the explored rows as a list of items, and the arrays."""
        head = HEAD.pack(len(self.values), self.columns.dtype.itemsize, self.loss, *self.grids)
        kinds = ("<f4", "<f4", "<u2", "<i1", f"<u{self.columns.dtype.itemsize}")
        arrays = (self.weights, self.steps, self.lengths, self.values, self.columns)
        written = (array.astype(kind).tobytes() for kind, array in zip(kinds, arrays, strict=True))
        return b"".join([head, encode_items(self.explored), *written])

    @classmethod
    def decode(cls, content: bytes, n_items: int, width: int) -> Announced:
        """Reads it, for a table of ``n_items`` rows and ``width`` columns.

        Raises:
            PacketError: it is of another length than it says, or no such table.
        """
        if len(content) < HEAD.size:
            raise PacketError("length", "The question's table ends within its head: ask for it again")
        nnz, column_bytes, loss, *grids = HEAD.unpack_from(content)
        explored, start = decode_items(content, HEAD.size, n_items)
        kinds = ("<f4", "<f4", "<u2", "<i1", "<u1" if column_bytes == 1 else "<u2")
        sizes = [np.dtype(kind).itemsize * (n_items if k < 3 else nnz) for k, kind in enumerate(kinds)]
        if len(content) != start + sum(sizes):
            raise PacketError(
                "length",
                f"The question's table has {len(content):,} bytes, expected {start + sum(sizes):,}: ask for it again",
            )
        arrays = []
        for kind, size in zip(kinds, sizes, strict=True):
            arrays.append(np.frombuffer(content, kind, size // np.dtype(kind).itemsize, start))
            start += size
        weights, steps, lengths, values, columns = arrays
        of_rows, of_pulls, of_slopes = grids
        indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        sound = indptr[-1] == nnz and loss < len(LOSSES) and (not nnz or columns.max() < width)
        if not sound:
            raise PacketError("garbage", "The question's table is none: ask for it again")
        found = (of_rows, of_pulls, of_slopes)
        return cls(loss, found, explored, weights, steps, lengths, values, columns, indptr)

    def dense(self, rows: Array, width: int) -> Array:
        """Reads every entry of ``rows`` (m,): (m, width) float64."""
        places, owners = self.places(rows)
        made = np.zeros((len(rows), width))
        made[owners, self.columns[places]] = self.values[places] * self.steps[rows[owners]].astype(np.float64)
        return made

    def places(self, rows: Array) -> tuple[Array, Array]:
        """Finds where the entries of ``rows`` (m,) lie, and which of ``rows`` each belongs to."""
        lengths = self.lengths[rows].astype(np.int64)
        owners = np.repeat(np.arange(len(rows)), lengths)
        before = np.cumsum(lengths) - lengths
        return np.arange(len(owners)) + (self.indptr[rows] - before)[owners], owners


@functools.lru_cache(maxsize=1)
def announced(content: bytes, n_items: int, width: int) -> Announced:
    """Reads the table of a question; the last one is kept, as whoever sums up needs it for each answer."""
    return Announced.decode(content, n_items, width)


def negatives_of(seed: int, items: Array, count: int, n_items: int) -> Array:
    """Draws the negatives of who touched ``items``: (at most ``count``,) int64 ascending, none twice.

    They are SHAKE-128 of the seed and the list, 8 bytes each, modulo the number of items; those
    that the client touched are left out.

    >>> negatives_of(1, np.array([2, 3]), 4, 100).tolist()
    [20, 49, 59, 93]
    """
    drawn = hashlib.shake_128(struct.pack("<Q", seed) + items.astype("<u8").tobytes()).digest(8 * count)
    numbers = np.frombuffer(drawn, "<u8") % np.uint64(n_items)
    return np.setdiff1d(numbers.astype(np.int64), items)


def softmax(positives: Array, negatives: Array) -> tuple[Array, Array]:
    """Slopes of the softmax of each positive among itself and all negatives.

    See ``kernels/reference/slopes.py``, ``softmax_block``.

    Args:
        positives: (n,) scores.
        negatives: (m,) scores, m >= 1.
    """
    peak = negatives.max()
    parts = np.exp(np.maximum(negatives - peak, -CLIP))
    own = np.exp(np.clip(positives - peak, -CLIP, CLIP))
    mass = parts.sum()
    return -mass / (own + mass), parts * (1 / (own + mass)).sum()


def bpr(positives: Array, negatives: Array) -> tuple[Array, Array]:
    """Slopes of Bayesian personalised ranking, averaged over the negatives; as :func:`softmax`."""
    slope = 1 / (1 + np.exp(np.clip(positives[:, None] - negatives, -CLIP, CLIP))) / len(negatives)
    return -slope.sum(axis=1), slope.sum(axis=0)


LOSSES: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {"softmax": softmax, "bpr": bpr}


class Parts(NamedTuple):
    """A client's gradient, in parts.

    Attributes:
        row: x, (width,).
        pull: y, (width,).
        items, negatives: slopes p (n,) and q (m,).
    """

    row: Array
    pull: Array
    items: Array
    negatives: Array


def parts_of(table: Announced, items: Array, negatives: Array, width: int) -> Parts:
    """Computes a client's gradient, float64; no slopes where there are no items, or no negatives."""
    numbers = table.weights[items].astype(np.float64)
    own, others = table.dense(items, width), table.dense(negatives, width)
    row = numbers @ own
    slopes = np.zeros(len(items)), np.zeros(len(negatives))
    if len(items) and len(negatives):
        scores = own @ row - numbers * np.square(own).sum(axis=1)
        slopes = list(LOSSES.values())[table.loss](scores, others @ row)
    return Parts(row, slopes[0] @ own + slopes[1] @ others, *slopes)


def answered(question: Question, items: Array) -> Array:
    """Computes a client's answer: (PARTS + 2 width + n + negatives,) int8, shifts and then the parts.

    Zeros stand for negatives that were drawn twice, or that the client touched.
    """
    table = announced(question.model, question.n_items, question.width)
    negatives = negatives_of(question.seed, items, question.list_length, question.n_items)
    parts = parts_of(table, items, negatives, question.width)
    if not all(np.isfinite(part).all() for part in parts):
        raise FloatingPointError("the gradient holds numbers that are not finite")
    of_rows, of_pulls, of_slopes = table.grids
    grids = (of_rows, of_pulls, of_slopes, of_slopes)
    said = [on_grid(part, grid, question.most) for part, grid in zip(parts, grids, strict=True)]
    spare = np.zeros(question.list_length - len(negatives), np.int8)
    shifts = np.array([shift for _, shift in said], np.int8)
    return np.concatenate([shifts, *(values for values, _ in said), spare])


@dataclass(frozen=True)
class Gradient:
    """The gradient that an answer says.

    Attributes:
        rows: (r,) int64 the rows that it touches: the client's items, and then the negatives.
        numbers: (r, width) int64, of which each stands for ``2 ** question.grid``.
        score: sum of the scores of the client's items, in the same unit.
    """

    rows: Array
    numbers: Array
    score: int


def gradient_of(question: Question, answer: Answer) -> Gradient:
    """Writes out what an answer says, as whole numbers: the same wherever it is computed.

    Raises:
        PacketError: its length is not that of an answer to this question.
    """
    table, width = announced(question.model, question.n_items, question.width), question.width
    items = answer.items
    negatives = negatives_of(question.seed, items, question.list_length, question.n_items)
    sizes = [PARTS, width, width, len(items), question.list_length]
    values = answer.values
    if len(values) != sum(sizes):
        raise PacketError("length", f"A gradient has {len(values):,} bytes, expected {sum(sizes):,}")
    shifts, *said = np.split(values.astype(np.int64), np.cumsum(sizes)[:-1])
    if shifts.min() < 0 or shifts.max() > question.most:
        raise PacketError(
            "overflow", f"A gradient is shifted by more than {question.most} bits, or by less than 0"
        )
    of_rows, of_pulls, of_slopes = table.grids
    row, pull, positives, others = (part << shift for part, shift in zip(said, shifts.tolist(), strict=True))
    others = others[: len(negatives)]
    weights = table.weights[items].astype(np.float64)
    slopes = positives * 2.0**of_slopes
    dense = table.dense(items, width)
    # Products of slopes and rows are whole numbers on the question's grid; the rest is rounded.
    rest = weights[:, None] * (pull * 2.0**of_pulls) - (2 * slopes * weights)[:, None] * dense
    fine = 2.0**-question.grid
    numbers = np.concatenate([positives, others])[:, None] * row
    numbers[: len(items)] += np.rint(np.clip(rest * fine, -FARTHEST, FARTHEST)).astype(np.int64)
    left_out = (weights[:, None] * np.square(dense)).sum()
    score = float((dense @ (row * 2.0**of_rows)).sum() - left_out)
    rounded = int(np.rint(np.clip(score * fine, -FARTHEST, FARTHEST)))
    return Gradient(np.concatenate([items, negatives]), numbers, rounded)
