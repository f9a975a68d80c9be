"""scikit-learn's own checks, searches and cross-validation."""

from __future__ import annotations

import warnings
from inspect import signature
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from sparserec_np import (
    DataError,
    InteractionKFold,
    LeaveLastOut,
    LeaveOneOut,
    SparseRec,
    UserKFold,
    generate,
    split_random,
)
from sparserec_np.data.interactions import Interactions
from sparserec_np.data.matrices import matrix_of_ones

QUICK: dict[str, Any] = {"dim": 16, "density": 0.3, "epochs": 2, "learning_rate": 0.01, "threads": 1}
QUICK |= {"start": "spectral", "validation": 0.0, "negatives": 16}
LOG = generate(200, 80, 4000, groups=5, seed=1)
# Name of a check -> why no recommender passes it. There is none.
NOT_FOR_RECOMMENDERS: dict[str, str] = {}


def in_pairs(log: Interactions) -> np.ndarray:
    return np.stack([log.user_ids[log.pair_users()], log.item_ids[log.items]], axis=1)


def test_all_of_its_checks_run_and_pass() -> None:
    if "expected_failed_checks" not in signature(check_estimator).parameters:
        pytest.skip("this scikit-learn does not report its checks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is no BaseEstimator; and what is said of bad data
        done = check_estimator(
            SparseRec(**QUICK),
            expected_failed_checks=NOT_FOR_RECOMMENDERS,
            on_fail=None,
            on_skip=None,
        )
    assert len(done) >= 38
    failed = {one["check_name"]: one["exception"] for one in done if one["status"] == "failed"}
    assert not failed
    skipped = {one["check_name"] for one in done if one["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}  # which asks for a variable of the environment
    assert {one["check_name"] for one in done if one["status"] == "xfail"} == set(NOT_FOR_RECOMMENDERS)


def honest_mean() -> float:
    scores = []
    for seed in range(3):
        kept, held_out = split_random(LOG, 1 / 3, np.random.default_rng(seed))
        scores.append(SparseRec(**QUICK).fit(kept).score(held_out))
    return float(np.mean(scores))


@pytest.mark.parametrize("kind", ["pairs", "tuples", "interactions", "pandas", "polars", "pyarrow"])
def test_pairs_are_cross_validated_as_an_honest_split_measures(kind: str) -> None:
    pairs = in_pairs(LOG)
    columns = {"user": pairs[:, 0], "item": pairs[:, 1]}
    given: Any = {"pairs": pairs, "tuples": list(map(tuple, pairs.tolist())), "interactions": LOG}.get(kind)
    if given is None:
        library = pytest.importorskip(kind)
        given = library.table(columns) if kind == "pyarrow" else library.DataFrame(columns)
    honest = honest_mean()
    for cv in (KFold(3, shuffle=True, random_state=0), InteractionKFold(3)):
        scores = cross_val_score(SparseRec(**QUICK), given, cv=cv)
        assert scores.mean() == pytest.approx(honest, rel=0.04)


def test_rows_of_interactions_are_mixed_so_that_plain_folds_are_honest() -> None:
    scores = cross_val_score(SparseRec(**QUICK), LOG, cv=3)
    assert scores.mean() == pytest.approx(honest_mean(), rel=0.04)


def test_a_search_over_pairs_finds_the_better_parameters() -> None:
    search = GridSearchCV(SparseRec(**QUICK), {"dim": [2, 16]}, cv=InteractionKFold(3))
    search.fit(in_pairs(LOG))
    assert search.best_params_ == {"dim": 16}
    assert search.best_estimator_.interactions_.digest() == LOG.digest()


@pytest.mark.parametrize(
    "cv", [2, 3, 5, KFold(4, shuffle=True, random_state=1), ShuffleSplit(2, test_size=0.5, random_state=0)]
)
@pytest.mark.parametrize("form", ["csr", "array", "coo", "dense"])
def test_folds_of_a_matrixs_rows_are_refused(cv: Any, form: str) -> None:
    ones = matrix_of_ones(LOG)
    given = {"csr": ones, "array": sparse.csr_array(ones), "coo": ones.tocoo(), "dense": ones.toarray()}[form]
    with pytest.raises(DataError, match="split pairs(?: of ids)?, not rows"):
        cross_val_score(SparseRec(**QUICK), given, cv=cv, error_score="raise")
    with pytest.warns(UserWarning, match="split pairs(?: of ids)?, not rows"):
        assert np.isnan(cross_val_score(SparseRec(**QUICK), given, cv=cv)).all()


def test_a_matrix_of_other_people_is_refused() -> None:
    ones = matrix_of_ones(LOG).tocsr()
    model = SparseRec(**QUICK).fit(ones)
    for other in (ones[:50], ones[:, :50], ones.T.tocsr(), sparse.vstack([ones, ones[:1]])):
        with pytest.raises(DataError, match="A row is a user by its number alone"):
            model.score(other)
    for fewer in (ones[:50], ones[:, :50], np.ones((2, 30)), ones.T.tocsr()):
        with pytest.raises(DataError, match="new users and items come after"):
            model.partial_fit(fewer)
    more = sparse.vstack([ones, sparse.csr_matrix(np.eye(2, 80))]).tocsr()
    assert clone(model).fit(ones).partial_fit(more, epochs=0).interactions_.n_users == LOG.n_users + 2


def test_a_matrix_says_nothing_of_users_with_ids_of_their_own() -> None:
    named = Interactions.from_pairs(
        [f"u{user:03}" for user in LOG.pair_users()], LOG.items, item_ids=range(LOG.n_items)
    )
    counted = LOG.renumbered(first=1)  # as rows of Matrix Market are
    for log in (named, counted):
        model = SparseRec(**QUICK).fit(log)
        with pytest.raises(DataError, match="by ids of their own"):
            model.score(matrix_of_ones(log))
        with pytest.raises(DataError, match="by ids of their own"):
            model.partial_fit(matrix_of_ones(log))


def test_rows_sorted_by_user_are_said_to_be_whole_users() -> None:
    with pytest.warns(UserWarning, match="use cv=InteractionKFold"):
        scores = cross_val_score(SparseRec(**QUICK), in_pairs(LOG), cv=4)
    assert np.all(scores > 0.5 * honest_mean())


@pytest.mark.parametrize("given", [LOG, in_pairs(LOG)], ids=["interactions", "pairs"])
def test_whole_users_are_folded_in(given: Any) -> None:
    scores = cross_val_score(SparseRec(**QUICK), given, cv=UserKFold(4))
    assert np.all(scores > 0.5 * honest_mean())
    popular = cross_val_score(SparseRec(model="popularity", threads=1), given, cv=UserKFold(4))
    assert scores.mean() > 1.1 * popular.mean()


def test_leave_one_out_is_a_cv() -> None:
    assert cross_val_score(SparseRec(**QUICK), LOG, cv=LeaveOneOut(2)).shape == (2,)
    timed = Interactions.from_pairs(LOG.pair_users(), LOG.items, np.arange(LOG.n_interactions))
    assert cross_val_score(SparseRec(**QUICK), timed, cv=LeaveLastOut()).shape == (1,)


def test_a_path_is_not_split_by_its_letters() -> None:
    with pytest.raises(DataError, match="read it first"):
        GridSearchCV(SparseRec(**QUICK), {"dim": [2]}, cv=InteractionKFold(2)).fit("log.csv")
    with pytest.raises(ValueError, match="found a list of texts; read a file with"):
        GridSearchCV(SparseRec(**QUICK), {"dim": [2]}, cv=2, error_score="raise").fit("log.csv")
