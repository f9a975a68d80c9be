"""What goes into kernels as it is: how it is made, and what it tells of itself."""

from __future__ import annotations

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.kernels.arguments import Explored, Graph


def test_explored_rows_have_slots() -> None:
    explored = Explored.of(np.array([5, 0, 3]), 7, 4)
    assert explored.slots.tolist() == [1, -1, -1, 2, -1, 0, -1]
    assert explored.rows.tolist() == [5, 0, 3]
    assert explored.sums.shape == (3, 4) and not explored.sums.any()
    assert explored.nbytes == 7 * 4 + 3 * 4 * 4
    assert Explored.of(np.array([1]), 2, 3, np.float64).sums.dtype == np.float64


def test_a_graph_has_every_pair_once_from_each_end() -> None:
    log = Interactions.from_codes(
        np.array([0, 0, 2]), np.array([0, 1, 1]), np.array(["a", "b", "c"]), np.array(["x", "y"])
    )
    graph = Graph.of(log)
    assert graph.indptr.tolist() == [0, 2, 2, 3, 4, 6] and graph.indptr.dtype == np.int32
    assert graph.neighbours.tolist() == [3, 4, 4, 0, 0, 2] and graph.neighbours.dtype == np.int32
    assert graph.nbytes == 6 * 4 + 6 * 4
