"""How much interactions count by their order, beside plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.recency import Touched, ages_of, later_ones
from sparserec_np.runtime import recency_levels


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_ages_count_what_came_later(seed: int, distinct: bool) -> None:
    rng = np.random.default_rng(seed)
    times = rng.permutation(400) if distinct else rng.integers(0, 5, 400)
    log = Interactions.from_pairs(rng.integers(0, 6, 400), rng.integers(0, 90, 400), times)
    found = later_ones(log)
    for user in range(log.n_users):
        own = slice(log.indptr[user], log.indptr[user + 1])
        moments = list(zip(log.times[own].tolist(), log.items[own].tolist(), strict=True))
        assert found[own].tolist() == [sum(other > moment for other in moments) for moment in moments]
    np.testing.assert_array_equal(ages_of(log), found)


def test_ages_end_at_what_a_byte_tells_apart() -> None:
    log = Interactions.from_pairs(np.zeros(300, int), np.arange(300), np.arange(300))
    assert ages_of(log).tolist() == [255] * 45 + list(range(254, -1, -1))
    assert later_ones(log).tolist() == list(range(299, -1, -1))


def test_without_times_or_power_all_count_alike() -> None:
    plain = Interactions.from_pairs([0, 0, 1], [0, 1, 1])
    timed = Interactions.from_pairs([0, 0, 1], [0, 1, 1], [3, 2, 1])
    for log, power in ((plain, 0.75), (timed, 0.0)):
        starts, items, shares = Touched(log, power).of_users(np.array([1, 0, 1]))
        assert starts.tolist() == [0, 1, 3, 4] and items.tolist() == [1, 0, 1, 1]
        assert shares.dtype == np.float32 and set(shares.tolist()) == {1.0}


def test_shares_are_powers_of_the_place_from_the_last() -> None:
    log = Interactions.from_pairs([0, 0, 0], [5, 6, 7], [3, 1, 2])
    starts, items, shares = Touched(log, 0.5).of_users(np.array([0]))
    np.testing.assert_allclose(shares, [1, 3**-0.5, 2**-0.5], rtol=1e-7)
    np.testing.assert_allclose(recency_levels(2.0)[[0, 9, 255]], [1, 0.01, 256.0**-2], rtol=1e-7)
