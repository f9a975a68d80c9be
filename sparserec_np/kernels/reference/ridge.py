"""Users' rows that are solved for from the item rows they touched, in plain NumPy.

This is the specification of ``kernels.compiled.ridge``. It calls what serves one user at a time,
:func:`sparserec_np.runtime.solved_row`: the compiled kernel does the same steps in the same order,
so that what is evaluated is what is served, to the last bit.
"""

from __future__ import annotations

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.runtime import RidgeTerms, Table, solved_row


def solve_users(
    table: SparseTable,
    base: Array,
    least: float,
    places: Array,
    indptr: Array,
    items: Array,
    trusts: Array,
    users: Array,
    columns: Array,
    values: Array,
    counts: Array,
) -> None:
    """Solves for each user's row, and keeps as many entries as there is room for.

    Args:
        table: (n_items, dim) float32, read only.
        base, least, places: see :class:`~sparserec_np.runtime.RidgeTerms`.
        indptr: (n + 1,) int32 or int64; ``items[indptr[u]:indptr[u + 1]]`` are those of user u.
        items: int32 rows of the table, ascending for each user, who may have none.
        trusts: float32, how much each of ``items`` is to be trusted; empty where all count 1.
        users: (m,) int32, any user, any number of times.
        columns: (m, most) int32; the first ``counts[t]`` of row t are written to, ascending.
        values: (m, most) float32, likewise.
        counts: (m,) int32, overwritten.
    """
    for t, user in enumerate(users):
        touched = items[indptr[user] : indptr[user + 1]]
        trust = trusts[indptr[user] : indptr[user + 1]] if len(trusts) else None
        terms = RidgeTerms(base, least, places)
        kept, found = solved_row(Table(*table), touched, terms, values.shape[1], trust)
        counts[t] = len(kept)
        columns[t, : len(kept)], values[t, : len(kept)] = kept, found
