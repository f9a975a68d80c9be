"""Vectors of items: their inner products with a user's row are the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparserec_np.runtime import ArtifactError, Recommender
from sparserec_np.serving import vectors
from sparserec_np.serving.vectors import write_vectors
from tests.makers.served_models import make_fism_model, make_model, make_towers_model

IDS = np.array([f"Größe {row}" for row in range(50)])


def test_vectors_of_users_and_items_give_the_lists(tmp_path: Path) -> None:
    model = make_model(seed=1, item_ids=IDS)
    assert write_vectors(model, tmp_path / "vectors.npz") == {"items": 50, "users": 30, "columns": 8}
    with np.load(tmp_path / "vectors.npz", allow_pickle=False) as stored:
        assert stored["item_ids"].tolist() == IDS.tolist()
        best = np.argsort(-stored["user_vectors"] @ stored["item_vectors"].T, kind="stable")[:, :5]
    recommender = Recommender(model.encode())
    for user, rows in enumerate(best):
        assert IDS[rows].tolist() == recommender.recommend(user, 5, filter_seen=False).items


def test_somebody_who_is_folded_in_finds_items_by_the_vectors(tmp_path: Path) -> None:
    model = make_fism_model(5, seed=2, marks=True)
    assert write_vectors(model, tmp_path / "vectors.npz")["users"] == 0
    recommender = Recommender(model.encode())
    columns, values = recommender.fold_in([3, 9])
    with np.load(tmp_path / "vectors.npz") as stored:
        scores = stored["item_vectors"][:, columns] @ values
    found = recommender.recommend_for_items([3, 9], 50, filter_seen=False)
    assert scores[found.items] == pytest.approx(found.scores, rel=1e-5, abs=1e-6)


def test_rows_that_are_no_vectors_or_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArtifactError):
        write_vectors(make_towers_model(), tmp_path / "vectors.npz")
    monkeypatch.setattr(vectors, "MOST_BYTES", 100)
    with pytest.raises(ArtifactError, match="would take 2,560 bytes, expected at most 100"):
        write_vectors(make_model(), tmp_path / "vectors.npz")
    assert not list(tmp_path.iterdir())
