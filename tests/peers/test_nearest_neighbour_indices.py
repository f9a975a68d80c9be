"""Indices of nearest neighbours over items' rows give the lists of ``recommend``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np import SparseRec, generate

LOG = generate(60, 80, 1500, groups=4, seed=3)
QUICK: dict[str, Any] = {"dim": 16, "density": 0.4, "epochs": 1, "learning_rate": 0.01, "threads": 1}
QUICK |= {"validation": 0.0, "start": "spectral"}


@pytest.mark.parametrize("name", ["mf", "fism", "lightgcn"])
def test_usearch_finds_the_items_of_the_lists(name: str) -> None:
    index_of = pytest.importorskip("usearch.index").Index
    model = SparseRec(**QUICK, model=name).fit(LOG)
    items = model.item_factors(dense=True)
    index = index_of(ndim=items.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(items)), items)
    users = model.user_factors(dense=True)
    found = index.search(users, 10, exact=True)
    expected = model.recommend(LOG.user_ids, n=10, filter_seen=False)
    scores = np.sort(1 - np.asarray(found.distances), axis=1)[:, ::-1]  # its distance is 1 less the product
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-3, atol=1e-3)
    ids = LOG.item_ids[np.asarray(found.keys, dtype=np.int64)]
    shared = [
        len(set(mine) & set(theirs))
        for mine, theirs in zip(ids.tolist(), expected.items.tolist(), strict=True)
    ]
    assert np.mean(shared) > 9.8  # equals may come in another order, and the last fall out
    (by_hand,) = (users[3] @ items.T).argsort()[::-1][:1]
    assert LOG.item_ids[by_hand] == expected.items[3, 0]
