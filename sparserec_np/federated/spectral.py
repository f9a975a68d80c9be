"""The spectral protocol: leading singular vectors from sums over clients.

With R the matrix of ones, D_u and D_i the degrees of users and items, ``A = C R' D_u^-1 R C`` for
``C = D_i^-1/2``, and signs O (n_items, width) that are drawn from a seed, a client answers the mean
of the rows of ``C O`` over its items. Such a mean lands in the rows of the client's items, and the
sum is ``R' D_u^-1 R C O``: one product with A for a row of numbers a client. ``A O (O' A O)^-1 (A
O)'``, Nystroem's approximation of A, gives its leading vectors. Another pass sends vectors in place
of signs, and then O has the columns of both: no product is forgotten, as in block Krylov methods
(Musco and Musco 2015), and it takes no byte more.

Vectors are sent divided by their strengths and turned at random. Neither changes what O spans. But
all values of a client's mean are then of one size, where else the first few would set the grid that
the many are rounded on: on a held-out fifth of Gowalla, 512 columns, the lists lose a fiftieth
without it.

The server turns the vectors to their sparsest axes, and prunes. It has no rows of users to fit the
rotation to, and takes items, drawn by their degrees. That is our choice, as are the numbers below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.factorization.pruning import Factors, prune_factors, widened
from sparserec_np.factorization.rotation import of_length_one, varimax
from sparserec_np.factorization.singular_vectors import BLOCK_ROWS, Strips
from sparserec_np.federated.packets import LARGEST, Kind, Question, grid_for, quantised, signs_of
from sparserec_np.federated.server import MOST_SHIFT, Count, Learned, Step, Sums
from sparserec_np.machine.memory import give_back_freed
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.starts.spectral import FALL

LEAST = 1e-4  # part of the largest eigenvalue below which there is nothing but rounding; our choice
STREAM = 7  # of random numbers: turns of vectors that are sent


@dataclass(frozen=True)
class SpectralWay:
    """The passes of the spectral protocol.

    Attributes:
        sketch: columns of signs, for each column of the table.
        iterations: passes after the first, in which clients are sent rows of vectors.
        vectors: columns of these, for each column of the table.
        rotation_iterations, sample: of the rotation.
    """

    sketch: float = 3.0
    iterations: int = 1
    vectors: float = 1.03
    rotation_iterations: int = 20
    sample: int = 8_000

    start: ClassVar[str] = "spectral"
    settings: ClassVar[Mapping[str, Any]] = {"user_rows": "sum"}

    def steps(self, learned: Learned) -> Sequence[Step]:
        """Plans the passes; see :class:`~sparserec_np.federated.server.Way`."""
        first, later = (
            min(round(part * learned.dim), learned.n_items) for part in (self.sketch, self.vectors)
        )
        rotate = _Rotation(self.rotation_iterations, self.sample)
        sketches = [
            Sketch(min(later, first), f"iteration {k}") if k else Sketch(first, "sketch")
            for k in range(self.iterations + 1)
        ]
        return [Count(), *sketches[:-1], Pruned(sketches[-1], rotate)]


class Products:
    """The products with A so far, as they are kept between passes: ``Y = A O``.

    Args:
        learned: where they are kept.

    Attributes:
        parts: (n_items, width) float32 of each pass.
        turns: of each pass but the first, what made the rows that were sent of all products before.
        axes, strengths: (all widths, k) that make leading vectors of all products, and their
            singular values, the largest 1.
    """

    def __init__(self, learned: Learned) -> None:
        kept = learned.kept
        count = sum(name.startswith("product.") for name in kept)
        self.parts = [kept[f"product.{k}"] for k in range(count)]
        self.turns = [kept[f"turn.{k}"] for k in range(1, count)]
        self.axes, self.strengths = kept.get("axes", np.empty((0, 0))), kept.get("strengths", np.empty(0))
        self._seed, self._n_items = learned.seed, learned.n_items

    def keep(self, learned: Learned) -> None:
        """Leaves them to the next pass."""
        learned.kept = {f"product.{k}": part for k, part in enumerate(self.parts)}
        learned.kept |= {f"turn.{k}": turn for k, turn in enumerate(self.turns, 1)}
        learned.kept |= {"axes": self.axes, "strengths": self.strengths}

    def blocks(self) -> list[slice]:
        """Lists all rows as slices of so many that little memory is needed for them."""
        rows = self._n_items
        return [slice(start, min(start + BLOCK_ROWS, rows)) for start in range(0, rows, BLOCK_ROWS)]

    def turn_for(self, width: int) -> Array:
        """Makes of the axes what turns products into vectors of strength 1, turned at random."""
        width = min(width, len(self.strengths))
        rng = np.random.default_rng([self._seed, STREAM, len(self.parts)])
        random, _ = np.linalg.qr(rng.standard_normal((width, width)))
        return (self.axes[:, :width] / self.strengths[:width]) @ random

    def rows(self, block: slice, turn: Array) -> Array:
        """Multiplies the products of a block of items, of as many passes as ``turn`` (m, k) is made for."""
        made = np.zeros((block.stop - block.start, turn.shape[1]), np.float32)
        first = 0
        for part in self.parts:
            if first == len(turn):
                break
            made += part[block] @ turn[first : first + part.shape[1]].astype(np.float32)
            first += part.shape[1]
        return made

    def sent(self, block: slice) -> Array:
        """Makes anew the rows that clients were to multiply, of a block of items: O."""
        width = self.parts[0].shape[1]
        signs = np.stack([signs_of(self._seed, item, width) for item in range(block.start, block.stop)])
        sent = [signs]
        for turn in self.turns:
            scales, values = quantised(self.rows(block, turn))
            sent.append(values * scales[:, None])
        return np.concatenate(sent, axis=1)

    def solve(self) -> None:
        """Finds axes and strengths by Nystroem's approximation from all products."""
        width = sum(part.shape[1] for part in self.parts)
        core, gram = np.zeros((width, width)), np.zeros((width, width))
        for block in self.blocks():
            made = np.concatenate([part[block] for part in self.parts], axis=1)
            core += self.sent(block).T @ made
            gram += made.T @ made
        lengths = np.sqrt(np.maximum(np.diag(gram), 1e-30))
        core /= lengths
        core /= lengths[:, None]
        core += core.T.copy()
        weights, axes = np.linalg.eigh(core)  # of twice the matrix, which changes no axis and no part
        del core
        axes /= np.sqrt(np.maximum(weights, max(weights[-1], 1e-30) * LEAST))
        axes /= lengths[:, None]
        gram = axes.T @ gram @ axes
        weights, turn = np.linalg.eigh(gram)
        del gram
        weights = np.maximum(weights[::-1], max(weights[-1], 1e-30) * LEAST)
        turn = turn[:, ::-1] / np.sqrt(weights)
        self.axes, self.strengths = axes @ turn, np.sqrt(weights / weights[0])

    def vectors(self, width: int) -> Strips:
        """Makes leading vectors, orthonormal and the strongest first; the products are gone then."""
        width = min(width, len(self.strengths))
        made, axes = Strips(self._n_items, width), self.axes[:, :width]
        made.strengths = self.strengths[:width]
        for block in self.blocks():
            made[block] = self.rows(block, axes)
        self.parts = []
        return made


