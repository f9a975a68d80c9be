"""The protocol of least squares: clients solve for their own rows, and the server for the items'.

A client that touched n items, whose rows are Y, answers the row x that solves ``(a W'W + r n^1/2 I
+ Y'Y) x = Y'1``, where W are all items' rows, of mean squared length 1. It lands in the rows of the
client's items, and its products with itself add to a Gram G. An item that n of N clients touched
would solve ``(a G + r m n^1/2 I + X'X) w = X'1`` for the rows X of those clients, m being the mean
squared length of a client's row. The server has the sum X'1, and for X'X takes a part of n/N G,
what the products of any n clients come to. So it solves for all items along the axes of one matrix,
and that is where the next pass begins. On a held-out fifth of LastFM three such passes in 64
columns have an NDCG@20 of .1749, where three of exact alternating least squares have .1768.

The last rows are brought to the table's columns by the two Grams alone (Eckart and Young 1936),
turned to their sparsest axes, and pruned. One more pass sums the Gram of clients' rows in these
columns, without lists of items, and the entries are fitted in its metric. Where lists are made, a
user's row is solved for with the weights in ``settings``, which do better by held-out items of
LastFM than those that one machine's rows are served with. All of it is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.factorization.least_squares import better_rows
from sparserec_np.factorization.pruning import Factors, prune_factors, widened
from sparserec_np.factorization.rotation import of_length_one, varimax
from sparserec_np.factorization.singular_vectors import products_of_columns
from sparserec_np.federated.packets import Kind, Question, grid_for, quantised
from sparserec_np.federated.server import MOST_SHIFT, Count, Learned, Step, Sums
from sparserec_np.federated.spectral import Products, Sketch
from sparserec_np.kernels.arguments import NO_TRUSTS, Equations
from sparserec_np.machine.threads import one_blas_thread

# No number of a client's row is larger: of n items it has at most the length n^1/4 / (2 r^1/2),
# which is less for up to 250,000 of them.
FARTHEST = 8.0
FITTING_RIDGE = 1e-3  # part of the clients' mean squared length: for a solution, and no more


@dataclass(frozen=True)
class LeastSquaresWay:
    """The passes of the protocol of least squares.

    Attributes:
        sketch: columns of signs that the first rows come from, for each column of the table.
        widening: columns that rows have while they are solved for, for each column of the table.
        rounds: passes in which clients solve for their rows, and the server for the items'.
        untouched: a, the weight of what was not touched.
        ridge: r, what keeps rows short.
        share: part of the mean of clients' products that stands for those of an item's clients.
        fits: times that entries are fitted, and exchanged for better ones.
        rotation_iterations, sample: of the rotation.
    """

    sketch: float = 4.0
    widening: float = 1.75
    rounds: int = 4
    untouched: float = 0.1
    ridge: float = 2.0
    share: float = 0.5
    fits: int = 2
    rotation_iterations: int = 100
    sample: int = 16_000

    start: ClassVar[str] = "condensed"
    settings: ClassVar[Mapping[str, Any]] = {"user_rows": "ridge", "untouched_weight": 0.1, "ridge": 3.0}

    def steps(self, learned: Learned) -> Sequence[Step]:
        """Plans the passes; see :class:`~sparserec_np.federated.server.Way`."""
        width = min(round(self.sketch * learned.dim), learned.n_items)
        rows = Rows(self, min(round(self.widening * learned.dim), width))
        sketch = FirstRows(Sketch(width, "sketch"), rows)
        rounds = [Round(rows, f"round {k}") for k in range(1, self.rounds + 1)]
        return [Count(), sketch, *rounds, Fit(rows)]


@dataclass(frozen=True)
class Rows:
    """Items' rows between two passes: ``rows`` (n_items, width) float64, which the server has kept.

    With them is kept ``gram``, (width, width) float64 sums of products of the clients' rows that
    they come from.

    Attributes:
        way: weights of the equations.
        width: columns while they are solved for.
    """

    way: LeastSquaresWay
    width: int

    def ask(self, learned: Learned, lands: bool) -> Question:
        """Asks clients to solve for their rows from these, which are scaled to a mean squared length of 1."""
        n_items = learned.n_items
        scales, values = quantised(learned.kept["rows"])
        sent = values * scales[:, None].astype(np.float64)
        length = max(float(np.square(sent).sum()) / n_items, 1e-30)
        scales = (scales / np.sqrt(length)).astype(np.float32)
        base = self.way.untouched * products_of_columns(values * scales[:, None].astype(np.float64))
        return Question(
            Kind.SOLVE,
            0,
            n_items,
            values.shape[1],
            lands,
            grid_for(FARTHEST, MOST_SHIFT),
            MOST_SHIFT,
            ridge=self.way.ridge,
            scales=scales,
            rows=values,
            base=base.astype(np.float32),
        )


@dataclass
class FirstRows:
    """The pass whose sketch gives the first rows.

    Attributes:
        sketch: the pass.
        rows: what it gives.
    """

    sketch: Sketch
    rows: Rows

    name: str = "sketch"
    part: float = 1.0

    def ask(self, learned: Learned) -> Question:
        """Asks as the sketch does."""
        return self.sketch.ask(learned)

    def take(self, learned: Learned, sums: Sums) -> None:
        """Takes the leading vectors times the roots of degrees for rows."""
        self.sketch.take(learned, sums)
        vectors = Products(learned).vectors(self.rows.width)
        some = vectors[0 : learned.n_items].astype(np.float64)
        learned.kept = {"rows": some * np.sqrt(learned.degrees)[:, None]}


@dataclass
class Round:
    """A pass in which clients solve for their rows, and then the server for the items'.

    Attributes:
        rows: the items'.
        name: of the pass.
    """

    rows: Rows
    name: str
    part: float = 1.0

    def ask(self, learned: Learned) -> Question:
        """Asks for the clients' rows."""
        return self.rows.ask(learned, lands=True)

    def take(self, learned: Learned, sums: Sums) -> None:
        """Solves for all items at once, along the axes of the clients' Gram."""
        every = np.arange(learned.n_items)
        rows = solved_items(self.rows.way, sums, every)
        learned.kept = {"rows": rows, "gram": sums.gram * sums.step**2}


