"""Dense peers that are given their factors: what ranking costs them does not depend on training."""

from __future__ import annotations

from typing import Any

from sparserec_np.runtime import Array


def implicit_model(users: Array, items: Array, threads: int) -> Any:
    """Makes a matrix factorisation of implicit's with these factors, (rows, dim) float32 each.

    Raises:
        ImportError: implicit is not installed.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=users.shape[1], num_threads=threads)
    model.user_factors, model.item_factors = users, items
    return model
