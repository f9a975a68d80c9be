"""What several starts of one log have in common, kept from one to the next.

A choice among starts looks at many that differ in one setting. Their spectral rows and their pairs
of items are the same but for how many are stored, so both are made once, as many as may be asked
for, and each start takes the strongest.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

from sparserec_np.data.table import SparseTable
from sparserec_np.factorization.co_occurrence import Pairs, RankedPairs
from sparserec_np.sparsity.topology import prune


class Shelf(Protocol):
    """Where starts look for parts before they make them."""

    def rows(self, key: Hashable, nnz: int, room: int, make: Callable[[int], SparseTable]) -> SparseTable:
        """Returns rows of ``nnz`` entries, which ``make`` makes of any number up to ``room``."""
        ...

    def pairs(self, key: Hashable, most: int, make: Callable[[int], RankedPairs]) -> Pairs:
        """Returns the ``most`` strongest pairs, which ``make`` makes of any number."""
        ...


class NoShelf:
    """Keeps nothing: all parts are made anew, just as large as they are asked for."""

    def rows(self, key: Hashable, nnz: int, room: int, make: Callable[[int], SparseTable]) -> SparseTable:
        """Makes rows; see :meth:`Shelf.rows`."""
        return make(nnz)

    def pairs(self, key: Hashable, most: int, make: Callable[[int], RankedPairs]) -> Pairs:
        """Makes pairs; see :meth:`Shelf.pairs`."""
        return make(most).strongest(most)


NO_SHELF = NoShelf()


class KeptParts:
    """Keeps all parts that it was asked for, each as large as it may be asked for once more.

    What a start gets depends on what it asks for alone, and not on who has asked before. Of rows
    whose magnitudes are equal it may get others than without.

    Args:
        most: entries of rows that are made, where they have room for as many.

    Memory: for each key 6 bytes for every entry of rows, and 12 for every pair.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: dict[Hashable, SparseTable] = {}
        self._pairs: dict[Hashable, tuple[int, RankedPairs]] = {}

    def rows(self, key: Hashable, nnz: int, room: int, make: Callable[[int], SparseTable]) -> SparseTable:
        """Makes as many entries as may be asked for once, and returns the largest; see :meth:`Shelf.rows`."""
        most = max(nnz, min(self._most, room))
        if (key, most) not in self._rows:
            self._rows[key, most] = make(most)
        return prune(self._rows[key, most], nnz, floor=0)[0]

    def pairs(self, key: Hashable, most: int, make: Callable[[int], RankedPairs]) -> Pairs:
        """Makes pairs where there are fewer than ``most``; see :meth:`Shelf.pairs`."""
        if key not in self._pairs or self._pairs[key][0] < most:
            self._pairs[key] = most, make(most)
        return self._pairs[key][1].strongest(most)
