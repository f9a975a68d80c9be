"""Files of sparse matrices, users x items: SciPy's ``.npz`` and Matrix Market's ``.mtx``.

Rows are users and columns are items, all of them, the empty ones too. Ids are what the file itself
says: rows and columns count from 0 in ``.npz`` and from 1 in ``.mtx``. A value of zero or below is
no interaction.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import IO, Any

import numpy as np

from sparserec_np.data.formats.delimited import FoundPairs
from sparserec_np.data.formats.source import Source
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import coordinates, touched_cells
from sparserec_np.errors import DataError

FIRST_ID = {"npz": 0, "mtx": 1}


def read_matrix(source: Source, kind: str, min_rating: float | None) -> FoundPairs:
    """Reads a whole source, a matrix in the format ``kind``, ``npz`` or ``mtx``.

    Raises:
        DataError: it is no such matrix, or ``min_rating`` is asked of a matrix without values.
    """
    content = source.everything()
    if min_rating is not None and kind == "mtx" and b"pattern" in content[: content.find(b"\n")].lower():
        raise DataError(
            f"{source.name} is a pattern without values: it has no rating column for --min-rating {min_rating:g}."
        )
    matrix = _load(source, kind, content)
    cells = touched_cells(matrix, source.name, min_rating)
    first = FIRST_ID[kind]
    user_ids, item_ids = (np.arange(first, size + first, dtype=np.int64) for size in matrix.shape)
    interactions = Interactions.from_codes(cells.rows, cells.columns, user_ids, item_ids)
    return FoundPairs(interactions, cells.read, cells.read - cells.values.size)


def write_matrix(interactions: Interactions, stream: IO[bytes], kind: str) -> None:
    """Writes interactions as a matrix of ones, users x items.

    Raises:
        DataError: the ids are not the row and column numbers of such a file.
    """
    first = FIRST_ID[kind]
    for ids, noun in ((interactions.user_ids, "user"), (interactions.item_ids, "item")):
        if ids.dtype.kind != "i" or not np.array_equal(ids, np.arange(first, ids.size + first)):
            raise DataError(
                f"A {kind} file knows numbers from {first} without gaps only, but the {noun} ids are others; "
                "write csv to keep them, or renumber them."
            )
    from scipy import io as scipy_io
    from scipy import sparse

    shape = (interactions.n_users, interactions.n_items)
    ones = np.ones(interactions.n_interactions, dtype=np.float32)
    matrix = sparse.csr_matrix((ones, interactions.items, interactions.indptr), shape=shape)
    if kind == "npz":
        whole = io.BytesIO()  # a zip file is written back and forth, which a compressing stream does not take
        sparse.save_npz(whole, matrix)
        stream.write(whole.getbuffer())
    else:
        scipy_io.mmwrite(stream, matrix, field="pattern", symmetry="general")


def _load(source: Source, kind: str, content: bytes) -> Any:
    """Reads a matrix in coordinate form."""
    from scipy import io as scipy_io
    from scipy import sparse

    read = sparse.load_npz if kind == "npz" else scipy_io.mmread
    try:
        matrix = coordinates(read(io.BytesIO(content)))
        if matrix.ndim == 2 and matrix.row.size == matrix.col.size == matrix.data.size:
            return matrix
        reason = "its arrays differ in length"
    except (
        ValueError,
        KeyError,
        OSError,
        EOFError,
        TypeError,
        AttributeError,
        IndexError,
        OverflowError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = " ".join(str(error).split()).rstrip(".")
    wanted = "SciPy sparse matrix (scipy.sparse.save_npz)" if kind == "npz" else "Matrix Market matrix"
    raise DataError(f"{source.name} is no readable {wanted}: {reason}.")
