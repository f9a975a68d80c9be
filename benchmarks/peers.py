"""Dense peers: those that are given their factors, as ranking does not depend on training, and those that fit."""

from __future__ import annotations

from typing import Any

import numpy as np

import sparserec_np
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


def als(factors: int, iterations: int, threads: int, regularization: float = 20, alpha: float = 40) -> Any:
    """Makes implicit's alternating least squares, with the settings that did well for Gowalla.

    Raises:
        ImportError: implicit is not installed.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    return AlternatingLeastSquares(
        factors=factors,
        regularization=regularization,
        alpha=alpha,
        iterations=iterations,
        num_threads=threads,
        random_state=0,
    )


def fit(model: Any, matrix: Any) -> None:
    """Fits a model of implicit's to a SciPy matrix, with one BLAS thread, as implicit wants it."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        model.fit(matrix, show_progress=False)


def dense_ranker(users: Array, items: Array) -> Any:
    """Ranks by full factors (rows, dim): by our exact lists, so that all are measured alike."""
    full = (np.ascontiguousarray(each, dtype=np.float32) for each in (users, items))
    return sparserec_np.TableRanker(*map(sparserec_np.SparseTable.full, full), dim=users.shape[1])
