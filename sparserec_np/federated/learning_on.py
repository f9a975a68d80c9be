"""Learning on: a table that was made before keeps its rows, and items that came since get theirs.

Who is new, or has touched more, changes no row of an item that is known: users are made of what
they touched. Items that are new are solved for in one pass, as in a round of least squares
(:mod:`~sparserec_np.federated.least_squares`): a client solves for its own row from the rows that
there are, its answer lands in the rows of its items, and the server solves for all items. What it
finds for those that are known says how such rows have to be turned to go with the table's own: by
the matrix that brings them nearest, in least squares. The rows of new items are turned by it, and
put in; then the weakest entries of all leave, so that the budget is kept. Without the turn new rows
are too long: in generated data lists were worse than without them. All of it is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.federated.least_squares import LeastSquaresWay, Rows, solved_items
from sparserec_np.federated.packets import Question
from sparserec_np.federated.server import Count, Learned, Step, Sums, Way
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.sparsity.topology import prune
from sparserec_np.starts.previous import spread_rows
from sparserec_np.starts.previous_items import with_rows

RIDGE = 1e-3  # part of the mean squared length of a column, for a solution, and no more


@dataclass(frozen=True)
class LearningOn:
    """The passes by which a table learns on: all are counted anew, and new items get rows.

    Attributes:
        way: the protocol that the table came from, whose settings the model keeps.
        table: (known items, dim) its rows, in the order of their ids.
        item_ids: (known items,) sorted.
        catalogue: (n_items,) ids of the items that there are now, sorted. Those that are known and
            not among them lose their rows.
        solving: weights of the equations.
    """

    way: Way
    table: SparseTable
    item_ids: Array
    catalogue: Array
    solving: LeastSquaresWay = field(default_factory=LeastSquaresWay)

    @property
    def start(self) -> str:
        """The start of the protocol."""
        return self.way.start

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the protocol."""
        return self.way.settings

    def steps(self, learned: Learned) -> Sequence[Step]:
        """Plans the passes; see :class:`~sparserec_np.federated.server.Way`.

        Raises:
            ConfigError: the table has columns that the new one has no room for.
        """
        if len(self.table.columns) and int(self.table.columns.max()) >= learned.dim:
            raise ConfigError(
                f"The earlier table has more than {learned.dim:,} columns: set dim to what it was made with"
            )
        return [Count(), NewItems(self)]

    def spread(self) -> tuple[SparseTable, Array]:
        """Puts the known rows to their places in the catalogue, and lists the items that are new."""
        known = np.flatnonzero(np.isin(self.item_ids, self.catalogue))
        lengths = np.diff(self.table.indptr)[known]
        taken = self.table.places(known)
        indptr = np.append(0, np.cumsum(lengths)).astype(self.table.indptr.dtype)
        kept = SparseTable(indptr, self.table.columns[taken], self.table.values[taken])
        places = np.searchsorted(self.catalogue, self.item_ids[known])
        new = np.delete(np.arange(len(self.catalogue)), places)
        return spread_rows(kept, places, len(self.catalogue)), new


@dataclass(frozen=True)
class NewItems:
    """The pass in which clients solve for their rows, and the server for those of new items.

    Attributes:
        way: the protocol.
    """

    way: LearningOn

    name: str = "new items"
    part: float = 1.0

    def ask(self, learned: Learned) -> Question:
        """Sends the rows that there are; those of new items are zero."""
        table, _ = self.way.spread()
        learned.kept = {"rows": table.to_dense(learned.dim).astype(np.float64)}
        question = Rows(self.way.solving, learned.dim).ask(learned, lands=True)
        learned.kept = {}
        return question

    def take(self, learned: Learned, sums: Sums) -> None:
        """Solves for the new rows, puts them among the others, and prunes to the budget."""
        table, new = self.way.spread()
        if len(new):
            solved = solved_items(self.way.solving, sums, np.arange(learned.n_items))
            with one_blas_thread():
                made = solved[new] @ turn_between(solved, table.to_dense(learned.dim), new)
            table = with_rows(table, made.astype(np.float32), new, learned.dim, learned.nnz)
        learned.table = table if table.nnz <= learned.nnz else prune(table, learned.nnz, floor=0)[0]


def turn_between(solved: Array, rows: Array, new: Array) -> Array:
    """Finds the matrix (width, width) that brings solved rows nearest to the rows that there are.

    Args:
        solved, rows: (n_items, width).
        new: items that have no row.
    """
    known = np.delete(np.arange(len(rows)), new)
    gram = solved[known].T @ solved[known]
    gram += max(RIDGE * float(np.trace(gram)) / len(gram), 1e-30) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram, solved[known].T @ rows[known].astype(np.float64)))
