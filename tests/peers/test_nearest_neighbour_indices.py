"""Indices of nearest neighbours over items' rows give the lists of ``recommend``."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from sparserec_np import SparseRec, generate

LOG = generate(60, 80, 1500, groups=4, seed=3)
QUICK: dict[str, Any] = {"dim": 16, "density": 0.4, "epochs": 1, "learning_rate": 0.01, "threads": 1}
QUICK |= {"validation": 0.0, "start": "spectral"}
N = 10

Found = tuple[Any, Any]  # places (m, N), and inner products (m, N), the largest first


@cache
def fitted(name: str) -> SparseRec:
    return SparseRec(**QUICK, model=name).fit(LOG)


def by_numpy(items: Any, users: Any) -> Found:
    products = users @ items.T
    places = np.argsort(-products, axis=1, kind="stable")[:, :N]
    return places, np.take_along_axis(products, places, axis=1)


def by_usearch(items: Any, users: Any) -> Found:
    index = pytest.importorskip("usearch.index").Index(ndim=items.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(items)), items)
    found = index.search(users, N, exact=True)
    return np.asarray(found.keys, dtype=np.int64), 1 - np.asarray(found.distances)


def by_faiss(items: Any, users: Any) -> Found:
    index = pytest.importorskip("faiss").IndexFlatIP(items.shape[1])
    index.add(items)
    products, places = index.search(users, N)
    return places, products


def by_hnswlib(items: Any, users: Any) -> Found:
    index = pytest.importorskip("hnswlib").Index(space="ip", dim=items.shape[1])
    index.init_index(max_elements=len(items), ef_construction=200, M=32)
    index.add_items(items, np.arange(len(items)))
    index.set_ef(len(items))  # so many are looked at that next to nothing is missed
    places, distances = index.knn_query(users, k=N)
    return places.astype(np.int64), 1 - distances


@pytest.mark.parametrize("search", [by_numpy, by_usearch, by_faiss, by_hnswlib])
@pytest.mark.parametrize("name", ["mf", "fism", "lightgcn"])
def test_an_index_finds_the_items_of_the_lists(name: str, search: Any) -> None:
    model = fitted(name)
    places, products = search(model.item_factors(dense=True), model.user_factors(dense=True))
    expected = model.recommend(LOG.user_ids, n=N, filter_seen=False)
    assert np.mean(np.isclose(products, expected.scores, rtol=1e-3, atol=1e-3)) > 0.99
    ids = [[model.item_ids[place] for place in row] for row in places.tolist()]
    shared = [len(set(mine) & set(theirs)) for mine, theirs in zip(ids, expected.items.tolist(), strict=True)]
    assert np.mean(shared) > 0.98 * N  # equals may come in another order, and the last fall out
