"""The start from a non-negative matrix factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np.errors import DataError
from sparserec_np.starts.nmf import NMF
from tests.makers.small import Array, small_log

LOG = small_log()
ROWS = LOG.n_users + LOG.n_items


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_factors_of_nmf_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As scikit-learn's start makes them where a singular value is zero, which depends on the last bits."""

    def divided_by_zero(self: Any, matrix: Any) -> Array:
        self.components_ = np.zeros((2, matrix.shape[1]), np.float32)
        return np.full((matrix.shape[0], 2), np.nan, np.float32)

    monkeypatch.setattr("sklearn.decomposition.NMF.fit_transform", divided_by_zero)
    with pytest.raises(DataError, match="not finite, .* use --start spectral"):
        NMF()(LOG, 2, 55, rng())


def test_factors_of_nmf_are_never_negative_and_align_pairs() -> None:
    table = NMF()(LOG, 8, 3 * ROWS, rng()).to_dense(8)
    assert table.min() >= 0
    scores = table[: LOG.n_users] @ table[LOG.n_users :].T
    pairs = np.zeros_like(scores, dtype=bool)
    pairs[LOG.pair_users(), LOG.items] = True
    assert scores[pairs].mean() > 1.5 * scores[~pairs].mean()
