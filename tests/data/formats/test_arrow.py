from __future__ import annotations

import datetime
import io
import os
import sys

import numpy as np
import pytest

from sparserec_np.data.formats import arrow, read_file, read_interactions, write_interactions
from sparserec_np.data.formats.source import Source
from sparserec_np.errors import DataError
from tests.makers.files import pairs_of, put, refusal
from tests.makers.small import small_log

pa = pytest.importorskip("pyarrow")
import pyarrow.feather  # noqa: E402
import pyarrow.parquet  # noqa: E402, F401


def write(folder, columns, kind="parquet", **options):
    """Writes a table; returns its path."""
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    path = folder / f"log.{kind}"
    if kind == "parquet":
        pa.parquet.write_table(table, path, **options)
    elif kind == "feather":
        pa.feather.write_feather(table, path)
    else:
        with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
    return path


def refused(path, **options):
    return refusal(path.parent, path.name, path.read_bytes(), **options)


TABLE = {
    "user_id": [1, 2, 3, 2],
    "item_id": ["a", "b", "a", "c"],
    "rating": [5.0, 0.0, None, 3.5],
    "timestamp": [datetime.datetime(2020, 1, 1, 0, 0, n, 900_000) for n in range(4)],
    "text": ["x"] * 4,
}


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrows"])
def test_tables_are_read_by_the_rules_of_text(kind, tmp_path):
    found = read_file(write(tmp_path, TABLE, kind))
    assert found.format == ("parquet" if kind == "parquet" else "feather")
    assert pairs_of(found) == [(1, "a"), (2, "c"), (3, "a")]
    assert found.interactions.times.tolist() == [1577836800, 1577836803, 1577836802]
    assert (found.tally.not_positive, found.tally.unknown_ratings, found.pairs_read) == (1, 1, 4)
    path = tmp_path / f"log.{kind}"
    assert len(pairs_of(read_file(path, rating_col="none", time_col="none"))) == 4
    assert pairs_of(read_file(path, user_col="item_id", item_col=0, min_rating=4, on_bad_line="skip")) == [
        ("a", 1)
    ]
    assert "no column 'gone' for --user-col" in refused(path, user_col="gone")


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_they_hold_the_same_as_text_does(words, kind, tmp_path):
    log = small_log()
    users, items = log.user_ids[log.pair_users()] * 7, log.item_ids[log.items] * 3
    if words:
        users, items = ([f"{noun}{one}" for one in ids] for noun, ids in (("u", users), ("ï", items)))
    lines = "".join(f"{user},{item}\n" for user, item in zip(users, items, strict=True))
    text = read_interactions(put(tmp_path, "log.csv", "user,item\n" + lines))
    order = np.random.default_rng(0).permutation(len(users))
    table = pa.table({"user": np.array(users)[order].tolist(), "item": np.array(items)[order].tolist()})
    path = write(tmp_path, table, kind, **({"row_group_size": 100} if kind == "parquet" else {}))
    found = read_interactions(path)
    assert found.digest() == text.digest()
    for one, other in ((found.user_ids, text.user_ids), (found.item_ids, text.item_ids)):
        assert one.dtype == other.dtype
    write_interactions(found, tmp_path / "a.safetensors")
    write_interactions(text, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ([1, None, 3], "a user id, found null"),
        (["a", None, "b"], "a user id, found null"),
        (["a", "NaN", "b"], "a user id, found 'NaN'"),
        (["a", "", "b"], "a user id, found ''"),
    ],
)
def test_a_missing_id_is_refused_by_its_row(ids, found, tmp_path):
    path = write(tmp_path, {"user": ids, "item": [1, 2, 3]})
    assert refused(path).startswith(f", row 2: expected {found}")
    kept = read_file(path, on_bad_line="skip")
    assert [user for user, _ in pairs_of(kept)] == [ids[0], ids[2]] and "1 bad row left out" in kept.notes[0]


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([1.0, 2.0]),
        pa.array([True, False]),
        pa.array([b"a", b"b"]),
        pa.array([[1], [2]]),
        pa.array([None, None]),
    ],
)
def test_ids_of_other_types_are_refused(ids, tmp_path):
    assert "ids of the type" in refused(write(tmp_path, {"user": [1, 2], "item": ids}))


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([1, 2], pa.uint8()),
        pa.array([1, 2], pa.uint64()),
        pa.array(["1", "2"], pa.large_string()),
        pa.array(["1", "2"]).dictionary_encode(),
        pa.array([1, 2], pa.int16()).dictionary_encode(),
        pa.chunked_array([["1"], [], ["2"]]),
    ],
)
def test_ids_of_every_size(ids, tmp_path):
    found = read_interactions(write(tmp_path, {"user": ids, "item": [7, 8]}))
    assert [str(one) for one in found.user_ids.tolist()] == ["1", "2"]
    assert "2^63 or more" in refused(write(tmp_path, {"user": pa.array([2**63], pa.uint64()), "item": [1]}))


