"""Files of sparse matrices, users x items: SciPy's ``.npz`` and Matrix Market's ``.mtx``.

Rows are users and columns are items, all of them, the empty ones too. Ids are what the file itself
says: rows and columns count from 0 in ``.npz`` and from 1 in ``.mtx``. A value is what a rating is
in other files: 0 or less is no interaction.
"""

from __future__ import annotations

import io
import re
import tokenize
import zipfile
import zlib
from typing import IO, Any

import numpy as np

from sparserec_np.data.formats.options import VALUES, ReaderOptions, is_no_column
from sparserec_np.data.formats.signatures import refuse_archive
from sparserec_np.data.formats.source import Source
from sparserec_np.data.formats.tally import Tally
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import cell_weights, checked_cells, coordinates
from sparserec_np.errors import DataError

LINE_BYTES = 1 << 20  # most in a line of Matrix Market, which by its definition has 1,024
HEADING_BYTES = 1 << 24  # before which a Matrix Market file says how large it is
# A line that is neither empty nor a comment.
_SIZES = re.compile(rb"^[ \t\r]*[^%\s]", re.MULTILINE)
_ADDRESS = re.compile(r"(The file )?<_io\.BytesIO[^>]*>")
FIRST_ID = {"npz": 0, "mtx": 1}


# A matrix with more rows and columns than this has an entry for every hundredth, or is refused:
# each takes memory even if nothing is in it.
FREE_SIZE = 10_000_000
EMPTY_FOR_ONE = 100


def read_matrix(source: Source, kind: str, options: ReaderOptions, tally: Tally) -> Interactions:
    """Reads a whole source, a matrix in the format ``kind``, ``npz`` or ``mtx``.

    Raises:
        DataError: it is no such matrix, nearly all of it is empty, or something is asked for that
            needs values, of a matrix without.
    """
    content = source.everything() if kind == "npz" else _matrix_market(source)
    min_rating = options.min_rating
    if kind == "mtx" and b"pattern" in content[: content.find(b"\n")].lower():
        _refuse_pattern(source.name, options)
    if kind == "npz":
        refuse_archive(source.name, content)
    else:
        _check_promises(source, content)
    matrix = _load(source, kind, content)
    _check_size(source, matrix.shape, matrix.data.size)
    matrix = checked_cells(matrix, source.name)
    rows, columns, values = matrix.row, matrix.col, matrix.data
    tally.rating = "values"
    there = values != 0
    tally.read = int(np.count_nonzero(there))
    disliked = np.zeros(values.size, dtype=bool)
    if not is_no_column(options.rating_col):
        known = np.ones(values.size, dtype=bool)
        disliked = there & tally.dislikes(values, there, options.dislike_below)
        there &= tally.counted(values, known, min_rating, disliked)
        dropped = tally.read - int(np.count_nonzero(there))
        tally.below, tally.not_positive = (0, dropped) if min_rating is None else (dropped, 0)
    first = FIRST_ID[kind]
    user_ids, item_ids = (np.arange(first, size + first, dtype=np.int64) for size in matrix.shape)
    there &= ~disliked
    weights = None
    if options.weight_col == VALUES:
        tally.weight = "values"
        weights = cell_weights(values[there], rows[there] + first, columns[there] + first, source.name)
    log = Interactions.from_codes(rows[there], columns[there], user_ids, item_ids, weights=weights)
    return log.disliking(
        Interactions.from_codes(rows[disliked], columns[disliked], log.user_ids, log.item_ids)
    )


def _refuse_pattern(name: str, options: ReaderOptions) -> None:
    """Raises DataError where something is asked for that a matrix without values lacks."""
    for option, bound in (("--min-rating", options.min_rating), ("--dislike-below", options.dislike_below)):
        if bound is not None:
            raise DataError(
                f"{name} is a pattern without values: it has no rating column for {option} {bound:g}."
            )
    if options.weight_col == VALUES:
        raise DataError(f"{name} is a pattern without values: it has none for --weight-col values.")


