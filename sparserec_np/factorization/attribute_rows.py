"""Items' rows from their attributes: ridge regression of the rows that training made.

With A (n, m) the attributes of the items that have rows, W (n, dim) these rows and a the attributes
of an item that has none, its row is

    w = a' (A'A + ridge I)^-1 A'W

How large the ridge is, items that are left out choose. All of it is our choice, on ml-1m's genres
(benchmarks/results/cold-items.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparserec_np.data.table import Array

RIDGES = (0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)
FOLDS = 5
MOST_PRODUCTS = 1_024  # attributes of which the products of all pairs are held
ITEMS_AT_ONCE = 128
MOST_STEPS, SMALL = 200, 1e-10  # of conjugate gradients, and the part of a residual that is nothing


def weighed(attributes: Any, known: Array) -> Any:
    """Weighs attributes by how rare they are, and adds one that all items have.

    An attribute of d of the n items that have rows counts ``log((1 + n) / (1 + d))``: one that all
    have says nothing. Items' rows are not brought to one length: how many genres a film has tells
    something, and held-out items say so.

    Args:
        attributes: CSR (items, m) float64.
        known: (items,) bool, which of them have rows.

    Returns:
        CSR (items, m + 1) float64.
    """
    from scipy.sparse import csr_matrix, diags, hstack

    own = attributes[known]
    degrees = np.bincount(own.indices[own.data != 0], minlength=own.shape[1])
    rarity = np.log((1 + own.shape[0]) / (1 + degrees))
    return hstack([attributes @ diags(rarity), csr_matrix(np.ones((attributes.shape[0], 1)))]).tocsr()


@dataclass(frozen=True)
class AttributeRows:
    """The regression of rows on attributes.

    Call it with one BLAS thread (:func:`~sparserec_np.machine.threads.one_blas_thread`); the bits
    are then the same on any machine's number of threads.

    Attributes:
        attributes: CSR (n, m) float64 of the items that have rows.
        rows: CSR (n, dim) float64, their rows.
        ridge: above 0.

    Memory: with few attributes (m, m) and (m, dim) float64; with more than ``MOST_PRODUCTS`` five
    blocks (m, ``ITEMS_AT_ONCE``) and one (n, ``ITEMS_AT_ONCE``), float64.
    """

    attributes: Any
    rows: Any
    ridge: float

    def of(self, some: Any) -> Array:
        """Solves for the rows of items of the attributes ``some``, CSR (k, m): (k, dim) float64.

        Give a few at a time; :func:`blocks_of` cuts them.
        """
        if self.attributes.shape[1] <= MOST_PRODUCTS:
            return np.asarray(some @ self._by_attribute)
        shares = self.attributes @ self._solved(np.asarray(some.T.todense()))
        return np.asarray((self.rows.T @ shares).T)

    @cached_property
    def _by_attribute(self) -> Array:
        """(m, dim) what each attribute adds to a row."""
        gram = np.asarray((self.attributes.T @ self.attributes).todense())
        gram += self.ridge * np.eye(len(gram))
        return np.linalg.solve(gram, np.asarray((self.attributes.T @ self.rows).todense()))

    def _solved(self, wanted: Array) -> Array:
        """Solves ``(A'A + ridge I) X = wanted`` (m, k) by conjugate gradients, column by column at once."""
        own, turned = self.attributes, self.attributes.T.tocsr()
        found, rest = np.zeros_like(wanted), wanted.copy()
        way, size = rest.copy(), np.einsum("ij,ij->j", rest, rest)
        enough = SMALL**2 * size
        for _ in range(MOST_STEPS):
            if (size <= enough).all():
                break
            image = turned @ (own @ way) + self.ridge * way
            below = np.einsum("ij,ij->j", way, image)
            step = np.divide(size, below, out=np.zeros_like(size), where=below > 0)
            found += step * way
            rest -= step * image
            before, size = size, np.einsum("ij,ij->j", rest, rest)
            way *= np.divide(size, before, out=np.zeros_like(size), where=before > 0)
            way += rest
        return found


def blocks_of(count: int) -> Iterator[slice]:
    """Yields ``count`` items as slices of ``ITEMS_AT_ONCE``."""
    for start in range(0, count, ITEMS_AT_ONCE):
        yield slice(start, min(start + ITEMS_AT_ONCE, count))


def left_out_rows(attributes: Any, rows: Any, ridge: float, folds: Array) -> Iterator[tuple[Array, Array]]:
    """Yields the rows that items would get of the others, some at a time.

    Args:
        attributes, rows, ridge: see :class:`AttributeRows`.
        folds: (n,) a number for each item; those of one number are left out together.

    Yields:
        (k,) which items, and (k, dim) float64 their rows.
    """
    for fold in np.unique(folds):
        rest = folds != fold
        made, out = AttributeRows(attributes[rest], rows[rest], ridge), np.flatnonzero(~rest)
        for part in blocks_of(len(out)):
            yield out[part], made.of(attributes[out[part]])


def best_ridge(attributes: Any, rows: Any, gram: Array, folds: Array) -> float:
    """Finds the ridge of :data:`RIDGES` with which scores of left-out items are off by the least.

    That is the sum of ``(w - v)' gram (w - v)`` over all items, w being an item's row and v what
    the others make of its attributes; of equals the larger.

    Args:
        attributes, rows, folds: see :func:`left_out_rows`.
        gram: (dim, dim) float64 sum of ``x x'`` over users' rows.
    """

    def off(ridge: float) -> float:
        total = 0.0
        for items, made in left_out_rows(attributes, rows, ridge, folds):
            apart = np.asarray(rows[items].todense()) - made
            total += float(np.einsum("ij,ij->", apart @ gram, apart))
        return total

    return min(reversed(RIDGES), key=off)
