"""What the items that users touched say of others, by stored pairs of items, in plain NumPy.

This is the specification of ``kernels.compiled.pairs``. A pair of items i and j has one value
``q``. Of i it says ``m_j q`` to somebody who touched j, and of j ``m_i q`` to somebody who touched
i, with ``m`` a factor for each item. How much a touched item counts for a user is its share.

Arguments that recur:

* ``pairs``: :class:`~sparserec_np.kernels.arguments.Pairs`.
* ``values`` and ``factors`` (n_items,), float32 or float64: q, where ``pairs.sources`` say, and m.
  All other floats but shares have their dtype.
* ``of_users = (starts, touched, shares)``: user t touched ``touched[starts[t]:starts[t + 1]]``,
  int32, none twice, and they count for ``shares``, float32 above 0.
* ``found``: :class:`~sparserec_np.kernels.arguments.Found`, of m pairs of a user and an item.
* ``touched_by = (groups, members, shares, starts)``: item j was touched by the users
  ``members[starts[g]:starts[g + 1]]`` with those ``shares``, g being ``groups[j]``, or by nobody
  where that is -1. ``groups`` is (n_items,) int32.
* ``active``, the gradient by the values, and ``of_factors`` (n_items,), that by the factors, are
  added to.

Where two directions of a pair have one value, its gradient is added by one thread, in the order
that is told.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Found, Pairs


def find(
    pairs: Pairs, of_users: tuple[Array, Array, Array], starts: Array, partners: Array, found: Found
) -> None:
    """Finds which stored pairs say something to users of the items that they are paired with.

    The pairs of user t are ``starts[t] <= m < starts[t + 1]``. For each, the places in ``pairs`` of
    the item ``partners[m]``'s whose other item the user touched go to ``found.places``, in their
    order, from ``found.begins[m]`` on, with the shares beside them, and their number to
    ``found.counts[m]``.

    Args:
        pairs, of_users: see above.
        starts: (users + 1,) int32 or int64.
        partners: (m,) int32 items.
        found: of m pairs, with room for as many as the item has, or for two for each item that the
            user touched where that is less; all but ``begins`` is overwritten.
    """
    for t in range(len(starts) - 1):
        own = slice(of_users[0][t], of_users[0][t + 1])
        shares = np.zeros(len(pairs.bounds) - 1, of_users[2].dtype)
        shares[of_users[1][own]] = of_users[2][own]
        for m in range(starts[t], starts[t + 1]):
            places = np.arange(pairs.bounds[partners[m]], pairs.bounds[partners[m] + 1])
            said = shares[pairs.others[places]]
            at = slice(found.begins[m], found.begins[m] + np.count_nonzero(said))
            found.counts[m] = np.count_nonzero(said)
            found.places[at], found.shares[at] = places[said != 0], said[said != 0]


def add_found(pairs: Pairs, found: Found, values: Array, factors: Array, out: Array) -> None:
    """Adds what was found to scores: ``out[m] += sum of share * m_j * q``, j being the touched items.

    Args:
        pairs, found, values, factors: see above.
        out: (m,) added to.
    """
    for m in range(len(out)):
        places, shares = _found_of(found, m)
        own = factors[pairs.others[places]] * values[pairs.sources[places]]
        out[m] += (shares * own).sum()


def pull_found(
    pairs: Pairs,
    found: Found,
    slopes: Array,
    values: Array,
    factors: Array,
    active: Array,
    of_factors: Array,
) -> None:
    """Adds the gradients of what :func:`add_found` adds.

    Args:
        pairs, found, values, factors, active, of_factors: see above.
        slopes: (m,) derivative of the loss by each score.
    """
    for m, slope in enumerate(slopes):
        places, shares = _found_of(found, m)
        others, sources = pairs.others[places], pairs.sources[places]
        np.add.at(active, sources, slope * shares * factors[others])
        np.add.at(of_factors, others, slope * shares * values[sources])


def _found_of(found: Found, m: int) -> tuple[Array, Array]:
    """Takes places and shares of one pair."""
    own = slice(found.begins[m], found.begins[m] + found.counts[m])
    return found.places[own], found.shares[own]


def add_block(
    pairs: Pairs,
    rows: Array,
    touched_by: tuple[Array, Array, Array, Array],
    values: Array,
    factors: Array,
    out: Array,
) -> None:
    """Adds what touched items say of a block: ``out[t, s] += sum of share * m_j * q`` of items ``rows[s]``.

    Args:
        pairs, touched_by, values, factors: see above.
        rows: (s,) int32 items, none twice.
        out: (users, s) added to.
    """
    for s, row in enumerate(rows):
        for k in range(pairs.bounds[row], pairs.bounds[row + 1]):
            members, shares = _who_touched(pairs.others[k], touched_by)
            out[members, s] += shares * factors[pairs.others[k]] * values[pairs.sources[k]]


def pull_block(
    pairs: Pairs,
    rows: Array,
    touched_by: tuple[Array, Array, Array, Array],
    slopes: Array,
    values: Array,
    factors: Array,
    active: Array,
    of_factors: Array,
) -> None:
    """Adds the gradients of what :func:`add_block` adds.

    Args:
        pairs, touched_by, values, factors, active, of_factors: see above.
        rows: see there.
        slopes: (users, s) derivative of the loss by each score, 0 where an item does not count.
    """
    for s, row in enumerate(rows):
        for k in range(pairs.bounds[row], pairs.bounds[row + 1]):
            members, shares = _who_touched(pairs.others[k], touched_by)
            slope = shares @ slopes[members, s]
            active[pairs.sources[k]] += slope * factors[pairs.others[k]]
            of_factors[pairs.others[k]] += slope * values[pairs.sources[k]]


def _who_touched(item: int, touched_by: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
    """Takes the users who touched an item, and their shares."""
    groups, members, shares, starts = touched_by
    own = slice(starts[groups[item]], starts[groups[item] + 1]) if groups[item] >= 0 else slice(0)
    return members[own], shares[own]


def replies(
    table: SparseTable,
    starts: Array,
    items: Array,
    marks: Array,
    begins: Array,
    columns: Array,
    values: Array,
    counts: Array,
) -> None:
    """Sums up what the rows of users' items hold: ``sum over m of marks[m] * table[items[m], c]``.

    Row t gets the sums of ``starts[t] <= m < starts[t + 1]``, in that order, in all columns that
    any of these rows has an entry in, ascending.

    Args:
        table: n_items rows and as many columns.
        starts: (users + 1,) integers.
        items: (n,) int32.
        marks: (n,) of the values' dtype.
        begins: (users + 1,) integers, rising from 0: row t has room from ``begins[t]`` on, for as
            many entries as its items have together.
        columns: (``begins[-1]``,) int32; the first ``counts[t]`` of row t are overwritten.
        values: (``begins[-1]``,) of the values' dtype, likewise.
        counts: (users,) int32, overwritten by the number of columns.
    """
    for t in range(len(counts)):
        sums: dict[int, Any] = {}
        for m in range(starts[t], starts[t + 1]):
            for k in range(table.indptr[items[m]], table.indptr[items[m] + 1]):
                column = int(table.columns[k])
                sums[column] = sums.get(column, table.values.dtype.type(0)) + marks[m] * table.values[k]
        own = slice(begins[t], begins[t] + len(sums))
        counts[t], columns[own], values[own] = len(sums), sorted(sums), [sums[c] for c in sorted(sums)]
