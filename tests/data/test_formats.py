from __future__ import annotations

import contextlib
import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import io as scipy_io
from scipy import sparse

from sparserec_np.data.formats import (
    FORMATS,
    WRITABLE,
    read_file,
    read_interactions,
    source,
    write_interactions,
)
from sparserec_np.data.formats.fields import MISSING, parse_integers
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.errors import ConfigError, DataError, SparseRecError
from sparserec_np.runtime import parse_artifact
from tests.makers.small import small_log

REAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

# One grammar each: file name, content, how it is recognised, user -> items, user -> times.
SAMPLES = {
    "lightgcn": ("train.txt", "0 5 3\n7\n2 5\n", "adjacency", {0: [3, 5], 2: [5], 7: []}, None),
    "udata": (
        "u.data",
        "2\t9\t3\t70\n1\t9\t5\t50\n1\t4\t4\t60\n",
        "udata",
        {1: [4, 9], 2: [9]},
        [60, 50, 70],
    ),
    "ratings.dat": (
        "ratings.dat",
        "2::9::3::70\n1::9::5::50\n1::4::4::60\n",
        "ratings-dat",
        {1: [4, 9], 2: [9]},
        [60, 50, 70],
    ),
    "movielens csv": (
        "ratings.csv",
        "userId,movieId,rating,timestamp\n2,9,3.5,70\n1,9,5.0,50\n",
        "csv",
        {1: [9], 2: [9]},
        [50, 70],
    ),
    "headerless csv": ("log.csv", "2,9\n-1,4\n", "csv", {-1: [4], 2: [9]}, None),
    "semicolons": (
        "log.csv",
        "User-ID;ISBN;Book-Rating\n2;034545104X;5\n3;034545104X;0\n",
        "csv",
        {2: ["034545104X"]},
        None,
    ),
    "bars": ("log.txt", "2|9\n1|4\n", "csv", {1: [4], 2: [9]}, None),
    "tsv": ("log.tsv", "item\tuid\n9\tann\n4\tbob\n", "tsv", {"ann": [9], "bob": [4]}, None),
    "recbole": (
        "log.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n2\t9\t3\t7.5\n1\t4\t1\t2\n",
        "inter",
        {1: [4], 2: [9]},
        [2, 7.5],
    ),
    "matrix market": (
        "log.mtx",
        "%%MatrixMarket matrix coordinate integer general\n% note\n3 2 3\n1 2 5\n3 1 1\n3 2 0\n",
        "mtx",
        {1: [2], 2: [], 3: [1]},
        None,
    ),
}


def rows(log):
    """User id -> list of item ids, in outside ids."""
    ids = log.item_ids[log.items].tolist()
    bounds = log.indptr.tolist()
    return {
        user: ids[start:stop]
        for user, start, stop in zip(log.user_ids.tolist(), bounds[:-1], bounds[1:], strict=True)
    }


def put(folder, name, content):
    path = folder / name
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        read_interactions(path, **options)
    message = str(caught.value)
    assert message.startswith((str(path), "standard input")) and message.endswith(".") and "\n" not in message
    return message.removeprefix(str(path))


@contextlib.contextmanager
def standard_input(raw):
    """Python's standard input as a real pipe-like stream of these bytes."""
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BufferedReader(io.BytesIO(raw)))
    try:
        yield
    finally:
        sys.stdin = before


