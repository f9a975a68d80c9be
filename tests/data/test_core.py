from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.core import k_core
from sparserec_np.data.formats import read_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError
from tests.makers.small import small_log


def plain_core(pairs, min_user, min_item):
    """One user or item at a time."""
    pairs = set(pairs)
    while True:
        users, items = ([pair[side] for pair in pairs] for side in (0, 1))
        few = {pair for pair in pairs if users.count(pair[0]) < min_user or items.count(pair[1]) < min_item}
        if not few:
            return pairs
        pairs -= few


def outside(log):
    users, items = log.user_ids[log.pair_users()], log.item_ids[log.items]
    return set(zip(users.tolist(), items.tolist(), strict=True))


@pytest.mark.parametrize(("min_user", "min_item"), [(1, 1), (3, 1), (1, 3), (2, 2), (3, 3), (4, 3)])
def test_all_that_is_left_has_enough(min_user, min_item):
    rng = np.random.default_rng(2)
    users, items = rng.zipf(1.6, 160) % 40 * 3, rng.zipf(1.5, 160) % 30 * 2
    log = Interactions.from_pairs(users, items, rng.integers(0, 9, 160), user_ids=[999], item_ids=[999])
    core = k_core(log, min_user, min_item)
    assert outside(core) == plain_core(outside(log), min_user, min_item)
    assert core.user_degrees.min() >= min_user and core.item_degrees.min() >= min_item
    placed, counts = core.aligned_to(log)
    kept = np.isin(log.pair_users() * 10**6 + log.items, placed.pair_users() * 10**6 + placed.items)
    assert np.array_equal(core.times, log.times[kept]) and not any(counts)


def test_nothing_left_is_refused():
    with pytest.raises(DataError, match="lower --min-user or --min-item"):
        k_core(small_log(), 1000, 1)


def test_repeats_count_once(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,10\n1,10\n1,10\n2,10\n2,11\n2,12\n3,11\n3,12\n")
    core = read_interactions(path, min_user=2, min_item=2)
    assert outside(core) == {(2, 11), (2, 12), (3, 11), (3, 12)}
    assert read_interactions(path, min_item=2).user_ids.tolist() == [1, 2, 3]
