"""Comparisons and sums of 64 numbers at a time: the specification of ``kernels.compiled.lanes``."""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array

LINE_NUMBERS = 64


def reaching(values: Array, start: int, floor: float) -> np.uint64:
    """Makes a mask of 64 bits: bit i is set where ``values[start + i] >= floor``; never for NaN.

    Args:
        values: (n,) float32 or float64, n >= start + 64.
        start: the first of the 64.
        floor: of the values' dtype.
    """
    return np.uint64(sum(1 << i for i in range(LINE_NUMBERS) if values[start + i] >= floor))


def lowest_bit(mask: np.uint64) -> int:
    """Finds the place of the lowest bit that is set, from 0; ``mask`` must not be 0.

    >>> lowest_bit(np.uint64(0b101000))
    3
    """
    return (int(mask) & -int(mask)).bit_length() - 1


def add_lines(
    weights: Array, begins: Array, first: int, last: int, offset: int, values: Array, out: Array, at: int
) -> None:
    """Adds weighed lines of 64 numbers to one.

    ``out[at + i] += weights[u] * values[begins[u] + offset + i]``, u from ``first`` to before
    ``last``, i to 63.

    The terms of an element are added one by one in the order of u, multiplications and additions
    rounded singly.

    Args:
        weights: (n,) float32 or float64.
        begins: (n,) int64, and ``offset``: where in ``values`` the lines lie.
        first, last: which of them are added.
        values: (m,) of the weights' dtype.
        out: (o,) of the same dtype; 64 elements from ``at`` on are changed; must not overlap the
            others.
        at: see ``out``.
    """
    for u in range(first, last):
        begin = begins[u] + offset
        out[at : at + LINE_NUMBERS] += weights[u] * values[begin : begin + LINE_NUMBERS]