@pytest.mark.parametrize("sample", SAMPLES)
class TestEveryGrammar:
    def test_is_recognised(self, sample, tmp_path):
        name, content, kind, wanted, times = SAMPLES[sample]
        reading = read_file(put(tmp_path, name, content))
        assert (reading.format, rows(reading.interactions)) == (kind, wanted)
        assert (None if times is None else reading.interactions.times.tolist()) == times

    def test_is_read_where_it_is_named(self, sample, tmp_path):
        _, content, kind, wanted, _ = SAMPLES[sample]
        assert rows(read_interactions(put(tmp_path, "nothing-said", content), format=kind)) == wanted

    def test_compressed_whatever_the_name(self, sample, tmp_path):
        name, content, _, wanted, _ = SAMPLES[sample]
        assert rows(read_interactions(put(tmp_path, name + ".gz", content))) == wanted
        packed = put(tmp_path, name, gzip.compress(content.encode()))
        assert rows(read_interactions(packed)) == wanted

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_from_standard_input(self, sample, pack):
        _, content, _, wanted, _ = SAMPLES[sample]
        with standard_input(pack(content.encode())):
            assert rows(read_interactions("-")) == wanted
            assert not sys.stdin.buffer.closed

    def test_line_ends_blanks_and_marks(self, sample, tmp_path):
        name, content, kind, wanted, _ = SAMPLES[sample]
        odd = [content.rstrip("\n")]
        if kind != "mtx":  # SciPy's to decide
            blanks = " " if kind == "adjacency" else "  "
            odd += [content.replace("\n", "\r\n"), content.replace("\n", blanks + "\n"), "\ufeff" + content]
            odd += ["\n" + content.replace("\n", "\n\n"), content + " \n\r\n"]
        for text in odd:
            assert rows(read_interactions(put(tmp_path, name, text))) == wanted, repr(text)

    def test_in_blocks_of_a_few_bytes(self, sample, tmp_path, monkeypatch):
        name, content, _, wanted, _ = SAMPLES[sample]
        path = put(tmp_path, name, content)
        whole = read_interactions(path)
        kept, head = [], len(content.splitlines()[0]) + 1
        for size in (head, head + 1, head + 7):
            monkeypatch.setattr(source, "BLOCK_BYTES", size)
            kept.append(read_file(path, format=SAMPLES[sample][2]).interactions)
        assert all(rows(log) == wanted and log.digest() == whole.digest() for log in kept)


def test_npz_keeps_empty_rows_and_columns(tmp_path):
    matrix = sparse.coo_matrix(([5.0, 1.0, 0.0], ([0, 2, 2], [1, 1, 2])), shape=(4, 3))
    for form in ("csr", "csc", "coo"):
        sparse.save_npz(tmp_path / "log.npz", matrix.asformat(form))
        reading = read_file(tmp_path / "log.npz")
        assert reading.format == "npz" and reading.pairs_read == 2
        assert rows(reading.interactions) == {0: [1], 1: [], 2: [1], 3: []}
        assert reading.interactions.item_ids.tolist() == [0, 1, 2]
    assert rows(read_interactions(tmp_path / "log.npz", min_rating=4)) == {0: [1], 1: [], 2: [], 3: []}
    with standard_input((tmp_path / "log.npz").read_bytes()):
        assert read_interactions("-").n_interactions == 2


def test_repeats_are_merged_and_counted(tmp_path):
    reading = read_file(put(tmp_path, "a.txt", "3 1 1\n3 2 1 4\n"))
    assert rows(reading.interactions) == {3: [1, 2, 4]}
    assert reading.interactions.duplicates == 2 and reading.pairs_read == 5
    timed = read_interactions(put(tmp_path, "b.csv", "user,item,time\n1,1,5\n1,1,9\n1,1,7\n"))
    assert timed.times.tolist() == [9] and timed.duplicates == 2


class TestIds:
    def test_leading_zeros_make_strings(self, tmp_path):
        assert rows(read_interactions(put(tmp_path, "a.csv", "1,007\n1,7\n"))) == {1: ["007", "7"]}

    def test_one_word_makes_a_column_of_strings(self, tmp_path, monkeypatch):
        path = put(tmp_path, "a.csv", "10,1\n9,2\n10,B0\nx,1\n")
        wanted = {"10": ["1", "B0"], "9": ["2"], "x": ["1"]}
        assert rows(read_interactions(path)) == wanted
        monkeypatch.setattr(source, "BLOCK_BYTES", 5)  # words come after blocks of numbers
        assert rows(read_interactions(path)) == wanted

    def test_beyond_18_digits_they_are_strings(self, tmp_path):
        log = read_interactions(put(tmp_path, "a.csv", "999999999999999999,1000000000000000000\n"))
        assert rows(log) == {999999999999999999: ["1000000000000000000"]}

    def test_words_in_adjacency_need_to_be_asked_for(self, tmp_path):
        path = put(tmp_path, "a.txt", "ann x 1\nzoë\n")
        assert rows(read_interactions(path, format="adjacency")) == {"ann": ["1", "x"], "zoë": []}
        assert ", line 1: expected an interaction in one of the formats" in refusal(path)

    def test_blanks_and_other_scripts(self, tmp_path):
        assert rows(read_interactions(put(tmp_path, "a.csv", "user,item\nann b, 東京 \n"))) == {
            "ann b": ["東京"]
        }


