"""Tables with named columns: the names that files have, other names, ratings and times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.conversion import as_interactions
from sparserec_np.data.formats import read_interactions
from sparserec_np.errors import ConfigError, DataError

KINDS = ("dict", "records", "structured", "pandas", "polars", "lazy", "pyarrow", "batch")
COLUMNS: dict[str, list[Any]] = {"user": [7, 3, 7, 3], "item": [1, 1, 9, 8], "time": [40, 30, 20, 10]}


def table(kind: str, columns: dict[str, list[Any]]) -> Any:
    if kind == "dict":
        return columns
    if kind == "records":
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if kind == "structured":
        dtype = [(name, "U20" if isinstance(values[0], str) else float) for name, values in columns.items()]
        dtype = [(name, int if set(map(type, columns[name])) == {int} else kind) for name, kind in dtype]
        return np.array(list(zip(*columns.values(), strict=True)), dtype=dtype)
    library = pytest.importorskip({"lazy": "polars", "batch": "pyarrow"}.get(kind, kind))
    if kind in ("pyarrow", "batch"):
        return (library.table if kind == "pyarrow" else library.record_batch)(columns)
    frame = library.DataFrame(columns)
    return frame.lazy() if kind == "lazy" else frame


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", ["user item time", "userId movieId timestamp", "user_id Track-ID ts"])
def test_columns_have_the_names_that_files_have(kind: str, names: str) -> None:
    log = as_interactions(table(kind, dict(zip(names.split(), COLUMNS.values(), strict=True))))
    wanted = as_interactions(COLUMNS)
    assert log.digest() == wanted.digest() and log.times is not None and wanted.times is not None
    assert log.times.tolist() == wanted.times.tolist() == [30, 10, 40, 20]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [False, True])
def test_a_frame_is_the_file_with_the_same_rows(kind: str, text: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 40, 500), rng.integers(0, 30, 500)
    columns: dict[str, list[Any]] = {"user": users.tolist(), "item": items.tolist()}
    if text:
        columns = {"user": [f"u {user}" for user in users], "item": [f"ü{item}" for item in items]}
    lines = ["user,item", *(f"{user},{item}" for user, item in zip(*columns.values(), strict=True))]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    log, read = as_interactions(table(kind, columns)), read_interactions(tmp_path / "log.csv")
    assert log.digest() == read.digest() and log.duplicates == read.duplicates > 0
    assert log.user_ids.dtype.kind == read.user_ids.dtype.kind == ("U" if text else "i")


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_named_by_options(kind: str) -> None:
    given = table(kind, {"who": [1, 2], "what": [3, 4], "how": [1, 5]})
    with pytest.raises(DataError, match=r"no column named like a user; .* who, what, how. .*user_col="):
        as_interactions(given)
    with pytest.raises(DataError, match="no column named like an item"):
        as_interactions(given, user_col="who")
    log = as_interactions(given, user_col="Who", item_col=1, rating_col="how", min_rating=3)
    assert (log.user_ids.tolist(), log.item_ids.tolist()) == ([2], [4])
    with pytest.raises(DataError, match="no column 'whom' for user_col"):
        as_interactions(given, user_col="whom", item_col="what")
    with pytest.raises(ConfigError, match="must be two columns"):
        as_interactions(given, user_col="who", item_col=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [None, float("nan")])
def test_nobody_is_made_of_what_is_missing(kind: str, missing: Any) -> None:
    if kind in ("polars", "lazy", "pyarrow", "batch", "structured") and missing is not None:
        pytest.skip("a column of one type")
    if kind == "structured":
        pytest.skip("a column of one type")
    for name in ("user", "item"):
        columns = {"user": ["a", "b", "c"], "item": ["x", "y", "z"]}
        columns[name][1] = missing
        with pytest.raises(DataError, match=f"{name} ids must all be there, found .* at place 1"):
            as_interactions(table(kind, columns))


def test_rows_that_lack_a_field_are_missing_it() -> None:
    with pytest.raises(DataError, match="item ids must all be there, found None at place 1"):
        as_interactions([{"user": "a", "item": "x"}, {"user": "b"}])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["rating", "stars", "count"])
def test_rows_rated_zero_or_below_are_none(kind: str, name: str) -> None:
    given = table(kind, {"user": [1, 1, 2, 2], "item": [5, 6, 7, 8], name: [1, 0, -1, 5]})
    log = as_interactions(given)
    assert [(user, item) for user, item in log] in ([(1, 5), (2, 8)], [(2, 8), (1, 5)])
    assert as_interactions(given, rating_col="none").n_interactions == 4
    assert as_interactions(given, min_rating=-1).n_interactions == 4


def test_ratings_that_are_missing_or_no_numbers_say_nothing() -> None:
    base: dict[str, list[Any]] = {"user": [1, 2], "item": [5, 6]}
    for ratings in ([float("nan"), 4], [None, 4], ["PG-13", "R"]):
        assert as_interactions({**base, "rating": ratings}).n_interactions == 2
    with pytest.raises(DataError, match="must hold ratings that are numbers"):
        as_interactions({**base, "rating": ["PG-13", "R"]}, min_rating=1)
    with pytest.raises(DataError, match="finite numbers, found inf at place 1"):
        as_interactions({**base, "rating": [1, float("inf")]})
    with pytest.raises(DataError, match="no rating column"):
        as_interactions(base, min_rating=1)


def test_times_that_cannot_be_read_are_left_alone_unless_asked_for() -> None:
    base: dict[str, list[Any]] = {"user": [1, 2], "item": [5, 6]}
    for times in (["03/15/2016", "04/15/2016"], [None, 3], [float("nan"), 3]):
        assert as_interactions({**base, "date": times}).times is None
        with pytest.raises(DataError, match="column 'date' holds no times"):
            as_interactions({**base, "date": times}, time_col="date")
    log = as_interactions({**base, "date": ["1970-01-01 00:00:05", "1970-01-02"]})
    assert log.times is not None and log.times.tolist() == [5, 86400]
    assert as_interactions({**base, "date": [1, 2]}, time_col="none").times is None


def test_columns_without_names_have_the_usual_places() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.array([[1, 10, 5, 77], [2, 11, 0, 78]]))
    log = as_interactions(frame)
    assert log.user_ids.tolist() == [1] and log.times is not None and log.times.tolist() == [77]
    assert as_interactions(frame, user_col=1, item_col=0, rating_col="none").user_ids.tolist() == [10, 11]


def test_a_table_with_users_as_rows_is_told_apart() -> None:
    pandas = pytest.importorskip("pandas")
    pivot = pandas.DataFrame([[1, np.nan], [0, 1]], index=["a", "b"], columns=["x", "y"])
    with pytest.raises(DataError, match="give a table of users x items as an array"):
        as_interactions(pivot)
    with pytest.raises(DataError, match="found an array of shape"):
        as_interactions(pandas.Series([1, 2]))
