"""The file of what a run reached: the same when it is read, and refused when it is something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparserec_np.comparison.measured import Measured, mean_values
from sparserec_np.errors import SparseRecError
from sparserec_np.evaluation.user_values import UserValues


@pytest.mark.parametrize("ids", [np.arange(3), np.array(["a", "bé", "c"])])
def test_it_is_read_as_it_was_written(tmp_path: Path, ids: np.ndarray) -> None:
    values = {"ndcg@20": np.array([0.5, np.nan, 0.25]), "recall@20": np.array([1.0, 0.0, 1 / 3])}
    path = str(tmp_path / "m" / "run.npz")
    Measured({"seed": 3, "peak_bytes": None}, UserValues(ids, values, {"gini@20": 0.5})).save(path)
    found = Measured.load(path)
    assert found.facts == {"seed": 3, "peak_bytes": None} and found.values.overall == {"gini@20": 0.5}
    np.testing.assert_array_equal(found.values.user_ids, ids)
    for name, theirs in values.items():
        np.testing.assert_array_equal(found.values.values[name], theirs)
    np.testing.assert_allclose(mean_values([found, found], "recall@20"), values["recall@20"])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.npz"
    path.write_bytes(content)
    with pytest.raises(SparseRecError, match="holds no figures of a run"):
        Measured.load(str(path))
    with pytest.raises(FileNotFoundError):
        Measured.load(str(tmp_path / "nowhere.npz"))
