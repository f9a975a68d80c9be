"""The study of the web module's lists finds that they are the runtime's, and would find that they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies import web_lists
from sparserec_np.data.safetensors_writer import write_artifact
from sparserec_np.runtime import Recommender
from tests.makers.served_models import make_fism_model, make_model
from tests.serving.web.node import needs_node


@needs_node
def test_lists_are_compared_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, model in enumerate((make_model(), make_fism_model(5))):
        artifact = model.encode()
        write_artifact(tmp_path / f"{number}", artifact.arrays, artifact.metadata)
    asked = web_lists.questions(Recommender.open(tmp_path / "0"), users=10, folds=6, n=5)
    assert [one[0] for one in asked] == ["recommend"] * 10 + ["recommendForItems"] * 6
    report = web_lists.compare(tmp_path / "0", asked)
    assert (report["lists"], report["lists_that_differ"]) == (16, 0)
    assert report["recommend_node_over_python_p50"] > 0
    # Another model in Python's place gives other lists.
    other = Recommender.open(tmp_path / "1")
    monkeypatch.setattr(web_lists.Recommender, "open", lambda _: other)
    assert web_lists.compare(tmp_path / "0", asked)["lists_that_differ"] > 8
