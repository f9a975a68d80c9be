"""The choice of explored rows: they alone get a gradient of every entry, and they alone may grow.

That only a subset of important vectors is explored is the paper's (arXiv 2411.12205, abstract).
What makes a row important is our choice, and so is drawing in proportion to it, by exponential
keys (Efraimidis and Spirakis 2006), in rounds: no row is explored again before all others were.
Without rounds, rows that nobody draws keep the mask that they began with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np.data.table import Array


@dataclass(frozen=True)
class Exploration:
    """A way to draw a given fraction of the rows, in proportion to their importance.

    Attributes:
        fraction: of the rows, in (0, 1]; 1 explores all of them.
        importance: "uniform"; "degree", the square root of a row's number of interactions; or
            "gradient", the norms of the gradients of its stored entries, summed over the batches
            since the last topology update.
    """

    fraction: float = 0.25
    importance: str = "degree"

    def draw(self, degrees: Array, norms: Array, waiting: Array, rng: np.random.Generator) -> Array:
        """Draws row numbers (m,) int32, ascending, with m = max(1, round(fraction * rows)).

        Args:
            degrees: (rows,) interactions of each row.
            norms: (rows,) gradient norms; empty where the importance does not ask for them.
            waiting: (rows,) bool, the rows that this round has not drawn; brought up to date.
            rng: draws.
        """
        rows = len(degrees)
        count = max(1, round(self.fraction * rows))
        if count >= rows:
            return np.arange(rows, dtype=np.int32)
        keys = rng.exponential(size=rows)
        if self.importance == "degree":
            keys /= np.sqrt(np.maximum(degrees, 1e-9))
        elif self.importance == "gradient" and norms.any():
            keys /= np.maximum(norms, norms[norms > 0].min() * 1e-3)
        drawn = _first(keys, np.flatnonzero(waiting), count)
        waiting[drawn] = False
        if len(drawn) < count or not waiting.any():  # the next round begins
            waiting[:] = True
            waiting[drawn] = False
            more = _first(keys, np.flatnonzero(waiting), count - len(drawn))
            waiting[drawn] = True
            waiting[more] = False
            drawn = np.concatenate([drawn, more])
        return np.sort(drawn).astype(np.int32)


def _first(keys: Array, rows: Array, count: int) -> Array:
    """Finds the ``count`` of some rows whose keys are least; all of them where they are no more."""
    if len(rows) <= count:
        return rows
    return rows[np.argpartition(keys[rows], count)[:count]]


IMPORTANCES = ("degree", "gradient", "uniform")
