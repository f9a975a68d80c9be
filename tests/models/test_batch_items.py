"""What is found for a batch is found once, also where the next one is asked for on another thread."""

from __future__ import annotations

import pickle
import threading

import numpy as np

from sparserec_np.learning.batches import Batch, Groups, PairSampler, SharedBlock
from sparserec_np.models.batch_items import BatchItems, OfBatches
from tests.makers.small import small_log


def a_batch(size: int) -> Batch:
    every = np.arange(size, dtype=np.int32)
    return Batch(Groups(every, np.arange(size + 1, dtype=np.int32)), every, every, every, shared=False)


def test_two_batches_are_kept_and_a_third_takes_the_place_of_the_first() -> None:
    asked = []

    def find(batch: Batch) -> int:
        asked.append(batch.size)
        return batch.size

    first, second, third = (a_batch(size) for size in (1, 2, 3))
    found = OfBatches(find)
    assert [found(one) for one in (first, second, first, second, first)] == [1, 2, 1, 2, 1]
    assert asked == [1, 2]
    assert [found(one) for one in (third, second, third, first)] == [3, 2, 3, 1]
    assert asked == [1, 2, 3, 1]


def test_equal_batches_are_two() -> None:
    found = OfBatches(lambda batch: object())
    assert found(a_batch(2)) is not found(a_batch(2))


def test_the_next_batch_may_be_found_on_another_thread() -> None:
    log = small_log()
    one, other = BatchItems(log), BatchItems(log)
    batches = list(PairSampler(log, 50, SharedBlock(8)).epoch(np.random.default_rng(0)))
    for here, there in zip(batches, [*batches[1:], batches[-1]], strict=True):
        one.by_item(here)
        beside = threading.Thread(target=one.by_item, args=(there,))
        beside.start()
        expected, groups = other.by_item(here)
        beside.join()
        found, own = one.by_item(here)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(own.rows, groups.rows)
        np.testing.assert_array_equal(own.starts, groups.starts)
        np.testing.assert_array_equal(one.touched(here), other.touched(here))


def test_a_copy_holds_no_batches() -> None:
    items = BatchItems(small_log())
    batch = next(PairSampler(items.log, 50, SharedBlock(8)).epoch(np.random.default_rng(0)))
    empty = len(pickle.dumps(items))
    items.by_item(batch)
    copy = pickle.loads(pickle.dumps(items))
    assert len(pickle.dumps(items)) < empty + items.nbytes + 1000
    np.testing.assert_array_equal(copy.by_item(batch)[0], items.by_item(batch)[0])
