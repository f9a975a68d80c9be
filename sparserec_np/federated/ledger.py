"""The ledger of federated learning: what each client sent and was sent, pass by pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparserec_np.data.table import Array


@dataclass
class Ledger:
    """The bytes of each pass and client.

    Attributes:
        passes: a record for each pass: ``pass``, ``asked``, ``answers``, ``rounds``, ``enough``,
            ``refused`` by reason, and bytes of a client, ``up_median``, ``up_largest``,
            ``down_median`` and ``down_largest``, of those that the pass asked.
        up, down: (clients,) int64 bytes in all.
    """

    up: Array
    down: Array
    passes: list[dict[str, Any]] = field(default_factory=list)

    def totals(self) -> dict[str, int]:
        """Sums up over the passes: the median client's bytes, and the largest."""
        return figures(self.up, self.down)


def figures(up: Array, down: Array) -> dict[str, int]:
    """Finds the median and the largest number of bytes."""
    return {
        f"{name}_{word}": int(of(some)) if len(some) else 0
        for name, some in (("up", up), ("down", down))
        for word, of in (("median", np.median), ("largest", np.max))
    }
