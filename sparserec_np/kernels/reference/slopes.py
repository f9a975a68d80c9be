"""Losses of scores, and their slopes, in plain NumPy.

The specification of ``kernels.compiled.slopes``.

A slope is the derivative of the batch's summed loss by one score. Slopes replace the scores that
they belong to. All arrays have one dtype, float32 or float64. A NaN score makes the loss of its
pairs NaN, never a plausible number.

The shared forms are given one group of pairs for each user, and one row of scores of all shared
negatives for each group. Those that do not count score -inf, and get the slope 0; ``valid`` says
how many are left.
"""

from __future__ import annotations

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.kernels.reference.elementary import exp_into


def bpr_pairs(positive: Array, negative: Array, losses: Array) -> None:
    """Bayesian personalised ranking, one negative for each pair (Rendle et al. 2009).

    With the margin ``x = p - n``: loss ``-log sigmoid(x) = log(1 + exp(-x))``, slopes
    ``-sigmoid(-x)`` for p and ``sigmoid(-x)`` for n. Right for any margin: exponentials are only
    taken of numbers below zero.

    Args:
        positive: (b,) scores p; overwritten with their slopes.
        negative: (b,) scores n; overwritten with their slopes.
        losses: (b,) overwritten with the loss of each pair.
    """
    margin = positive - negative
    small = np.exp(-np.abs(margin))
    losses[:] = np.log1p(small) + np.maximum(-margin, 0)
    slope = np.where(margin > 0, small, 1) / (1 + small)
    positive[:] = -slope
    negative[:] = slope


def bpr_block(starts: Array, positive: Array, negatives: Array, valid: Array, losses: Array) -> None:
    """Bayesian personalised ranking against a shared block.

    It is averaged over the negatives that count (our choice).

    Loss of a pair of group g: ``1 / valid[g] * sum_s log(1 + exp(d_s))`` with ``d_s = n_s - p``.
    Slopes: ``-1 / valid[g] * sum_s sigmoid(d_s)`` for p, and for n_s the sum of ``sigmoid(d_s) /
    valid[g]`` over the group's pairs. A pair therefore weighs the same however many negatives its
    user is left with; with none, loss and slopes are 0.

    Exponents are clipped as in ``exp_into``: a ``d_s`` below -87 adds nothing, and from 88 on the
    loss stays at 88 while the slope is 1, which it would be anyway to more digits than float64 has.

    Args:
        starts: (groups + 1,) int32, pairs of group g are ``starts[g]`` to ``starts[g + 1]``.
        positive: (b,) scores p; overwritten with their slopes.
        negatives: (groups, s) scores n, s >= 1; overwritten with their slopes, summed over the
            pairs of the group.
        valid: (groups,) int32, how many of the s scores of a group are not -inf.
        losses: (b,) overwritten with the loss of each pair.
    """
    for g in range(len(negatives)):
        pairs = slice(starts[g], starts[g + 1])
        excess = negatives[g] - positive[pairs, None]
        odds = np.empty_like(excess)
        exp_into(excess, odds)
        count = max(int(valid[g]), 1)
        slope = odds / (1 + odds) / count
        losses[pairs] = np.log(1 + odds).sum(axis=1) / count
        positive[pairs] = -slope.sum(axis=1)
        negatives[g] = slope.sum(axis=0)


def softmax_block(starts: Array, positive: Array, negatives: Array, valid: Array, losses: Array) -> None:
    """Softmax cross-entropy of the positive among itself and the negatives that count.

    Loss of a pair: ``-log(exp(p) / (exp(p) + sum_s exp(n_s)))``. Slopes: ``exp(p) / (exp(p) + sum_s
    exp(n_s))
    - 1`` for p, and for n_s the sum of ``exp(n_s) / (exp(p) + sum_s exp(n_s))`` over the group's
    pairs. The negatives are uniform, so scores are not corrected for how likely a negative was to
    be drawn. With no negative, loss and slopes are 0.

    All exponents are taken relative to the largest negative, and clipped as in ``exp_into``: a
    negative that scores more than 87 below it gets the slope 0. Right for any finite scores; the
    loss, unlike that of ``bpr_block``, has no ceiling.

    Args:
        starts: (groups + 1,) int32, pairs of group g are ``starts[g]`` to ``starts[g + 1]``.
        positive: (b,) scores p; overwritten with their slopes.
        negatives: (groups, s) scores n, s >= 1; overwritten with their slopes, summed over the
            pairs of the group.
        valid: (groups,) int32, how many of the s scores of a group are not -inf.
        losses: (b,) overwritten with the loss of each pair.
    """
    for g in range(len(negatives)):
        pairs = slice(starts[g], starts[g + 1])
        if valid[g] == 0:
            losses[pairs], positive[pairs], negatives[g] = 0, 0, 0
            continue
        peak = negatives[g].max()
        parts = np.empty_like(negatives[g])
        exp_into(negatives[g] - peak, parts)
        mass = parts.sum()
        excess = np.log(mass) + peak - positive[pairs]  # log of the odds against the positive
        with np.errstate(over="ignore"):  # infinite odds for the positive leave slopes of zero
            own = np.exp(positive[pairs] - peak)
        losses[pairs] = np.log1p(np.exp(-np.abs(excess))) + np.maximum(excess, 0)
        positive[pairs] = -mass / (own + mass)
        negatives[g] = parts * (1 / (own + mass)).sum()


