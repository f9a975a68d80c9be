"""Exchanges of entries that pay: which regrown entries are worth what is pruned for them.

To second order, an entry that grows from 0 lowers the loss by ``G^2 / (2 F)`` at best, and pruning
an entry of value w raises it by ``w^2 F / 2`` (optimal brain damage, LeCun et al. 1990). G is the
summed gradient. F is the curvature of the loss along the entry; the sum of squared gradients stands
for it (the empirical Fisher information). So ``|G| / sqrt(F)`` is weighed against
``|w| sqrt(F)``. The constant between the two kinds of F is nobody's to know: a margin stands for
it. Weighing at all, and all of this, is our choice.

Where columns are of two kinds, as of the two towers of NeuMF, entries are exchanged within each.
Layers that add nothing yet have next to no curvature, and whatever feeds them would seem worthless.
"""

from __future__ import annotations

import itertools

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Explored


def spans(kinds: tuple[int, ...], dim: int) -> list[tuple[int, int]]:
    """Lists the first and the last column of each kind, the last one excluded.

    >>> spans((), 64), spans((48,), 64)
    ([(0, 64)], [(0, 48), (48, 64)])
    """
    return list(itertools.pairwise((0, *kinds, dim)))


def kind_of(kinds: tuple[int, ...], columns: Array) -> Array:
    """Numbers the kind of each column, from 0.

    >>> kind_of((48,), np.array([0, 47, 48]))
    array([0, 0, 1])
    """
    return np.searchsorted(np.array(kinds, dtype=np.int64), columns, "right")


def divide_by_roots(
    table: SparseTable, explored: Explored, curvature: Array, kinds: tuple[int, ...] = ()
) -> None:
    """Divides the sums of each explored row by the root of its entries' mean curvature, in place.

    A row that has none of one kind, for want of entries or of steps, differs from the median of the
    others as it does in the kinds that it has; and not at all if it has none.

    Args:
        table: whose entries have the curvature.
        explored: its sums are overwritten.
        curvature: (nnz,) of each entry, at least 0.
        kinds: columns at which another kind of columns begins; means are those of one kind.
    """
    parts = spans(kinds, explored.sums.shape[1])
    means = np.empty((len(explored.sums), len(parts)), curvature.dtype)
    for kind, (first, last) in enumerate(parts):
        if kinds:
            inside = (table.columns >= first) & (table.columns < last)
            means[:, kind] = _row_means(table, explored, curvature * inside)
            means[:, kind] /= np.maximum(_row_means(table, explored, inside.astype(means.dtype)), 1e-9)
        else:
            means[:, kind] = _row_means(table, explored, curvature)
    means = filled(means)
    for kind, (first, last) in enumerate(parts):
        explored.sums[:, first:last] /= np.sqrt(means[:, kind, None])


def filled(means: Array) -> Array:
    """Makes means (rows, kinds) above 0 where they are 0, as :func:`divide_by_roots` says.

    >>> filled(np.array([[1.0, 10.0], [2.0, 20.0], [6.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0, 10.0], [2.0, 20.0], [6.0, 45.0], [2.0, 15.0]]
    """
    known = means > 0
    usual = np.array(
        [np.median(own[has]) if has.any() else 1 for own, has in zip(means.T, known.T, strict=True)],
        means.dtype,
    )
    counts = known.sum(axis=1, dtype=means.dtype)
    times = np.where(counts > 0, (means / usual).sum(axis=1) / np.maximum(counts, 1), 1)
    return np.where(known, means, times[:, None] * usual)


def _row_means(table: SparseTable, explored: Explored, state: Array) -> Array:
    means = np.empty(len(explored.sums), state.dtype)
    kernels.topology.row_means(table.indptr, state, explored.rows, means)
    return means


def best_exchanges(sizes: Array, gains: Array, margin: float) -> tuple[Array, Array]:
    """Pairs the largest gains with the smallest sizes, for as long as it pays.

    The n-th exchange pays where the n-th largest of ``gains`` is above ``margin`` times the n-th
    smallest of ``sizes``.

    Args:
        sizes: (p,) what an entry that may go is worth, ``|w| sqrt(F)``.
        gains: (g,) what an entry that may come is worth, ``|G| / sqrt(F)``.
        margin: how many times as much.

    Returns:
        The places of those that go, and of as many that come, both ascending. Of equal ones the
        first go, and the first come.

    >>> best_exchanges(np.array([5.0, 1.0, 2.0]), np.array([3.0, 9.0]), 2.0)
    (array([1]), array([1]))
    """
    most = min(len(sizes), len(gains))
    smallest, largest = np.sort(sizes)[:most], np.sort(gains)[::-1][:most]
    loses = largest <= margin * smallest
    count = int(np.argmax(loses)) if loses.any() else most
    return _least(sizes, smallest[:count]), _least(-gains, -largest[:count])


def best_of_kinds(
    sizes: Array, gains: Array, columns: tuple[Array, Array], kinds: tuple[int, ...], margin: float
) -> tuple[Array, Array]:
    """Pairs as :func:`best_exchanges` does, within each kind of columns.

    Args:
        columns: (p,) and (g,) of those that may go, and of those that may come.
        kinds: columns at which another kind begins.
    """
    of_sizes, of_gains = (kind_of(kinds, one) for one in columns)
    going, coming = [], []
    for kind in range(len(kinds) + 1):
        may_go, may_come = np.flatnonzero(of_sizes == kind), np.flatnonzero(of_gains == kind)
        go, come = best_exchanges(sizes[may_go], gains[may_come], margin)
        going.append(may_go[go])
        coming.append(may_come[come])
    return np.sort(np.concatenate(going)), np.sort(np.concatenate(coming))


def _least(numbers: Array, least: Array) -> Array:
    """Finds the places of the ``least`` (n,) of some numbers, sorted; of equal ones the first."""
    if not len(least):
        return np.empty(0, np.int64)
    places = np.flatnonzero(numbers <= least[-1])
    more = len(places) - len(least)
    equal = np.flatnonzero(numbers[places] == least[-1])
    return np.delete(places, equal[len(equal) - more :])
