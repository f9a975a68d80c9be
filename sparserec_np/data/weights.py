"""Weights of interactions: how much each is to be believed, as counts or recency say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sparserec_np.data.table import Array
from sparserec_np.errors import DataError


def as_weights(values: npt.ArrayLike, n: int | None = None) -> Array:
    """Converts weights to float32, if all are finite and above 0; it makes a copy.

    Args:
        values: ``(n,)`` numbers.
        n: how many there must be; None for any number.

    Raises:
        DataError: there are not ``n``, or one is missing or no such number.

    >>> as_weights([1, 2.5]).tolist()
    [1.0, 2.5]
    """
    given = np.asarray(values)
    if given.dtype.kind == "O":
        given = _numbers(given)
    if given.dtype.kind not in "biuf" or given.ndim != 1:
        raise DataError(
            f"Weights must be one flat list of numbers, found {given.dtype} of shape {given.shape}."
        )
    if n is not None and given.size != n:
        raise DataError(f"Weights must be one for each of the {n} pairs, found shape {given.shape}.")
    with np.errstate(over="ignore"):
        weights = given.astype(np.float32)
    bad = ~(np.isfinite(weights) & (weights > 0))  # NaN, too
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"Weights must be finite numbers above 0, found {given[at]} at place {at} (counted from 0); leave out"
            " what is no interaction, and mend the others."
        )
    return weights


def _numbers(given: Array) -> Array:
    """Converts objects to float64, in which what is missing is NaN."""
    missing = [one is None or type(one).__name__ == "NAType" for one in given.ravel()]
    try:
        return np.where(np.reshape(missing, given.shape), np.nan, given).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Weights must be numbers: {error}.") from error


def own_shares(weights: Array, bounds: Array) -> Array:
    """Divides the weights of each row by their mean: (n,) float32.

    Args:
        weights: (n,) float32, above 0.
        bounds: (rows + 1,) from 0 to n, where rows begin; a row may be empty.

    >>> own_shares(np.array([1, 3, 5], np.float32), np.array([0, 2, 2, 3])).tolist()
    [0.5, 1.5, 1.0]
    """
    lengths = np.diff(bounds)
    filled = lengths > 0
    if not filled.any():
        return weights.copy()
    # As the runtime does it for one row: converted first, a row's sum depends on the row alone.
    sums = np.add.reduceat(weights.astype(np.float64), bounds[:-1][filled])
    means = (sums / lengths[filled]).astype(np.float32)
    shares: Array = weights / np.repeat(means, lengths[filled])
    return shares