@dataclass
class Sketch:
    """A pass that multiplies signs, or the vectors found so far, by A.

    Attributes:
        width: columns that are multiplied.
        name: of the pass.
    """

    width: int
    name: str
    part: float = 1.0

    def ask(self, learned: Learned) -> Question:
        """Asks for means of the rows of signs, or of vectors."""
        # Both sides read the roots of degrees as they are sent.
        self._roots = (1 / np.sqrt(learned.degrees)).astype(np.float32)
        self._turn = np.empty((0, 0))
        if learned.kept:
            return self._ask_for_vectors(learned)
        grid = grid_for(float(self._roots.max()), MOST_SHIFT)
        total = float(learned.degrees.sum(dtype=np.float64))
        reach = np.sqrt(self.width * learned.n_items * max(learned.clients, 1)) / total
        return Question(
            Kind.SIGNS,
            0,
            learned.n_items,
            self.width,
            grid=grid,
            most=MOST_SHIFT,
            seed=learned.seed,
            ridge=float(reach),
            scales=self._roots,
        )

    def _ask_for_vectors(self, learned: Learned) -> Question:
        products = Products(learned)
        with one_blas_thread():
            self._turn = products.turn_for(self.width)
            rows = np.empty((learned.n_items, self._turn.shape[1]), np.int8)
            scales = np.empty(learned.n_items, np.float32)
            for block in products.blocks():
                scales[block], rows[block] = quantised(products.rows(block, self._turn))
        scales *= self._roots
        grid = grid_for(LARGEST * float(scales.max()), MOST_SHIFT)
        reach = float(np.sqrt(rows.shape[1] / learned.degrees.sum(dtype=np.float64)))
        return Question(
            Kind.ROWS,
            0,
            learned.n_items,
            rows.shape[1],
            grid=grid,
            most=MOST_SHIFT,
            ridge=reach,
            scales=scales,
            rows=rows,
        )

    def take(self, learned: Learned, sums: Sums) -> None:
        """Makes vectors of the product."""
        products = Products(learned)
        products.parts.append(_product_of(sums, self._roots))
        if len(self._turn):
            products.turns.append(self._turn)
        with one_blas_thread():
            products.solve()
        products.keep(learned)
        give_back_freed()


