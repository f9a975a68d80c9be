"""Evaluation of a model on interactions in any form: who is who, then what is measured."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from sparserec_np.data.conversion import as_interactions, as_known
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError
from sparserec_np.evaluation.measuring import BLOCK_USERS, measure
from sparserec_np.evaluation.ranker import Ranker


def evaluate(
    model: Any,
    test: Any,
    seen: Any,
    ks: Sequence[int] = (20,),
    block: int = BLOCK_USERS,
) -> dict[str, float]:
    """Ranks all items for every user of ``test``, and averages the metrics over these users.

    Users without test items are left out. Items in ``seen`` are never recommended; a test item that
    is also in ``seen`` therefore cannot be hit, and still counts as relevant. Where that holds of
    all of them, a warning says so. Ties are broken by the order of the items.

    Args:
        model: ranks users, numbered as in ``seen``: a ``Ranker``, or what has one, as models and
            what ``train`` returns.
        test: the relevant items. Interactions have to be over the users and items of ``seen``
            (``Interactions.aligned_to`` brings them there). Whatever else
            :func:`~sparserec_np.data.conversion.as_interactions` takes is brought there, and who
            and what is not in ``seen`` is left out; a table of users x items must have its shape.
        seen: the items that each user touched in training, as they were trained on.
        ks: lengths of the lists, each >= 1.
        block: users ranked at once; it bounds the memory.

    Returns:
        ``recall@k``, ``ndcg@k``, ``precision@k``, ``map@k``, ``mrr@k``, ``hit_rate@k`` (definitions
        in ``sparserec_np.evaluation.metrics``) and ``coverage@k`` (the part of all items that is in
        any of the lists) for each k, and ``users``, the number of users averaged over.

    Raises:
        ConfigError: no k, one below 1, or a block below 1; or ``model`` ranks nobody.
        DataError: the two are not over the same users and items, or no user has test items.
    """
    test, seen = _aligned(test, seen)
    result = measure(_ranker_of(model), test, seen, ks, block)
    if result[f"hit_rate@{max(ks)}"] == 0 and test.shared_with(seen) == test.n_interactions:
        warnings.warn(
            "All test interactions are in the seen ones, which are never recommended, so no list can hit any: give"
            " interactions that were held out of training",
            stacklevel=2,
        )
    return result


def _ranker_of(model: Any) -> Ranker:
    """Returns what ranks: the model itself, or what it makes."""
    fitted = getattr(model, "fitted_", model)  # of an estimator
    within: list[Any] = [model, getattr(fitted, "model", None)]
    for one in within:
        if hasattr(one, "rank"):
            ranks: Ranker = one
            return ranks
        if hasattr(one, "ranker"):
            made: Ranker = one.ranker()
            return made
    raise ConfigError(
        f"Expected a model that ranks, found {type(model).__name__}: give fitted.model.ranker(), or what train returns"
    )


def _aligned(test: Any, seen: Any) -> tuple[Interactions, Interactions]:
    """Converts both to Interactions over the same users and items."""
    known = as_interactions(seen)
    found = as_known(test, known)
    return (found if isinstance(test, Interactions) else found.aligned_to(known)[0]), known
