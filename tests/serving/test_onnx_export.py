"""The model as an ONNX graph: onnxruntime gives the runtime's scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np.runtime import ArtifactError, Recommender
from sparserec_np.serving import onnx_export
from sparserec_np.serving.model_file import ServedModel
from sparserec_np.serving.onnx_export import make_onnx, write_onnx
from tests.fuzz.mutations import with_opinions
from tests.makers.served_models import as_lightgcn, make_fism_model, make_model, make_ridge_model

IDS = np.array([f"Größe {row}" for row in range(50)])


@pytest.fixture(scope="module")
def onnxruntime() -> Any:
    """The package, where it is installed."""
    pytest.importorskip("onnx")
    return pytest.importorskip("onnxruntime")


MODELS = {
    "mf": lambda: make_model(seed=1, dim=300, density=0.05, item_ids=IDS),
    "fism": lambda: make_fism_model(5, seed=2),
    "recency": lambda: with_opinions(make_fism_model(5, seed=3, recency=1.5), 4),
    "neighbours": lambda: make_fism_model(4, seed=5, recency=0.5, marks=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_the_runtimes(onnxruntime: Any, tmp_path: Path, name: str) -> None:
    model: ServedModel = MODELS[name]()
    report = write_onnx(model, tmp_path / "model.onnx")
    assert report["bytes"] == (tmp_path / "model.onnx").stat().st_size
    assert report["compared"] == 16 and report["difference"] < 1e-5
    assert make_onnx(model) == make_onnx(model)


def test_somebody_new_is_scored_by_what_they_touched(onnxruntime: Any) -> None:
    model = make_fism_model(6, seed=6, item_ids=IDS)
    session = onnxruntime.InferenceSession(make_onnx(model))
    assert json.loads(session.get_modelmeta().custom_metadata_map["item_ids"]) == IDS.tolist()
    told = {"items": np.array([3, 9, 20]), "shares": np.ones(3, np.float32)}
    (scores,) = session.run(["scores"], told)
    expected = Recommender(model.encode()).recommend_for_items(
        IDS[[3, 9, 20]].tolist(), 50, filter_seen=False
    )
    found = dict(zip(IDS.tolist(), scores.tolist(), strict=True))
    assert [found[item] for item in expected.items] == pytest.approx(expected.scores, rel=1e-6, abs=1e-6)


def test_models_without_a_graph_are_refused(onnxruntime: Any) -> None:
    for model, said in (
        (make_ridge_model(), "user_rows is 'ridge'"),
        (as_lightgcn(make_model()), "'lightgcn'"),
    ):
        with pytest.raises(ArtifactError, match=said):
            make_onnx(model)


def test_scores_that_are_others_are_found(
    onnxruntime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_fism_model(5, seed=7)
    other = make_onnx(replace(model, weights=2 * model.weights))
    monkeypatch.setattr(onnx_export, "make_onnx", lambda _: other)
    with pytest.raises(ArtifactError, match="otherwise than the model"):
        write_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
