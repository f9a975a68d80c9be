"""Rows whose columns are the bits of a number: the specification of ``kernels.compiled.unfolding``.

A row is where its values begin and 64 bits: its k-th value is in the column of the k-th bit that is
set.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array

BIT_COLUMNS = 64


def row_bits(indptr: Array, columns: Array, dim: int) -> Array:
    """Makes (rows,) uint64: bit c is set where a row stores column c.

    Empty where rows do not unfold.

    That is above 64 columns, and may be for reasons of the processor.

    Args:
        indptr, columns: of a table; the columns of a row ascend.
        dim: number of its columns.
    """
    bits = np.zeros(len(indptr) - 1 if dim <= BIT_COLUMNS else 0, dtype=np.uint64)
    for row in range(len(bits)):
        for column in columns[indptr[row] : indptr[row + 1]]:
            bits[row] |= np.uint64(1 << int(column))
    return bits


def _columns(bits: np.uint64) -> list[int]:
    return [c for c in range(BIT_COLUMNS) if int(bits) >> c & 1]


def unfold(values: Array, begin: int, bits: np.uint64, out: Array, first: int) -> None:
    """Overwrites 64 numbers of ``out``, from ``first`` on, with every entry of a row.

    Args:
        values: (n,) float32 or float64, in which the row lies.
        begin: its first value.
        bits: its columns.
        out: of the same dtype; must not overlap ``values``.
        first: place in ``out``.
    """
    line = out[first : first + BIT_COLUMNS]
    line[:] = 0
    columns = _columns(bits)
    line[columns] = values[begin : begin + len(columns)]


def pick_row(
    columns: Array, begin: int, bits: np.uint64, dense: Array, at: int, out: Array, first: int
) -> None:
    """Overwrites ``out[first:]`` with what ``dense[at:]`` has in a row's columns, one after the other.

    Args:
        columns: (n,) uint8, in which the row lies.
        begin: its first column there.
        bits: its columns once more.
        dense: (n,) float32 or float64, with 64 numbers from ``at`` on.
        at: place in ``dense``.
        out: of the same dtype, with room for 64 from ``first`` on. What lies beyond the row's
            columns there is not specified afterwards.
        first: place in ``out``.
    """
    own = columns[begin : begin + len(_columns(bits))]
    out[first : first + len(own)] = dense[at:][own]


def dot_apart(
    values: Array,
    columns: Array,
    rows: tuple[Array, Array],
    k: int,
    dense: Array,
    at: int,
    picked: Array,
) -> float:
    """Computes how far two rows' products with a dense row are apart: row k + 1's less row k's.

    Rounding depends on the order of the sum.

    Args:
        values, columns: (n,) float32 or float64, and uint8, in which the rows lie.
        rows: where rows begin there, and their bits.
        k: number of the first of the two.
        dense, at: see :func:`pick_row`.
        picked: written to at ``64 k`` and ``64 (k + 1)``, as by :func:`pick_row`.

    Returns:
        The difference, of the values' dtype.
    """
    products = []
    for begin, bits, first in ((rows[0][j], rows[1][j], BIT_COLUMNS * int(j)) for j in (k, k + 1)):
        pick_row(columns, begin, bits, dense, at, picked, first)
        count = len(_columns(bits))
        products.append(sum(values[begin : begin + count] * picked[first : first + count]))
    return values.dtype.type(products[1] - products[0])


def step_row(
    values: Array,
    begin: int,
    bits: np.uint64,
    weight: float,
    picked: Array,
    first: int,
    numbers: tuple[float, float],
    origin: Array,
    squares: Array,
    out: Array,
) -> None:
    """Moves the stored entries x of a row.

    First, adds ``weight x`` to what ``out`` has in its columns, where there is any.

    With y what :func:`pick_row` has left in ``picked``, ``g = weight y + decay (x - origin)``, ``x
    <- x - rate g``. Where there are ``squares`` s, ``s <- s + g^2`` before that, and then ``g <- g
    / (sqrt(s) + 1e-10)``. Every operation is rounded singly.

    Args:
        values, begin, bits: see :func:`unfold`; the row's values are overwritten, and no others.
        weight: of the values' dtype.
        picked: of the same dtype.
        first: place of y in ``picked``.
        numbers: rate and decay, of the same dtype.
        origin: (n,) beside ``values``, or empty for zero.
        squares: (n,) beside ``values``, changed in place, or empty.
        out: (64,) of the same dtype, or empty; no two of these arrays overlap.
    """
    rate, decay = numbers
    columns = _columns(bits)
    own = slice(begin, begin + len(columns))
    if len(out):
        out[columns] += weight * values[own]
    y = picked[first : first + len(columns)]
    g = weight * y + decay * (values[own] - origin[own] if len(origin) else values[own])
    if len(squares):
        squares[own] += g * g
        g = g / (np.sqrt(squares[own]) + values.dtype.type(1e-10))
    values[own] -= rate * g


def add_line(sums: Array, row: int, weight: float, line: Array, at: int) -> None:
    """Adds a dense row, times ``weight``, to a row of ``sums``.

    Args:
        sums: (n, dim) float32 or float64.
        row: number of its row, which is changed in place.
        weight: of the same dtype.
        line: of the same dtype, with ``dim`` numbers from ``at`` on.
        at: place in ``line``.
    """
    sums[row] += weight * line[at : at + sums.shape[1]]