def bce_pairs(positive: Array, negative: Array, losses: Array, weight: float) -> None:
    """Binary cross-entropy of a pair and of its negative (He et al. 2017, equation 7).

    Loss ``log(1 + exp(-p)) + weight * log(1 + exp(n))``; slopes ``-sigmoid(-p)`` for p and ``weight
    * sigmoid(n)`` for n.

    Args:
        positive: (b,) scores p; overwritten with their slopes.
        negative: (b,) scores n; overwritten with their slopes.
        losses: (b,) overwritten with the loss of each pair.
        weight: of the negative, a Python float.
    """
    small, far = np.exp(-np.abs(positive)), np.exp(-np.abs(negative))
    losses[:] = np.log1p(small) + np.maximum(-positive, 0)
    losses += weight * (np.log1p(far) + np.maximum(negative, 0))
    positive[:] = -np.where(positive > 0, small, 1) / (1 + small)
    negative[:] = weight * np.where(negative > 0, 1, far) / (1 + far)


def bce_block(
    starts: Array, positive: Array, negatives: Array, valid: Array, losses: Array, weight: float
) -> None:
    """Binary cross-entropy of a pair and of a shared block that weighs ``weight`` altogether.

    Loss of a pair of group g: ``log(1 + exp(-p)) + weight / valid[g] * sum_s log(1 + exp(n_s))``.
    Slopes: ``-sigmoid(-p)`` for p, and for n_s ``weight / valid[g] * sigmoid(n_s)`` for each pair
    of the group. With no negative, the pair's own term is left. Exponents of negatives are clipped
    as in ``exp_into``: from 88 on the loss of one stays at 88.

    Args:
        starts, positive, negatives, valid, losses: as in :func:`bpr_block`.
        weight: of all negatives of a pair together, a Python float.
    """
    for g in range(len(negatives)):
        pairs = slice(starts[g], starts[g + 1])
        share = weight / max(int(valid[g]), 1)
        odds = np.empty_like(negatives[g])
        exp_into(negatives[g], odds)
        small = np.exp(-np.abs(positive[pairs]))
        losses[pairs] = np.log1p(small) + np.maximum(-positive[pairs], 0) + np.log(1 + odds).sum() * share
        positive[pairs] = -np.where(positive[pairs] > 0, small, 1) / (1 + small)
        negatives[g] = odds / (1 + odds) * share * (starts[g + 1] - starts[g])


def bsl_block(
    starts: Array, positive: Array, negatives: Array, valid: Array, losses: Array, sharpness: float
) -> None:
    """Bilateral softmax loss (Wu et al. 2024): a mean in the exponent on both sides.

    Loss of a pair of group g: ``1 / k * log(mean_s exp(k n_s)) - log(mean_m exp(p_m))``, with m
    over the pairs of the group (what of a user is in the batch stands for all the user's items: our
    choice), s over the negatives that count, and k = ``sharpness``. Scores are divided by the
    temperature of the positives; k is that temperature divided by the negatives'. Slopes, with c
    pairs in the group: ``-c exp(p_m) / sum exp(p)`` and ``c exp(k n_s) / sum exp(k n)``. With no
    negative, loss and slopes are 0. The positive is not among the negatives: unlike
    :func:`softmax_block` this has no lower bound unless the scores have.

    Exponents are taken relative to the largest, and those of negatives clipped as in ``exp_into``.

    Args:
        starts, positive, negatives, valid, losses: as in :func:`softmax_block`.
        sharpness: k > 0, a Python float.
    """
    for g in range(len(negatives)):
        pairs = slice(starts[g], starts[g + 1])
        count = int(starts[g + 1] - starts[g])
        if valid[g] == 0 or count == 0:
            losses[pairs], positive[pairs], negatives[g] = 0, 0, 0
            continue
        peak, own = negatives[g].max(), positive[pairs].max()
        parts = np.empty_like(negatives[g])
        exp_into(sharpness * (negatives[g] - peak), parts)
        near = np.exp(positive[pairs] - own)
        losses[pairs] = np.log(parts.sum() / valid[g]) / sharpness + peak - own - np.log(near.sum() / count)
        positive[pairs] = -near * (count / near.sum())
        negatives[g] = parts * (count / parts.sum())


