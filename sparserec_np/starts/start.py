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
    """Anything that makes the table that training starts from."""

    @property
    def from_data(self) -> bool:
        """Whether the values come from the data.

        Otherwise there is no score to scale them to, and they are not worth staying near to.
        """
        ...

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes a table of ``log.n_users + log.n_items`` rows with exactly ``nnz`` entries.

        It is the same for any ``threads``.
        """
        ...
