"""What a fitted estimator and its served file are asked alike, they answer alike."""

from __future__ import annotations

import inspect
import io
import pickle
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from sparserec_np import Interactions, Recommender, SparseRec
from sparserec_np.runtime import (
    NO_SCALE,
    ArtifactError,
    FoldScale,
    Lists,
    SeenItemsMissingError,
    UnknownItemError,
    UnknownUserError,
)
from sparserec_np.serving.packing import pack
from sparserec_np.serving.slices import without_seen
from tests.makers.served_models import make_fism_model, make_model, make_ridge_model, seen_sets
from tests.makers.small import small_log

QUICK: dict[str, Any] = {"dim": 8, "density": 0.4, "epochs": 1, "batch_size": 256, "negatives": 16}
QUICK |= {"learning_rate": 0.01, "validation": 0.0, "threads": 1, "start": "spectral"}
MODELS: dict[str, dict[str, Any]] = {
    "mf": {},
    "fism": {"model": "fism"},
    "fism with neighbours": {"model": "fism", "start": "neighbours", "density": 0.9, "epochs": 0},
    "fism solved for": {"model": "fism", "start": "als", "epochs": 0},
    "itemknn": {"model": "itemknn"},
    "popularity": {"model": "popularity"},
    "lightgcn": {"model": "lightgcn"},
    "lightgcn by cosines": {"model": "lightgcn", "similarity": "cosine"},
    "neumf": {"model": "neumf", "start": "uniform"},
}
FOLDING = [name for name, given in MODELS.items() if given.get("model") not in ("lightgcn", "neumf")]
MULTIPLIED = [name for name in MODELS if name != "neumf"]
ADDED_UP = ["fism", "fism with neighbours", "fism solved for", "itemknn"]
# Names are texts, an item has no interactions, and so has the user "nobody".
_log = small_log(40, 30, 500)
LOG = Interactions.from_pairs(
    [f"u{user:02}" for user in _log.pair_users()],
    [f"i{item:02}" for item in _log.items],
    user_ids=[*(f"u{user:02}" for user in range(40)), "nobody"],
    item_ids=[*(f"i{item:02}" for item in range(30)), "ignored"],
)
SOME, STRANGER = ["u03", "u17", "u00"], "zoe"


class Both(NamedTuple):
    """The estimator, and the runtime that opened what it saved."""

    estimator: SparseRec
    runtime: Recommender


@cache
def made(name: str) -> Both:
    given = MODELS[name]
    counted = given.get("model") in ("itemknn", "popularity")
    estimator = SparseRec(**given, threads=1) if counted else SparseRec(**QUICK | given)
    estimator.fit(LOG)
    file = io.BytesIO()
    estimator.save(file)
    return Both(estimator, Recommender.open(file.getvalue()))


@pytest.fixture(params=MODELS)
def both(request: pytest.FixtureRequest) -> Both:
    return made(request.param)


def touched_by(user: str) -> list[str]:
    row = LOG.user_ids.tolist().index(user)
    return [str(item) for item in LOG.item_ids[LOG.items[LOG.indptr[row] : LOG.indptr[row + 1]]]]


def one_list(found: Any) -> tuple[list[Any], list[float]]:
    """A single list as plain ids and scores, without what it is padded with."""
    items, scores = (np.asarray(part) for part in found)
    left = np.isfinite(scores)
    return items[left].tolist(), scores[left].tolist()


def assert_alike(one: Any, other: Any, rtol: float = 1e-4) -> None:
    """The same lists of one or of several; of equal scores, which rounding may part, the order may differ."""
    assert tuple(np.shape(one[0])) == np.shape(one[1])
    if isinstance(one, Lists) and one.items.ndim == 2:
        assert one.items.shape == other.items.shape and one.personal.tolist() == other.personal.tolist()
        assert one.scores.dtype == other.scores.dtype == np.float32
        for row in range(len(one.items)):
            assert_same(
                one_list((one.items[row], one.scores[row])),
                one_list((other.items[row], other.scores[row])),
                rtol,
            )
    else:
        assert bool(one.personal) == bool(other.personal)
        assert_same(one_list(one), one_list(other), rtol)


def assert_same(
    one: tuple[list[Any], list[float]], other: tuple[list[Any], list[float]], rtol: float
) -> None:
    np.testing.assert_allclose(one[1], other[1], rtol=rtol, atol=1e-5)
    gaps = np.abs(np.diff(one[1], append=-np.inf, prepend=np.inf))
    for place, (mine, theirs) in enumerate(zip(one[0], other[0], strict=True)):
        assert mine == theirs or min(gaps[place], gaps[place + 1]) < 1e-4