def ccl_pairs(positive: Array, negative: Array, losses: Array, weight: float, margin: float) -> None:
    """Cosine contrastive loss (Mao et al. 2021), one negative for each pair.

    Loss ``1 - p + weight * max(0, n - margin)``; slopes -1 for p, and for n ``weight`` above the
    margin and 0 below.

    Args:
        positive: (b,) scores p, cosines; overwritten with their slopes.
        negative: (b,) scores n, cosines; overwritten with their slopes.
        losses: (b,) overwritten with the loss of each pair.
        weight: of the negatives, a Python float.
        margin: a Python float.
    """
    losses[:] = 1 - positive + weight * np.maximum(negative - margin, 0)
    positive[:] = -1
    negative[:] = np.where(negative > margin, weight, 0)


def ccl_block(
    starts: Array,
    positive: Array,
    negatives: Array,
    valid: Array,
    losses: Array,
    weight: float,
    margin: float,
) -> None:
    """Cosine contrastive loss against a shared block, averaged over the negatives that count.

    Loss of a pair of group g: ``1 - p + weight / valid[g] * sum_s max(0, n_s - margin)`` (Mao et
    al. 2021, equation 2). Slopes: -1 for p, and for each n_s above the margin ``weight / valid[g]``
    for each pair of the group.

    Args:
        starts, positive, negatives, valid, losses: as in :func:`bpr_block`.
        weight: of all negatives of a pair together, a Python float.
        margin: a Python float.
    """
    for g in range(len(negatives)):
        pairs = slice(starts[g], starts[g + 1])
        share = weight / max(int(valid[g]), 1)
        losses[pairs] = 1 - positive[pairs] + np.maximum(negatives[g] - margin, 0).sum() * share
        positive[pairs] = -1
        negatives[g] = np.where(negatives[g] > margin, share * (starts[g + 1] - starts[g]), 0)


def imitation_block(
    starts: Array,
    student: Array,
    teacher: Array,
    valid: Array,
    weight: float,
    slopes: Array,
    losses: Array,
) -> None:
    """Cross-entropy of a student's softmax against a teacher's, less its least value.

    For each pair of group g ``weight * sum_s q_s log(q_s / p_s)``, with p and q the softmax of the
    student's and of the teacher's scores over the negatives that count (Hinton et al. 2015, at
    temperature 1). Slopes by the student's scores: ``weight * (p_s - q_s)`` for each pair of the
    group. Groups without negatives are left alone.

    Exponents are taken relative to the largest, and clipped as in ``exp_into``.

    Args:
        starts: (groups + 1,) int32, pairs of group g are ``starts[g]`` to ``starts[g + 1]``.
        student, teacher: (groups, s) scores, -inf in both where a negative does not count; read
            only.
        valid: (groups,) int32, how many of the s count.
        weight: a Python float.
        slopes: (groups, s) added to.
        losses: (b,) added to.
    """
    for g in range(len(student)):
        if valid[g] == 0:
            continue
        own, given = student[g], teacher[g]
        ours, theirs = np.empty_like(own), np.empty_like(own)
        exp_into(own - own.max(), ours)
        exp_into(given - given.max(), theirs)
        shift = np.log(ours.sum()) + own.max() - np.log(theirs.sum()) - given.max()
        theirs /= theirs.sum()
        counts = theirs > 0
        apart = (theirs[counts] * (given[counts] - own[counts] + shift)).sum()
        pairs = slice(starts[g], starts[g + 1])
        slopes[g] += weight * (starts[g + 1] - starts[g]) * (ours / ours.sum() - theirs)
        losses[pairs] += weight * apart
