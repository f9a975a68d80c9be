"""What is found for a batch is found once."""

from __future__ import annotations

import pickle

import numpy as np

from sparserec_np.learning.batches import Batch, Groups, PairSampler, SharedBlock
from sparserec_np.models.batch_items import BatchItems, OfBatches
from tests.makers.small import small_log


def a_batch(size: int) -> Batch:
    every = np.arange(size, dtype=np.int32)
    return Batch(Groups(every, np.arange(size + 1, dtype=np.int32)), every, every, every, shared=False)


def test_what_was_found_is_kept_until_the_next_batch() -> None:
    asked = []

    def find(batch: Batch) -> int:
        asked.append(batch.size)
        return batch.size

    first, second = (a_batch(size) for size in (1, 2))
    found = OfBatches(find)
    assert [found(one) for one in (first, first, second, second, first)] == [1, 1, 2, 2, 1]
    assert asked == [1, 2, 1]


def test_equal_batches_are_two() -> None:
    found = OfBatches(lambda batch: object())
    assert found(a_batch(2)) is not found(a_batch(2))


def test_a_copy_holds_no_batches() -> None:
    items = BatchItems(small_log())
    batch = next(PairSampler(items.log, 50, SharedBlock(8)).epoch(np.random.default_rng(0)))
    empty = len(pickle.dumps(items))
    items.by_item(batch)
    copy = pickle.loads(pickle.dumps(items))
    assert len(pickle.dumps(items)) < empty + items.nbytes + 1000
    np.testing.assert_array_equal(copy.by_item(batch)[0], items.by_item(batch)[0])
