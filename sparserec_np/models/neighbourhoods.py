"""An order of a graph's rows in which neighbours of neighbours lie close together.

A step over the graph reads the rows of neighbours here and there. Rows that are summed one after
the other read much the same rows if they lie in the same part of the graph, as users of one city
and the places there do: then what is read is still near the core. No sum changes by it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparserec_np import kernels
from sparserec_np.data.table import Array
from sparserec_np.kernels.arguments import BLOCK_COLUMNS, Graph

CHUNKS = 64  # parts of the rows that threads share out
STEPS = 12  # of averaging; more bring nothing on Gowalla, and each is a step of training
LINE = 128  # bytes of a pair of cache lines


def even_chunks(graph: Graph) -> Array:
    """Divides the rows into parts of about as many edges each: (parts + 1,) int32 bounds.

    Rows of popular items lie together, and a part of as many rows would take longest.
    """
    rows = len(graph.indptr) - 1
    marks = np.linspace(0, len(graph.neighbours) + rows, CHUNKS + 1)
    return np.searchsorted(graph.indptr + np.arange(rows + 1), marks).astype(np.int32)


def empty_block(rows: int, dtype: npt.DTypeLike) -> Array:
    """Makes an array (rows, 32) whose rows begin where a pair of cache lines does."""
    size = rows * BLOCK_COLUMNS * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, dtype=np.uint8)
    first = -room.ctypes.data % LINE
    return room[first : first + size].view(dtype).reshape(rows, BLOCK_COLUMNS)


def neighbourhood_order(graph: Graph, n_users: int, dtype: npt.DTypeLike) -> Array:
    """Finds an order of the rows, (rows,) int32: users first, and near each other who share items.

    Random numbers are averaged over neighbours, again and again, and what all users have in common
    is taken away, and all items. Then rows of the same part of the graph have much the same
    numbers, and the largest of a row tells which part it is: hashing of a row by 32 random
    directions (Andoni et al. 2015).
    """
    degrees = np.diff(graph.indptr)
    mean = np.divide(1, degrees, where=degrees > 0, out=np.zeros(len(degrees))).astype(dtype)
    chunks = even_chunks(graph)
    here, there = (empty_block(len(degrees), dtype) for _ in range(2))
    here[:] = np.random.default_rng(0).standard_normal(here.shape, dtype=np.float32)
    sides = slice(n_users), slice(n_users, len(degrees))
    shares = [(degrees[side] / max(1, degrees[side].sum())).astype(dtype) for side in sides]
    for _ in range(STEPS):
        kernels.propagation.propagate(graph, chunks, here, mean, there)
        here, there = there, here
        for side, share in zip(sides, shares, strict=True):
            # No BLAS: it would round by its number of threads.
            here[side] -= np.einsum("i,ij->j", share, here[side], dtype=np.float64)
    here /= np.maximum(np.sqrt(np.square(here).mean(axis=0)), np.finfo(dtype).tiny)
    found = [_largest(here[side]).argsort(kind="stable") for side in sides]
    return np.concatenate([found[0], n_users + found[1]]).astype(np.int32)


def _largest(block: Array) -> Array:
    """Tells rows apart by where their largest magnitude is, and by its sign."""
    columns = np.abs(block).argmax(axis=1)
    return 2 * columns + (block[np.arange(len(block)), columns] > 0)


def reordered(graph: Graph, order: Array) -> Graph:
    """Numbers the rows by their places in ``order``; a row's neighbours keep their order."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order), dtype=order.dtype)
    sizes = np.diff(graph.indptr)[order]
    indptr = np.zeros_like(graph.indptr)
    np.cumsum(sizes, out=indptr[1:])
    begins = np.repeat(graph.indptr[:-1][order] - indptr[:-1], sizes)
    begins += np.arange(len(begins), dtype=begins.dtype)
    return Graph(indptr, places[graph.neighbours[begins]])
