"""Losses and their slopes. The specification of each function is its twin's in ``kernels/reference/slopes.py``."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from sparserec_np.kernels.compiled.elementary import exp_into, highest, log_into, total

RUN = 32


@numba.njit(parallel=True, nogil=True, cache=True)
def bpr_pairs(positive: Any, negative: Any, losses: Any) -> None:
    for m in numba.prange(len(positive)):
        margin = positive[m] - negative[m]
        small = np.exp(-abs(margin))
        losses[m] = np.log1p(small) + max(-margin, positive.dtype.type(0))
        slope = small / (1 + small) if margin > 0 else 1 / (1 + small)
        positive[m] = -slope
        negative[m] = slope


@numba.njit(parallel=True, nogil=True, cache=True)
def bpr_block(starts: Any, positive: Any, negatives: Any, valid: Any, losses: Any) -> None:
    groups, size = negatives.shape
    one = negatives.dtype.type(1)
    for run in numba.prange((groups + RUN - 1) // RUN):
        margins = np.empty(size, dtype=negatives.dtype)
        odds = np.empty_like(margins)
        sums = np.empty_like(margins)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            scores = negatives[g]
            sums[:] = 0
            share = one / max(valid[g], 1)
            for m in range(starts[g], starts[g + 1]):
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


@numba.njit(parallel=True, nogil=True, cache=True)
def softmax_block(starts: Any, positive: Any, negatives: Any, valid: Any, losses: Any) -> None:
    groups, size = negatives.shape
    for run in numba.prange((groups + RUN - 1) // RUN):
        shifted = np.empty(size, dtype=negatives.dtype)
        for g in range(run * RUN, min(groups, (run + 1) * RUN)):
            scores = negatives[g]
            if valid[g] == 0:  # all of them are -inf
                scores[:] = 0
                positive[starts[g] : starts[g + 1]] = 0
                losses[starts[g] : starts[g + 1]] = 0
                continue
            peak = highest(scores)
            for s in range(size):
                shifted[s] = scores[s] - peak
            exp_into(shifted, scores)
            mass = total(scores)
            weight = negatives.dtype.type(0)
            for m in range(starts[g], starts[g + 1]):
                excess = np.log(mass) + peak - positive[m]
                small = np.exp(-abs(excess))
                losses[m] = np.log1p(small) + max(excess, negatives.dtype.type(0))
                slope = small / (1 + small) if excess < 0 else 1 / (1 + small)
                positive[m] = -slope
                weight += slope / mass
            for s in range(size):
                scores[s] *= weight
