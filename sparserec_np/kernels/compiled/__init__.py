"""Kernels compiled by Numba.

The same functions in plain NumPy, which specify them, are in ``kernels.reference``.
"""

from sparserec_np.kernels.cache import settle_cache_folder
from sparserec_np.machine import threads as _threads  # noqa: F401  # says how threads wait, before there are any


def _kernel() -> None:
    """Stands for all kernels when Numba is asked where it keeps them; never called."""


CACHE_FOLDER = settle_cache_folder(_kernel)
