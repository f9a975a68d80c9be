from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.data import synthetic
from sparserec_np.data.splitting import split_random
from sparserec_np.data.synthetic import generate
from sparserec_np.errors import ConfigError


def recall_at_20(scores, train, test):
    """Mean share of a user's test items among the 20 best that are not in train; all arrays dense, users x items."""
    top = np.argsort(-np.where(train > 0, -np.inf, scores), axis=1, kind="stable")[:, :20]
    hits, relevant = np.take_along_axis(test, top, axis=1).sum(axis=1), test.sum(axis=1)
    return float((hits / np.maximum(relevant, 1))[relevant > 0].mean())


def dense(log):
    matrix = np.zeros((log.n_users, log.n_items))
    matrix[log.pair_users(), log.items] = 1
    return matrix


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_sizes_are_exact(data):
    users, items = data.draw(st.integers(1, 60)), data.draw(st.integers(2, 60))
    n = data.draw(st.integers(users, users * (items // 2)))
    log = generate(users, items, n, data.draw(st.integers(1, items)), data.draw(st.integers(0, 99)))
    assert (log.n_users, log.n_items, log.n_interactions, log.duplicates) == (users, items, n, 0)
    assert log.user_degrees.min() >= 1 and log.user_degrees.max() <= items // 2


def test_the_seed_decides_everything():
    assert generate(seed=4).digest() == generate(seed=4).digest() != generate(seed=5).digest()


def test_blocks_do_not_change_the_sizes(monkeypatch):
    monkeypatch.setattr(synthetic, "_PAIRS_AT_ONCE", 500)
    log = generate(300, 200, 6000, 10, 1)
    assert log.n_interactions == 6000 and log.user_degrees.min() >= 1


def test_popularity_and_activity_have_long_tails():
    log = generate()
    for degrees in (log.user_degrees, log.item_degrees):
        best = np.sort(degrees)[::-1]
        assert best[: best.size // 10].sum() > 0.25 * best.sum()
        assert best[0] > 5 * np.median(best)
    assert np.count_nonzero(log.item_degrees) > 0.9 * log.n_items


def test_knowing_the_user_beats_popularity_clearly():
    log = generate()
    train, test = (dense(part) for part in split_random(log, 0.2, np.random.default_rng(0)))
    popular = recall_at_20(np.tile(train.sum(axis=0), (log.n_users, 1)), train, test)
    alike = train.T @ train
    np.fill_diagonal(alike, 0)
    scale = np.sqrt(train.sum(axis=0) + 5)
    personal = recall_at_20(train @ (alike / scale / scale[:, None]), train, test)
    assert 0.05 < popular < 0.2 and personal > 1.8 * popular


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n_users": 0}, "at least 1 user"),
        ({"n_items": 1}, "at least 1 user and 2 items"),
        ({"n_interactions": 1999}, "found 1,999"),
        ({"n_interactions": 2000 * 750 + 1}, "1,500,000"),
        ({"groups": 0}, r"1\.\.1500"),
        ({"groups": 1501}, "found 1501"),
        ({"seed": -1}, "seed"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        generate(**arguments)
