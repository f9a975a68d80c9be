"""Losses and their slopes.

The specification of each function is its twin's in ``kernels/reference/slopes.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.compiled.elementary import exp_into, highest, log_into, total
from sparserec_np.kernels.doors import parallel

RUN = 32


@parallel
def bpr_pairs(positive: Any, negative: Any, losses: Any) -> None:
    for m in numba.prange(len(positive)):
        margin = positive[m] - negative[m]
        small = np.exp(-abs(margin))
        losses[m] = np.log1p(small) + max(-margin, positive.dtype.type(0))
        slope = small / (1 + small) if margin > 0 else 1 / (1 + small)
        positive[m] = -slope
        negative[m] = slope


@numba.njit(nogil=True)
def _bpr_group(positive: Any, scores: Any, valid: int, losses: Any, room: Any) -> None:
    """Does what ``bpr_block`` does for a single group; ``room`` (3, s) is worked in."""
    size = len(scores)
    one = scores.dtype.type(1)
    margins, odds, sums = room[0], room[1], room[2]
    sums[:] = 0
    share = one / max(valid, 1)
    for m in range(len(positive)):
        for s in range(size):
            margins[s] = scores[s] - positive[m]
        exp_into(margins, odds)
        for s in range(size):
            margins[s] = one + odds[s]
            odds[s] = odds[s] / margins[s] * share
            sums[s] += odds[s]
        positive[m] = -total(odds)
        log_into(margins, odds)
        losses[m] = total(odds) * share
    scores[:] = sums


@parallel
def bpr_block(starts: Any, positive: Any, negatives: Any, valid: Any, losses: Any) -> None:
    groups, size = negatives.shape
    for run in numba.prange((groups + RUN - 1) // RUN):
        room = np.empty((3, size), dtype=negatives.dtype)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            first, last = starts[g], starts[g + 1]
            _bpr_group(positive[first:last], negatives[g], valid[g], losses[first:last], room)


@numba.njit(nogil=True)
def _softmax_group(positive: Any, scores: Any, valid: int, losses: Any, room: Any) -> None:
    """Does what ``softmax_block`` does for a single group; ``room`` (1 or more, s) is worked in."""
    kind = scores.dtype.type
    if valid == 0:  # all of them are -inf
        scores[:] = 0
        positive[:] = 0
        losses[:] = 0
        return
    shifted = room[0]
    peak = highest(scores)
    for s in range(len(scores)):
        shifted[s] = scores[s] - peak
    exp_into(shifted, scores)
    mass = total(scores)
    weight = kind(0)
    for m in range(len(positive)):
        excess = np.log(mass) + peak - positive[m]
        small = np.exp(-abs(excess))
        losses[m] = np.log1p(small) + max(excess, kind(0))
        slope = small / (1 + small) if excess < 0 else 1 / (1 + small)
        positive[m] = -slope
        weight += slope / mass
    for s in range(len(scores)):
        scores[s] *= weight


@parallel
def softmax_block(starts: Any, positive: Any, negatives: Any, valid: Any, losses: Any) -> None:
    groups, size = negatives.shape
    for run in numba.prange((groups + RUN - 1) // RUN):
        room = np.empty((1, size), dtype=negatives.dtype)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            first, last = starts[g], starts[g + 1]
            _softmax_group(positive[first:last], negatives[g], valid[g], losses[first:last], room)


@parallel
def bce_pairs(positive: Any, negative: Any, losses: Any, weight: Any) -> None:
    kind = positive.dtype.type
    for m in numba.prange(len(positive)):
        small = np.exp(-abs(positive[m]))
        losses[m] = np.log1p(small) + max(-positive[m], kind(0))
        positive[m] = -(small if positive[m] > 0 else kind(1)) / (1 + small)
        small = np.exp(-abs(negative[m]))
        losses[m] += kind(weight) * (np.log1p(small) + max(negative[m], kind(0)))
        negative[m] = kind(weight) * (kind(1) if negative[m] > 0 else small) / (1 + small)


@parallel
def bce_block(starts: Any, positive: Any, negatives: Any, valid: Any, losses: Any, weight: Any) -> None:
    groups, size = negatives.shape
    kind = negatives.dtype.type
    for run in numba.prange((groups + RUN - 1) // RUN):
        odds = np.empty(size, dtype=negatives.dtype)
        logs = np.empty_like(odds)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            scores = negatives[g]
            share = kind(weight) / max(valid[g], 1)
            exp_into(scores, odds)
            for s in range(size):
                scores[s] = kind(1) + odds[s]
            log_into(scores, logs)
            apart = total(logs) * share
            pairs = starts[g + 1] - starts[g]
            for s in range(size):
                scores[s] = odds[s] / scores[s] * share * pairs
            for m in range(starts[g], starts[g + 1]):
                small = np.exp(-abs(positive[m]))
                losses[m] = np.log1p(small) + max(-positive[m], kind(0)) + apart
                positive[m] = -(small if positive[m] > 0 else kind(1)) / (1 + small)


@parallel
def bsl_block(starts: Any, positive: Any, negatives: Any, valid: Any, losses: Any, sharpness: Any) -> None:
    groups, size = negatives.shape
    kind = negatives.dtype.type
    for run in numba.prange((groups + RUN - 1) // RUN):
        shifted = np.empty(size, dtype=negatives.dtype)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            scores = negatives[g]
            first, last = starts[g], starts[g + 1]
            pairs = last - first
            if valid[g] == 0 or pairs == 0:
                scores[:] = 0
                positive[first:last] = 0
                losses[first:last] = 0
                continue
            peak = highest(scores)
            for s in range(size):
                shifted[s] = kind(sharpness) * (scores[s] - peak)
            exp_into(shifted, scores)
            mass = total(scores)
            apart = np.log(mass / valid[g]) / kind(sharpness) + peak
            for s in range(size):
                scores[s] *= pairs / mass
            own = highest(positive[first:last])
            near = kind(0)
            for m in range(first, last):
                positive[m] = np.exp(positive[m] - own)
                near += positive[m]
            for m in range(first, last):
                losses[m] = apart - own - np.log(near / pairs)
                positive[m] *= -(pairs / near)


@parallel
def ccl_pairs(positive: Any, negative: Any, losses: Any, weight: Any, margin: Any) -> None:
    kind = positive.dtype.type
    for m in numba.prange(len(positive)):
        excess = negative[m] - kind(margin)
        losses[m] = kind(1) - positive[m]
        if not excess <= 0:  # NaN, too
            losses[m] += kind(weight) * excess
        positive[m] = -1
        negative[m] = kind(weight) if excess > 0 else kind(0)


@parallel
def ccl_block(
    starts: Any, positive: Any, negatives: Any, valid: Any, losses: Any, weight: Any, margin: Any
) -> None:
    groups, size = negatives.shape
    kind = negatives.dtype.type
    for g in numba.prange(groups):
        scores = negatives[g]
        share = kind(weight) / max(valid[g], 1)
        slope = share * (starts[g + 1] - starts[g])
        apart = kind(0)
        for s in range(size):
            excess = scores[s] - kind(margin)
            if not excess <= 0:  # NaN, too
                apart += excess
            scores[s] = slope if excess > 0 else kind(0)
        for m in range(starts[g], starts[g + 1]):
            losses[m] = kind(1) - positive[m] + apart * share
            positive[m] = -1


@parallel
def imitation_block(
    starts: Any, student: Any, teacher: Any, valid: Any, weight: Any, slopes: Any, losses: Any
) -> None:
    groups, size = student.shape
    kind = student.dtype.type
    for run in numba.prange((groups + RUN - 1) // RUN):
        ours = np.empty(size, dtype=student.dtype)
        theirs = np.empty_like(ours)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            if valid[g] == 0:
                continue
            own, given = student[g], teacher[g]
            own_peak, given_peak = highest(own), highest(given)
            for s in range(size):
                ours[s] = own[s] - own_peak
                theirs[s] = given[s] - given_peak
            exp_into(ours, ours)
            exp_into(theirs, theirs)
            own_mass, given_mass = total(ours), total(theirs)
            shift = np.log(own_mass) + own_peak - np.log(given_mass) - given_peak
            apart = kind(0)
            scale = kind(weight) * (starts[g + 1] - starts[g])
            for s in range(size):
                theirs[s] /= given_mass
                if theirs[s] > 0:
                    apart += theirs[s] * (given[s] - own[s] + shift)
                slopes[g, s] += scale * (ours[s] / own_mass - theirs[s])
            for m in range(starts[g], starts[g + 1]):
                losses[m] += kind(weight) * apart
