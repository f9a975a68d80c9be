"""The random start: entries drawn with equal chances, normal values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable
from sparserec_np.factorization.largest_entries import table_of
from sparserec_np.factorization.pruning import ROWS_AT_ONCE


@dataclass(frozen=True)
class Uniform:
    """Entries drawn at random with equal chances, normal values.

    This is the usual start of dynamic sparse training. Each row first gets its share, ``nnz //
    rows`` entries; rows drawn at random get one of those left over.

    Attributes:
        deviation: standard deviation of the values.
    """

    deviation: float = 0.1
    from_data: bool = False

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes the table of the start; see :class:`~sparserec_np.starts.start.Start`."""
        return self.rows(log.n_users + log.n_items, dim, nnz, rng)

    def rows(self, n_rows: int, dim: int, nnz: int, rng: np.random.Generator) -> SparseTable:
        """Draws a table of so many rows with exactly ``nnz`` entries."""
        lengths = np.full(n_rows, nnz // n_rows)
        lengths[rng.choice(n_rows, nnz % n_rows, replace=False)] += 1
        columns = []
        for start in range(0, n_rows, ROWS_AT_ONCE):
            some = lengths[start : start + ROWS_AT_ONCE]
            ranks = rng.random((len(some), dim), dtype=np.float32).argsort(axis=1, kind="stable")
            columns.append(np.nonzero(ranks < some[:, None])[1].astype(np.uint16))
        rows = np.repeat(np.arange(n_rows, dtype=np.int32), lengths)
        values = rng.standard_normal(nnz, dtype=np.float32) * np.float32(self.deviation)
        return table_of(rows, np.concatenate(columns), values, n_rows, dim)
