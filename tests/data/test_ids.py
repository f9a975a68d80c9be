"""Outside ids: what is one, what is refused, and what is nobody."""

from __future__ import annotations

import datetime
import decimal
import importlib.util
import sys
import tracemalloc
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data import ids
from sparserec_np.data.ids import MISSING_TEXTS, as_ids, bytes_of, encode_ids, is_missing, text_array
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError

NAN = float("nan")


def texts(values: list[Any], na: Any) -> Any:
    return np.array(values, dtype=np.dtypes.StringDType(na_object=na))


def of(library: str, made: str, *values: Any, **more: Any) -> Any:
    return getattr(pytest.importorskip(library), made)(*values, **more)


MISSING: dict[str, Any] = {
    "None": lambda: ["a", None, "b"],
    "None among numbers": lambda: [1, None, 2],
    "NaN": lambda: ["a", NAN, "b"],
    "NaN among numbers": lambda: [1, NAN, 2],
    "NaN of NumPy": lambda: np.array([1.0, np.nan, 2.0]),
    "object": lambda: np.array(["a", np.nan, None], dtype=object),
    "made text by NumPy": lambda: np.array(["a", np.nan, "b"]),
    "made text by str": lambda: np.array(["a", str(None), "b"]),
    "NaT": lambda: np.array(["2020", "NaT", "2021"], dtype="datetime64[Y]"),
    "masked": lambda: np.ma.array([1, 2, 3], mask=[0, 1, 0]),
    "decimal": lambda: ["a", decimal.Decimal("NaN"), "b"],
    "StringDType of None": lambda: texts(["a", None, "b"], None),
    "StringDType of NaN": lambda: texts(["a", np.nan, "b"], np.nan),
    "pandas": lambda: of("pandas", "Series", ["a", None, "b"]),
    "pandas object": lambda: of("pandas", "Series", ["a", None, "b"], dtype=object),
    "pandas numbers": lambda: of("pandas", "Series", [1, None, 2]),
    "pandas Int64": lambda: of("pandas", "Series", [1, None, 2], dtype="Int64"),
    "pandas string": lambda: of("pandas", "Series", ["a", None, "b"], dtype="string"),
    "pandas category": lambda: of("pandas", "Series", ["a", None, "b"], dtype="category"),
    "pandas as text": lambda: of("pandas", "Series", ["a", None, "b"], dtype=object).astype(str),
    "polars": lambda: of("polars", "Series", ["a", None, "b"]),
    "polars numbers": lambda: of("polars", "Series", [1, None, 2]),
    "pyarrow": lambda: of("pyarrow", "array", ["a", None, "b"]),
    "pyarrow numbers": lambda: of("pyarrow", "array", [1, None, 2]),
    "pyarrow chunks": lambda: of("pyarrow", "chunked_array", [["a", None], ["b"]]),
}


@pytest.mark.parametrize("kind", MISSING)
def test_what_is_missing_is_nobody(kind: str) -> None:
    ids = MISSING[kind]()
    with pytest.raises(DataError, match="user ids must all be there, found .* at place 1 "):
        Interactions.from_pairs(ids, [7, 8, 9])
    with pytest.raises(DataError, match="item ids must all be there, found .* at place 1 "):
        Interactions.from_pairs([7, 8, 9], ids)


def test_texts_that_somebody_lists_are_what_they_say() -> None:
    """A band may be called NaN; an array that holds the word was made of something else."""
    for text in MISSING_TEXTS:
        assert Interactions.from_pairs([text, "a"], [1, 2]).n_users == 2
        with pytest.raises(DataError, match=f"the text '{text}' at place 0"):
            Interactions.from_pairs(np.array([text, "a"]), [1, 2])
    with pytest.raises(DataError, match="the text 'nan', which"):
        Interactions.from_pairs(np.array(["a"]), [1], user_ids=np.array(["nan"]))


@pytest.mark.parametrize(
    "ids",
    [
        np.array([b"b", b"a"]),
        [b"b", "a"],
        np.array([b"b", "a"], dtype=object),
        np.array(["b", "a"], dtype=np.dtypes.StringDType()),
        np.array(["b", "a"], dtype=object),
    ],
    ids=["bytes", "mixed", "objects", "StringDType", "str"],
)
def test_texts_and_bytes_are_ids(ids: Any) -> None:
    codes, found = encode_ids(ids)
    assert codes.tolist() == [1, 0] and found.tolist() == ["a", "b"] and found.dtype.kind == "U"


