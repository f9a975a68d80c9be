"""Rows that solve least squares within their stored entries, and what each entry is worth.

With X the rows of what somebody touched, restricted to the columns S of their own row, the row
solves

    (X'TX + G_SS + r I) x = X'Ty + (C'p)_S

where y are the scores aimed at, T is diagonal and holds how much each is to be trusted (1 where
nothing is said), G holds what the rows of the other side weigh together and r keeps
the row short (Hu, Koren and Volinsky 2008, equation 4, with unknown entries left out). C'p is there
where others, too, are to score what a full row p makes of them, and not 0: see ``condensing.py``.
Rows are those of one side, others those of the other, and CSR bounds and indices say which others
each row touched. Sums are formed in float64.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Equations


def solve_rows(own: SparseTable, equations: Equations) -> None:
    """Solves for every row of ``own`` within its stored entries, in place.

    Args:
        own: (n, dim); the values are written to.
        equations: of all rows.
    """
    for row in range(own.rows):
        *_, kept, x = _solution(own, equations, row)
        own.values[own.indptr[row] : own.indptr[row + 1]] = x


def weigh_rows(own: SparseTable, equations: Equations, first: int, values: Array, worths: Array) -> None:
    """Weighs every entry of some rows: its value, and how much it lowers the sum of squares.

    A stored entry holds its part of the solution. An entry that is not stored would hold ``g / h``,
    the best value if all others stayed as they are: g is the negative gradient at the solution,
    half of it, and h the curvature, the entry's element on the diagonal of X'TX + G + r I. Its
    worth is ``h * value**2`` either way: what the objective gains by one more entry, and about what
    it loses by one less (LeCun, Denker and Solla 1990, for the latter).

    Args:
        first: the first row.
        values, worths: (m, dim), of rows ``first`` to ``first + m``; written over.
    """
    gram = equations.gram
    for t in range(len(values)):
        row = first + t
        dense, trusted, right, kept, x = _solution(own, equations, row)
        curvature = (trusted * dense).sum(axis=0) + np.diag(gram) + equations.ridges[row]
        found = (right - trusted.T @ (dense[:, kept] @ x) - gram[:, kept] @ x) / curvature
        found[kept] = x
        values[t], worths[t] = found, curvature * found**2


def _solution(own: SparseTable, equations: Equations, row: int) -> tuple[Array, Array, Array, Array, Array]:
    """Solves for one row.

    Returns the touched rows, the same times how much each is trusted, and the right side in full,
    float64, the row's columns, and the solution.
    """
    others, indptr, touched, aims, gram, ridges, full, cross, trusts = equations
    mine = slice(indptr[row], indptr[row + 1])
    dense = others.dense_rows(touched[mine], len(gram)).astype(np.float64)
    trust = trusts[mine].astype(np.float64) if len(trusts) else np.ones(len(dense))
    trusted = dense * trust[:, None]
    right = trusted.T @ aims[mine].astype(np.float64) + full[row].astype(np.float64) @ cross
    kept = own.columns[own.indptr[row] : own.indptr[row + 1]]
    inside = dense[:, kept]
    matrix = trusted[:, kept].T @ inside + gram[np.ix_(kept, kept)] + ridges[row] * np.eye(len(kept))
    return dense, trusted, right, kept, np.linalg.solve(matrix, right[kept])
