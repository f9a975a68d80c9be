"""Leading singular vectors and products of lower rank against NumPy's own; strips against the same in one piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data.interactions import Interactions
from sparserec_np.factorization.singular_vectors import (
    BLOCK_ROWS,
    Strips,
    fewer_columns,
    leading_right_vectors,
)
from sparserec_np.machine.threads import one_blas_thread
from tests.makers.small import Array, small_log


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def in_strips(dense: Array) -> Strips:
    found = Strips(*dense.shape)
    for block in found.blocks():
        found[block] = dense[block]
    return found


@given(st.integers(1, 40), st.data())
def test_strips_are_one_matrix(width: int, data: st.DataObject) -> None:
    rows, new = BLOCK_ROWS + 50, data.draw(st.integers(1, width))  # more than are put together at a time
    dense = rng(width).standard_normal((rows, width), dtype=np.float32)
    strips = in_strips(dense)
    some = np.array([3, BLOCK_ROWS + 1, 0])
    assert strips[some].tolist() == dense[some].tolist()
    np.testing.assert_allclose(strips.gram(), dense.T @ dense, atol=2e-3)
    turn, factors = rng(1).standard_normal((width, new)), rng(2).random(rows, np.float32)
    strips.turn(turn)
    strips.scale(factors)
    assert (strips.width, len(strips.parts)) == (new, -(-new // 16))
    wanted = factors[:, None] * (dense @ turn)
    np.testing.assert_allclose(strips[0:rows], wanted, rtol=1e-4, atol=1e-4)


def test_rows_of_items_are_summed_for_users() -> None:
    log = small_log()
    dense = rng().standard_normal((log.n_items, 21), dtype=np.float32)
    users = np.array([5, 0, 59])
    wanted = [dense[log.items[log.indptr[user] : log.indptr[user + 1]]].sum(axis=0) for user in users]
    np.testing.assert_allclose(in_strips(dense).sums(log, users), wanted, rtol=1e-4, atol=1e-4)
    alone = Interactions.from_pairs([1], [1], user_ids=[0, 1], item_ids=[0, 1])
    assert Strips(2, 3).sums(alone, np.array([0])).tolist() == [[0, 0, 0]]


def normalised(mask: Array) -> tuple[Interactions, Array]:
    """A log of these pairs, and their matrix, dense, with rows and columns divided by the roots of the degrees."""
    users, items = (np.arange(size) for size in mask.shape)
    log = Interactions.from_pairs(*np.nonzero(mask), user_ids=users, item_ids=items)
    degrees = [np.maximum(mask.sum(axis=axis), 1) for axis in (1, 0)]
    return log, mask / np.sqrt(degrees[0][:, None] * degrees[1])


@pytest.mark.parametrize("threads", [1, 2])
def test_leading_right_vectors_are_those_of_a_full_decomposition(threads: int) -> None:
    mask = rng().random((120, 70)) < np.linspace(0.02, 0.6, 70)
    mask[7] = False
    log, dense = normalised(mask)
    got = leading_right_vectors(log, 12, 60, rng(), threads)[0:70]
    wanted = np.linalg.svd(dense)[2][:12].T
    assert np.allclose(got.T @ got, np.eye(12), atol=1e-5)
    assert np.allclose(np.abs((got * wanted).sum(axis=0))[:6], 1, atol=1e-3)  # the strongest, in order
    assert np.linalg.norm(dense @ got) == pytest.approx(np.linalg.norm(dense @ wanted), rel=1e-4)


def test_as_many_vectors_as_the_smaller_side() -> None:
    log, dense = normalised(rng().random((9, 30)) < 0.5)
    got = leading_right_vectors(log, 9, 8, rng())[0:30]
    assert np.allclose(dense @ got @ got.T, dense, atol=1e-4)


def test_threads_change_no_bit() -> None:
    log = small_log(300, 2500, 8000)  # blocks of rows for several threads
    with one_blas_thread():
        one, two, many = (leading_right_vectors(log, 40, 3, rng(), threads)[0:2500] for threads in (1, 2, 9))
    assert np.array_equal(one, two) and np.array_equal(one, many)


@pytest.mark.parametrize("dim", [1, 4, 12, 20])
def test_fewer_columns_give_the_nearest_products_of_lower_rank(dim: int) -> None:
    users, items = (
        rng(seed).standard_normal((rows, 12)).astype(np.float32) for seed, rows in ((0, 30), (1, 25))
    )
    items *= rng(2).uniform(0.1, 2, 12).astype(np.float32)
    turns = fewer_columns(users, items, dim)
    assert all(turn.shape == (12, min(dim, 12)) and turn.dtype == np.float32 for turn in turns)
    left, strengths, right = np.linalg.svd(users.astype(np.float64) @ items.T)
    nearest = left[:, :dim] * strengths[:dim] @ right[:dim] if dim < 12 else users @ items.T
    own, theirs = users @ turns[0], items @ turns[1]
    assert np.allclose(own @ theirs.T, nearest, atol=1e-3)
    assert np.allclose(np.square(own).sum(axis=0), np.square(theirs).sum(axis=0), rtol=1e-3)


def test_columns_that_are_short_on_one_side_and_long_on_the_other_count_by_their_products() -> None:
    lengths = np.logspace(0, -4, 12)
    users, items = rng().standard_normal((30, 12)) * lengths, rng(1).standard_normal((25, 12)) / lengths
    own, theirs = fewer_columns(users.astype(np.float32), items.astype(np.float32), 12)
    assert np.allclose(users @ own @ (items @ theirs).T, users @ items.T, rtol=1e-3, atol=1e-2)


def test_fewer_columns_of_rows_of_a_lower_rank() -> None:
    users, items = rng().standard_normal((30, 3)) @ rng(1).standard_normal((3, 12)), np.ones((25, 12))
    own, theirs = fewer_columns(users.astype(np.float32), items.astype(np.float32), 8)
    assert np.allclose(users @ own @ (items @ theirs).T, users @ items.T, atol=1e-3)
    nothing = np.zeros((5, 12), np.float32)
    assert not any(turn.any() for turn in fewer_columns(nothing, items.astype(np.float32), 8))


def test_what_follows_a_fall_of_the_strengths_is_left_out() -> None:
    board = np.arange(24)[:, None] % 2 == np.arange(24) % 2
    users, items = np.nonzero(board & ~np.eye(24, dtype=bool))  # two groups, and 22 equal vectors
    log = Interactions.from_pairs(users, items)
    vectors = leading_right_vectors(log, 24, 4, np.random.default_rng(0))
    np.testing.assert_allclose(vectors.strengths, [1, 1, *[1 / 11] * 22], rtol=1e-3)
    before = vectors[0:24]
    vectors.narrow(0.01)
    assert vectors.width == 24
    vectors.narrow(0.2)
    assert vectors.width == vectors.strengths.size == 2
    np.testing.assert_allclose(vectors[0:24], before[:, :2], atol=1e-6)
