"""Leading singular vectors of the interactions, in the memory of the vectors.

With R the matrix of ones (users, items) and D_u, D_i the degrees of both, 1 where they are 0, these
are the right singular vectors of ``D_u^-1/2 R D_i^-1/2``. Neither this matrix nor its transpose is
made: kernels read the pairs as they lie in the interactions, which may be those of a mapped file.
Nor is the product of two sets of rows, whose columns are made fewer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sparserec_np import kernels
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.kernels.arguments import STRIP_COLUMNS
from sparserec_np.machine.threads import made_in_order, made_together

BLOCK_ROWS = 1024  # rows that are put together from all strips


class Strips:
    """A float32 matrix with a row for each item, in strips of 16 columns one after the other.

    Whatever is done with it takes a block of rows, or a strip, beside it.

    Args:
        rows: number of rows.
        width: number of columns; those that fill up the last strip hold zeros.

    Attributes:
        parts: the strips, each (rows, 16).
        width: number of columns.
        strengths: (width,) singular values of the columns, the largest 1, where they are singular
            vectors; else empty.

    >>> some = Strips(2, 3)
    >>> some[1:2] = np.ones((1, 3), np.float32)
    >>> some.turn(np.array([[1.0], [2.0], [3.0]]))
    >>> some[0:2].tolist()
    [[0.0], [6.0]]
    """

    def __init__(self, rows: int, width: int) -> None:
        self.width = width
        self.strengths = np.zeros(0)
        self.parts = [np.zeros((rows, STRIP_COLUMNS), np.float32) for _ in range(0, width, STRIP_COLUMNS)]

    def __getitem__(self, rows: slice | Array) -> Array:
        """Reads some rows, (m, width), as an array of their own."""
        made = np.empty((len(self.parts[0][rows]), len(self.parts) * STRIP_COLUMNS), np.float32)
        for number, part in enumerate(self.parts):
            made[:, number * STRIP_COLUMNS : (number + 1) * STRIP_COLUMNS] = part[rows]
        return made[:, : self.width]

    def __setitem__(self, rows: slice, values: Array) -> None:
        """Overwrites some rows by ``values`` (m, width)."""
        for number, part in enumerate(self.parts):
            some = values[:, number * STRIP_COLUMNS : (number + 1) * STRIP_COLUMNS]
            part[rows, : some.shape[1]] = some

    def blocks(self) -> Iterator[slice]:
        """Yields all rows as slices of so many that little memory is needed for them."""
        rows = len(self.parts[0])
        yield from (slice(start, min(start + BLOCK_ROWS, rows)) for start in range(0, rows, BLOCK_ROWS))

    def turn(self, matrix: Array, threads: int = 1) -> None:
        """Multiplies every row by ``matrix`` (width, new width).

        The new width is at most the old one. Each thread makes a block of rows at a time.
        """
        matrix = matrix.astype(np.float32)
        parts, width = self.parts[: -(-matrix.shape[1] // STRIP_COLUMNS)], matrix.shape[1]
        padded = np.zeros((self.width, len(parts) * STRIP_COLUMNS), np.float32)
        padded[:, :width] = matrix

        def turn_block(block: slice) -> None:
            turned = self[block] @ padded
            for number, part in enumerate(parts):
                part[block] = turned[:, number * STRIP_COLUMNS : (number + 1) * STRIP_COLUMNS]

        for _ in made_in_order(turn_block, list(self.blocks()), threads):
            pass
        self.parts, self.width = parts, width

    def narrow(self, fall: float) -> None:
        """Leaves out the columns from the first on whose strength is below ``fall`` of the one before."""
        falls = np.flatnonzero(self.strengths[1:] < fall * self.strengths[:-1])
        if falls.size:
            width = int(falls[0]) + 1
            self.turn(np.eye(self.width)[:, :width])
            self.strengths = self.strengths[:width]

    def scale(self, factors: Array) -> None:
        """Multiplies row i by ``factors[i]``, (rows,) float32."""
        for part in self.parts:
            part *= factors[:, None]

    def gram(self, threads: int = 1) -> Array:
        """Computes the products of all columns, (width, width) float64, summed block by block."""
        total = np.zeros((self.width, self.width))

        def products(block: slice) -> Array:
            some = self[block]
            return np.asarray(some.T @ some)

        for some in made_in_order(products, list(self.blocks()), threads):
            total += some
        return total

    def sums(self, log: Interactions, users: Array) -> Array:
        """Sums the rows of the items of each of ``users`` (m,) int64: (m, width).

        Zeros for none.
        """
        made = np.empty((len(users), len(self.parts) * STRIP_COLUMNS), np.float32)
        for number, part in enumerate(self.parts):
            kernels.products.sum_items(log.indptr, log.items, users, part, number * STRIP_COLUMNS, made)
        return made[:, : self.width]


def leading_right_vectors(
    log: Interactions, rank: int, iterations: int, rng: np.random.Generator, threads: int = 1, extra: int = 16
) -> Strips:
    """Finds leading right singular vectors by subspace iteration.

    That is algorithm 4.4 of Halko, Martinsson and Tropp (2011).

    Threads share strips and blocks of rows out among themselves, which changes no bit of the result
    as long as BLAS works on one thread (:func:`~sparserec_np.machine.threads.one_blas_thread`).

    Args:
        log: the interactions.
        rank: number of vectors, at most the smaller of the numbers of users and items.
        iterations: products with the matrix and its transpose after the first.
        rng: draws the vectors to begin with.
        threads: strips that are multiplied, or blocks of rows, at a time.
        extra: vectors beyond ``rank`` that the iteration works on.

    Returns:
        (n_items, rank) with orthonormal columns, the strongest first; columns of zeros beyond the
        matrix's rank.

    Memory: (n_items, rank + extra) float32, and for each thread 16 columns and the products of all.
    """
    vectors = Strips(log.n_items, min(rank + extra, log.n_users, log.n_items))
    for block in vectors.blocks():
        vectors[block] = rng.standard_normal((block.stop - block.start, vectors.width), dtype=np.float32)
    multiply = _GramProduct(log, vectors, threads)
    for left in range(iterations, -1, -1):
        made_together(multiply, range(len(vectors.parts)), threads)
        weights, axes = np.linalg.eigh(vectors.gram(threads))
        # eigh sorts upwards; the smallest may be zero where the matrix has a lower rank than
        # asked for.
        turn = axes[:, ::-1] / np.sqrt(np.maximum(weights[::-1], weights[-1] * 1e-12))
        vectors.turn(turn if left else turn[:, :rank], threads)
    # These are products with the matrix and its transpose, so their lengths are squares.
    vectors.strengths = np.maximum(weights[::-1][:rank] / max(weights[-1], 1e-300), 0) ** 0.25
    return vectors


class _GramProduct:
    """A product of strips, (n_items, 16) float32 each, with the matrix and then its transpose.

    A product is written to a strip that is to spare, which then takes the place of the one that was
    multiplied.
    """

    def __init__(self, log: Interactions, vectors: Strips, threads: int) -> None:
        self._log, self._vectors = log, vectors
        self._weights = (1 / np.maximum(log.user_degrees, 1)).astype(np.float32)
        self._scales = (1 / np.sqrt(np.maximum(log.item_degrees, 1))).astype(np.float32)[:, None]
        self._spare = [np.empty_like(vectors.parts[0]) for _ in range(min(threads, len(vectors.parts)))]

    def __call__(self, number: int) -> None:
        """Replaces the strip of this number by its product.

        As many threads may do so at a time as were announced.
        """
        part, product = self._vectors.parts[number], self._spare.pop()
        part *= self._scales
        product[:] = 0
        kernels.products.add_gram_product(self._log.indptr, self._log.items, self._weights, part, product)
        product *= self._scales
        self._vectors.parts[number] = product
        self._spare.append(part)


def fewer_columns(users: Array, items: Array, dim: int) -> tuple[Array, Array]:
    """Finds two matrices that bring users and items to ``dim`` columns, and products hardly change.

    Args:
        users, items: (n_users, width) and (n_items, width).
        dim: most columns that are left.

    Returns:
        (width, k) float32 each, k the smaller of ``width`` and ``dim``: A and B for which ``users A
        (items B)'`` comes closest to ``users items'`` (Eckart and Young 1936), and columns of both
        sides have the same lengths.
    """
    roots, inverses = zip(*(_root(side) for side in (users, items)), strict=True)
    left, strengths, right = np.linalg.svd(roots[0] @ roots[1])
    sizes = np.sqrt(strengths[:dim])
    own, theirs = inverses[0] @ left[:, :dim] * sizes, inverses[1] @ right[:dim].T * sizes
    return own.astype(np.float32), theirs.astype(np.float32)


def products_of_columns(rows: Array) -> Array:
    """Computes ``rows' rows`` (width, width) float64 of ``rows`` (n, width), block by block."""
    gram = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), BLOCK_ROWS):
        some = rows[start : start + BLOCK_ROWS].astype(np.float64)
        gram += some.T @ some
    return gram


def _root(rows: Array) -> tuple[Array, Array]:
    """Finds the symmetric root of the products of all columns, and its pseudo-inverse.

    Both are (width, width) float64.
    """
    weights, axes = np.linalg.eigh(products_of_columns(rows))
    roots = np.sqrt(np.maximum(weights, 0))
    # Below, there is no more than what rounding has left.
    inverses = np.divide(1, roots, out=np.zeros_like(roots), where=roots > 1e-6 * roots[-1])
    return (axes * roots) @ axes.T, (axes * inverses) @ axes.T
