"""The figures of each user: their means, how sure these are, and how they differ between models.

Both questions are answered by chance alone, with no assumption of how figures are spread: intervals
by drawing users anew, tests by swapping the two models' figures of users (Smucker et al. 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from sparserec_np.data.interactions import positions_of
from sparserec_np.data.table import Array
from sparserec_np.errors import ConfigError, DataError

RESAMPLES = 1_000  # of users, for an interval
FLIPS = 10_000  # of signs, for a test
LEVEL = 0.95
NUMBERS_AT_ONCE = 1 << 21  # drawn for some resamples or flips: 16 MB as float64
TIE = 1e-9  # sums of differences that are as far apart, of the sum of their sizes, count as equal

# Figures that come last, in this order.
LAST = ("coverage", "gini", "novelty", "mean_popularity", "intra_list_similarity")


@dataclass(frozen=True)
class UserValues:
    """What was measured of each user's list, and of all lists together.

    Attributes:
        user_ids: (m,) outside ids of the users who were measured, ascending.
        values: (m,) float64 by name, as ``recall@20``; NaN where a list is too short to tell.
        overall: what is no mean over users, ``coverage@k`` and ``gini@k``.
    """

    user_ids: Array
    values: dict[str, Array]
    overall: dict[str, float]

    @property
    def means(self) -> dict[str, float]:
        """The mean of each figure over the users who have one; NaN where nobody has."""
        sums = {name: float(np.nansum(theirs)) for name, theirs in self.values.items()}
        counts = {name: int(np.count_nonzero(~np.isnan(theirs))) for name, theirs in self.values.items()}
        return {name: sums[name] / counts[name] if counts[name] else float("nan") for name in sums}

    @property
    def summary(self) -> dict[str, float]:
        """All means, what is no mean, and ``users``, their number: what ``evaluate`` returns."""
        return in_order(self.means | self.overall) | {"users": len(self.user_ids)}

    @cached_property
    def _matrix(self) -> Array:
        return np.column_stack(list(self.values.values()))

    def intervals(
        self, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
    ) -> dict[str, tuple[float, float]]:
        """Computes a bootstrap interval of each mean, by name; see :func:`bootstrap_intervals`.

        Raises:
            ConfigError: no resamples, or a level that is not between 0 and 1.
        """
        rng = np.random.default_rng(seed)
        low, high = bootstrap_intervals(self._matrix, rng, resamples, level)
        return {name: (float(a), float(b)) for name, a, b in zip(self.values, low, high, strict=True)}


def in_order(values: dict[str, float]) -> dict[str, float]:
    """Sorts figures: list length by list length, and accuracy first.

    >>> list(in_order({"gini@5": 0, "recall@5": 0, "recall@9": 0, "coverage@5": 0}))
    ['recall@5', 'coverage@5', 'gini@5', 'recall@9']
    """
    names = [key.partition("@") for key in values]
    ks = list(dict.fromkeys(k for _, _, k in names))

    def place(key: str) -> tuple[int, int]:
        name, _, k = key.partition("@")
        return ks.index(k), LAST.index(name) if name in LAST else -1

    return {key: values[key] for key in sorted(values, key=place)}


class PairedTest(NamedTuple):
    """The comparison of a model with the first, by one figure.

    Attributes:
        other: which of the other models, from 0.
        name: of the figure, as ``recall@20``.
        difference: the mean difference, other less first, over users for whom both have the figure.
        p: how often chance alone gives means as far apart: two-sided, above 0.
        p_holm: the same, corrected for all tests that were made at once (Holm 1979).
    """

    other: int
    name: str
    difference: float
    p: float
    p_holm: float


def bootstrap_intervals(
    values: Array, rng: np.random.Generator, resamples: int = RESAMPLES, level: float = LEVEL
) -> Array:
    """Computes percentile intervals of the means of columns (2, q): lower ends, upper ends.

    Each resample draws as many rows as there are, with replacement, and the interval lies between
    the percentiles of the resamples' means (Efron 1979). All columns share the resamples. NaN is
    left out of a mean; where a column holds nothing else, its interval is NaN.

    Memory: some 16 MB, and the means of all resamples.

    Args:
        values: (m, q) float64, a row a user.
        rng: draws the users.
        resamples: how often.
        level: part of the resamples' means that the interval holds, between 0 and 1.

    Raises:
        ConfigError: no resamples, or a level that is not between 0 and 1.
    """
    if resamples < 1 or not 0 < level < 1:
        raise ConfigError(
            f"Intervals need 1 resample or more and a level between 0 and 1, found {resamples} and {level}"
        )
    users = len(values)
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    means = np.empty((resamples, values.shape[1]))
    block = max(1, NUMBERS_AT_ONCE // max(users, 1))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        counts = np.stack(
            [np.bincount(rng.integers(users, size=users), minlength=users) for _ in range(size)]
        )
        # No BLAS: it would round by its number of threads.
        sums = np.einsum("bm,mq->bq", counts.astype(np.float64), filled)
        drawn = users if known.all() else np.einsum("bm,mq->bq", counts, known.astype(np.int64))
        with np.errstate(invalid="ignore"):
            means[start : start + size] = sums / drawn
    ends = np.full((2, values.shape[1]), np.nan)
    some = known.any(axis=0)
    ends[:, some] = np.nanquantile(means[:, some], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return ends


def sign_flip_test(differences: Array, rng: np.random.Generator, flips: int = FLIPS) -> Array:
    """Computes how often chance gives sums of columns (m, q) as far from 0 as they are: (q,) p-values.

    If two models are the same, either figure of a user could be either's: each difference could as
    well have the other sign. So signs of users are drawn, those of a user together for all columns,
    and ``p = (1 + those as far from 0) / (1 + flips)``, two-sided. NaN is left out of its column.

    Args:
        differences: (m, q) float64, a row a user.
        rng: draws the signs.
        flips: how often.

    Raises:
        ConfigError: no flips.
    """
    if flips < 1:
        raise ConfigError(f"A test needs 1 flip or more, found {flips}")
    known = np.nan_to_num(differences, nan=0.0)
    known = known[known.any(axis=1)]  # signs of zeros change nothing
    users, total = len(known), known.sum(axis=0)
    reached = np.abs(total) - TIE * np.abs(known).sum(axis=0)
    far = np.zeros(known.shape[1], dtype=np.int64)
    block = max(1, NUMBERS_AT_ONCE // max(users, 1))
    for start in range(0, flips, block):
        size = min(block, flips - start)
        bits = np.unpackbits(np.frombuffer(rng.bytes(-(-size * users // 8)), np.uint8))[: size * users]
        kept = bits.reshape(size, users).astype(np.float64) @ known
        far += (np.abs(2 * kept - total) >= reached).sum(axis=0)
    p: Array = (1 + far) / (1 + flips)
    return p


def holm(p: Array) -> Array:
    """Corrects p-values (n,) for being as many as they are, by Holm's step-down method (1979).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(4)
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(steps, 1.0)
    return corrected


