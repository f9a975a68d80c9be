"""What people have in their hands, as Interactions: pairs, tables, and what may be both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from sparserec_np import Config, SparseRec, choose, evaluate, split_random, train, update
from sparserec_np.data.conversion import as_held_out, as_interactions, as_known, as_more, as_placed, as_rows
from sparserec_np.data.formats import write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_ones
from sparserec_np.errors import ConfigError, DataError
from tests.makers.small import same_bits, small_log

LOG = small_log(40, 30, 500)
PAIRS = np.stack([LOG.user_ids[LOG.pair_users()], LOG.item_ids[LOG.items]], axis=1)
TUPLES = [tuple(pair) for pair in PAIRS.tolist()]
QUICK: dict[str, Any] = {"dim": 8, "density": 0.3, "epochs": 1, "learning_rate": 0.01, "start": "spectral"}


def frame(library: str) -> Any:
    columns = {"user": PAIRS[:, 0], "item": PAIRS[:, 1]}
    found = pytest.importorskip(library)
    return found.table(columns) if library == "pyarrow" else found.DataFrame(columns)


FORMS: dict[str, Any] = {
    "Interactions": lambda folder: LOG,
    "path": lambda folder: str(folder / "log.csv"),
    "Path": lambda folder: folder / "log.csv",
    "pairs": lambda folder: PAIRS,
    "pairs of objects": lambda folder: PAIRS.astype(object),
    "small pairs": lambda folder: PAIRS.astype(np.uint8),
    "tuples": lambda folder: TUPLES,
    "lists": lambda folder: PAIRS.tolist(),
    "matrix": lambda folder: matrix_of_ones(LOG),
    "sparse array": lambda folder: sparse.csr_array(matrix_of_ones(LOG)),
    "dok": lambda folder: matrix_of_ones(LOG).todok(),
    "dense": lambda folder: matrix_of_ones(LOG).toarray(),
    "dense integers": lambda folder: matrix_of_ones(LOG).toarray().astype(int),
    "dense truth": lambda folder: matrix_of_ones(LOG).toarray() > 0,
    "dense list": lambda folder: matrix_of_ones(LOG).toarray().tolist(),
    "dense objects": lambda folder: matrix_of_ones(LOG).toarray().astype(object),
    "numpy matrix": lambda folder: matrix_of_ones(LOG).todense(),
    "fortran": lambda folder: np.asfortranarray(matrix_of_ones(LOG).toarray()),
    "pandas": lambda folder: frame("pandas"),
    "polars": lambda folder: frame("polars"),
    "pyarrow": lambda folder: frame("pyarrow"),
}


def untimed(records: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in record.items() if "second" not in name} for record in records]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("log")
    write_interactions(LOG, made / "log.csv")
    return made


@pytest.fixture(scope="module")
def model() -> Any:
    return train(LOG, Config(**QUICK), threads=1)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_interactions_in_every_function(form: str, folder: Path, model: Any) -> None:
    assert as_interactions(FORMS[form](folder)).digest() == LOG.digest()
    made = train(FORMS[form](folder), Config(**QUICK), threads=1)
    assert same_bits(made.model.table, model.model.table)
    estimator = SparseRec(**QUICK, threads=1).fit(FORMS[form](folder))
    assert same_bits(estimator.fitted_.model.table, model.model.table)
    with pytest.warns(UserWarning, match="no list can hit any"):
        assert estimator.score(FORMS[form](folder)) == 0
    with pytest.warns(UserWarning, match="nothing to learn"):
        estimator.partial_fit(FORMS[form](folder))
    with pytest.raises(DataError, match="nothing to learn"):
        update(made, FORMS[form](folder))
    kept, held_out = split_random(FORMS[form](folder), 0.2, np.random.default_rng(0))
    assert kept.union(held_out).digest() == LOG.digest()
    assert evaluate(made.model.ranker(), held_out, kept) == evaluate(made.model.ranker(), held_out, kept)


@pytest.mark.parametrize("form", FORMS)
def test_a_validation_part_comes_in_every_form(form: str, folder: Path) -> None:
    whole = LOG.joined(Interactions.from_pairs([0, 1], [0, 1]))
    kept = whole.subset(np.arange(whole.n_interactions) % 3 > 0)
    wanted = train(kept, Config(**QUICK), validation=LOG, threads=1)
    found = train(kept, Config(**QUICK), validation=FORMS[form](folder), threads=1)
    assert untimed(found.history) == untimed(wanted.history)
    chosen, expected = (
        choose(kept, Config(**QUICK), ("dim",), validation=validation, threads=1)
        for validation in (FORMS[form](folder), LOG)
    )
    assert chosen.config == expected.config and untimed(chosen.looks) == untimed(expected.looks)


@pytest.mark.parametrize("form", [form for form in FORMS if "dense" not in form and form != "fortran"])
def test_more_comes_in_every_form(form: str, folder: Path, model: Any) -> None:
    few = LOG.subset(np.arange(LOG.n_interactions) % 3 > 0)
    former = train(few, Config(**QUICK), threads=1)
    wanted = update(former, LOG, threads=1, epochs=1)
    found = update(former, FORMS[form](folder), threads=1, epochs=1)
    assert same_bits(found.model.table, wanted.model.table)


# ---- pairs or a table?


@pytest.mark.parametrize(
    "given",
    [
        np.array([[0, 1], [1, 0]]),
        np.array([[1, 1]]),
        np.array([[0, 1], [1, 0]], dtype=np.uint8),
        np.array([[0, 1], [1, 1]], dtype=object),
        [[0, 1], [1, 1]],
    ],
)
def test_zeros_and_ones_in_two_columns_may_be_both(given: Any) -> None:
    with pytest.raises(DataError, match="of two columns that holds 0 and 1 alone.*from_pairs.*csr_matrix"):
        as_interactions(given)


def test_the_ways_out_work() -> None:
    both = np.array([[0, 1], [1, 1]])
    assert [*as_interactions(Interactions.from_pairs(both[:, 0], both[:, 1]))] in (
        [(0, 1), (1, 1)],
        [(1, 1), (0, 1)],
    )
    assert as_interactions([tuple(pair) for pair in both.tolist()]).n_interactions == 2
    assert as_interactions(sparse.csr_matrix(both)).n_interactions == 3
    assert as_interactions(both > 0).n_interactions == 3  # nobody's id is true


@pytest.mark.parametrize(
    "given",
    [
        np.array([[1.0, 10.0], [2.0, 11.0]]),  # pairs that were read as numbers with fractions
        np.array([[1, 10, 5], [2, 11, 4]]),  # with ratings
        np.array([[1, 10, 5, 99], [2, 11, 4, 98], [3, 10, 1, 97]]),  # and times
        np.array([[1, 2, 3, 4, 5, 6], [10, 11, 12, 13, 14, 15]]),  # columns for rows
        [[1, 10, 5], [2, 11, 4], [2, 12, 3]],
    ],
)
def test_rows_of_more_or_other_numbers_may_be_both(given: Any) -> None:
    with pytest.raises(DataError, match="ids, ratings and times, or a table.*from_pairs.*csr_matrix"):
        as_interactions(given)


def test_pairs_of_any_ids() -> None:
    for given in (
        [(1, "a"), (2, "b")],
        [[1, "a"], [2, "b"]],
        np.array([[1, "a"], [2, "b"]], dtype=object),
        ((1, "a"), (2, "b")),
    ):
        log = as_interactions(given)
        assert (log.user_ids.tolist(), log.item_ids.tolist()) == ([1, 2], ["a", "b"])
    assert as_interactions(np.array([["u", "a"], ["v", "b"]])).user_ids.tolist() == ["u", "v"]
    assert as_interactions(np.array([[-3, 5], [7, 5]])).user_ids.tolist() == [-3, 7]
    for missing in ([(1, None)], [("a", float("nan"))], np.array([["a", None]], dtype=object), [[None, "a"]]):
        with pytest.raises(DataError, match="must all be there, found .* at place 0"):
            as_interactions(missing)


# ---- tables


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", ["dense", "coo", "csr", "dia", "objects", "list", "float32"])
def test_cells_are_finite(bad: float, form: str) -> None:
    dense = np.eye(5)
    dense[3, 1] = bad
    given: Any = {
        "dense": dense,
        "objects": dense.astype(object),
        "list": dense.tolist(),
        "float32": dense.astype(np.float32),
    }.get(form)
    given = sparse.coo_matrix(dense).asformat(form) if given is None else given
    with pytest.raises(DataError, match=r"finite real numbers, found .* in row 3, column 1"):
        as_interactions(given)


def test_cells_are_real_numbers() -> None:
    for given in (np.eye(3) * 1j, np.eye(3) + 0j, sparse.csr_matrix(np.eye(3) * 1j)):
        with pytest.raises(DataError, match="Complex data not supported"):
            as_interactions(given)
    for given in (np.full((2, 3), "x"), np.full((2, 3), None), np.array([[{}, 1, 1]], dtype=object)):
        with pytest.raises(DataError):
            as_interactions(given)
    with pytest.raises(DataError, match="masked"):
        as_interactions(np.ma.array(np.eye(3), mask=np.eye(3)))


@pytest.mark.parametrize("form", ["dense", "csr", "csc", "coo", "lil", "dok", "list"])
def test_zeros_and_what_is_below_are_no_interactions(form: str) -> None:
    dense = np.array([[0.0, 0.5, -1.0, -0.0, 3], [-2.0, 0.0, 0.0, 1.0, 0]])
    stored = sparse.coo_matrix(([0.0, 0.5, -1.0, 3, -2, 1], ([0, 0, 0, 0, 1, 1], [0, 1, 2, 4, 0, 3])), (2, 5))
    given: Any = {"dense": dense, "list": dense.tolist()}.get(form)
    log = as_interactions(stored.asformat(form) if given is None else given)
    assert (log.indptr.tolist(), log.items.tolist()) == ([0, 2, 3], [1, 4, 3])


def test_cells_that_are_stored_twice_hold_their_sum_where_it_matters() -> None:
    cancelled = sparse.coo_matrix(([1, -1, 2, -1], ([0, 0, 1, 1], [0, 0, 1, 1])), (2, 2))
    assert as_interactions(cancelled).items.tolist() == [1]
    assert as_interactions(sparse.coo_matrix(([1, 1], ([0, 0], [0, 0])), (2, 2))).duplicates == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "found NoneType"),
        (5, "found int"),
        ({1, 2}, "found set"),
        ([], "the list is empty"),
        (["a", "b"], "a list of texts"),
        ([(1, 2, 3)], "found a tuple of 3"),
        ([(1, 2), (1,)], "found a tuple of 1"),
        ([[1, 2], [3]], "differ in length"),
        (np.arange(4), r"found an array of shape \(4,\)"),
        (np.zeros((2, 2, 2)), r"found an array of shape \(2, 2, 2\)"),
        (np.zeros((0, 3)), r"0 sample\(s\)"),
        (np.zeros((3, 0)), r"0 feature\(s\)"),
        ((np.arange(9), np.arange(9)), "a list of columns"),
        ([np.arange(9), np.arange(9)], "a list of columns"),
        (np.array([["a", "b", "c"]]), "texts in 3"),
        ("no such file.csv", "no file of this name"),
        (sparse.coo_array(np.arange(3)), r"shape \(3,\)"),
    ],
)
def test_what_is_no_interactions_is_said_to_be_none(given: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        as_interactions(given)


def test_options_go_with_what_they_are_about(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no option 'user' for interactions in memory"):
        as_interactions(PAIRS, user="x")
    with pytest.raises(ConfigError, match="no option 'usercol' for files"):
        as_interactions(folder / "log.csv", usercol="x")
    assert as_interactions(folder / "log.csv", format="csv").digest() == LOG.digest()
    with pytest.raises(ConfigError, match="ndarray has none to name"):
        as_interactions(PAIRS, user_col="x")
    with pytest.raises(ConfigError, match="no ratings for min_rating"):
        as_interactions(PAIRS, min_rating=1)
    with pytest.raises(ConfigError, match="finite number, found nan"):
        as_interactions(PAIRS, min_rating=float("nan"))
    assert as_interactions(np.array([[5, 1, 0, 3, 5.5]]), min_rating=4).items.tolist() == [0, 4]
    swapped = as_interactions(folder / "log.csv", user_col="item", item_col="user")
    assert swapped.n_users == LOG.n_items
    model = SparseRec(**QUICK, threads=1).fit(folder / "log.csv", user_col="item", item_col="user")
    with pytest.warns(UserWarning, match="no list can hit"):
        model.score(folder / "log.csv", user_col="item", item_col="user")
    with pytest.warns(UserWarning, match="nothing to learn"):
        model.partial_fit(folder / "log.csv", user_col="item", item_col="user")


# ---- together with what is known


def test_a_table_is_placed_by_its_shape() -> None:
    ones = matrix_of_ones(LOG).tocsr()
    assert as_known(ones, LOG).digest() == as_more(ones, LOG).digest() == LOG.digest()
    for place in (as_known, as_held_out, as_more):
        with pytest.raises(DataError, match="X has 29 features, but SparseRec is expecting 30 features as"):
            place(ones[:, :29], LOG)
        with pytest.raises(DataError, match=r"^X is a table of 39 users x 30 items, and 40 x 30 are known"):
            place(ones[:39], LOG)
        with pytest.raises(DataError, match="ids of their own"):
            place(ones, LOG.renumbered(first=1))
    with pytest.raises(DataError, match="10 of the 11 interactions in the table X were trained on"):
        dense = np.zeros(ones.shape)
        dense[LOG.pair_users()[:10], LOG.items[:10]] = 1
        dense[0, np.setdiff1d(np.arange(30), LOG.items[: LOG.indptr[1]])[0]] = 1
        as_held_out(dense, LOG)


def test_pairs_are_placed_by_their_ids() -> None:
    found = as_placed([*TUPLES[:5], (999, 1), (1, 999)], LOG)
    assert (found.n_users, found.n_items, found.n_interactions) == (40, 30, 5)
    assert as_placed(LOG, LOG) is LOG


def test_rows_are_those_of_pairs() -> None:
    for given in (PAIRS, TUPLES, {"user": PAIRS[:, 0], "item": PAIRS[:, 1]}):
        rows = as_rows(given)
        assert (list(rows.users), list(rows.items)) == (PAIRS[:, 0].tolist(), PAIRS[:, 1].tolist())
    assert sorted(zip(*as_rows(LOG)[:2], strict=True)) == sorted(TUPLES) == sorted(LOG)
    for table in (matrix_of_ones(LOG), matrix_of_ones(LOG).toarray()):
        with pytest.raises(DataError, match="split by rows, which are whole users"):
            as_rows(table)
    with pytest.raises(DataError, match="read it first"):
        as_rows("log.csv")


@pytest.mark.parametrize("ids", ["numbers", "texts"])
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow", "numpy"])
def test_the_model_file_has_the_bytes_that_it_has_from_a_file(ids: str, library: str, tmp_path: Path) -> None:
    users, items = PAIRS[:, 0] * 3 + 5, PAIRS[:, 1] + 7
    columns: dict[str, Any] = {"user": users, "item": items, "timestamp": np.arange(len(PAIRS))}
    if library == "numpy":  # pairs have no times, by which others choose what is held out
        del columns["timestamp"]
    if ids == "texts":
        columns |= {"user": [f"ü {user}" for user in users], "item": [f"{item} x" for item in items]}
    rows = zip(*(list(column) for column in columns.values()), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    given: Any = np.stack([columns["user"], columns["item"]], axis=1)
    if library != "numpy":
        found = pytest.importorskip(library)
        given = found.table(columns) if library == "pyarrow" else found.DataFrame(columns)
    for name, log in (("file", tmp_path / "log.csv"), ("frame", given)):
        SparseRec(**QUICK, threads=1).fit(log).save(tmp_path / f"{name}.safetensors")
    assert (tmp_path / "file.safetensors").read_bytes() == (tmp_path / "frame.safetensors").read_bytes()
