"""The ways of fism: which class trains and scores, by how users' rows are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import SparseTable
from sparserec_np.models.fism import Fism, FixedFism
from sparserec_np.models.fism_neighbours import FismWithNeighbours
from sparserec_np.models.model import Model
from sparserec_np.models.user_rows import RidgeSolve
from sparserec_np.models.views import View


def fism(
    table: SparseTable,
    dim: int,
    log: Interactions,
    views: tuple[View, ...] = (),
    *,
    user_rows: str | None = None,
    recency: float = 0.0,
    **others: float | None,
) -> Model:
    """Makes the model whose users' rows are made as ``user_rows`` says.

    Args:
        table: (n_items, dim)
        dim: columns of it.
        log: what users touched.
        views: none; the settings refuse them.
        user_rows: a name in ``USER_ROWS``; None for sums.
        recency: power by which later interactions count more; 0 where all count alike.
        others: ``untouched_weight`` and ``ridge``, where rows are solved for, and
            ``neighbour_popularity``, where neighbours are stored.
    """
    assert not views
    return _WAYS[user_rows or "sum"](table, dim, Touched(log, recency), others)


def _solved(table: SparseTable, dim: int, touched: Touched, others: Mapping[str, float | None]) -> Model:
    untouched, ridge = others["untouched_weight"], others["ridge"]
    assert untouched is not None and ridge is not None  # the settings fill them in
    return FixedFism(table, dim, touched, RidgeSolve(untouched, ridge))


def _neighbours(table: SparseTable, dim: int, touched: Touched, others: Mapping[str, float | None]) -> Model:
    return FismWithNeighbours(table, dim, touched, others["neighbour_popularity"] or 0.0)


# Way to make users' rows -> what makes the model, of the table, its columns, what was touched, and
# other settings.
_WAYS: dict[str, Callable[[SparseTable, int, Touched, Mapping[str, float | None]], Model]] = {
    "sum": lambda table, dim, touched, others: Fism(table, dim, touched),
    "ridge": _solved,
    "neighbours": _neighbours,
}
