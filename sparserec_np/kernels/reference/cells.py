"""Descent on one pair after another, in cells that threads share out, in plain NumPy.

The specification of ``kernels.compiled.cells``.

Users are divided into ``parts`` ranges and items into as many parts. A *cell* holds the pairs of
one range of users and one part of items. A sweep takes ``parts`` *turns*. The cells of a turn have
no user and no item in common, so that they may be worked on at once, in any order, by any number of
threads, with the same result (a stratum of Gemulla et al. 2011). A pair's negative is drawn from
the part of its positive: it is in no other cell of the turn either. Parts are drawn anew for every
sweep, so that in the long run every item is set against every other (our choice).
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.kernels.arguments import Cells, Explored, Shared, Single, Steps
from sparserec_np.kernels.reference import slopes

WRAP = 2**64 - 1
FAR = 80.0


def fill_cells(indptr: Array, items: Array, weights: Array, part_of: Array, cells: Cells) -> None:
    """Lists the pairs of each cell: by user, and a user's pairs in the order they come in.

    Args:
        indptr: (users + 1,) int64, with ``items`` the interactions by user.
        items: (n,) int32.
        weights: (n,) float32, or empty.
        part_of: (items,) uint8, below parts.
        cells: ``bounds`` says where the pairs of each cell begin, ``ranges`` which users are
            together; ``users``, ``positives`` and ``weights`` are overwritten.
    """
    parts = len(cells.starts) - 1
    users = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    range_of = np.searchsorted(cells.ranges, users, side="right") - 1
    order = np.argsort(range_of * parts + part_of[items], kind="stable")
    cells.users[:] = users[order] - cells.ranges[range_of[order]]
    cells.positives[:] = items[order]
    if len(weights):
        cells.weights[:] = weights[order]


def _mixed(number: int) -> int:
    """Mixes 64 bits: every bit of the result hangs on every bit.

    That is the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    """
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & WRAP
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & WRAP
    return number ^ (number >> 31)


def _negative(pair: int, own: Array, members: Array, seed: int) -> int:
    """Draws ``members`` at random until one is not in ``own``; -1 where all are."""
    if len(own) >= len(members):
        return -1
    number = _mixed((seed + pair * 0x9E3779B97F4A7C15) & WRAP)
    while True:
        item = int(members[((number >> 32) * len(members)) >> 32])
        if item not in own:
            return item
        number = _mixed((number + 1) & WRAP)


def _dense(table: SparseTable, row: int, dim: int) -> Array:
    return table.slice_rows(row, row + 1).to_dense(dim)[0]


def _explore(explored: Explored, row: int, gradient: Array) -> None:
    """Adds the gradient of every entry of ``row`` to the sums, where the row is explored."""
    if explored.slots[row] >= 0:
        explored.sums[explored.slots[row]] += gradient


def _step(table: SparseTable, row: int, gradient: Array, decay: float, rate: float, steps: Steps) -> None:
    """Moves the stored entries of ``row`` against ``gradient`` (dim,) and the L2 term."""
    own = slice(table.indptr[row], table.indptr[row + 1])
    values = table.values[own]
    origin = steps.origin[own] if len(steps.origin) else 0
    g = gradient[table.columns[own]] + decay * (values - origin)
    if len(steps.squares):
        steps.squares[own] += g * g
        g = g / (np.sqrt(steps.squares[own]) + table.values.dtype.type(1e-10))
    table.values[own] = values - table.values.dtype.type(rate) * g


def sweep_pairs(
    table: SparseTable, cells: Cells, single: Single, steps: Steps, explored: Explored, losses: Array
) -> None:
    """Goes once through all pairs, with a negative for each.

    Turn s takes the cells of the ranges p and the parts (p + s) modulo ``parts``.

    Within a cell, pairs come in their order. A pair of user u and item i draws the negative j from
    i's part, never an item of u's; where the part holds nothing else, the pair is passed over. With
    z the clipped difference of scores, ``z = min(max(<u, j> - <u, i>, -80), 80)``, it costs ``log(1
    + exp z)`` (BPR, Rendle et al. 2009) and has the slope ``a = 1 / (1 + exp -z)``.

    Pairs come in groups of ``single.group``, the last of a cell may be smaller. All pairs of a
    group are scored first. Then its users take turns: the items of a user's pairs move, pair after
    pair, against ``g_i = -a u`` and ``g_j = a u``, and last the user, against the sum of ``a (j -
    i)``, with i and j as they were right before they moved (our choice: a group's exponentials are
    taken at once, and no pair waits for the one before it). Where pairs have weights, cost and
    slope of each are multiplied by its own.

    A row moves by its stored entries x alone, with ``g`` its gradient and ``d`` its L2 weight, the
    user's times its pairs in the group: ``g <- g + d (x - origin)``; where there are ``squares`` s,
    ``s <- s + g^2`` and ``g <- g / (sqrt(s) + 1e-10)`` (Adagrad, Duchi et al. 2011); then ``x <- x
    - rate g``.

    Args:
        table: stacked, users first; values are changed in place.
        cells: filled by :func:`fill_cells`; ``members[starts[q]:starts[q + 1]]`` are the items of
            part q.
        single: the group, and the seed: the numbers of pair m come from
            ``SplitMix64(seed + m * 0x9E3779B97F4A7C15)``.
        steps: rates (one for each turn), L2 weights, what they draw to, and the state; ``squares``
            change in place.
        explored: the gradient of the loss (not of the L2 terms) is added, at every column.
        losses: (parts, parts), overwritten: at [s, p] the sum over the cell of range p in turn s.
    """
    parts = len(cells.starts) - 1
    n_users = table.rows - len(cells.members)
    dim = explored.sums.shape[1]

    def dense(row: int) -> Array:
        return _dense(table, row, dim)

    for turn in range(parts):
        for p in range(parts):
            q = (p + turn) % parts
            first, last = cells.bounds[p * parts + q], cells.bounds[p * parts + q + 1]
            members = cells.members[cells.starts[q] : cells.starts[q + 1]]
            rate = steps.rates[turn]
            losses[turn, p] = 0
            places = cells.users[first:last]
            for start in range(first, last, single.group):
                rows = []
                for m in range(start, min(start + single.group, last)):
                    own = cells.positives[first:last][places == cells.users[m]]
                    j = _negative(m, own, members, int(single.seed))
                    if j >= 0:
                        user = int(cells.ranges[p]) + int(cells.users[m])
                        weight = cells.weights[m] if len(cells.weights) else 1
                        rows.append((user, n_users + int(cells.positives[m]), n_users + j, weight))
                apart = [np.clip(dense(u) @ (dense(j) - dense(i)), -FAR, FAR) for u, i, j, _ in rows]
                for user in dict.fromkeys(u for u, *_ in rows):
                    run = [(*pair, z) for pair, z in zip(rows, apart, strict=True) if pair[0] == user]
                    u = dense(user)
                    pull = np.zeros_like(u)
                    for _, i, j, weight, z in run:
                        losses[turn, p] += weight * np.log1p(np.exp(z))
                        a = weight / (1 + np.exp(-z))
                        pull += a * (dense(j) - dense(i))
                        _explore(explored, i, -a * u)
                        _explore(explored, j, a * u)
                        _step(table, i, -a * u, steps.decay[1], rate, steps)
                        _step(table, j, a * u, steps.decay[2], rate, steps)
                    _explore(explored, user, pull)
                    _step(table, user, pull, steps.decay[0] * len(run), rate, steps)


def sweep_blocks(
    table: SparseTable, cells: Cells, shared: Shared, steps: Steps, explored: Explored, losses: Array
) -> None:
    """Goes once through all pairs, a block of negatives for every ``shared.batch`` pairs of a cell.

    The order is that of :func:`sweep_pairs`. The block is the next ``shared.negatives`` items of
    the cell's part, in the order of ``members`` and from the first again after the last: an even
    sample, as they lie in random order (all of them, if they are fewer). Items of the user's in it
    count for nothing. With i, j the positives and the block, a run of at most ``shared.run``
    pairs of a user, within the block's pairs, has the losses and the slopes of ``slopes.bpr_block``
    or ``slopes.softmax_block`` as one group. The positives move at once, one after another. The
    user moves after them, against its gradient by all of them as they were. The block moves after
    its last pair, against the sum of its gradients; in between, it is read as it was at first. A
    pair's share of the L2 term of each item in the block is one in the block's length. Where pairs
    have weights, a run is a single pair, whose loss and slopes are multiplied by its weight.

    Args:
        table, cells, steps, explored, losses: see :func:`sweep_pairs`.
        shared: the loss (0 is BPR, 1 softmax), pairs that share a block, items in a block, and
            pairs in a run.
    """
    kernel = (slopes.bpr_block, slopes.softmax_block)[shared.loss]
    parts = len(cells.starts) - 1
    n_users = table.rows - len(cells.members)
    dim = explored.sums.shape[1]
    kind = table.values.dtype

    def dense(row: int) -> Array:
        return _dense(table, row, dim)

    for turn in range(parts):
        for p in range(parts):
            q = (p + turn) % parts
            inside = slice(*cells.bounds[p * parts + q :][:2])
            users = cells.ranges[p] + cells.users[inside].astype(np.int64)
            positives = cells.positives[inside].astype(np.int64)
            members = cells.members[cells.starts[q] : cells.starts[q + 1]]
            weights = cells.weights[inside] if len(cells.weights) else np.ones(len(users), np.float32)
            most = 1 if len(cells.weights) else shared.run
            size = min(shared.negatives, len(members))
            rate = steps.rates[turn]
            losses[turn, p] = 0
            for number, begin in enumerate(range(0, len(users), shared.batch)):
                chosen = members[(number * size + np.arange(size)) % len(members)]
                block = np.array([dense(n_users + j) for j in chosen])
                pulls = np.zeros_like(block)
                batch = np.arange(begin, min(begin + shared.batch, len(users)))
                for user in np.unique(users[batch]):
                    pairs = batch[users[batch] == user]
                    seen = np.isin(chosen, positives[users == user])
                    for start in range(0, len(pairs), most):
                        run = pairs[start : start + most]
                        u = dense(user)
                        near = np.array([u @ dense(n_users + i) for i in positives[run]], dtype=kind)
                        scores = np.where(seen, -np.inf, block @ u)[None].astype(kind)
                        valid = np.array([size - seen.sum()], dtype=np.int32)
                        each = np.empty(len(run), dtype=kind)
                        kernel(np.array([0, len(run)], np.int32), near, scores, valid, each)
                        for array in (near, scores[0], each):
                            array *= weights[run[0]]
                        losses[turn, p] += each.sum()
                        pull = scores[0] @ block
                        for slope, i in zip(near, n_users + positives[run], strict=True):
                            pull = pull + slope * dense(i)
                            _explore(explored, i, slope * u)
                            _step(table, i, slope * u, steps.decay[1], rate, steps)
                        pulls += scores[0][:, None] * u
                        _explore(explored, user, pull)
                        _step(table, user, pull, steps.decay[0] * len(run), rate, steps)
                share = steps.decay[2] * len(batch) / size
                for j, gradient in zip(n_users + chosen, pulls, strict=True):
                    _explore(explored, j, gradient)
                    _step(table, j, gradient, share, rate, steps)
