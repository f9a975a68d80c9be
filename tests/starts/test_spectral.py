"""The spectral start."""

from __future__ import annotations

import numpy as np

from sparserec_np.starts.spectral import Spectral
from tests.makers.small import small_log

LOG = small_log()
ROWS = LOG.n_users + LOG.n_items


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_full_spectral_start_scores_as_the_dense_formula_does() -> None:
    """At density 1 nothing is pruned, and the rotation cancels: users R D_i^-1/2 V, items D_i^1/2 V."""
    dim = 8
    table = Spectral(iterations=30)(LOG, dim, dim * ROWS, rng()).to_dense(dim)
    matrix = np.zeros((LOG.n_users, LOG.n_items))
    matrix[LOG.pair_users(), LOG.items] = 1
    roots = np.sqrt(np.maximum(LOG.item_degrees, 1))
    vectors = np.linalg.svd(matrix / np.sqrt(LOG.user_degrees)[:, None] / roots)[2][:dim].T
    users = matrix / roots @ vectors
    users /= np.linalg.norm(users, axis=1, keepdims=True)
    items = vectors * roots[:, None]
    items *= np.sqrt(LOG.n_users / np.square(items).sum())
    assert np.allclose(table[: LOG.n_users] @ table[LOG.n_users :].T, users @ items.T, atol=2e-3)


def test_rotating_saves_what_pruning_would_cost() -> None:
    log = small_log(400, 200, 8000)
    rows = log.n_users + log.n_items
    full = Spectral(rotation_iterations=0)(log, 16, 16 * rows, rng())

    def kept(iterations: int) -> float:
        table = Spectral(rotation_iterations=iterations)(log, 16, 3 * rows, rng())
        return float(np.square(table.values, dtype=np.float64).sum())

    whole = float(np.square(full.values, dtype=np.float64).sum())
    assert whole - kept(30) < 0.7 * (whole - kept(0))
