"""Splits of interactions into a train and a held-out part, over the same users and items.

Randomness is a ``numpy.random.Generator`` argument: the same state gives the same split.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparserec_np.data.conversion import as_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, DataError

Array = npt.NDArray[Any]

HIDDEN_PART = 0.2  # of each unknown user's items, to be found by the others; our choice


def split_random(
    interactions: Any, fraction: float, rng: np.random.Generator
) -> tuple[Interactions, Interactions]:
    """Holds out about ``fraction`` of each user's items, chosen uniformly, but never all of them.

    A user of degree ``d`` gives floor or ceil of ``fraction * d`` items. Which of the two is drawn
    by systematic sampling (one uniform number, then the running total of ``fraction * d`` is cut at
    whole numbers), so that each user's expectation is exact and all users together give ``fraction
    * n`` to within one, before users of a single item are spared.

    Args:
        interactions: what to split, in any form that
            :func:`~sparserec_np.data.conversion.as_interactions` takes.
        fraction: share to hold out, in (0, 1).
        rng: draws one number and then one for each pair.

    Returns:
        The train part and the held-out part.

    Raises:
        ConfigError: ``fraction`` is outside (0, 1), or ``rng`` is no generator.
        DataError: nothing could be held out.

    >>> log = Interactions.from_pairs([0, 0, 0, 0, 1], [0, 1, 2, 3, 0])
    >>> train, test = split_random(log, 0.5, np.random.default_rng(0))
    >>> train.user_degrees.tolist(), test.user_degrees.tolist()
    ([2, 1], [2, 0])
    """
    _check_fraction(fraction)
    if not isinstance(rng, np.random.Generator):
        raise ConfigError(
            f"The random numbers of a split come from a numpy.random.Generator, found {rng!r}: pass"
            " np.random.default_rng(seed)."
        )
    interactions = as_interactions(interactions)
    degrees = interactions.user_degrees
    totals = np.floor(np.cumsum(fraction * degrees) + rng.random())
    quotas = np.minimum(np.diff(totals, prepend=0.0).astype(np.int64), degrees - 1)
    held_out = np.empty(interactions.n_interactions, dtype=bool)
    for first, last in interactions.user_blocks():
        bounds = interactions.indptr[first : last + 1]
        ranks = _ranks(bounds - bounds[0], rng.random(int(bounds[-1] - bounds[0])))
        held_out[bounds[0] : bounds[-1]] = ranks < np.repeat(quotas[first:last], degrees[first:last])
    return _parts(interactions, held_out)


def split_last(interactions: Any, n: int) -> tuple[Interactions, Interactions]:
    """Holds out each user's ``n`` latest items; a user keeps at least one.

    Of items touched at the same time, the later in item order counts as the later.

    Args:
        interactions: what to split; it must have times.
        n: items to hold out per user, at least 1.

    Raises:
        ConfigError: ``n`` is below 1.
        DataError: there are no times, or nothing could be held out.
    """
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ConfigError(f"The number of items to hold out per user must be at least 1, found {n!r}.")
    interactions = as_interactions(interactions)
    times = _times(interactions)
    degrees = interactions.user_degrees
    from_the_end = np.repeat(degrees, degrees) - 1 - _ranks(interactions.indptr, times)
    return _parts(interactions, from_the_end < np.repeat(np.minimum(n, degrees - 1), degrees))


def split_latest(interactions: Any, fraction: float) -> tuple[Interactions, Interactions]:
    """Holds out the latest ``fraction`` of each user's items, rounded, but never all of them.

    A model that is to say what comes next is measured like this. Of items touched at the same time,
    the later in item order counts as the later.

    Args:
        interactions: what to split; it must have times.
        fraction: share to hold out, in (0, 1).

    Raises:
        ConfigError: ``fraction`` is outside (0, 1).
        DataError: there are no times, or nothing could be held out.

    >>> log = Interactions.from_pairs([0, 0, 0, 0, 1], [0, 1, 2, 3, 0], times=[4, 3, 2, 1, 9])
    >>> split_latest(log, 0.25)[1].items.tolist()
    [0]
    """
    _check_fraction(fraction)
    interactions = as_interactions(interactions)
    degrees = interactions.user_degrees
    quotas = np.minimum(np.rint(fraction * degrees).astype(np.int64), np.maximum(degrees - 1, 0))
    from_the_end = np.repeat(degrees, degrees) - 1 - _ranks(interactions.indptr, _times(interactions))
    return _parts(interactions, from_the_end < np.repeat(quotas, degrees))


def split_mixed(
    interactions: Any, fraction: float, rng: np.random.Generator
) -> tuple[Interactions, Interactions]:
    """Holds out ``fraction`` of each user's items: half of it the latest, half of it any others.

    Who does well on both knows what comes next, and what fits. See :func:`split_latest` and
    :func:`split_random`, whose errors are raised.
    """
    _check_fraction(fraction)
    early, latest = split_latest(interactions, fraction / 2)
    kept, others = split_random(early, fraction / (2 - fraction), rng)
    return kept, latest.union(others)


# Ways to hold out a part of each user's interactions: by a fraction and random numbers.
HOLD_OUT: dict[
    str, Callable[[Interactions, float, np.random.Generator], tuple[Interactions, Interactions]]
] = {
    "last": lambda log, fraction, rng: split_latest(log, fraction),
    "random": split_random,
    "both": split_mixed,
}


def hold_out(
    log: Interactions, fraction: float, rng: np.random.Generator, way: str | None = None
) -> tuple[Interactions, Interactions]:
    """Splits off ``fraction`` of each user's interactions to choose by.

    ``way`` is a key of :data:`HOLD_OUT`; None is both where there is an order of time, and else at
    random.

    Raises:
        DataError: the last are asked for and there are no times, or nothing can be held out.
    """
    return HOLD_OUT[way or ("random" if log.times is None else "both")](log, fraction, rng)


def split_time(interactions: Any, fraction: float) -> tuple[Interactions, Interactions]:
    """Holds out the latest ``fraction`` of all pairs, at one moment for everybody.

    A system in use meets its future like this. Pairs of the same moment stay together, so the share
    is at least ``fraction``. Users whose pairs are all late have no item to train on.

    Args:
        interactions: what to split; it must have times.
        fraction: share to hold out, in (0, 1).

    Raises:
        ConfigError: ``fraction`` is outside (0, 1).
        DataError: there are no times that can be compared between users, or they do not part the
            pairs.
    """
    _check_fraction(fraction)
    interactions = as_interactions(interactions)
    times = _times(interactions)
    if not interactions.dated:
        raise DataError(
            "Splitting at one moment needs times that can be compared between users, but the file tells only in which"
            " order each of them touched items; hold out each user's last instead."
        )
    first = min(int((1 - fraction) * times.size), times.size - 1)
    return _parts(interactions, times >= np.partition(times, first)[first])


class UserParts(NamedTuple):
    """The parts of a split by users.

    Attributes:
        train: all interactions of the users who are not held out, over these users.
        known: four fifths of each held-out user's, to make or fold in their rows from.
        test: the rest of theirs; both are over the held-out users.
    """

    train: Interactions
    known: Interactions
    test: Interactions


def split_users(interactions: Any, fraction: float, rng: np.random.Generator) -> UserParts:
    """Holds out about ``fraction`` of all users, at least one and never all of them.

    Args:
        interactions: what to split, in any form that
            :func:`~sparserec_np.data.conversion.as_interactions` takes.
        fraction: share of the users to hold out, in (0, 1).
        rng: draws the users, and what is known of each.

    Raises:
        ConfigError: ``fraction`` is outside (0, 1).
        DataError: there is a single user with interactions, or no user that was held out has two.
    """
    _check_fraction(fraction)
    interactions = as_interactions(interactions)
    busy = np.flatnonzero(interactions.user_degrees)
    if busy.size < 2:
        raise DataError(
            "A split by users needs two users or more with interactions, one of them to train on."
        )
    count = min(max(round(fraction * busy.size), 1), busy.size - 1)
    held_out = np.zeros(interactions.n_users, dtype=bool)
    held_out[rng.permutation(busy)[:count]] = True
    return part_users(interactions, held_out, rng)


def part_users(interactions: Interactions, held_out: Array, rng: np.random.Generator) -> UserParts:
    """Parts interactions by who is held out, (n_users,) bool, and theirs by what is known.

    Raises:
        DataError: no user that is held out has two interactions.
    """
    train, theirs = (
        interactions.aligned_to(
            Interactions.from_codes([], [], interactions.user_ids[who], interactions.item_ids)
        )[0]
        for who in (~held_out, held_out)
    )
    if theirs.user_degrees.max(initial=0) < 2:
        raise DataError(
            "No user that was held out has two interactions, one to be known by and one to be found: hold out more"
            " users, or split in another way."
        )
    try:
        return UserParts(train, *split_random(theirs, HIDDEN_PART, rng))
    except DataError:  # of so few, a fifth may be nothing; half of two is one
        return UserParts(train, *split_random(theirs, 0.5, rng))


def _check_fraction(fraction: Any) -> None:
    if not isinstance(fraction, (float, np.floating)) or not 0 < fraction < 1:
        raise ConfigError(f"The share to hold out must lie between 0 and 1, found {fraction!r}.")


def _times(interactions: Interactions) -> Array:
    if interactions.times is None:
        raise DataError(
            "Splitting by time needs a time for each interaction, but there is none; split at random instead."
        )
    return interactions.times


def _ranks(indptr: Array, values: Array) -> Array:
    """Ranks each value among those of its user, ``(n,)`` int64, lowest first.

    Of equals the first comes before. ``indptr`` (users + 1,) starts at 0.
    """
    users = np.repeat(np.arange(indptr.size - 1, dtype=np.int32), np.diff(indptr))
    order = np.lexsort((values, users))
    ranks = np.empty(order.size, dtype=np.int64)
    ranks[order] = np.arange(order.size) - indptr[users]  # sorting moves nobody out of their row
    return ranks


def _parts(interactions: Interactions, held_out: Array) -> tuple[Interactions, Interactions]:
    if not held_out.any():
        raise DataError(
            "Nothing can be held out: no user has an item to spare; split in another way, or train with validation 0."
        )
    if held_out.all():
        raise DataError("Nothing would be left to train on; hold out less, or split in another way.")
    return interactions.subset(~held_out), interactions.subset(held_out)
