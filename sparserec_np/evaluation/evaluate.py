"""Evaluation of a model on interactions in any form: who is who, then what is measured."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from sparserec_np.data.conversion import as_interactions, as_known
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError
from sparserec_np.evaluation.beyond import Catalogue
from sparserec_np.evaluation.measuring import (
    BLOCK_USERS,
    Measures,
    measure,
    measure_means,
    measure_users,
)
from sparserec_np.evaluation.metrics import PER_USER, Metric
from sparserec_np.evaluation.ranker import Ranker, rows_of_items
from sparserec_np.evaluation.user_values import UserValues

HIT = "precision@"  # 0 if and only if nothing is hit


def evaluate(
    model: Any,
    test: Any,
    seen: Any,
    ks: Sequence[int] = (20,),
    block: int = BLOCK_USERS,
    metrics: Mapping[str, Metric] = PER_USER,
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
        metrics: of accuracy, by name; :func:`sparserec_np.evaluation.metrics.per_user` gives them
            by other conventions.

    Returns:
        For each k ``recall@k``, ``ndcg@k``, ``precision@k``, ``map@k``, ``mrr@k``, ``hit_rate@k``
        (definitions in ``sparserec_np.evaluation.metrics``), ``coverage@k`` (the part of all items
        that is in any of the lists), and ``gini@k``, ``novelty@k``, ``mean_popularity@k`` and
        ``intra_list_similarity@k`` (``sparserec_np.evaluation.beyond``), the last where the model
        has rows of items; and ``users``, the number of users averaged over.

    Raises:
        ConfigError: no k, one below 1, or a block below 1; or ``model`` ranks nobody.
        DataError: the two are not over the same users and items, or no user has test items.
    """
    test, seen = _aligned(test, seen)
    ranker = _ranker_of(model)
    catalogue = Catalogue.of(seen, rows_of_items(ranker))
    result = measure_means(ranker, test, seen, Measures(ks, metrics, catalogue, block))
    _warn_of_seen(result, test, seen)
    return result


def evaluate_accuracy(model: Any, test: Any, seen: Any, ks: Sequence[int] = (20,)) -> dict[str, float]:
    """Evaluates as :func:`evaluate` does, accuracy and coverage alone, as often as training asks."""
    test, seen = _aligned(test, seen)
    result = measure(_ranker_of(model), test, seen, ks)
    _warn_of_seen(result, test, seen)
    return result


def evaluate_users(
    model: Any,
    test: Any,
    seen: Any,
    ks: Sequence[int] = (20,),
    metrics: Mapping[str, Metric] = PER_USER,
    catalogue: Catalogue | None = None,
) -> UserValues:
    """Evaluates as :func:`evaluate` does, and keeps the figures of each user.

    The result tells their means, intervals of these, and what is no mean over users;
    :func:`~sparserec_np.evaluation.user_values.paired_tests` compares several.

    Args:
        model, test, seen, ks, metrics: those of :func:`evaluate`.
        catalogue: what tells of the items, for figures beyond accuracy; by default ``seen`` and the
            model's own rows. To compare models, take that of the first for all, as cosines of rows
            of different models say nothing of each other.

    Raises:
        ConfigError: see :func:`evaluate`.
        DataError: see :func:`evaluate`.
    """
    test, seen = _aligned(test, seen)
    ranker = _ranker_of(model)
    if catalogue is None:
        catalogue = Catalogue.of(seen, rows_of_items(ranker))
    values = measure_users(ranker, test, seen, Measures(ks, metrics, catalogue.aligned_to(seen.item_ids)))
    _warn_of_seen(values.means, test, seen)
    return values


def _warn_of_seen(result: Mapping[str, float], test: Interactions, seen: Interactions) -> None:
    """Warns where nothing was hit because all test interactions were seen."""
    hit = any(value for name, value in result.items() if name.startswith(HIT))
    if not hit and test.shared_with(seen) == test.n_interactions:
        warnings.warn(
            "All test interactions are in the seen ones, which are never recommended, so no list can hit any: give"
            " interactions that were held out of training",
            stacklevel=3,
        )


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