def _product_of(sums: Sums, roots: Array) -> Array:
    """Makes ``C`` times the sums (n_items, width) float32, where they were if there is room: they are gone then."""
    rows = sums.rows
    made = rows.view(np.float32) if rows.itemsize == 4 else np.empty(rows.shape, np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        made[block] = rows[block] * (sums.step * roots[block, None])
    sums.rows = np.empty((0, 0), np.int32)
    return made


@dataclass(frozen=True)
class _Rotation:
    """A rotation of items' rows to their sparsest axes; see :class:`SpectralWay`."""

    iterations: int
    sample: int

    def turn(self, vectors: Strips, degrees: Array, rng: np.random.Generator) -> None:
        """Turns ``vectors`` (n_items, width)."""
        size = min(self.sample, max(len(degrees) // 2, 1))
        rows = np.sort(rng.choice(len(degrees), size, replace=False, p=degrees / degrees.sum()))
        vectors.turn(varimax(of_length_one(vectors[rows]), self.iterations))


@dataclass
class Pruned:
    """The last product, and what is made of it: rows on their sparsest axes, within the budget.

    Attributes:
        last: the pass.
        rotation: of the rows.
    """

    last: Sketch
    rotation: _Rotation

    @property
    def name(self) -> str:
        """A word for the pass."""
        return self.last.name

    @property
    def part(self) -> float:
        """The part of the clients that it is to hear."""
        return self.last.part

    def ask(self, learned: Learned) -> Question:
        """Asks as the last product does."""
        return self.last.ask(learned)

    def take(self, learned: Learned, sums: Sums) -> None:
        """Makes the table."""
        self.last.take(learned, sums)
        vectors, learned.kept, degrees = Products(learned).vectors(learned.dim), {}, learned.degrees
        with one_blas_thread():
            vectors.narrow(FALL)
            vectors.scale(1 / np.sqrt(degrees))
            self.rotation.turn(vectors, degrees.astype(np.float64), np.random.default_rng([learned.seed, 1]))

            def items(start: int, stop: int) -> Array:
                return widened(vectors[start:stop] * degrees[start:stop, None], learned.dim)

            learned.table = prune_factors(Factors(items, items, 0, learned.n_items), learned.nnz, 0)
