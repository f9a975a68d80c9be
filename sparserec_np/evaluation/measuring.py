"""Full ranking over all items, and metrics of each user or averaged over users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.evaluation.beyond import Catalogue, count_items, gini
from sparserec_np.evaluation.metrics import PER_USER, Metric
from sparserec_np.evaluation.ranker import Ranker
from sparserec_np.evaluation.user_values import UserValues, in_order

BLOCK_USERS = 16_384


@dataclass(frozen=True)
class Measures:
    """What is measured of lists.

    Attributes:
        ks: lengths of the lists, each >= 1.
        metrics: of accuracy, by name.
        catalogue: what tells of the items, for figures beyond accuracy; None for accuracy and
            coverage alone.
        block: users ranked at once; it bounds the memory.
    """

    ks: Sequence[int] = (20,)
    metrics: Mapping[str, Metric] = field(default_factory=lambda: PER_USER)
    catalogue: Catalogue | None = None
    block: int = BLOCK_USERS

    def of_users(self, top: Array, hits: Array, n_relevant: Array) -> dict[str, Array]:
        """Computes each user's figures, (m,) float64, under names such as ``recall@20``.

        Args:
            top: (m, length) lists.
            hits: (m, length) bool: which places hold relevant items.
            n_relevant: (m,) how many items are relevant to each user.
        """
        values: dict[str, Array] = {}
        for k in self.ks:
            found = {name: metric(hits, n_relevant, k) for name, metric in self.metrics.items()}
            if self.catalogue is not None:
                found |= self.catalogue.measure(top, k)
            values |= {f"{name}@{k}": theirs for name, theirs in found.items()}
        return values

    def of_all(self, counts: Mapping[int, Array]) -> dict[str, float]:
        """Computes what all lists of a length give together, of how often each item is in them."""
        values = {}
        for k, some in counts.items():
            values[f"coverage@{k}"] = float((some > 0).mean())
            if self.catalogue is not None:
                values[f"gini@{k}"] = gini(some)
        return values


def measure(
    model: Ranker,
    test: Interactions,
    seen: Interactions,
    ks: Sequence[int] = (20,),
    block: int = BLOCK_USERS,
) -> dict[str, float]:
    """Measures accuracy and coverage of interactions over the same users and items.

    These are the figures of :func:`~sparserec_np.evaluation.evaluate.evaluate`, without those
    beyond accuracy. Where all test interactions are in ``seen``, too, nothing is said.
    """
    return measure_means(model, test, seen, Measures(ks, block=block))


def measure_means(
    model: Ranker, test: Interactions, seen: Interactions, measures: Measures
) -> dict[str, float]:
    """Measures, and averages over users block by block: no user's figures are kept.

    A figure that is NaN for some users is averaged over the others.
    """
    totals: dict[str, float] = {}
    known: dict[str, int] = {}
    counts: dict[int, Array] = {}
    users = 0
    for some, values in _measured(model, test, seen, measures, counts):
        users += some.size
        for name, theirs in values.items():
            totals[name] = totals.get(name, 0.0) + float(np.nansum(theirs))
            known[name] = known.get(name, 0) + int(np.count_nonzero(~np.isnan(theirs)))
    means = {name: total / known[name] if known[name] else float("nan") for name, total in totals.items()}
    return in_order(means | measures.of_all(counts)) | {"users": users}


def measure_users(model: Ranker, test: Interactions, seen: Interactions, measures: Measures) -> UserValues:
    """Measures, and keeps the figures of each user."""
    counts: dict[int, Array] = {}
    blocks = list(_measured(model, test, seen, measures, counts))
    users = np.concatenate([some for some, _ in blocks])
    values = {name: np.concatenate([theirs[name] for _, theirs in blocks]) for name in blocks[0][1]}
    return UserValues(seen.user_ids[users], values, measures.of_all(counts))


def _measured(
    model: Ranker, test: Interactions, seen: Interactions, measures: Measures, counts: dict[int, Array]
) -> Iterator[tuple[Array, dict[str, Array]]]:
    """Ranks block by block; yields users (m,) and their figures.

    ``counts`` gets, for each length of lists, how often each item is in one, (n_items,).
    """
    _check(test, seen, measures.ks, measures.block)
    degrees = test.user_degrees
    users = np.flatnonzero(degrees).astype(np.int32)
    if not users.size:
        raise DataError("No user has test items, so there is nothing to evaluate.")
    n = min(max(measures.ks), test.n_items)
    for k in measures.ks:
        counts[k] = np.zeros(test.n_items, dtype=np.int64)
    for start in range(0, users.size, measures.block):
        some = users[start : start + measures.block]
        top, _ = model.rank(some, n, seen)
        for k in measures.ks:
            counts[k] += count_items(top, test.n_items, k)
        yield some, measures.of_users(top, find_hits(top, some, test), degrees[some])


def _check(test: Interactions, seen: Interactions, ks: Sequence[int], block: int) -> None:
    """Raises ConfigError and DataError for the arguments that :func:`measure` refuses."""
    if not ks or min(ks) < 1 or block < 1:
        raise ConfigError(
            f"Evaluation needs list lengths and a block of 1 or more, found {list(ks)} and {block}."
        )
    if (test.n_users, test.n_items) != (seen.n_users, seen.n_items):
        raise DataError(
            f"Test and seen interactions must be over the same users and items, found {test.n_users} x {test.n_items}"
            f" and {seen.n_users} x {seen.n_items}; use aligned_to first."
        )
    for name in ("user_ids", "item_ids"):
        if not np.array_equal(getattr(test, name), getattr(seen, name)):
            raise DataError(
                f"Test and seen interactions must be over the same users and items, but their {name} differ;"
                " use aligned_to first."
            )


def find_hits(top: Array, users: Array, test: Interactions) -> Array:
    """Marks the places (m, n) bool of ``top`` that hold the user's test items.

    ``top`` holds the (m, n) lists of ascending ``users`` (m,).
    """
    first, last = int(users[0]), int(users[-1]) + 1
    begin, end = test.indptr[first], test.indptr[last]
    owners = np.repeat(np.arange(first, last), test.user_degrees[first:last])
    # A pair as one number; those of the test part ascend, and are looked up by bisection.
    relevant = owners * test.n_items + test.items[begin:end]
    wanted = users[:, None].astype(np.int64) * test.n_items + top
    at = np.searchsorted(relevant, wanted.ravel()).reshape(top.shape)
    found = relevant[np.minimum(at, relevant.size - 1)] == wanted
    return found & (top >= 0)