def solved_items(way: LeastSquaresWay, sums: Sums, items: Array) -> Array:
    """Solves for the rows of ``items`` (n,) from sums of their clients' rows: (n, width) float64."""
    with one_blas_thread():
        gram = sums.gram * sums.step**2
        strengths, axes = np.linalg.eigh(gram)
        length = max(float(np.trace(gram)) / sums.answers, 1e-30)
        counts = sums.counts[items].astype(np.float64)
        weights = way.untouched + way.share * counts / sums.answers
        short = way.ridge * length * np.sqrt(np.maximum(counts, 1))
        targets = (sums.rows[items] * sums.step) @ axes
        targets /= weights[:, None] * np.maximum(strengths, 0) + short[:, None]
        return np.asarray(targets @ axes.T)


@dataclass
class Fit:
    """The last pass: rows in the table's columns are pruned, and fitted in the metric of the clients' Gram.

    Attributes:
        rows: the items'.
    """

    rows: Rows

    name: str = "fit"
    part: float = 1.0

    def ask(self, learned: Learned) -> Question:
        """Brings rows to the table's columns and axes, and asks for clients' rows in these."""
        way = self.rows.way
        with one_blas_thread():
            full = fewer_columns_of(learned.kept["rows"], learned.kept["gram"], learned.dim)
            degrees = learned.degrees.astype(np.float64)
            rng = np.random.default_rng([learned.seed, 1])
            sample = full[rng.choice(learned.n_items, way.sample, p=degrees / degrees.sum())]
            turn = varimax(of_length_one(sample.astype(np.float32)), way.rotation_iterations)
            learned.kept = {"rows": full @ turn.astype(np.float64)}
        return self.rows.ask(learned, lands=False)

    def take(self, learned: Learned, sums: Sums) -> None:
        """Prunes, and fits what is left."""
        gram, full = sums.gram * sums.step**2, learned.kept.pop("rows").astype(np.float32)

        def some(start: int, stop: int) -> Array:
            return widened(full[start:stop], learned.dim)

        with one_blas_thread():
            table = prune_factors(Factors(some, some, 0, learned.n_items), learned.nnz, 1)
            for _ in range(self.rows.way.fits):
                ridge = max(FITTING_RIDGE * float(np.trace(gram)) / sums.answers, 1e-30)
                table = better_rows(table, _nearest(full, gram, ridge, learned.dim), floor=1)
        learned.table = table


def fewer_columns_of(items: Array, gram: Array, dim: int) -> Array:
    """Brings items' rows to ``dim`` columns, so that products with clients' rows hardly change.

    Args:
        items: (n_items, width) float64.
        gram: (width, width) of the clients' rows.
        dim: most columns that are left.

    Returns:
        (n_items, k) float64, k the smaller of ``width`` and ``dim``.
    """
    strengths, axes = np.linalg.eigh(gram)
    root = (axes * np.sqrt(np.maximum(strengths, 0))) @ axes.T
    strengths, axes = np.linalg.eigh(products_of_columns(items))
    lengths = np.sqrt(np.maximum(strengths, strengths[-1] * 1e-12))
    _, sizes, right = np.linalg.svd(root @ (axes * lengths))
    return np.asarray(items @ ((axes / lengths) @ right[:dim].T * np.sqrt(sizes[:dim])))


def _nearest(full: Array, gram: Array, ridge: float, dim: int) -> Equations:
    """Makes the equations of rows whose products with clients' rows come nearest to those of full rows."""
    wide = np.zeros((dim, dim))
    wide[: len(gram), : len(gram)] = gram
    nobody = SparseTable.full(np.zeros((1, dim), np.float32))
    nothing = np.zeros(len(full) + 1, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
    return Equations(
        nobody, *nothing, wide, np.full(len(full), ridge), widened(full, dim), wide.copy(), NO_TRUSTS
    )