@pytest.mark.parametrize(
    ("library", "made"), [("pandas", "Series"), ("polars", "Series"), ("pyarrow", "array")]
)
def test_columns_of_frames_are_ids(library: str, made: str) -> None:
    for values in ([30, 10], ["b", "a"]):
        codes, found = encode_ids(of(library, made, values))
        assert codes.tolist() == [1, 0] and found.tolist() == sorted(values)
    assert encode_ids(of("pandas", "Series", [30, 10], dtype="Int64"))[1].dtype == np.int64


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([b"\xff", "a"], "bytes at place 0 that are no UTF-8"),
        ([1.0, 2.0], "found float64"),
        ([1, "a", 2.5], "found float at place 2: 2.5"),
        ([True, False], "found bool"),
        (np.array([1, True], dtype=object), "found bool at place 1"),
        ([datetime.date(2020, 1, 1)], "found date at place 0"),
        ([uuid.UUID(int=1)], "found UUID at place 0"),
        (np.array([1j]), "found complex128"),
        (np.array([None, ("a",)], dtype=object)[1:], "found tuple at place 0"),
        ([[1, 2], [3, 4]], "one flat list"),
        ({1, 2}, "one flat list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_text_is_not_made_of_anything(ids: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        as_ids(ids, "user")


def test_no_ids_are_numbers() -> None:
    for nothing in ([], np.array([], dtype=object), np.array([], dtype=float), ()):
        assert as_ids(nothing, "user").dtype == np.int64


def test_what_is_missing_is_known() -> None:
    pandas = pytest.importorskip("pandas")
    for one in (None, NAN, np.nan, pandas.NA, pandas.NaT, np.datetime64("NaT"), np.ma.masked):
        assert is_missing(one)
    for one in ("nan", 0, "", b"", False, [1]):
        assert not is_missing(one)


@given(st.lists(st.text(max_size=3)), st.integers(1, 5))
def test_texts_are_found_as_by_sorting_all(texts: list[str], at_once: int) -> None:
    array = np.array(texts, dtype=str)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "TEXTS_AT_ONCE", at_once)
        codes, found = encode_ids(array)
    if not texts:
        assert codes.size == found.size == 0
        return
    wanted, places = np.unique(array, return_inverse=True)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(codes, places)
    assert found.dtype == wanted.dtype


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_every_way_to_bring_texts_gives_the_same(values: list[str]) -> None:
    codes, found = encode_ids(values)
    assert found.tolist() == sorted(set(values)) and found[codes].tolist() == values
    for library, made in (("pandas", "Series"), ("polars", "Series"), ("pyarrow", "chunked_array")):
        if library not in sys.modules and importlib.util.find_spec(library) is None:
            continue
        brought = of(library, made, [values[:2], values[2:]] if made == "chunked_array" else values)
        for one in (brought, brought[1:]) if len(values) > 2 else (brought,):
            theirs, ids_ = encode_ids(one)
            assert ids_[theirs].tolist() == values[len(values) - len(one) :]
            assert ids_.tolist() == sorted(set(values[len(values) - len(one) :]))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_columns_of_arrow_take_no_object_for_each_row(library: str) -> None:
    made = {"pyarrow": "chunked_array"}.get(library, "Series")
    pytest.importorskip("pyarrow")
    values = [f"user-{n % 999:030d}" for n in range(200_000)]
    column = of(library, made, [values] if library == "pyarrow" else values)
    if library == "pandas" and not hasattr(column, "__arrow_c_stream__"):
        pytest.skip("pandas before 3 has objects")
    encode_ids(column)  # which loads modules
    tracemalloc.start()
    try:
        codes, found = encode_ids(column)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.size == 999 and found[codes[:3]].tolist() == values[:3]
    assert peak < 10_000_000  # objects would take 20 MB, an array of text 28 MB


def test_an_array_of_texts_is_as_wide_as_they_are() -> None:
    few = text_array([f"{n}" for n in range(100)] + ["x" * 1_000])
    assert few.dtype.kind == "U"  # what is small stays what it always was
    many = text_array([f"{n}" for n in range(100_000)] + ["x" * 10_000])
    assert many.dtype == object and bytes_of(many) < 8_000_000
    assert text_array([f"{n:036d}" for n in range(100_000)]).dtype == "U36"
    assert text_array([]).tolist() == []


def test_rows_of_texts_are_as_wide_as_they_are() -> None:
    values = ["a", "b"] * 200_000 + ["x" * 20_000]
    for rows in (values, np.array(values, dtype=object)):
        tracemalloc.start()
        try:
            codes, found = encode_ids(rows)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert found.tolist() == ["a", "b", values[-1]] and codes[-3:].tolist() == [0, 1, 2]
        assert peak < 30_000_000  # as wide as the longest it would be 32 GB
