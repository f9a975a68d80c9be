"""Kernels compiled by Numba.

The same functions in plain NumPy, which specify them, are in ``kernels.reference``.
"""

import os

# A batch is a dozen short parallel loops. By default a thread that waits for the others at the end
# of one keeps its core busy for milliseconds; where another program wants that core, the loop waits
# for it in turn, and training takes ten times as long. A thousand turns cover the wait on an idle
# machine. Read once, when the first OpenMP library of the process starts, as what is imported below
# may do; what the user has set goes before.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from sparserec_np.kernels.cache import settle_cache_folder


def _kernel() -> None:
    """Stands for all kernels when Numba is asked where it keeps them; never called."""


CACHE_FOLDER = settle_cache_folder(_kernel)
