from __future__ import annotations

import gzip
import io
import time
import zipfile

import numpy as np
import pytest
from scipy import sparse

from tests.makers.files import pairs, pairs_of, reading, refusal
from tests.makers.small import peak_of

HEADER = "%%MatrixMarket matrix coordinate"


def saved(folder, matrix):
    sparse.save_npz(folder / "made.npz", matrix)
    return (folder / "made.npz").read_bytes()


@pytest.mark.parametrize("values", [[1, 0, -1, 5], [True, False, False, True], [0.5, 0.0, -0.5, 2.0]])
def test_a_value_of_zero_or_less_is_no_interaction(values, tmp_path):
    matrix = sparse.coo_matrix((np.array(values), ([0, 0, 1, 1], [0, 1, 0, 1])), shape=(2, 2))
    found = reading(tmp_path, "a.npz", saved(tmp_path, matrix))
    assert pairs_of(found) == [(0, 0), (1, 1)] and found.tally.rating == "values"
    less = [value for value in values if value < 0]
    assert found.tally.not_positive == len(less)
    assert bool(found.notes) == bool(less)


def test_the_lowest_value_can_be_said(tmp_path):
    content = f"{HEADER} integer general\n2 2 4\n1 1 3\n1 2 0\n2 1 -2\n2 2 1\n"
    assert pairs(tmp_path, "a.mtx", content) == [(1, 1), (2, 2)]
    assert pairs(tmp_path, "a.mtx", content, min_rating=-2) == [(1, 1), (2, 1), (2, 2)]
    found = reading(tmp_path, "a.mtx", content, min_rating=2)
    assert pairs_of(found) == [(1, 1)] and found.below_min_rating == 2
    assert pairs(tmp_path, "a.mtx", content, rating_col="none") == [(1, 1), (2, 1), (2, 2)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mtx", f"{HEADER} pattern general\n2000000000 2000000000 1\n1 1\n"),
        ("a.mtx", f"{HEADER} pattern general\n2 2000000000 1\n1 1\n"),
        ("a.mtx", f"{HEADER} pattern general\n3000000000 2 1\n1 1\n"),
        ("a.mtx", f"{HEADER} real general\n20 20 2000000000\n1 1 1\n"),
        ("a.mtx", "%%MatrixMarket matrix array real general\n2000000 200000\n1\n"),
        ("a.npz", (2**31 - 1, 2)),
        ("a.npz", (2, 2**30)),
    ],
)
def test_a_tiny_file_does_not_ask_for_gigabytes(name, content, tmp_path):
    if isinstance(content, tuple):
        content = saved(tmp_path, sparse.coo_matrix(([1.0], ([0], [0])), shape=content))
    clock = time.process_time()
    said = refusal(tmp_path, name, content)
    assert "for 1 entries" in said or "it promises" in said
    assert time.process_time() - clock < 1


def test_a_matrix_that_is_mostly_empty_is_read(tmp_path):
    content = f"{HEADER} pattern general\n% a note\n\n100000 3 2\n1 1\n100000 3"
    found = reading(tmp_path, "a.mtx", content).interactions
    assert (found.n_users, found.n_items, found.n_interactions) == (100_000, 3, 2)


@pytest.mark.parametrize("damage", [(b"'shape'", b"'shape"), (b"descr", b"(((((")])
def test_an_archive_whose_headers_are_no_python_is_refused(damage, tmp_path):
    content = saved(tmp_path, sparse.csr_matrix(np.eye(3)))
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as sound, zipfile.ZipFile(packed, "w") as damaged:
        for name in sound.namelist():
            damaged.writestr(name, sound.read(name).replace(*damage))
    assert "is no readable SciPy sparse matrix" in refusal(tmp_path, "a.npz", packed.getvalue())


@pytest.mark.parametrize(
    ("filler", "said"),
    [(b" ", "a line has over 1,048,576 bytes"), (b"\n", "first 16,777,216 bytes do not say how large it is")],
)
def test_a_bomb_of_nothing_is_refused_before_it_is_in_memory(filler, said, tmp_path):
    bomb = gzip.compress(f"{HEADER} real general\n".encode() + filler * 40_000_000, compresslevel=1)
    clock = time.perf_counter()
    peak = peak_of(lambda: refusal(tmp_path, "a.mtx.gz", bomb))
    assert said in refusal(tmp_path, "a.mtx.gz", bomb)
    assert peak < 60_000_000 and time.perf_counter() - clock < 30


def test_long_comments_are_read_over(tmp_path):
    content = f"{HEADER} real general\n" + "%" * 1000 + "\n\n  \n" + "% \n" * 9 + "2 2 1\n1 2 3.5\n"
    assert pairs(tmp_path, "a.mtx", content) == [(1, 2)]
