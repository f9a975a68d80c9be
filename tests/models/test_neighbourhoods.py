"""An order of rows: none is lost, parts of the graph lie together, and sums stay as they were."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.kernels.arguments import Graph
from sparserec_np.models.neighbourhoods import (
    CHUNKS,
    empty_block,
    even_chunks,
    neighbourhood_order,
    reordered,
)
from tests.makers.small import small_log


def test_users_come_first_and_no_row_is_lost() -> None:
    log = small_log(40, 30, 200)
    order = neighbourhood_order(Graph.of(log), log.n_users, np.dtype(np.float32))
    assert order.dtype == np.int32
    assert sorted(order[:40]) == list(range(40)) and sorted(order[40:]) == list(range(40, 70))


def test_parts_of_the_graph_lie_together() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(rng.permutation(60), 8)
    items = users % 3 + 3 * rng.integers(0, 15, len(users))  # three worlds that share nothing
    log = Interactions.from_codes(users, items, np.arange(60), np.arange(45))
    order = neighbourhood_order(Graph.of(log), log.n_users, np.dtype(np.float32))
    worlds = (order[: log.n_users] % 3).tolist()
    assert sum(a != b for a, b in zip(worlds[1:], worlds, strict=False)) < 20  # of 59; at random 40


def test_neighbours_keep_their_order() -> None:
    log = small_log(12, 9, 40)
    graph = Graph.of(log)
    order = np.random.default_rng(0).permutation(21).astype(np.int32)
    moved = reordered(graph, order)
    for place, row in enumerate(order):
        expected = graph.neighbours[graph.indptr[row] : graph.indptr[row + 1]]
        found = order[moved.neighbours[moved.indptr[place] : moved.indptr[place + 1]]]
        assert found.tolist() == expected.tolist()
    assert moved.indptr.dtype == graph.indptr.dtype and moved.neighbours.dtype == np.int32


def test_chunks_hold_all_rows() -> None:
    chunks = even_chunks(Graph.of(small_log(40, 30, 200)))
    assert chunks[0] == 0 and chunks[-1] == 70 and len(chunks) == CHUNKS + 1
    assert (np.diff(chunks) >= 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_begin_where_cache_lines_do(dtype: type) -> None:
    for rows in (1, 7):
        block = empty_block(rows, dtype)
        assert block.shape == (rows, 32) and block.dtype == dtype
        assert block.ctypes.data % 128 == 0 and block.flags.c_contiguous