ASKED = [
    {},
    {"n": 4},
    {"filter_seen": False},
    {"n": 40},
    {"items": ["i03", "i04", "i05", "ignored"]},
    {"items": ["i03", "i04", "i05"], "exclude": ["i04", "never heard of"], "filter_seen": False},
    {"exclude": ["i00", "i01", "i02"], "n": 5},
    {"items": []},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_recommend(both: Both, asked: dict[str, Any]) -> None:
    for users in ("u05", SOME):
        one, other = (model.recommend(users, **asked) for model in both)
        assert_alike(one, other)
        items, scores = one  # unpacks
        assert np.shape(items)[-1] == asked.get("n", 10)
    several = both.runtime.recommend(SOME, **asked)
    for row, user in enumerate(SOME):
        alone = both.runtime.recommend(user, **asked)
        assert one_list((several.items[row], several.scores[row])) == one_list(alone)
    for model in both:
        for wrong in ({"items": "i03"}, {"exclude": "i03"}, {"items": False}):
            with pytest.raises(TypeError, match="expected a list of ids|not iterable"):
                model.recommend("u05", **asked | wrong)
    among = asked.get("items")
    if among is not None:
        assert set(one_list(both.runtime.recommend("u05", **asked))[0]) <= set(among)


def test_whole_lists_are_made_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = made("mf").estimator, {"items": ["i03", "i09", "i11"], "filter_seen": False}
    expected = model.recommend(LOG.user_ids[1:], **asked)
    monkeypatch.setattr("sparserec_np.estimator.RANKED_AT_ONCE", 100)
    found = model.recommend(LOG.user_ids[1:], **asked)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_an_unknown_user_is_refused_or_gets_what_is_popular_or_nothing(both: Both) -> None:
    for model in both:
        for users in (STRANGER, ["u03", STRANGER]):
            with pytest.raises(UnknownUserError, match="unknown user 'zoe': the model knows 41 users"):
                model.recommend(users)
            with pytest.raises(
                ValueError, match="on_unknown must be one of raise, popular, skip, found 'drop'"
            ):
                model.recommend(users, on_unknown="drop")
    best = one_list(both.runtime.recommend("nobody", 4))
    for on_unknown in ("popular", "skip"):
        wanted = {"on_unknown": on_unknown, "n": 4}
        one, other = (model.recommend(["u03", STRANGER, "u17"], **wanted) for model in both)
        assert_alike(one, other)
        assert one.personal.tolist() == [True, False, True]
        assert_alike(*(model.recommend(STRANGER, **wanted) for model in both))
        assert one_list((other.items[1], other.scores[1])) == (best if on_unknown == "popular" else ([], []))
        known = both.runtime.recommend(["u03", "u17"], 4)
        np.testing.assert_array_equal(other.items[[0, 2]], known.items)
    for model in both:
        with pytest.raises(UnknownItemError, match="unknown item 'x'"):
            model.recommend("u03", items=["x", "i03"])
        assert one_list(model.recommend("u03", items=["x"], on_unknown="skip")) == ([], [])


def test_who_has_no_interactions_gets_what_is_popular_and_is_told(both: Both) -> None:
    with pytest.warns(UserWarning, match="1 of the 2 users asked for has no interactions"):
        one = both.estimator.recommend(["u03", "nobody"], n=31)
    other = both.runtime.recommend(["u03", "nobody"], n=31)
    assert_alike(one, other)
    assert one.personal.tolist() == [True, False] and np.all(one.scores[1] == 0)
    degrees = dict(zip(LOG.item_ids.tolist(), LOG.item_degrees.tolist(), strict=True))
    counts = [degrees[item] for item in one.items[1].tolist()]
    assert counts == sorted(degrees.values(), reverse=True)
    assert not both.runtime.recommend("nobody").personal
    with pytest.warns(UserWarning, match="no interactions"):
        assert not both.estimator.recommend("nobody").personal


@pytest.mark.parametrize("name", FOLDING)
@pytest.mark.parametrize("asked", [{}, {"n": 4, "exclude": ["i07"]}, {"items": ["i03", "i09"]}], ids=str)
def test_recommend_for_items(name: str, asked: dict[str, Any]) -> None:
    both, liked = made(name), [["i01", "i02"], ["i05"]]
    for given in (liked, liked[0]):
        one, other = (model.recommend_for_items(given, **asked) for model in both)
        assert_alike(one, other)
    several = both.runtime.recommend_for_items(liked, **asked)
    alone = both.runtime.recommend_for_items(liked[1], **asked)
    assert one_list((several.items[1], several.scores[1])) == one_list(alone)
    for model in both:
        with pytest.raises(UnknownItemError, match="unknown item 'x'"):
            model.recommend_for_items(["i01", "x"], **asked)
    for on_unknown in ("skip", "popular"):
        one, other = (
            model.recommend_for_items([["i01", "x"], ["x"]], **asked, on_unknown=on_unknown) for model in both
        )
        assert_alike(one, other)
        assert one.personal.tolist() == [True, False]
        assert one_list((one.items[0], one.scores[0])) == one_list(
            both.estimator.recommend_for_items(["i01"], **asked)
        )
        assert bool(one_list((one.items[1], one.scores[1]))[0]) == (on_unknown == "popular")


@pytest.mark.parametrize("name", FOLDING)
@pytest.mark.parametrize("side", ["items", "users"])
def test_similar_ones(name: str, side: str) -> None:
    both, known = made(name), (["i01", "i20"] if side == "items" else ["u03", "u05"])
    for wanted in (known[0], known):
        assert_alike(*(getattr(model, f"similar_{side}")(wanted, n=5) for model in both))
        assert_alike(*(getattr(model, f"similar_{side}")([*known, "x"], on_unknown="skip") for model in both))
    for model in both:
        error = UnknownItemError if side == "items" else UnknownUserError
        with pytest.raises(error, match=f"unknown {side[:-1]} 'x'"):
            getattr(model, f"similar_{side}")(["x"])
        with pytest.raises(ValueError, match="on_unknown must be one of raise, skip, found 'popular'"):
            getattr(model, f"similar_{side}")(known, on_unknown="popular")


def test_scores_are_those_of_lists_in_the_shape_that_is_asked_for(both: Both) -> None:
    items = ["i03", "i01", "ignored"]
    for model in both:
        table = model.score_items(SOME, items)
        assert table.shape == (3, 3) and table.dtype == np.float32
        np.testing.assert_array_equal(model.score_items("u17", items), table[1])
        np.testing.assert_array_equal(model.score_items(SOME, "i01"), table[:, 1])
        assert float(model.score_items("u17", "i01")) == table[1, 1]
        np.testing.assert_array_equal(model.score_items("nobody", items), np.zeros(3))
        with pytest.raises(UnknownUserError):
            model.score_items([STRANGER], items)
        with pytest.raises(UnknownItemError):
            model.score_items(SOME, ["x"])
        for on_unknown, of_strangers in (("skip", np.nan), ("popular", 0)):
            found = model.score_items(["u17", STRANGER], ["i01", "x"], on_unknown=on_unknown)
            np.testing.assert_array_equal(found, [[table[1, 1], np.nan], [of_strangers, np.nan]])
    one, other = (model.score_items(LOG.user_ids, LOG.item_ids) for model in both)
    np.testing.assert_array_equal(one, other)
    listed, scores = one_list(both.estimator.recommend("u17", n=31, filter_seen=False))
    np.testing.assert_allclose(scores, both.estimator.score_items("u17", listed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MULTIPLIED)
def test_factors_rank_as_lists_do(name: str) -> None:
    both = made(name)
    assert list(map(str, both.estimator.user_ids.values)) == list(map(str, both.runtime.user_ids.values))
    for side in ("user_factors", "item_factors"):
        one, other = (getattr(model, side)() for model in both)
        assert isinstance(one, csr_matrix) and one.dtype == np.float32
        dense = [getattr(model, side)(dense=True) for model in both]
        np.testing.assert_array_equal(one.toarray(), other.toarray())
        np.testing.assert_array_equal(dense[0], dense[1])
        np.testing.assert_array_equal(one.toarray(), dense[0])
    users, items = both.runtime.user_factors(), both.runtime.item_factors()
    products = (users @ items.T).toarray()
    known = products[: len(LOG.user_ids)]
    expected = both.runtime.score_items(LOG.user_ids, LOG.item_ids)
    people = LOG.user_degrees > 0
    np.testing.assert_allclose(known[people], expected[people], rtol=1e-4, atol=1e-5)
    items.data[:] = 7.0  # a copy of its own
    np.testing.assert_array_equal(both.runtime.item_factors().toarray(), dense[1])


@pytest.mark.parametrize("name", ADDED_UP)
def test_an_explanation_adds_up_to_the_score(name: str) -> None:
    both = made(name)
    for user in ("u03", "u17"):
        had = set(touched_by(user))
        for item in ("i03", "i21"):
            one, other = (model.explain(user, item, n=None) for model in both)
            assert one == other and one.exact and set(one.items) == had
            assert sum(one.scores) == pytest.approx(one.score)
            assert one.score == pytest.approx(float(both.runtime.score_items(user, item)), rel=1e-4, abs=1e-5)
            assert one.scores == sorted(one.scores, reverse=True)
            few = both.estimator.explain(user, item, n=2)
            assert (few.items, few.scores, few.score) == (one.items[:2], one.scores[:2], one.score)
    assert both.estimator.explain("nobody", "i03") == ([], [])


def test_a_stored_user_is_explained_by_folding_in() -> None:
    for model in made("mf"):
        own = touched_by("u03")
        listed = model.recommend_for_items(own, n=31, filter_seen=False)
        scores = dict(zip(*one_list(listed), strict=True))
        for item in ("i03", "i21"):
            found = model.explain("u03", item, n=None)
            assert not found.exact and sorted(found.items) == sorted(own)
            assert found.score == pytest.approx(scores[item], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["lightgcn", "neumf"])
def test_what_a_model_cannot_do_both_refuse_in_the_same_words(name: str) -> None:
    calls = [lambda model: model.explain("u03", "i03"), lambda model: model.recommend_for_items(["i03"])]
    calls += [lambda model: model.user_factors()] if name == "neumf" else []
    for call in calls:
        said = []
        for model in made(name):
            with pytest.raises(ArtifactError) as refused:
                call(model)
            said.append(str(refused.value))
        assert said[0] == said[1]


@pytest.mark.parametrize("name", FOLDING)
def test_scores_of_a_user_and_of_their_items_are_on_one_scale(name: str) -> None:
    """Where users are made of their items they are the same; stored rows agree on average."""
    both = made(name)
    for model in both:
        sums = np.zeros(2)
        for user in filter(touched_by, LOG.user_ids.tolist()):
            own = touched_by(user)
            mine = dict(zip(*one_list(model.recommend(user, n=31, filter_seen=False)), strict=True))
            folded = dict(
                zip(*one_list(model.recommend_for_items(own, n=31, filter_seen=False)), strict=True)
            )
            sums += [sum(mine[item] for item in own), sum(folded[item] for item in own)]
            if name in ADDED_UP:
                items = sorted(mine)
                np.testing.assert_allclose(
                    [mine[item] for item in items], [folded[item] for item in items], rtol=1e-4, atol=1e-5
                )
        assert sums[0] == pytest.approx(sums[1], rel=1e-4)


def test_signatures_are_the_same_but_for_what_they_return() -> None:
    names = ("recommend", "recommend_for_items", "similar_items", "similar_users", "score_items", "explain")
    for name in (*names, "user_factors", "item_factors"):
        one, other = (inspect.signature(getattr(kind, name)).parameters for kind in (SparseRec, Recommender))
        assert list(one) == list(other)
        assert [each.default for each in one.values()] == [each.default for each in other.values()]


def test_answers_can_be_pickled_and_tell_for_whom_they_are() -> None:
    for model in made("fism"):
        found = model.recommend(["u03", STRANGER], on_unknown="skip")
        again = pickle.loads(pickle.dumps(found))
        assert again.personal.tolist() == [True, False]
        np.testing.assert_array_equal(again.items, found.items)
        explained = pickle.loads(pickle.dumps(model.explain("u03", "i03")))
        assert explained.exact and explained.score == model.explain("u03", "i03").score


@pytest.mark.parametrize("name", ["mf", "fism"])
def test_who_only_dislikes_gets_what_is_popular_and_none_of_that(name: str) -> None:
    disliked = Interactions.from_pairs(["nobody", "nobody", "u03"], ["i03", "i04", "i21"])
    estimator = SparseRec(**QUICK | MODELS[name]).fit(LOG.disliking(disliked))
    file = io.BytesIO()
    estimator.save(file)
    runtime = Recommender.open(file.getvalue())
    with pytest.warns(UserWarning, match="no interactions"):
        one = estimator.recommend(["nobody", "u03"], n=31, filter_seen=False)
    other = runtime.recommend(["nobody", "u03"], n=31, filter_seen=False)
    assert_alike(one, other)
    assert one.personal.tolist() == [False, True] and not {"i03", "i04"} & set(one.items[0].tolist())
    assert [runtime.user_ids[row] for row in runtime.strangers()] == ["nobody"]


# ---- files that are open, and bytes


def test_a_model_goes_into_open_files_and_comes_from_them(tmp_path: Any) -> None:
    model = made("fism").estimator
    with open(tmp_path / "m.bin", "wb") as file:
        model.save(file)
    model.save(tmp_path / "m.safetensors")
    content = (tmp_path / "m.bin").read_bytes()
    assert content == (tmp_path / "m.safetensors").read_bytes()
    expected = model.recommend(SOME, n=5)
    with open(tmp_path / "m.bin", "rb") as one, open(tmp_path / "m.bin", "rb") as other:
        opened = [Recommender.open(one), SparseRec.load(other)]
    for given in (content, bytearray(content), memoryview(content)):
        opened += [Recommender.open(given), SparseRec.load(given)]
    for each in opened:
        assert_alike(each.recommend(SOME, n=5), expected)


def test_what_is_no_model_file_is_refused_by_what_it_is_called(tmp_path: Any) -> None:
    (tmp_path / "m.txt").write_text("user,item\n1,2\n" * 9)
    for opened in (Recommender.open, SparseRec.load):
        with pytest.raises(
            ArtifactError, match=r"the content given \(4 bytes\) is not a sound model file: 4 bytes"
        ):
            opened(b"1234")
        with (
            open(tmp_path / "m.txt", "rb") as file,
            pytest.raises(ArtifactError, match=r"m\.txt is not a sound"),
        ):
            opened(file)
        with pytest.raises(ArtifactError, match="the file given is not a sound model file"):
            opened(io.BytesIO(b"12345678"))
        with (
            open(tmp_path / "m.txt") as text,
            pytest.raises(TypeError, match="opened in binary mode, found one of str"),
        ):
            opened(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("power", [-0.25, 0.0, 0.4])
def test_a_scale_finds_the_power_of_the_number_of_items(power: float) -> None:
    counts = np.array([3, 5, 8, 13, 21, 34, 55, 89, 144.0])
    folded = counts * np.random.default_rng(1).uniform(0.8, 0.9, len(counts))
    scale = FoldScale.fitted(counts, 4.5 * counts**power * folded, folded)
    assert scale.power == pytest.approx(power) and scale.factor == pytest.approx(4.5)
    assert scale.of(21) == pytest.approx(4.5 * 21**power)
    assert (scale.of(1), scale.of(10_000)) == (scale.of(3), scale.of(144))  # nobody was compared beyond
    assert FoldScale.fitted(counts, -folded, folded) == NO_SCALE
    alike = FoldScale.fitted(np.full(9, 7.0), 2 * folded, folded)
    assert (alike.power, alike.of(3)) == (0.0, pytest.approx(2.0))


# ---- explanations of other files


@pytest.mark.parametrize(
    "model",
    [
        make_fism_model(3, recency=0.75),
        make_fism_model(3, recency=0.5, marks=True),
        make_fism_model(5, marks=True, density=0.1),
        make_ridge_model(3),
        make_ridge_model(64, untouched=0.0),
    ],
    ids=["recent", "recent with neighbours", "neighbours", "solved for in three columns", "solved for"],
)
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_parts_add_up_whatever_is_cut_and_whatever_counts_more(model: Any, dtype: str) -> None:
    recommender = Recommender(pack(model, dtype))
    for user in (0, 2, 7, 29):  # 2 has nothing
        scores = recommender.score_items(user, range(50))
        for item in (0, 5, 49):
            found = recommender.explain(user, item, n=None)
            assert sum(found.scores) == pytest.approx(float(scores[item]), rel=1e-4, abs=1e-4)
            assert len(found.items) == len(seen_sets(model)[user])


def test_weights_of_interactions_count_in_an_explanation() -> None:
    rng = np.random.default_rng(5)
    users, items = LOG.user_ids[LOG.pair_users()], LOG.item_ids[LOG.items]
    log = Interactions.from_pairs(users, items, weights=rng.integers(1, 9, len(users)))
    model = SparseRec(**QUICK, model="fism").fit(log)
    for item in ("i03", "i21"):
        found = model.explain("u03", item, n=None)
        assert found.score == pytest.approx(float(model.score_items("u03", item)), rel=1e-4, abs=1e-5)


def test_a_file_without_what_users_have_seen_explains_nothing() -> None:
    recommender = Recommender(pack(without_seen(make_model()), "float32"))
    with pytest.raises(SeenItemsMissingError, match="explain it with the whole model"):
        recommender.explain(3, 4)
