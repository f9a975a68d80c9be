"""The condensed start."""

from __future__ import annotations

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.starts.condensed import Condensed


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_condensed_start_lists_what_the_groups_like() -> None:
    """Two groups with tastes of their own, and one pair in five left out, to be found."""
    group = np.kron(np.eye(2), np.ones((30, 25))) > 0
    known = group & (rng().random(group.shape) < 0.8)
    table = Condensed()(Interactions.from_pairs(*np.nonzero(known)), 8, 2 * 110, rng()).to_dense(8)
    scores = table[:60] @ table[60:].T
    assert scores[group & ~known].min() > scores[~group].max()
