"""Kernels: arrays in, arrays out. ``compiled`` is fast, ``reference`` says the same in plain NumPy.

The library says ``from sparserec_np import kernels`` at the top of a module and calls, say,
``kernels.ranking.top_items``: a file of ``compiled``, and Numba with it, is loaded when its first
kernel is called.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

# The files of ``compiled``.
COMPILED_FILES = (
    "at_entries",
    "cells",
    "co_occurrence",
    "elementary",
    "fism",
    "gradients",
    "lanes",
    "least_squares",
    "pairs",
    "products",
    "propagation",
    "ranking",
    "ridge",
    "sampling",
    "scoring",
    "slopes",
    "topology",
    "towers",
    "turns",
    "unfolding",
    "updates",
    "views",
)

if TYPE_CHECKING:  # the same names for type checkers, which do not follow __getattr__
    from sparserec_np.kernels import compiled as compiled
    from sparserec_np.kernels.compiled import at_entries as at_entries
    from sparserec_np.kernels.compiled import cells as cells
    from sparserec_np.kernels.compiled import co_occurrence as co_occurrence
    from sparserec_np.kernels.compiled import elementary as elementary
    from sparserec_np.kernels.compiled import fism as fism
    from sparserec_np.kernels.compiled import gradients as gradients
    from sparserec_np.kernels.compiled import lanes as lanes
    from sparserec_np.kernels.compiled import least_squares as least_squares
    from sparserec_np.kernels.compiled import pairs as pairs
    from sparserec_np.kernels.compiled import products as products
    from sparserec_np.kernels.compiled import propagation as propagation
    from sparserec_np.kernels.compiled import ranking as ranking
    from sparserec_np.kernels.compiled import ridge as ridge
    from sparserec_np.kernels.compiled import sampling as sampling
    from sparserec_np.kernels.compiled import scoring as scoring
    from sparserec_np.kernels.compiled import slopes as slopes
    from sparserec_np.kernels.compiled import topology as topology
    from sparserec_np.kernels.compiled import towers as towers
    from sparserec_np.kernels.compiled import turns as turns
    from sparserec_np.kernels.compiled import unfolding as unfolding
    from sparserec_np.kernels.compiled import updates as updates
    from sparserec_np.kernels.compiled import views as views


def __getattr__(name: str) -> ModuleType:
    """Loads a file of compiled kernels on first use, or ``compiled`` itself (PEP 562)."""
    if name not in ("compiled", *COMPILED_FILES):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place = name if name == "compiled" else f"compiled.{name}"
    module = importlib.import_module(f"{__name__}.{place}")
    globals()[name] = module
    return module


def __dir__() -> list[str]:
    return sorted({*globals(), "compiled", *COMPILED_FILES})
