"""What is measured: contenders, each in a process of its own, and the setting they share.

What a contender imports is part of its memory. So the suite's modules import peers and whatever
loads Numba inside the functions that measure, after a worker has looked at its memory;
``sparserec_np`` loads its public names on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

Record = dict[str, Any]
T = TypeVar("T")


class Setting(NamedTuple):
    """What all contenders of a run share.

    Attributes:
        train, test: paths of the interactions.
        threads: that every contender may use.
        quick: whether to measure little, to see that everything works.
        scratch: folder for what one process leaves to the next.
    """

    train: str
    test: str
    threads: int
    quick: bool
    scratch: str

    def pick(self, full: T, quick: T) -> T:
        """The first for a measurement, the second for a quick look."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Contender:
    """One row of a table.

    Attributes:
        measure: makes the measurement; what it returns goes into the JSON file.
        imports: modules to import before memory is looked at.
        needs: the package that may not be installed.
        ours: whether it runs kernels of ours, which are compiled before anything is measured.
        threads: that it works on, instead of the setting's.
    """

    measure: Callable[[Setting], Record]
    imports: tuple[str, ...]
    needs: str | None = None
    ours: bool = False
    threads: int | None = None


OURS = ("sparserec_np.data.formats", "sparserec_np.training.train", "scipy.sparse", "threadpoolctl")
IMPLICIT = ("sparserec_np.data.formats", "implicit.cpu.als", "implicit.cpu.bpr", "threadpoolctl")
TORCH = ("torch", "sparserec_np.data.formats")  # PyTorch first: our kernels change how OpenMP waits
NUMPY = ("sparserec_np.data.formats", "numpy")
