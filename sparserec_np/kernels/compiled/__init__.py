"""Kernels compiled by Numba. The same functions in plain NumPy, which specify them, are in ``kernels.reference``."""

import os

# A batch is a dozen short parallel loops. By default a thread that waits for the others at the end of one keeps its
# core busy; where another program wants that core, the loop waits for it in turn, and training takes five times as
# long. Read once, when the first OpenMP library of the process starts; what the user has set goes before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