class TestColumns:
    CONTENT = "rating,who,what,when\n3,ann,x,2010-10-19T23:55:27Z\n5,bob,y,2010-10-20 02:00:00+02:00\n"

    def test_named(self, tmp_path):
        path = put(tmp_path, "a.csv", self.CONTENT)
        log = read_interactions(path, user_col="who", item_col="WHAT", time_col="when")
        assert rows(log) == {"ann": ["x"], "bob": ["y"]} and log.times.tolist() == [1287532527, 1287532800]

    def test_numbered_with_and_without_a_header(self, tmp_path):
        for content in (self.CONTENT, self.CONTENT.split("\n", 1)[1]):
            path = put(tmp_path, "a.csv", content)
            assert rows(read_interactions(path, user_col=1, item_col="2", rating_col=0)) == {
                "ann": ["x"],
                "bob": ["y"],
            }

    def test_a_header_without_known_names_is_refused_with_its_names(self, tmp_path):
        message = refusal(put(tmp_path, "a.csv", self.CONTENT))
        assert "no column named like a user; name one of rating, who, what, when with --user-col" in message

    def test_a_column_that_is_not_there(self, tmp_path):
        path = put(tmp_path, "a.csv", self.CONTENT)
        assert "no column 'gone' for --item-col; the columns there are rating, who" in refusal(
            path, user_col="who", item_col="gone"
        )
        plain = put(tmp_path, "b.csv", "1,2\n")
        assert "no column 5 for --rating-col; the columns there are 0 to 1" in refusal(plain, rating_col=5)

    def test_two_wishes_for_one_column(self, tmp_path):
        path = put(tmp_path, "a.csv", "1,2,3\n")
        with pytest.raises(ConfigError, match="must be two columns"):
            read_interactions(path, user_col=1, item_col=1)
        with pytest.raises(ConfigError, match="Name both"):
            read_interactions(path, user_col=1)

    def test_words_without_a_header(self, tmp_path):
        assert rows(read_interactions(put(tmp_path, "a.csv", "ann,x\nbob,y\n"))) == {
            "ann": ["x"],
            "bob": ["y"],
        }

    def test_blanks_between_columns(self, tmp_path):
        path = put(tmp_path, "a.txt", "1  2 5\n3 4  1\n")
        assert rows(read_interactions(path, format="csv", min_rating=2)) == {1: [2]}
        message = refusal(path, user_col=0)
        assert "read as adjacency, which has no columns to name; pass --format csv" in message

    def test_quoted_fields(self, tmp_path):
        content = 'user,title,item\n"a,b","x ""y""",1\nplain,"two\nlines",2\nlast,z,3\n'
        path = put(tmp_path, "a.csv", content)
        assert rows(read_interactions(path)) == {"a,b": [1], "last": [3], "plain": [2]}
        assert ", line 6: expected 3 fields separated by commas, found 2 in 'q,r'." in refusal(
            put(tmp_path, "b.csv", content + "q,r\n")
        )
        assert ", line 5: expected a row of quoted fields" in refusal(
            put(tmp_path, "c.csv", content.replace("last", '"last'))
        )


