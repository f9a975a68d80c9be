"""Rows that users and items share by hashing, trained by the library's own loop: a baseline.

A stored table is full and has fewer rows than there are users and items. Each of them reads one
stored row, or two of which it makes its own; which these are comes from a random numbering.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.evaluation.ranker import Ranker
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.learning.losses import Scores
from sparserec_np.models.batch_items import BatchItems
from sparserec_np.models.inner_products import InnerProducts
from sparserec_np.models.model import NO_WEIGHTS, Decay, Gradients
from sparserec_np.models.table_ranker import table_ranker
from sparserec_np.sparsity.budget import Budget
from sparserec_np.sparsity.growth import NO_ROWS
from sparserec_np.training.plan import Plan
from sparserec_np.training.starting import Beginning


class Sharing(NamedTuple):
    """Which stored rows each user and item reads.

    Attributes:
        parts: (n, rows) int32, the n stored rows of each.
        product: whether the two of each are multiplied, entry by entry, and not added.
        factors: (stored,) whether a stored row multiplies another; it begins near 1, not near 0.
    """

    parts: Array
    product: bool
    factors: Array

    @property
    def stored(self) -> int:
        """Number of stored rows."""
        return len(self.factors)

    def read(self, stored: Array, rows: Array) -> Array:
        """Makes the rows (m, dim) of ``rows`` (m,) from the stored ones, (stored, dim)."""
        first, *others = (stored[part[rows]] for part in self.parts)
        for other in others:
            first = first * other if self.product else first + other
        return first

    def pull_back(self, stored: Array, rows: Array, gradient: Array, out: Array) -> None:
        """Adds to ``out`` (stored, dim) what the gradient (m, dim) by ``rows`` is by the stored rows."""
        from scipy.sparse import csr_matrix  # heavy: `--help` does not wait for it

        for number, part in enumerate(self.parts):
            own = gradient
            if self.product:
                own = gradient * stored[self.parts[1 - number][rows]]
            ones = np.ones(len(rows), dtype=gradient.dtype)
            readers = csr_matrix((ones, (part[rows], np.arange(len(rows)))), (len(out), len(rows)))
            out += readers @ own


def one_row(counts: tuple[int, int], stored: int, rng: np.random.Generator) -> Sharing:
    """Lets each user, and each item, read one row that was drawn for it (Weinberger et al. 2009)."""
    sides = _sides(counts, stored)
    parts = [first + rng.permutation(count) % own for count, first, own in sides]
    return _sharing([parts], product=False, factors=np.zeros(stored, dtype=bool))


def two_rows(counts: tuple[int, int], stored: int, rng: np.random.Generator) -> Sharing:
    """Lets each read the sum of two rows that were drawn for it (Zhang et al. 2020)."""
    sides = _sides(counts, stored)
    parts = [[first + rng.permutation(count) % own for count, first, own in sides] for _ in range(2)]
    return _sharing(parts, product=False, factors=np.zeros(stored, dtype=bool))


def quotient_and_remainder(counts: tuple[int, int], stored: int, rng: np.random.Generator) -> Sharing:
    """Lets each read the product of the rows of its number's remainder and quotient.

    No two read the same pair of rows (Shi et al. 2020).

    Raises:
        ValueError: so few rows make no pair for each.
    """
    factors = np.zeros(stored, dtype=bool)
    remainders, quotients = [], []
    for count, first, own in _sides(counts, stored):
        fitting = [n for n in range(1, own) if n - (-count // n) <= own]
        if not fitting:
            raise ValueError(f"{own} rows make no pair for each of {count:,}")
        modulus, number = max(fitting), rng.permutation(count)
        remainders.append(first + number % modulus)
        quotients.append(first + modulus + number // modulus)
        factors[first + modulus : first + own] = True
    return _sharing([remainders, quotients], product=True, factors=factors)


SHARINGS = {"hash": one_row, "double": two_rows, "quotient": quotient_and_remainder}


def _sides(counts: tuple[int, int], stored: int) -> list[tuple[int, int, int]]:
    """Divides stored rows among users and items by their counts: count, first row, rows of each."""
    users = min(max(1, round(stored * counts[0] / sum(counts))), stored - 1)
    return [(counts[0], 0, users), (counts[1], users, stored - users)]


def _sharing(parts: list[list[Array]], product: bool, factors: Array) -> Sharing:
    return Sharing(np.stack([np.concatenate(sides) for sides in parts]).astype(np.int32), product, factors)


class SharedRows:
    """Matrix factorisation over rows that are shared; a model as the training loop takes it.

    L2 terms are of the rows that are read.

    Attributes:
        table: the stored rows, in full.
        dim: columns.
        log: the training interactions.
        sharing: who reads which of them.
    """

    views = ()

    def __init__(self, table: SparseTable, dim: int, log: Interactions, sharing: Sharing) -> None:
        self.table, self.dim, self.log, self.sharing = table, dim, log, sharing
        self.weights = NO_WEIGHTS
        self._pairs = BatchItems(log)
        self._products = InnerProducts(dim, table.values.dtype)
        self._places = np.zeros(log.n_users + log.n_items, dtype=np.int32)
        self._read = table

    @property
    def stored(self) -> Array:
        """The stored rows, (stored, dim); not a copy."""
        return self.table.values.reshape(-1, self.dim)

    @property
    def workspace_bytes(self) -> int:
        """Bytes of counters, blocks and what each reads."""
        own = self._places.nbytes + sum(array.nbytes for array in (self.sharing.parts, self.sharing.factors))
        return int(own + self._pairs.nbytes + self._products.nbytes)

    def touched(self, batch: Batch) -> Array:
        """Finds the stored rows that the batch reads."""
        return np.unique(self.sharing.parts[:, self._pairs.touched(batch)])

    def touched_weights(self, batch: Batch) -> Array:
        """Returns none: there are no weights."""
        return NO_ROWS

    def forward(self, batch: Batch) -> Scores:
        """Scores the pairs and their negatives."""
        rows = self._pairs.touched(batch)
        self._places[rows] = np.arange(len(rows), dtype=np.int32)
        self._read = SparseTable.full(self.sharing.read(self.stored, rows))
        positives, negatives = self._products.forward(self._read, batch.renumbered(self._places))
        return Scores(positives, negatives, self._pairs.mask(batch, negatives))

    def backward(self, batch: Batch, slopes: Scores, decay: Decay, gradients: Gradients) -> None:
        """Adds the gradient of the loss, and of the L2 terms, by the stored rows."""
        rows, here = self._pairs.touched(batch), batch.renumbered(self._places)
        order, items = self._pairs.by_item(batch)
        by_item = order, Groups(self._places[items.rows], items.starts)
        local = np.zeros_like(self._read.values)
        none = Explored.of(NO_ROWS, len(rows), self.dim, local.dtype)
        self._products.backward(self._read, here, slopes, by_item, local, none)
        local = local.reshape(len(rows), self.dim)
        weights = _decays(here, decay, len(rows)).astype(local.dtype)
        local += weights[:, None] * self._read.values.reshape(local.shape)
        self.sharing.pull_back(self.stored, rows, local, gradients.active.reshape(-1, self.dim))

    def factors(self) -> SparseTable:
        """Makes the row of every user and item, in full."""
        everybody = np.arange(len(self._places), dtype=np.int32)
        return SparseTable.full(self.sharing.read(self.stored, everybody))

    def ranker(self) -> Ranker:
        """Makes a ranker of the scores as they are now."""
        return table_ranker(self.factors(), self.log.n_users, self.dim)


def _decays(batch: Batch, decay: Decay, rows: int) -> Array:
    """Computes the weight of the L2 term of each of so many rows: (rows,) float64."""
    share = batch.size / len(batch.negatives)  # a pair's share of a shared negative
    weights = decay.user * np.bincount(batch.user_of, minlength=rows)
    weights += decay.positive * np.bincount(batch.positives, minlength=rows)
    weights += decay.negative * share * np.bincount(batch.negatives, minlength=rows)
    return weights


@dataclass(frozen=True)
class SharedPlan(Plan):
    """The plan of a training whose model shares rows.

    Attributes:
        sharing: who reads which row.
    """

    sharing: Sharing | None = None

    @classmethod
    def sharing_rows(cls, plan: Plan, sharing: Sharing) -> SharedPlan:
        """Makes the same plan for rows that are shared."""
        own: dict[str, Any] = {field.name: getattr(plan, field.name) for field in fields(Plan)}
        budget = Budget(sharing.stored, plan.settings.dim, sharing.stored * plan.settings.dim)
        shared = cls(**own | {"budget": budget}, sharing=sharing)
        return replace(shared, made=shared.start)

    def model_over(self, table: SparseTable, log: Interactions) -> SharedRows:
        """Makes the model over a table of stored rows."""
        assert self.sharing is not None
        return SharedRows(table, self.budget.dim, log, self.sharing)

    def start(self) -> Beginning:
        """Draws stored rows near 0, and near 1 where they multiply others."""
        assert self.sharing is not None
        rng = np.random.default_rng([self.settings.seed, 2])
        values = 0.1 * rng.standard_normal((self.budget.rows, self.budget.dim), dtype=np.float32)
        values[self.sharing.factors] += 1
        return Beginning("uniform", SparseTable.full(values), 0.0, from_data=False)
