"""The protocol of what can be evaluated: anything that lists items for users."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable


class Ranker(Protocol):
    """Anything that lists items for users, and so can be evaluated."""

    def rank(self, users: Array, n: int, seen: Interactions) -> tuple[Array, Array]:
        """Ranks the best items not in ``seen``, nor disliked there, for ``users`` (m,), best first.

        Returns items (m, n) and scores (m, n). Equal scores come in the order of the items. A list
        that has ended goes on with -1 and -inf.
        """
        ...


@runtime_checkable
class DescribesItems(Protocol):
    """A ranker that has a row of each item, by which items can be compared."""

    def item_rows(self) -> SparseTable:
        """Returns the rows (n_items, any columns), columns that stand for single items left out."""
        ...


def rows_of_items(ranker: Any) -> SparseTable | None:
    """Returns the rows by which a ranker's items can be compared; None where it has none."""
    return ranker.item_rows() if isinstance(ranker, DescribesItems) else None
