"""The protocol of starts: what makes the table that training starts from.

A start decides which entries are active, and what they hold. That the mask comes from a
non-negative matrix factorisation is the paper's (arXiv 2411.12205, abstract); all else in this
folder is our choice.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import SparseTable


class Start(Protocol):
    """Makes the table that training starts from."""

    @property
    def from_data(self) -> bool:
        """Whether the values know the data: else there is no score to scale them to, and nothing to stay near."""
        ...

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """A table of ``log.n_users + log.n_items`` rows with exactly ``nnz`` entries; the same for any ``threads``."""
        ...
