"""Checks of gradients: of the engine's, and of other code's, against independent definitions.

:func:`gradcheck` holds the engine against dense definitions that PyTorch, or central differences,
differentiate. :func:`reference_case` hands out a small problem with everything that comes of it,
for checks of code that is not ours, and :func:`compare` says where that code's numbers differ, and
what may be the cause.
"""

from sparserec_np.verify.cases import ReferenceCase, reference_case
from sparserec_np.verify.checking import Errors, MissingTorchError, every_case, gradcheck
from sparserec_np.verify.comparing import Comparison, Finding, compare
from sparserec_np.verify.problems import Settings

__all__ = [
    "Comparison",
    "Errors",
    "Finding",
    "MissingTorchError",
    "ReferenceCase",
    "Settings",
    "compare",
    "every_case",
    "gradcheck",
    "reference_case",
]