class TestRatings:
    def test_below_the_minimum_are_left_out(self, tmp_path):
        reading = read_file(put(tmp_path, "a.csv", "1,1,4.0\n1,2,3.99\n2,1,1e1\n3,3,-1\n"), min_rating=4)
        assert rows(reading.interactions) == {1: [1], 2: [1]}
        assert (reading.pairs_read, reading.below_min_rating) == (4, 2)

    def test_missing_ones_matter_only_if_asked_for(self, tmp_path):
        path = put(tmp_path, "a.csv", "user,item,rating\n1,1,\n1,2,3\n")
        assert rows(read_interactions(path)) == {1: [1, 2]}
        assert ", line 2: expected a rating that is a number, found ''." in refusal(path, min_rating=1)

    def test_none_left(self, tmp_path):
        assert "holds no interaction at or above rating 9" in refusal(
            put(tmp_path, "a.csv", "1,1,4\n"), min_rating=9
        )

    @pytest.mark.parametrize(
        "name, content", [("a.txt", "1 2 3\n"), ("a.csv", "1,2\n"), ("a.csv", "user,item\n1,2\n")]
    )
    def test_no_rating_column(self, name, content, tmp_path):
        assert "no rating column for --min-rating 4" in refusal(put(tmp_path, name, content), min_rating=4)

    def test_a_pattern_has_none(self, tmp_path):
        content = "%%MatrixMarket matrix coordinate pattern general\n1 1 1\n1 1\n"
        assert "pattern without values" in refusal(put(tmp_path, "a.mtx", content), min_rating=1)


