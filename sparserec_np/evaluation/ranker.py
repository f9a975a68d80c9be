"""The protocol of what can be evaluated: anything that lists items for users."""

from __future__ import annotations

from typing import Protocol

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array


class Ranker(Protocol):
    """Anything that lists items for users, and so can be evaluated."""

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Ranks the best items not in ``seen``, nor disliked there, for ``users`` (m,), best first.

        Returns items (m, n) and scores (m, n). Equal scores come in the order of the items. A list
        that has ended goes on with -1 and -inf.
        """
        ...
