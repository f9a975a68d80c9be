"""Exponentials, logarithms and sums of whole arrays, in plain NumPy.

The specification of ``kernels.compiled.elementary``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.kernels.arguments import STRIP_COLUMNS


def exp_into(x: Array, out: Array) -> None:
    """Computes ``out = exp(x)``, with the exponent kept between -87 and 88 (our choice).

    Below -87 (and at -inf) the result is 0, from 88 on (and at +inf) it stays at exp(88) = 1.65e38.
    Every result is therefore 0 or a normal float32: none overflows, and none is subnormal, on which
    arithmetic is a hundred times slower. NaN stays NaN, so that a diverged training shows in its
    loss. float32: right to 4 units in the last place, which is NumPy's bound; the polynomial keeps
    2.

    Args:
        x: (n,) float32 or float64, any values.
        out: (n,) of the same dtype, overwritten; must not overlap ``x``.
    """
    inside = np.exp(np.clip(x, -87, 88))
    out[:] = np.where(x < -87, 0, inside)


def log_into(x: Array, out: Array) -> None:
    """Computes ``out = log(x)``; NaN stays NaN.

    float32: right to 4 units in the last place, which is NumPy's bound; the polynomial keeps 2.

    Args:
        x: (n,) float32 or float64; positive, finite and normal (from 1.18e-38 on in float32), or
            NaN.
        out: (n,) of the same dtype, overwritten; must not overlap ``x``.
    """
    out[:] = np.log(x)


def dot(a: Array, b: Array) -> Any:
    """Computes ``sum_i a[i] * b[i]`` of two (n,) arrays of one dtype, as a scalar of that dtype.

    0 for n = 0.

    The order of the sum is not specified, but fixed for one machine, n and dtype.
    """
    return (a * b).sum()


def total(a: Array) -> Any:
    """Computes ``sum_i a[i]`` of an (n,) array, as a scalar of its dtype; 0 for n = 0.

    The order is that of ``dot``.
    """
    return a.sum()


def highest(a: Array) -> Any:
    """Finds the largest of ``a`` (n,), n >= 1, a scalar of its dtype; -inf may occur.

    Any number where one is NaN.
    """
    return a.max()


def sum_rows(block: Array, rows: Array, start: int, stop: int, out: Array) -> None:
    """Sums some rows: ``out = sum of block[rows[k]] over start <= k < stop``, added in that order.

    0 for none.

    Args:
        block: (any, 16) float32 or float64.
        rows: (n,) int32, not below zero.
        start, stop: from 0 to n.
        out: (16,) overwritten, the block's dtype; contiguous.
    """
    out[:] = block[rows[start:stop]].sum(axis=0)


def sum_wide_rows(block: Array, rows: Array, start: int, stop: int, factor: Any, out: Array) -> None:
    """Sums some rows of 32 columns, and multiplies the sum by ``factor``; else as :func:`sum_rows`.

    Args:
        block: (any, 32) float32 or float64.
        rows, start, stop: as above.
        factor: a number of the block's dtype.
        out: (32,) overwritten, the block's dtype; contiguous.
    """
    out[:] = factor * block[rows[start:stop]].sum(axis=0)


def add_to_rows(line: Array, rows: Array, start: int, stop: int, block: Array, first: int) -> None:
    """Adds a line to 16 columns of some rows.

    ``block[rows[k], first:first + 16] += line for start <= k < stop``.

    A row named twice gets it twice.

    Args:
        line: (16,) float32 or float64; contiguous.
        rows: (n,) int32, not below zero.
        start, stop: from 0 to n.
        block: (any, at least ``first`` + 16) added to, the line's dtype.
        first: number of the first column.
    """
    np.add.at(block[:, first : first + STRIP_COLUMNS], rows[start:stop], line)
