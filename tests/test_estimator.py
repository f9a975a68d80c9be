"""The estimator: scikit-learn's manners, implicit's shapes, and the same models as the functions beneath it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import ParameterGrid, cross_val_score
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from sparserec_np import Config, DataError, Interactions, SparseRec, train, update, write_interactions
from sparserec_np.data.folds import InteractionKFold
from sparserec_np.data.splitting import split_random
from sparserec_np.errors import ConfigError
from sparserec_np.evaluation.evaluate import evaluate
from sparserec_np.runtime import ArtifactError, Recommender, UnknownItemError, UnknownUserError
from sparserec_np.serving.model_file import load_model, save_model
from sparserec_np.serving.slices import without_seen
from tests.makers.small import same_bits, small_log

LOG = small_log(60, 40, 900)
KEPT, TEST = split_random(LOG, 0.2, np.random.default_rng(0))
QUICK: dict[str, Any] = {"dim": 8, "density": 0.3, "epochs": 2, "batch_size": 256, "negatives": 32}
QUICK |= {"learning_rate": 0.01, "validation": 0.0}


@pytest.fixture(scope="module")
def model() -> SparseRec:
    return SparseRec(**QUICK, threads=1).fit(KEPT)


def matrix(log: Interactions) -> csr_matrix:
    return csr_matrix((np.full(log.n_interactions, 2.5), log.items, log.indptr), (log.n_users, log.n_items))


def test_parameters_are_those_of_the_configuration() -> None:
    by_validation = {"model": None, "dim": None}
    assert SparseRec().get_params() == Config().to_dict() | by_validation | {"threads": None}
    assert list(inspect.signature(SparseRec).parameters) == list(SparseRec().get_params())
    with pytest.raises(TypeError, match="unexpected keyword argument 'dimension'"):
        SparseRec(dimension=8)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="Invalid parameter 'dimension'"):
        SparseRec().set_params(dimension=8)
    assert SparseRec().set_params(dim=8).dim == 8
    assert repr(SparseRec(dim=8, seed=3)) == "SparseRec(dim=8, seed=3)"


def test_looks_are_told_of_as_epochs_are() -> None:
    records: list[dict[str, Any]] = []
    model = SparseRec(epochs=2, threads=1).fit(KEPT, callbacks=records.append)
    looks = [record for record in records if record["phase"] == "choice"]
    best = max(looks, key=lambda record: record["ndcg@20"])
    assert {record["model"] for record in looks} >= {"fism", "mf", "popularity", "itemknn"}
    assert model.fitted_.config.dim == best["dim"] and model.fitted_.config.model == best["model"]


def test_parameters_are_checked_when_they_are_used() -> None:
    with pytest.raises(ConfigError, match="density must be above 0"):
        SparseRec(density=-1).fit(KEPT)


def test_a_budget_in_entries_is_kept_saved_and_learnt_on_within(tmp_path: Path) -> None:
    model = SparseRec(**QUICK | {"entries": 222}, threads=1).fit(KEPT)
    assert model.fitted_.model.table.nnz == 222
    model.save(tmp_path / "run")
    again = SparseRec.load(tmp_path / "run")
    assert again.entries == 222
    again.partial_fit(TEST, epochs=1)
    assert again.fitted_.model.table.nnz == again.fitted_.budget.nnz == 222
    with pytest.raises(ConfigError, match="100 rows of 8 columns hold 1 to 800"):
        clone(model).set_params(entries=801).fit(KEPT)
    with pytest.raises(ConfigError, match="entries must be 1 or more"):
        clone(model).set_params(entries=0).fit(KEPT)


def test_a_file_without_what_users_touched_is_told_it(tmp_path: Path) -> None:
    settings = QUICK | {"model": "fism", "epochs": 0}
    model = SparseRec(**settings, threads=1).fit(KEPT)
    model.save(tmp_path / "whole.safetensors")
    slim = tmp_path / "slim.safetensors"
    save_model(slim, without_seen(load_model(tmp_path / "whole.safetensors")))
    with pytest.raises(DataError, match="does not hold the interactions it was trained on"):
        SparseRec.load(slim)
    with pytest.raises(DataError, match="A row is a user by its number alone"):
        SparseRec.load(slim, matrix(KEPT)[:, :30])
    assert SparseRec.load(slim, matrix(KEPT)).score(TEST) == model.score(TEST)
    again = SparseRec.load(slim, KEPT)
    assert again.score(TEST) == model.score(TEST)
    again.save(tmp_path / "again.safetensors")
    saved, first = (load_model(tmp_path / f"{name}.safetensors") for name in ("again", "whole"))
    assert same_bits(saved.items, first.items) and saved.seen.digest() == first.seen.digest()


def test_it_is_cloned_without_what_it_has_learnt(model: SparseRec) -> None:
    copied = clone(model)
    assert copied.get_params() == model.get_params() and not hasattr(copied, "fitted_")
    tried = [clone(model).set_params(**some).density for some in ParameterGrid({"density": [0.1, 0.2]})]
    assert tried == [0.1, 0.2]


# The others fit on dense X, y of random numbers, or want BaseEstimator's private methods.
@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_no_attributes_set_in_init",
        "check_get_params_invariance",
        "check_set_params",
        "check_parameters_default_constructible",
    ],
)
def test_scikit_learns_own_checks(check: str) -> None:
    if not hasattr(estimator_checks, check):
        pytest.skip("this scikit-learn does not have the check")
    getattr(estimator_checks, check)("SparseRec", SparseRec())


@pytest.mark.parametrize("kind", ["csr", "coo", "path", "Path"])
def test_interactions_come_in_many_forms(kind: str, model: SparseRec, tmp_path: Path) -> None:
    write_interactions(KEPT, tmp_path / "log.csv")
    given = {
        "csr": lambda: matrix(KEPT),
        "coo": lambda: matrix(KEPT).tocoo(),
        "path": lambda: str(tmp_path / "log.csv"),
        "Path": lambda: tmp_path / "log.csv",
    }[kind]()
    made = SparseRec(**QUICK, threads=1).fit(given)
    assert same_bits(made.fitted_.model.table, model.fitted_.model.table)


def test_a_matrix_that_leads_out_of_its_arrays_is_refused() -> None:
    given = matrix(KEPT)
    given.indptr = given.indptr.copy()
    given.indptr[1] = 50_000_000
    with pytest.raises(DataError, match="is not sound: indptr"):
        SparseRec().fit(given)


def test_zeros_in_a_matrix_are_no_interactions() -> None:
    given = csr_matrix(([1.0, 0.0, 1.0], ([0, 0, 1], [0, 1, 2])), (4, 3))
    made = SparseRec(**QUICK, threads=1).fit(given)
    assert (made.interactions_.n_users, made.interactions_.n_interactions) == (4, 2)
    with pytest.raises(DataError, match="Expected Interactions, found list"):
        SparseRec().fit([[1, 0]])


def test_it_is_what_train_makes(model: SparseRec) -> None:
    fitted = train(KEPT, Config(**QUICK), threads=1)
    assert same_bits(fitted.model.table, model.fitted_.model.table)
    assert model.score(TEST) == evaluate(fitted.model.ranker(), TEST, KEPT)["ndcg@20"]
    assert model.score(matrix(TEST)) == model.score(TEST)


def test_lists_are_those_that_are_served(model: SparseRec, tmp_path: Path) -> None:
    model.save(tmp_path / "run")
    served = Recommender.open(tmp_path / "run")
    users = KEPT.user_ids[[3, 0, 17]]
    ids, scores = model.recommend(users, n=6)
    assert ids.shape == scores.shape == (3, 6) and scores.dtype == np.float32
    near, cosines = model.similar_items(KEPT.item_ids[[5, 1]], n=4)
    assert near.shape == cosines.shape == (2, 4)
    for user, row, theirs in zip(users.tolist(), ids, scores, strict=True):
        found = served.recommend(user, 6)
        assert row.tolist() == found.items
        np.testing.assert_allclose(theirs, found.scores, rtol=1e-5)
        one, own = model.recommend(user, n=6)
        assert one.shape == own.shape == (6,) and one.tolist() == found.items
    for item, row in zip(KEPT.item_ids[[5, 1]].tolist(), near, strict=True):
        assert row.tolist() == served.similar_items(item, 4).items and item not in row


def test_lists_that_end_early_are_padded(model: SparseRec) -> None:
    ids, scores = model.recommend([0, 1], n=60)
    left = KEPT.n_items - KEPT.user_degrees[:2]
    assert ids.shape == (2, 60)
    for row, theirs, count in zip(ids, scores, left, strict=True):
        assert np.all(row[:count] >= 0) and np.all(row[count:] == -1)
        assert np.isfinite(theirs[:count]).all() and np.all(theirs[count:] == -np.inf)
    everything, _ = model.recommend(0, n=40, filter_seen=False)
    assert sorted(everything) == KEPT.item_ids.tolist()
    named = Interactions.from_pairs(KEPT.pair_users(), [f"item {item}" for item in KEPT.items])
    ids, _ = SparseRec(**QUICK, threads=1).fit(named).recommend([0], n=60)
    assert ids[0, 0].startswith("item ") and ids[0, -1] == ""


def test_who_is_not_known_is_refused(model: SparseRec) -> None:
    with pytest.raises(UnknownUserError, match="unknown user 999: the model knows 60 users"):
        model.recommend([0, 999])
    with pytest.raises(UnknownItemError, match="unknown item 'x': the model knows 40 items"):
        model.similar_items("x")
    with pytest.raises(NotFittedError, match="call fit or load"):
        SparseRec().recommend(0)


def test_it_learns_on_as_update_does(model: SparseRec) -> None:
    made = clone(model).fit(KEPT)
    before = made.recommend(0, n=5)[0]
    assert made.partial_fit(TEST, epochs=1) is made
    expected = update(train(KEPT, Config(**QUICK), threads=1), TEST, threads=1, epochs=1)
    assert same_bits(made.fitted_.model.table, expected.model.table)
    assert made.interactions_.digest() == LOG.digest()
    assert made.fitted_.model.table.nnz == model.fitted_.model.table.nnz
    had = set(LOG.item_ids[LOG.items[: LOG.indptr[1]]].tolist())
    assert not had & set(made.recommend(0, n=5)[0].tolist()) and len(before) == 5
    fresh = clone(model).partial_fit(KEPT)
    assert same_bits(fresh.fitted_.model.table, model.fitted_.model.table)


def test_what_is_saved_is_loaded_and_learns_on(model: SparseRec, tmp_path: Path) -> None:
    model.save(tmp_path / "run")
    model.save(tmp_path / "m.safetensors")
    folder, file = SparseRec.load(tmp_path / "run"), SparseRec.load(str(tmp_path / "m.safetensors"))
    assert folder.get_params()["batch_size"] == 256 and file.get_params()["dim"] == 8
    for loaded in (folder, file):
        np.testing.assert_array_equal(loaded.recommend([0, 4], n=5)[0], model.recommend([0, 4], n=5)[0])
        assert loaded.score(TEST) == model.score(TEST)
        budget = loaded.fitted_.model.table.nnz
        assert loaded.set_params(threads=1).partial_fit(TEST, epochs=1).fitted_.model.table.nnz == budget
    folder.save(tmp_path / "again")
    np.testing.assert_array_equal(
        SparseRec.load(tmp_path / "again").recommend([0], n=5)[1], folder.recommend([0], n=5)[1]
    )


def test_items_alone_learn_on_without_training() -> None:
    made = SparseRec(**QUICK | {"model": "fism", "negatives": 16}, threads=1).fit(KEPT)
    table = made.fitted_.model.table
    made.partial_fit(TEST)
    assert same_bits(made.fitted_.model.table, table)
    assert made.interactions_.digest() == LOG.digest()


def test_models_with_a_graph_recommend_but_compare_no_rows() -> None:
    made = SparseRec(**QUICK | {"model": "lightgcn", "epochs": 1}, threads=1).fit(KEPT)
    assert made.recommend([0], n=3)[0].shape == (1, 3)
    with pytest.raises(ArtifactError, match="no rows are compared"):
        made.similar_items([0])


def test_a_baseline_is_an_estimator_too(tmp_path: Path) -> None:
    made = SparseRec(model="popularity", threads=1).fit(KEPT)
    for name in ("run", "m.safetensors"):
        made.save(tmp_path / name)
        loaded = SparseRec.load(tmp_path / name)
        np.testing.assert_array_equal(loaded.recommend([0], n=5)[0], made.recommend([0], n=5)[0])
    with pytest.raises(ConfigError, match="counted, not trained"):
        made.partial_fit(TEST)


def test_scikit_learn_sees_what_it_is(model: SparseRec) -> None:
    check_is_fitted(model)
    with pytest.raises(NotFittedError):
        check_is_fitted(SparseRec())


def test_nothing_is_said_to_be_good_at_what_it_was_trained_on(model: SparseRec) -> None:
    for given in (KEPT, matrix(KEPT), KEPT.subset(np.arange(KEPT.n_interactions) < 100)):
        with pytest.warns(UserWarning, match="no list can hit any: give interactions that were held out"):
            assert model.score(given) == 0


@pytest.mark.parametrize("ask", ["recommend", "similar_items"])
def test_lists_have_a_whole_number_of_items(ask: str, model: SparseRec) -> None:
    for n in (0, -1):
        with pytest.raises(ValueError, match=f"n must be at least 1, not {n}"):
            getattr(model, ask)([0], n=n)
    with pytest.raises(TypeError, match="integer"):
        getattr(model, ask)([0], n=2.5)


def test_ids_are_looked_up_anew_after_it_has_learnt_on(model: SparseRec) -> None:
    made = clone(model).fit(KEPT)
    made.recommend([0], n=3, filter_seen=False)
    made.similar_items([0], n=3)
    more = Interactions.from_pairs(["newcomer", "newcomer"], ["3", "novelty"])
    made.partial_fit(more, epochs=0, validation=0.0)
    everything, _ = made.recommend(["newcomer", 0], n=KEPT.n_items + 1, filter_seen=False)
    assert all(sorted(row) == sorted(made.interactions_.item_ids) for row in everything)
    assert made.similar_items("novelty", n=1)[0].shape == (1,)


# ---- weights and dislikes

RATED = {
    "user": LOG.user_ids[LOG.pair_users()],
    "item": LOG.item_ids[LOG.items],
    "rating": np.random.default_rng(3).integers(1, 6, LOG.n_interactions),
}
WEIGHED = Interactions.from_pairs(RATED["user"], RATED["item"], weights=RATED["rating"])
BY_WEIGHTS: dict[str, Any] = {**QUICK, "start": "als", "threads": 1}


def table_of(model: SparseRec) -> Any:
    return model.fitted_.model.table


def test_weights_are_taken_in_each_form_and_give_the_same_model() -> None:
    wanted = table_of(SparseRec(**BY_WEIGHTS).fit(WEIGHED))
    assert not same_bits(wanted, table_of(SparseRec(**BY_WEIGHTS).fit(LOG)))
    pairs = np.column_stack([RATED["user"], RATED["item"]])
    shape = (LOG.n_users, LOG.n_items)
    values = csr_matrix((WEIGHED.weights, WEIGHED.items, WEIGHED.indptr), shape)
    for given, options in (
        (RATED, {"weight_col": "rating"}),
        (pairs, {"sample_weight": RATED["rating"]}),
        (list(map(tuple, pairs.tolist())), {"sample_weight": RATED["rating"].tolist()}),
        ({"user": RATED["user"], "item": RATED["item"]}, {"sample_weight": RATED["rating"]}),
        (values, {"weight_col": "values"}),
        (values.toarray(), {"weight_col": "values"}),
    ):
        assert same_bits(table_of(SparseRec(**BY_WEIGHTS).fit(given, **options)), wanted)
        del options["sample_weight" if "sample_weight" in options else "weight_col"]
        assert not same_bits(table_of(SparseRec(**BY_WEIGHTS).fit(given)), wanted)


def test_weights_that_do_not_go_with_the_form_are_refused() -> None:
    pairs, ones = np.array([[7, 8], [9, 8], [9, 7]]), np.ones(3)
    for given, options, error, said in (
        (LOG, {"sample_weight": ones}, ConfigError, "hold their own weights"),
        (matrix(LOG), {"sample_weight": ones}, ConfigError, "A row of a table is a user"),
        (pairs, {"sample_weight": ones[:2]}, DataError, "a weight for each of the 3 rows"),
        (pairs, {"sample_weight": [1, 0, 1]}, DataError, "found 0 at place 1"),
        (pairs, {"weight_col": "values"}, ConfigError, "hold no values"),
        (pairs, {"dislike_below": 2}, ConfigError, "hold no ratings for dislike_below"),
        (RATED, {"weight_col": "plays"}, DataError, "no column 'plays' for weight_col"),
        (RATED, {"weight_col": "rating", "sample_weight": ones}, ConfigError, "found both"),
        (RATED, {"rating_col": "none", "dislike_below": 2}, ConfigError, "leave out one"),
        ({**RATED, "w": np.zeros(900)}, {"weight_col": "w"}, DataError, "The column 'w' must hold a weight"),
        ({"user": [1], "item": [2]}, {"dislike_below": 2}, DataError, "no rating column for dislike_below"),
    ):
        with pytest.raises(error, match=said):
            SparseRec(**QUICK).fit(given, **options)


def test_what_is_disliked_is_in_no_list_and_folds_carry_it() -> None:
    model = SparseRec(**QUICK, threads=1).fit(RATED, dislike_below=3)
    known = model.interactions_
    assert known.disliked is not None and known.n_interactions == int((RATED["rating"] >= 3).sum())
    for filter_seen in (True, False):
        ids, _ = model.recommend(known.user_ids, n=40, filter_seen=filter_seen)
        for user, listed in enumerate(ids.tolist()):
            assert not set(listed) & set(known.item_ids[known.disliked_by(user)].tolist())
    scores = cross_val_score(SparseRec(**QUICK, threads=1), known, cv=InteractionKFold(2))
    assert np.all(scores > 0)


def test_somebody_who_only_dislikes_gets_what_most_have_and_none_of_that() -> None:
    table = csr_matrix(np.array([[1, 1, 0, 1.0], [1, 0, 1, 0], [-1, 0, -1, 0], [1, 1, 0, 0]]))
    model = SparseRec(dim=2, density=0.9, epochs=0, validation=0.0, threads=1).fit(table, dislike_below=0)
    with pytest.warns(UserWarning, match="1 of the 1 users asked for has no interactions"):
        ids, scores = model.recommend(2, n=4)
    assert ids.tolist() == [1, 3, -1, -1] and scores.tolist() == [0, 0, -np.inf, -np.inf]


def test_cross_validation_passes_weights_of_rows_on() -> None:
    pairs = np.column_stack([RATED["user"], RATED["item"]])
    model = SparseRec(**BY_WEIGHTS)
    weighted, plain = (
        cross_val_score(model, pairs, cv=InteractionKFold(2), params=params)
        for params in ({"sample_weight": RATED["rating"]}, None)
    )
    assert np.all(weighted > 0) and not np.array_equal(weighted, plain)
