"""The start at random."""

from __future__ import annotations

import numpy as np

from sparserec_np.starts.uniform import Uniform
from tests.makers.small import small_log

LOG = small_log()
ROWS = LOG.n_users + LOG.n_items


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_uniform_start_shares_evenly() -> None:
    table = Uniform(deviation=0.5)(LOG, 8, 3 * ROWS + 7, rng())
    lengths = np.diff(table.indptr)
    assert lengths.min() == 3 and np.count_nonzero(lengths == 4) == 7
    many = Uniform(deviation=0.5)(small_log(900, 400, 9000), 20, 13_000, rng())
    assert abs(many.values.std() - 0.5) < 0.02 and abs(many.values.mean()) < 0.02
    by_column = np.bincount(many.columns, minlength=20)
    assert ((by_column - 650) ** 2 / 650).sum() < 50  # chi-square of 19 degrees of freedom
