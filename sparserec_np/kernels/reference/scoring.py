"""Forward scoring over a sparse table, in plain NumPy.

The specification of ``kernels.compiled.scoring``.

Scores are inner products of two rows of one table, ``<x, y> = sum_c x[c] * y[c]`` over the columns
that both store. Sums are made in the dtype of the values; their order is not specified, but does
not depend on the number of threads.
"""

from __future__ import annotations

from sparserec_np.data.table import Array, SparseTable


def score_pairs(table: SparseTable, rows: Array, starts: Array, partners: Array, scores: Array) -> None:
    """Scores pairs of rows, grouped by the first row of the pair.

    ``scores[m] = <table[rows[g]], table[partners[m]]>`` for ``starts[g] <= m < starts[g + 1]``.

    Args:
        table: values float32 or float64, finite.
        rows: (groups,) int32, the first row of all pairs of a group.
        starts: (groups + 1,) int32 or int64, from 0 to the number of pairs, never falling; a group
            may be empty.
        partners: (pairs,) int32, the second row of each pair; any row, any number of times.
        scores: (pairs,) of the values' dtype, overwritten.
    """
    dense = table.to_dense(int(table.columns.max(initial=0)) + 1)
    for g, row in enumerate(rows):
        pairs = slice(starts[g], starts[g + 1])
        scores[pairs] = dense[partners[pairs]] @ dense[row]


def fill_block(table: SparseTable, rows: Array, block: Array) -> None:
    """Lays rows out densely, one beside the other.

    ``block[c, s] = table[rows[s], c]``, 0 where nothing is stored.

    Args:
        table: of ``dim`` columns.
        rows: (s,) int32.
        block: (dim, s) of the values' dtype, overwritten.
    """
    block[:] = table.to_dense(len(block))[rows].T


def score_block(table: SparseTable, rows: Array, block: Array, scores: Array) -> None:
    """Scores each row against every column of a dense block.

    ``scores[g, s] = sum_c table[rows[g], c] * block[c, s]``.

    Args:
        table: of ``dim`` columns; values float32 or float64, finite.
        rows: (groups,) int32.
        block: (dim, s) of the values' dtype, finite.
        scores: (groups, s) of the values' dtype, overwritten.
    """
    scores[:] = table.to_dense(len(block))[rows] @ block
