"""Dense products that are needed at the stored entries of a table alone, in plain NumPy.

This is the specification of ``kernels.compiled.at_entries``. ``table`` has n_items rows and ``dim``
columns, values float32 or float64, finite; read only. All other floats have the dtype of its
values. ``out`` (nnz,) is added to, entry by entry of the table. The bits do not depend on the
number of threads.
"""

from __future__ import annotations

from sparserec_np.data.table import Array, SparseTable


def add_user_rows(
    table: SparseTable, indptr: Array, items: Array, users: Array, full: Array, out: Array
) -> None:
    """Adds the rows of the users who touched an item: ``out[i, c] += sum_t full[t, c]``.

    t goes over the ``users`` who touched item i, in their order.

    Args:
        table: see above; its values are not read.
        indptr: (n + 1,) int32 or int64; ``items[indptr[u]:indptr[u + 1]]`` are those of user u.
        items: int32 rows of the table; a user may have none.
        users: (m,) int32, any user, any number of times.
        full: (m, dim) a row for each of them.
        out: see above.
    """
    owners, columns = table.row_numbers(), table.columns
    for t, user in enumerate(users):
        touched = items[indptr[user] : indptr[user + 1]]
        for item in touched:
            own = owners == item
            out[own] += full[t, columns[own]]


def add_products(table: SparseTable, matrix: Array, out: Array) -> None:
    """Adds the rows of the table times a matrix: ``out[i, c] += sum_k table[i, k] matrix[k, c]``.

    Args:
        table: see above.
        matrix: (dim, dim)
        out: see above.
    """
    product = table.to_dense(len(matrix)) @ matrix
    out += product[table.row_numbers(), table.columns]
