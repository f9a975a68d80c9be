"""Cells that threads take one after the other: the specification of ``kernels.compiled.turns``.

There are ``parts`` turns of ``parts`` cells, numbered on from turn to turn. Cell p of turn s holds
the range p of users and the part (p + s) modulo ``parts`` of items. In the turn before, cell p had
the same users, and the one after it, modulo ``parts``, the same items: when these two are done, all
are that share a row with it. So threads need not wait for the end of a turn.
"""

from __future__ import annotations

from sparserec_np.data.table import Array


def fetch_add(counter: Array, number: int) -> int:
    """Adds to the first of some numbers at one stroke, whatever other threads do.

    Args:
        counter: (1 or more,) int64.

    Returns:
        What it was before.

    >>> import numpy as np
    >>> counter = np.array([5])
    >>> fetch_add(counter, 2), fetch_add(counter, 0)
    (5, 7)
    """
    counter[0] += number
    return int(counter[0]) - number


def begin(done: Array, parts: int) -> int:
    """Takes the next cell, and waits until those that share rows with it are done.

    Args:
        done: (parts^2 + 1,) int64, 0 at first: for each cell whether it is done, and how many are
            taken.

    Returns:
        Its number, parts^2 or more when all are taken.
    """
    return fetch_add(done[parts * parts :], 1)


def end(done: Array, cell: int) -> None:
    """Says that a cell is done.

    Args:
        done: as :func:`begin` takes it.
        cell: a number that it returned, below parts^2.
    """
    fetch_add(done[cell:], 1)