@pytest.mark.parametrize(
    "ratings",
    [
        [1, 0, -1],
        [True, False, False],
        [2.5, 0.0, -0.5],
        ["4", "0", "no"],
        pa.array([1, 0, -1], pa.decimal128(5, 2)),
        pa.array([1, 0, 0], pa.float16()) if hasattr(pa, "float16") else [1, 0, 0],
    ],
)
def test_zeros_are_no_interactions(ratings, tmp_path):
    if isinstance(ratings, pa.Array) and pa.types.is_float16(ratings.type):
        ratings = pa.array(np.array([1, 0, 0], np.float16))
        path = write(tmp_path, {"user": [1, 2, 3], "item": [7, 8, 9], "label": ratings}, "feather")
    else:
        path = write(tmp_path, {"user": [1, 2, 3], "item": [7, 8, 9], "label": ratings})
    assert pairs_of(read_file(path)) == [(1, 7)]


def test_ratings_and_times_that_cannot_be_read(tmp_path):
    path = write(
        tmp_path, {"user": [1, 2], "item": [7, 8], "rating": ["good", None], "date": ["x", "2020-01-01"]}
    )
    found = read_file(path)
    assert len(pairs_of(found)) == 2 and found.interactions.times is None
    assert (found.tally.odd_ratings, found.tally.unknown_ratings, found.tally.odd_time) == (
        1,
        1,
        "row 1: 'x'",
    )
    assert ", row 1: expected a rating" in refused(path, rating_col="rating")
    assert ", row 1: expected a time" in refused(path, time_col="date")
    assert ", row 2: expected a rating" in refused(
        write(tmp_path, {"user": [1, 2], "item": [7, 8], "score": [1, np.inf]})
    )
    assert "no rating column for --min-rating" in refused(
        write(tmp_path, {"user": [1], "item": [7]}), min_rating=1
    )


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        (pa.array([1_500_000_000_123], pa.timestamp("ms")), 1_500_000_000),
        (pa.array([-1], pa.timestamp("ms", "Europe/Berlin")), -1),
        (pa.array([datetime.date(1970, 1, 2)]), 86_400),
        (pa.array(["1970-01-02"]), 86_400),
        (pa.array([77], pa.int32()), 77),
        (pa.array([7.5]), 7.5),
    ],
)
def test_times_of_every_type(times, wanted, tmp_path):
    path = write(tmp_path, {"user": [1], "item": [7], "time": times})
    assert read_interactions(path).times.tolist() == [wanted]


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrows"])
def test_damaged_tables_are_refused(kind, tmp_path):
    path = write(tmp_path, TABLE, kind)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for cut in (8, len(whole) // 2, len(whole) - 12):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match="is no readable|is empty"):
            read_file(path)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(8, len(whole), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_file(path)
        except DataError as error:
            assert str(error).startswith(str(path))


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrows"])
def test_a_plain_file_is_never_in_memory_as_a_whole(kind, tmp_path, monkeypatch):
    path = write(tmp_path, TABLE, kind)
    for name in ("everything", "mapped"):
        monkeypatch.delattr(Source, name)
    assert read_interactions(path).n_interactions == 3


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text")
@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_names_of_files_need_not_be_text(kind, tmp_path):
    path = write(tmp_path, TABLE, kind)
    odd = path.rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9"))
    assert read_interactions(odd).n_interactions == 3


def test_from_standard_input(tmp_path, monkeypatch):
    content = write(tmp_path, TABLE).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_interactions("-").n_interactions == 3


def test_without_pyarrow_the_way_to_it_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, TABLE)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'sparserec_np[parquet]'" in refused(path)


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrows"])
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize("category", [False, True])
def test_batches_are_as_one(kind, size, category, tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "ROWS_OF_BATCH", size)
    monkeypatch.setattr(arrow, "ROWS_AT_ONCE", 2)
    users = pa.array([f"u{n % 7}" if n % 5 else None for n in range(40)])
    table = {
        "user": users.dictionary_encode() if category else users,
        "item": [f"i{n * n % 11}" if n % 9 else "nan" for n in range(40)],
        "rating": [n % 4 for n in range(40)],
        "time": list(range(40)),
    }
    path = write(tmp_path, pa.table(table), kind)
    found = read_file(path, on_bad_line="skip")
    rows = [n for n in range(40) if n % 5 and n % 9 and n % 4]
    pairs = {(f"u{n % 7}", f"i{n * n % 11}"): n for n in rows}
    assert pairs_of(found) == sorted(pairs)
    assert found.interactions.times.tolist() == [pairs[pair] for pair in sorted(pairs)]
    bad = sum(not (n % 5 and n % 9) for n in range(40))
    assert (found.pairs_read, found.tally.bad.count) == (40 - bad, bad)
    assert [one.line for one in found.tally.bad.first] == [1, 6, 10, 11, 16]
    assert refused(path, format=found.format).startswith(", row 1: expected a user id, found null")


def test_what_a_dictionary_alone_holds_is_nobody(tmp_path):
    users = pa.DictionaryArray.from_arrays(pa.array([1, 1, 2]), pa.array(["nan", "ann", "bob", "eve"]))
    path = write(tmp_path, pa.table({"user": users, "item": [1, 2, 3]}), "feather")
    assert read_interactions(path).user_ids.tolist() == ["ann", "bob"]


def test_times_are_given_up_behind_the_first_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "ROWS_OF_BATCH", 2)
    path = write(tmp_path, {"user": range(5), "item": range(5), "time": ["1", "2", "3", "x", "5"]})
    found = read_file(path)
    assert found.interactions.times is None and "row 4: 'x'" in found.tally.odd_time
    assert ", row 4: expected a time" in refused(path, time_col="time")