def write_matrix(interactions: Interactions, stream: IO[bytes], kind: str) -> None:
    """Writes interactions as a matrix of their weights, or ones, users x items.

    Dislikes are -1, which is no interaction to whoever does not ask for it.

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

    weights, disliked = interactions.weights, interactions.disliked
    values = np.ones(interactions.n_interactions, dtype=np.float32) if weights is None else weights
    matrix: Any = _matrix_of(interactions, values)
    if disliked is not None:
        matrix = matrix + _matrix_of(disliked, np.full(disliked.n_interactions, -1, np.float32))
    plain = weights is None and disliked is None
    if kind == "npz":
        whole = io.BytesIO()  # a zip file is written back and forth, which a compressing stream does not take
        sparse.save_npz(whole, matrix)
        stream.write(whole.getbuffer())
    elif plain:
        scipy_io.mmwrite(stream, matrix, field="pattern", symmetry="general")
    else:
        scipy_io.mmwrite(stream, matrix, field="real", precision=9, symmetry="general")


def _matrix_of(log: Interactions, values: Any) -> Any:
    from scipy import sparse

    return sparse.csr_matrix((values, log.items, log.indptr), shape=(log.n_users, log.n_items))


def _check_size(source: Source, shape: tuple[int, int], entries: int) -> None:
    """Refuses a matrix that would take memory for rows and columns nobody is in."""
    size = sum(map(int, shape))
    if size > FREE_SIZE and size > EMPTY_FOR_ONE * entries:
        raise DataError(
            f"{source.name} has {int(shape[0]):,} rows and {int(shape[1]):,} columns for {entries:,} entries: nearly"
            " all users and items would have none; number them from the first without gaps, or write csv."
        )
    if max(shape) > np.iinfo(np.int32).max:
        raise DataError(f"{source.name} must have fewer than 2^31 rows and columns, found {tuple(shape)}.")


def _matrix_market(source: Source) -> bytes:
    """Reads a whole Matrix Market file; refuses one that no program writes before it is in memory.

    What is packed may hold a thousand times its bytes.
    """
    parts: list[bytes] = []
    size = line = 0
    for part in source.parts():
        parts.append(part)
        first, last = part.find(b"\n"), part.rfind(b"\n")
        longest = line + (first if first >= 0 else len(part))
        line = len(part) - last - 1 if first >= 0 else longest
        begun, size = size < HEADING_BYTES, size + len(part)
        if longest > LINE_BYTES:
            raise DataError(
                f"{source.name} is no readable Matrix Market matrix: a line has over {LINE_BYTES:,} bytes."
            )
        if begun and size >= HEADING_BYTES and not _SIZES.search(b"".join(parts)):
            raise DataError(
                f"{source.name} is no readable Matrix Market matrix: its first {HEADING_BYTES:,} bytes do not say how"
                " large it is."
            )
    return b"".join(parts)


def _check_promises(source: Source, content: bytes) -> None:
    """Refuses a Matrix Market file that is too short for the entries it promises.

    A reader makes room for all of them first.
    """
    lines = io.BytesIO(content)
    for line in lines:
        words = line.split()
        if not words or line.startswith(b"%"):
            continue
        if all(word.isdigit() for word in words) and len(words) in (2, 3):
            sizes = [int(word) for word in words]
            promised = sizes[2] if len(words) == 3 else sizes[0] * sizes[1] // 2
            least = 4 if len(words) == 3 else 2  # bytes of an entry, with its line end
            if promised * least > len(content) - lines.tell() + least:
                raise DataError(
                    f"{source.name} is no readable Matrix Market matrix: it promises {promised:,} entries, and holds"
                    f" {max(len(content) - lines.tell(), 0):,} bytes after that."
                )
        return


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
        SyntaxError,
        RuntimeError,  # of an archive with a password; others are kinds of it
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = " ".join(_ADDRESS.sub("it", str(error)).split()).rstrip(".")
    wanted = "SciPy sparse matrix (scipy.sparse.save_npz)" if kind == "npz" else "Matrix Market matrix"
    raise DataError(f"{source.name} is no readable {wanted}: {reason}.")