BAD = {
    "word in adjacency": (
        "a.txt",
        "0 1 2\n1 3\n2 x 4\n",
        3,
        "an item id that is a whole number, 0 or above, found 'x'",
    ),
    "word as user": ("a.txt", "0 1 2\nabc 3\n", 2, "a user id that is a whole number"),
    "negative": ("a.txt", "0 1 2\n1 3 -4\n", 2, "found '-4'"),
    "fraction": ("a.txt", "0 1 2\n\n1 3 4.5\n", 3, "found '4.5'"),
    "comma in adjacency": ("a.txt", "0 1 2\n1, 3 4\n", 2, "found '1,'"),
    "too few fields": (
        "a.csv",
        "1,2,3\n4,5,6\n7,8\n9,1,2\n",
        3,
        "3 fields separated by commas, found 2 in '7,8'",
    ),
    "too many fields": (
        "a.csv",
        "user,item\n\n1,2\n1,2,3\n",
        4,
        "2 fields separated by commas, found 3 in '1,2,3'",
    ),
    "empty id": ("a.csv", "1,2\n3,\n", 2, "an item id, found an empty field"),
    "blank user": ("a.tsv", "1\t2\n \t4\n", 2, "a user id, found an empty field"),
    "rating is infinite": ("a.csv", "1,2,3\n1,2,inf\n", 2, "a rating that is a number, found 'inf'"),
    "word in u.data": ("u.data", "1\t2\t3\t4\n\nx\t2\t3\t4\n", 3, "a user id that is a whole number"),
    "dat": ("r.dat", "1::2::3::4\n1::2::3\n", 2, "4 fields separated by '::', found 3 in '1::2::3'"),
    "inter": (
        "a.inter",
        "user_id:token\titem_id:token\n1\t2\n1 2\n",
        3,
        "2 fields separated by tabs, found 1",
    ),
    "NUL": ("a.txt", "0 1\n1 \0 2\n", 2, "text in UTF-8, found a NUL byte"),
    "latin-1": ("a.csv", b"user,item\nann,x\nbob,caf\xe9\n", 3, "an item id in UTF-8, found 'caf\ufffd'"),
    "prose": ("a.txt", "\nthis is no data\n", 2, "an interaction in one of the formats"),
    "single column": ("a.csv", "user\n1\n", 1, "an interaction in one of the formats"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_bad_line_is_refused_by_its_number(case, ending, tmp_path):
    name, content, line, sentence = BAD[case]
    message = refusal(put(tmp_path, name + ending, content))
    assert message.startswith(f", line {line}: expected ") and sentence in message


@pytest.mark.parametrize("kind", ["adjacency", "csv", "udata"])
def test_line_numbers_are_exact_beyond_the_first_block(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 1000)
    mark = {"adjacency": " ", "csv": ",", "udata": "\t"}[kind]
    lines = [mark.join(["12", "34", "5", "6"])] * 5000
    if kind == "adjacency":  # of lines that are no table
        lines[::2] = ["12 34 5"] * 2500
    lines[4321] = mark.join(["12", "?" if kind != "csv" else "", "5", "6"])
    assert ", line 4322: expected an item id" in refusal(put(tmp_path, "log.txt", "\r\n".join(lines)))


ARRAYS = {"data": np.ones(3), "indices": [0, 1, 2], "indptr": [0, 2, 3], "shape": [2, 3], "format": b"csr"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"indptr": [0, 50_000_000, 3]},
        {"indptr": [0, -5, 3]},
        {"indices": [0, 1, 2**30]},
        {"indices": [0, 1, -9]},
        {"indices": [[0, 1, 2]]},
        {"indptr": [0, 50_000_000, 3, 3], "shape": [3, 3], "format": b"csc"},
        {"indptr": [0, 50_000_000, 3], "data": np.ones((3, 1, 1)), "format": b"bsr"},
        {"indices": [0, 1, 2**29], "data": np.ones((3, 1, 1)), "format": b"bsr"},
        {"row": [0, 1, 2**30], "col": [0, 1, 2], "format": b"coo"},
        {"row": [0, 1, -1], "col": [0, 1, 2], "format": b"coo"},
        {"format": b"none"},
        {"shape": [2, 3, 4]},
    ],
    ids=repr,
)
def test_an_npz_that_leads_out_of_its_arrays_is_refused_before_it_is_converted(tmp_path, wrong):
    np.savez(tmp_path / "a.npz", **{name: np.array(value) for name, value in {**ARRAYS, **wrong}.items()})
    assert "is no readable SciPy sparse matrix" in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("content", ["", "\n \r\n\n", "\ufeff"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.npz.gz", "u.data"])
def test_empty_files(name, content, tmp_path):
    assert " is empty: expected one interaction a line." in refusal(put(tmp_path, name, content))
    assert "is empty" in refusal(put(tmp_path, name, content), format="csv")


def test_files_without_a_single_interaction(tmp_path):
    assert "holds no interaction: expected at least one" in refusal(put(tmp_path, "a.csv", "user,item\n"))
    assert "holds no interaction" in refusal(put(tmp_path, "a.txt", "1\n2\n"))


def test_damaged_and_foreign_files(tmp_path):
    whole = gzip.compress(b"".join(b"%d %d\n" % (n, n * n) for n in range(5000)))
    for damaged in (whole[:-100], whole[:200] + b"\0\xff" * 40 + whole[280:], whole[:12]):
        assert "is a damaged gzip file" in refusal(put(tmp_path, "a.txt", damaged))
    assert "is no readable SciPy sparse matrix" in refusal(
        put(tmp_path, "a.npz", b"PK\x03\x04 and nothing more")
    )
    np.savez(tmp_path / "b.npz", a=np.arange(3))
    assert "is no readable SciPy sparse matrix" in refusal(tmp_path / "b.npz")
    header = "%%MatrixMarket matrix coordinate integer general\n"
    assert "is no readable Matrix Market matrix: Line 3" in refusal(
        put(tmp_path, "a.mtx", header + "2 2 1\nx 1 1\n")
    )
    assert "does not start like a npz file" in refusal(put(tmp_path, "c.npz", "1 2 3\n"))
    assert "line 1: expected text in UTF-8" in refusal(put(tmp_path, "d.dat", bytes(range(256)) * 10))


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.tsv", "a.dat", "u.data", "a.inter", "a.npz", "a.mtx"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    b"1",
                    b"2",
                    b"user",
                    b"item",
                    b'"',
                    b",",
                    b"\t",
                    b" ",
                    b"::",
                    b"\r",
                    b"\n",
                    b":token",
                    b"\xff",
                ]
            ),
            max_size=40,
        ).map(b"".join),
    )
)
def test_any_bytes_are_read_or_refused_in_a_sentence(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with contextlib.suppress(SparseRecError):
        assert read_interactions(path).n_interactions > 0


def test_wrong_arguments(tmp_path):
    path = put(tmp_path, "a.txt", "1 2\n")
    with pytest.raises(ConfigError, match="There is no format 'json'; choose one of adjacency"):
        read_interactions(path, format="json")
    with pytest.raises(FileNotFoundError):
        read_interactions(tmp_path / "missing.txt")
    with pytest.raises(IsADirectoryError):
        read_interactions(tmp_path)
    if os.path.isdir("/proc/self"):
        with pytest.raises(OSError) as refused:
            write_interactions(Interactions.from_pairs([1], [2]), "/proc/out.csv")
        assert refused.value.filename == "/proc/out.csv"


@given(
    st.lists(
        st.one_of(st.integers(-(10**18), 10**18).map(str), st.text("0123456789+-. x", max_size=20)),
        min_size=1,
    )
)
def test_integers_are_parsed_as_python_prints_them(pieces):
    raw = "".join(piece + "\n" for piece in pieces).encode()
    ends = np.cumsum([len(piece) + 1 for piece in pieces]) - 1
    starts = ends - [len(piece) for piece in pieces]
    values, good = parse_integers(np.frombuffer(raw, dtype=np.uint8), starts, ends)
    for piece, value, fine in zip(pieces, values.tolist(), good.tolist(), strict=True):
        digits = piece.removeprefix("-")
        canonical = digits.isdigit() and len(digits) <= 18 and str(int(piece)) == piece
        assert fine == canonical
        assert not fine or value == int(piece)


# ---- writing

word = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=6
).filter(lambda name: name.encode() not in MISSING)
ids = st.one_of(st.integers(0, 40), st.integers(-(10**17), 10**17))
any_pairs = st.one_of(
    *(
        st.lists(st.tuples(user, item), min_size=1, max_size=30)
        for user in (ids, word)
        for item in (ids, word)
    )
)


