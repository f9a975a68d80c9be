"""The spectral protocol: leading singular vectors from sums over clients.

With R the matrix of ones, D_u and D_i the degrees of users and items, ``A = C R' D_u^-1 R C`` for
``C = D_i^-1/2``, and signs O (n_items, width) that are drawn from a seed, a client answers the mean
of the rows of ``C O`` over its items. Such a mean lands in the rows of the client's items, and the
sum is ``R' D_u^-1 R C O``: one product with A for a row of numbers a client. ``A O (O' A O)^-1 (A
O)'``, Nystroem's approximation of A, gives its leading vectors; where these are sent to the clients
in place of signs, another pass comes closer, as in subspace iteration.

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
from sparserec_np.factorization.singular_vectors import Strips
from sparserec_np.federated.packets import LARGEST, Kind, Question, grid_for, quantised, signs_of
from sparserec_np.federated.server import MOST_SHIFT, Count, Learned, Step, Sums
from sparserec_np.kernels.arguments import STRIP_COLUMNS
from sparserec_np.machine.memory import give_back_freed
from sparserec_np.machine.threads import one_blas_thread
from sparserec_np.starts.spectral import FALL

LEAST = 1e-7  # part of the largest eigenvalue below which there is nothing but rounding


@dataclass(frozen=True)
class SpectralWay:
    """The passes of the spectral protocol.

    Attributes:
        sketch: columns of signs, for each column of the table.
        iterations: passes after the first, in which clients are sent rows of vectors.
        rotation_iterations, sample: of the rotation.
    """

    sketch: float = 1.5
    iterations: int = 1
    rotation_iterations: int = 20
    sample: int = 8_000

    start: ClassVar[str] = "spectral"
    settings: ClassVar[Mapping[str, Any]] = {"user_rows": "sum"}

    def steps(self, learned: Learned) -> Sequence[Step]:
        """Plans the passes; see :class:`~sparserec_np.federated.server.Way`."""
        width = min(round(self.sketch * learned.dim), learned.n_items)
        rotate = _Rotation(self.rotation_iterations, self.sample)
        sketches = [
            Sketch(width, "sketch" if not k else f"iteration {k}") for k in range(self.iterations + 1)
        ]
        return [Count(), *sketches[:-1], Pruned(sketches[-1], rotate)]


def keep_vectors(learned: Learned, vectors: Strips) -> None:
    """Leaves vectors (n_items, width) to the next pass."""
    parts = {f"vectors.{number}": part for number, part in enumerate(vectors.parts)}
    learned.kept = {**parts, "strengths": vectors.strengths}


def taken_vectors(learned: Learned, width: int) -> Strips:
    """Takes the vectors that a pass has left; nothing is kept then."""
    kept, learned.kept = learned.kept, {}
    made = Strips(0, width)
    made.parts = [kept[f"vectors.{number}"] for number in range(len(made.parts))]
    made.strengths = kept["strengths"]
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
        width = self.width
        if not learned.kept:
            self._rows = self._scales = np.empty(0)
            grid = grid_for(float(self._roots.max()), MOST_SHIFT)
            return Question(
                Kind.SIGNS,
                0,
                learned.n_items,
                width,
                grid=grid,
                most=MOST_SHIFT,
                seed=learned.seed,
                scales=self._roots,
            )
        self._rows = np.empty((learned.n_items, width), np.int8)
        self._scales = np.empty(learned.n_items, np.float32)
        found = taken_vectors(learned, width)
        for block in found.blocks():
            self._scales[block], self._rows[block] = quantised(found[block])
        scales = self._scales * self._roots
        grid = grid_for(LARGEST * float(scales.max()), MOST_SHIFT)
        return Question(
            Kind.ROWS, 0, learned.n_items, width, grid=grid, most=MOST_SHIFT, scales=scales, rows=self._rows
        )

    def take(self, learned: Learned, sums: Sums) -> None:
        """Makes vectors of the product."""
        with one_blas_thread():
            product = _strips_of(sums, self._roots)
            core = np.zeros((product.width,) * 2)
            for block in product.blocks():
                core += self._multiplied(sums.question, block).T @ product[block]
            self._rows = np.empty((0, 0), np.int8)
            strengths, axes = np.linalg.eigh((core + core.T) / 2)
            product.turn(axes / np.sqrt(np.maximum(strengths, max(strengths[-1], 1e-30) * LEAST)))
            strengths, axes = np.linalg.eigh(product.gram())
            strengths = np.maximum(strengths[::-1], max(strengths[-1], 1e-30) * LEAST)
            product.turn(axes[:, ::-1] / np.sqrt(strengths))
            product.strengths = np.sqrt(strengths / strengths[0])
            keep_vectors(learned, product)
        give_back_freed()

    def _multiplied(self, question: Question, block: slice) -> Array:
        """Returns the rows that clients were to multiply, of a block of items."""
        if question.kind == Kind.ROWS:
            return np.asarray(self._rows[block] * self._scales[block, None])
        rows = (signs_of(question.seed, item, question.width) for item in range(block.start, block.stop))
        return np.stack(list(rows))


def _strips_of(sums: Sums, roots: Array) -> Strips:
    """Makes ``C`` times the sums, which are gone then."""
    made = Strips(len(sums.rows), sums.rows.shape[1])
    for number, part in enumerate(made.parts):
        some = sums.rows[:, number * STRIP_COLUMNS : (number + 1) * STRIP_COLUMNS]
        part[:, : some.shape[1]] = some * (sums.step * roots[:, None])
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
        vectors = taken_vectors(learned, self.last.width)
        degrees, dim = learned.degrees, min(learned.dim, self.last.width)
        with one_blas_thread():
            vectors.turn(np.eye(vectors.width)[:, :dim])
            vectors.strengths = vectors.strengths[:dim]
            vectors.narrow(FALL)
            vectors.scale(1 / np.sqrt(degrees))
            self.rotation.turn(vectors, degrees.astype(np.float64), np.random.default_rng([learned.seed, 1]))

            def items(start: int, stop: int) -> Array:
                return widened(vectors[start:stop] * degrees[start:stop, None], learned.dim)

            learned.table = prune_factors(Factors(items, items, 0, learned.n_items), learned.nnz, 0)