def paired_tests(
    first: UserValues, others: Sequence[UserValues], flips: int = FLIPS, seed: int = 0
) -> list[PairedTest]:
    """Tests each of some models against the first, by each figure of users, over users all have.

    The tests are :func:`sign_flip_test`, and Holm's correction is over all of them.

    Args:
        first: of the model that others are compared with.
        others: of the others, measured by the same test interactions.
        flips: of signs, for each model.
        seed: of the signs.

    Returns:
        Model by model, and figure by figure in the order of ``first``; figures that only one of two
        has are left out.

    Raises:
        ConfigError: no flips.
        DataError: there is no user whom all have.
    """
    places = [positions_of(first.user_ids, other.user_ids) for other in others]
    shared = reduce(np.logical_and, [place >= 0 for place in places], np.ones(len(first.user_ids), bool))
    if not shared.any():
        raise DataError("No user was measured with all models, so they cannot be compared.")
    tests = []
    for number, (other, place) in enumerate(zip(others, places, strict=True)):
        names = [name for name in first.values if name in other.values]
        pairs = [(first.values[name][shared], other.values[name][place[shared]]) for name in names]
        apart = np.column_stack([theirs - ours for ours, theirs in pairs])
        p = sign_flip_test(apart, np.random.default_rng([seed, number]), flips)
        counts = np.count_nonzero(~np.isnan(apart), axis=0)
        means = np.where(counts > 0, np.nansum(apart, axis=0) / np.maximum(counts, 1), np.nan)
        tests += [
            PairedTest(number, name, float(mean), float(one), float(one))
            for name, mean, one in zip(names, means, p, strict=True)
        ]
    corrected = holm(np.array([test.p for test in tests]))
    return [test._replace(p_holm=float(p)) for test, p in zip(tests, corrected, strict=True)]