def same(one, other):
    """The same pairs under the same ids; strings that look like integers may come back as integers."""
    assert rows(one).keys() == rows(other).keys() or {str(user) for user in rows(one)} == {
        str(user) for user in rows(other)
    }
    flat = [
        sorted((str(user), str(item)) for user, items in rows(log).items() for item in items)
        for log in (one, other)
    ]
    assert flat[0] == flat[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(any_pairs, st.sampled_from(["csv", "tsv", "inter"]), st.sampled_from(["", ".gz"]), st.booleans())
def test_tables_come_back_as_they_were(tmp_path, pairs, kind, ending, timed):
    users, items = zip(*pairs, strict=True)
    log = Interactions.from_pairs(users, items, times=np.arange(len(pairs)) / 2 if timed else None)
    path = tmp_path / f"log.{kind}{ending}"
    write_interactions(log, path)
    back = read_file(path)
    assert back.format == kind
    same(log, back.interactions)
    aligned, counts = back.interactions.aligned_to(log)
    assert aligned.digest() == log.digest() and not any(counts)
    if timed:
        assert np.array_equal(aligned.times, log.times)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(any_pairs, st.sampled_from(["", ".gz"]))
def test_adjacency_comes_back_as_it_was(tmp_path, pairs, ending):
    users, items = zip(*pairs, strict=True)
    whole = all(isinstance(one, int) for one in (*users, *items))
    if whole:
        users, items = [abs(user) for user in users], [abs(item) for item in items]
    log = Interactions.from_pairs(
        users, items, user_ids=[10**18 - 1 if isinstance(users[0], int) else "idle"]
    )
    path = tmp_path / f"log.txt{ending}"
    if not whole and any(isinstance(one, int) and one < 0 for one in (*users, *items)):
        with pytest.raises(DataError, match="no negative ids; write csv"):
            write_interactions(log, path)
        return
    write_interactions(log, path)
    back = read_interactions(path, format=None if whole else "adjacency")
    same(log, back)
    if whole:
        assert back.digest() == log.digest()


@pytest.mark.parametrize("kind", ["npz", "mtx"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_matrices_come_back_as_they_were(kind, ending, tmp_path):
    pairs = Interactions.from_pairs([1, 1, 3], [2, 1, 2], user_ids=range(1, 5), item_ids=[3])
    log = pairs.renumbered(first=1 if kind == "mtx" else 0)
    path = tmp_path / f"log.{kind}{ending}"
    write_interactions(log, path)
    assert read_interactions(path).digest() == log.digest()
    raw = gzip.decompress(path.read_bytes()) if ending else path.read_bytes()
    peer = (sparse.load_npz if kind == "npz" else scipy_io.mmread)(io.BytesIO(raw))
    assert peer.shape == (4, 3) and sorted(zip(*peer.nonzero(), strict=True)) == [(0, 0), (0, 1), (2, 1)]
    with pytest.raises(DataError, match="knows numbers from"):
        write_interactions(log.renumbered(first=7), path)
    assert read_interactions(path).digest() == log.digest()  # the refusal left the file alone


def test_the_same_bytes_every_time(tmp_path):
    log = Interactions.from_pairs([1, 2], [3, 4])
    for name in ("a.txt.gz", "b.txt.gz"):
        write_interactions(log, tmp_path / name)
    assert (tmp_path / "a.txt.gz").read_bytes() == (tmp_path / "b.txt.gz").read_bytes()


@pytest.mark.parametrize(
    ("item", "kind", "sentence"),
    [
        ("two words", "adjacency", "cannot be written as adjacency; write csv"),
        (" rim", "csv", "cannot be written as csv: it would not"),
        ("tab\tbed", "tsv", "cannot be written as tsv"),
        ("line\nend", "inter", "cannot be written as inter"),
        ("", "csv", "''"),
    ],
)
def test_ids_that_would_not_come_back_are_refused_and_leave_nothing(item, kind, sentence, tmp_path):
    with pytest.raises(DataError, match=sentence):
        write_interactions(Interactions.from_pairs(["ann"], [item]), tmp_path / "out", kind)
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = put(tmp_path, "a.csv", "old")
    log = Interactions.from_pairs([1, 2], [3, 4])

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_interactions(log, path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.csv"]


def test_where_to_write(tmp_path):
    log = Interactions.from_pairs([1], [2])
    link, real = tmp_path / "link.csv", tmp_path / "real.csv"
    link.symlink_to(real)
    write_interactions(log, link)
    assert link.is_symlink() and real.read_text() == "user,item\n1,2\n"
    write_interactions(log, os.devnull, "csv")
    assert not os.path.isfile(os.devnull)
    with pytest.raises(IsADirectoryError):
        write_interactions(log, tmp_path, "csv")
    with pytest.raises(FileNotFoundError, match="No such folder"):
        write_interactions(log, tmp_path / "no" / "a.csv")
    for path, kind in (("a.json", None), ("a.dat", None), ("a.csv", "udata")):
        with pytest.raises(ConfigError, match="choose one of adjacency, csv, tsv, inter, npz, mtx"):
            write_interactions(log, tmp_path / path, kind)
    assert set(WRITABLE) < set(FORMATS)


def test_reading_text_loads_neither_scipy_nor_numba(tmp_path):
    path = put(tmp_path, "a.txt", "1 2 3\n")
    code = (
        "import sys; from sparserec_np.data.formats import read_interactions; read_interactions(sys.argv[1]); "
        "sys.exit(bool({'scipy', 'numba', 'sklearn'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=root)


@pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason="the folder of public data sets is not beside this checkout"
)
@pytest.mark.parametrize(
    ("name", "sizes", "options"),
    [
        ("gowalla/train.txt.gz", (29_858, 40_981, 810_128), {}),
        ("yelp2018/train.txt.gz", (31_668, 38_048, 1_237_259), {}),
        ("amazon-book-kgat/train.txt.gz", (70_679, 24_915, 652_514), {}),
        ("amazon-book-kgat/test.txt.gz", (70_679, 21_832, 193_920), {}),
        ("lastfm/train.txt.gz", (1_878, 4_476, 42_135), {}),
        ("ml-100k/u.data.gz", (942, 1_447, 55_375), {"min_rating": 4}),
        ("ml-1m/ratings.csv.gz", (6_040, 3_706, 1_000_209), {}),
    ],
)
def test_public_data_sets(name, sizes, options):
    log = read_interactions(REAL_DATA / name, **options)
    assert (log.n_users, log.n_items, log.n_interactions) == sizes and log.duplicates == 0


# -- files that are mapped

LOG = small_log()


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("times", [None, "i8", "f8"])
def test_a_mapped_file_keeps_everything_and_is_read_where_it_lies(tmp_path, words, times):
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 40, 300) * 3 - 9, rng.integers(0, 30, 300)
    more = [99, 5] if not words else ["Größe", ""]
    if words:
        users = [f"u {user}" for user in users]
    log = Interactions.from_pairs(
        users, items, None if times is None else rng.integers(0, 9, 300).astype(times), user_ids=more
    )
    path = tmp_path / "log.safetensors"
    assert write_interactions(log, path) == "safetensors"
    reading = read_file(path)
    back = reading.interactions
    assert (reading.format, reading.pairs_read, reading.below_min_rating) == (
        "safetensors",
        log.n_interactions,
        0,
    )
    assert back.digest() == log.digest()
    assert (back.times is None) if times is None else np.array_equal(back.times, log.times)
    # As compiled kernels expect them: the machine's own types, in the file's memory; what is
    # written does not reach it.
    for array in (back.items, back.indptr):
        assert not array.flags.owndata and array.flags.writeable and array.flags.aligned
    before = path.read_bytes()
    back.items[0] += 1
    assert path.read_bytes() == before
    write_interactions(log, tmp_path / "again", "safetensors")
    assert (tmp_path / "again").read_bytes() == before


def test_a_mapped_file_may_be_compressed_by_others_or_come_from_a_pipe(tmp_path, monkeypatch):
    path = tmp_path / "log.safetensors"
    write_interactions(LOG, path)
    content = path.read_bytes()
    (tmp_path / "log.gz").write_bytes(gzip.compress(content))
    assert read_interactions(tmp_path / "log.gz").digest() == LOG.digest()
    with path.open("rb") as stream:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        assert read_interactions("-").digest() == LOG.digest()
    with pytest.raises(ConfigError, match="cannot be compressed; leave out .gz"):
        write_interactions(LOG, tmp_path / "log.safetensors.gz")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda arrays, metadata: arrays.pop("items"), "items is missing"),
        (
            lambda arrays, metadata: arrays.update(items=arrays["items"].astype("i8")),
            "items is 1-dimensional int64",
        ),
        (lambda arrays, metadata: arrays["items"].__setitem__(0, 10**6), "items must lie in 0.."),
        (lambda arrays, metadata: arrays["items"].sort(), "The items of a user must be sorted and unique"),
        (lambda arrays, metadata: arrays["indptr"].__setitem__(1, 10**6), "indptr must rise from 0"),
        (
            lambda arrays, metadata: arrays["item_ids"].__setitem__(0, 10**6),
            "item_ids must be sorted and unique",
        ),
        (lambda arrays, metadata: arrays.update(times=np.zeros(2)), "times must have shape"),
        (
            lambda arrays, metadata: arrays.update(times=np.full(len(arrays["items"]), np.nan)),
            "times must be finite",
        ),
        (lambda arrays, metadata: arrays.update(values=np.zeros(2)), "'values' is no array of such a file"),
        (
            lambda arrays, metadata: metadata.update(format="sparserec_np"),
            "metadata format is 'sparserec_np'",
        ),
        (lambda arrays, metadata: metadata.update(format_version="2"), "metadata format_version is '2'"),
    ],
)
def test_a_mapped_file_that_is_damaged_is_refused_by_its_field(tmp_path, change, sentence):
    path = tmp_path / "log.safetensors"
    write_interactions(LOG, path)
    artifact = parse_artifact(bytearray(path.read_bytes()))
    change(artifact.arrays, artifact.metadata)
    write_artifact(path, artifact.arrays, artifact.metadata)
    with pytest.raises(DataError) as refused:
        read_interactions(path)
    assert str(refused.value).startswith(f"{path} is no sound file of interactions: {sentence}")
    assert "\n" not in str(refused.value)


def test_a_mapped_file_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "log.safetensors"
    write_interactions(LOG, path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="is no sound file of interactions: 'items': data_offsets"):
        read_interactions(path)
    with pytest.raises(DataError, match="is read as safetensors, which has no rating column"):
        read_interactions(path, min_rating=3)
