"""The start from a teacher's rows, rotated to sparse axes and pruned to the student's budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.factorization.pruning import Factors, balance, prune_factors
from sparserec_np.factorization.rotation import varimax
from sparserec_np.machine.threads import one_blas_thread


@dataclass(frozen=True)
class Teacher:
    """A trained model whose scores are inner products of two rows.

    Attributes:
        table: the rows, (n_users + n_items) of them, users first; any density.
        dim: number of columns.
        weight: weight of the imitation, beside 1 for the data's loss.
    """

    table: SparseTable
    dim: int
    weight: float = 1.0

    def start(self, rotation_iterations: int = 30, sample: int = 16_000) -> TeacherStart:
        """Makes the start from the rows of this teacher."""
        return TeacherStart(self, rotation_iterations, sample)


@dataclass(frozen=True)
class TeacherStart:
    """The start from a teacher's rows, rotated to their sparsest axes and pruned to a budget.

    A user's list does not depend on the length of the user's row: users are brought to equal length
    before pruning, and the kept entries get the length back afterwards, so that scores stay those
    of the teacher.

    Attributes:
        teacher: the model whose rows these are.
        rotation_iterations, sample: see :class:`~sparserec_np.starts.spectral.Spectral`.
        floor: entries that every row keeps, where the budget allows it.
    """

    teacher: Teacher
    rotation_iterations: int
    sample: int
    floor: int = 1
    from_data: bool = True

    def __call__(
        self, log: Interactions, dim: int, nnz: int, rng: np.random.Generator, threads: int = 1
    ) -> SparseTable:
        """Makes the table of the start; see :class:`~sparserec_np.starts.start.Start`.

        Memory: every entry of a sample and of a block of rows.

        Raises:
            ConfigError: the student has fewer columns than the teacher.
        """
        teacher = self.teacher
        if dim < teacher.dim:
            raise ConfigError(
                f"A student needs as many dimensions as its teacher has, {teacher.dim}, or more; found dim {dim}"
            )
        lengths = row_lengths(teacher.table)
        count = len(lengths)
        rows = np.sort(rng.choice(count, min(self.sample, count), replace=False))
        some = teacher.table.dense_rows(rows, teacher.dim)
        some /= np.maximum(lengths[rows, None], 1e-12)
        with one_blas_thread():
            turn = varimax(some, self.rotation_iterations)
            return self._pruned(log, dim, nnz, turn, lengths)

    def _pruned(self, log: Interactions, dim: int, nnz: int, turn: Array, lengths: Array) -> SparseTable:
        teacher, n_users = self.teacher, log.n_users

        def wide(start: int, stop: int) -> Array:
            made = teacher.table.dense_rows(np.arange(start, stop), teacher.dim) @ turn
            return np.pad(made, ((0, 0), (0, dim - teacher.dim)))

        def users(start: int, stop: int) -> Array:
            return wide(start, stop) / np.maximum(lengths[start:stop, None], 1e-12)

        def items(start: int, stop: int) -> Array:
            return wide(n_users + start, n_users + stop)

        factors = Factors(users, items, n_users, log.n_items)
        scale = balance(factors)
        table = prune_factors(factors, nnz, self.floor, scale)
        back = np.concatenate([lengths[:n_users], np.full(log.n_items, 1 / scale, np.float32)])
        table.values[:] *= np.repeat(back, np.diff(table.indptr))
        return table


def row_lengths(table: SparseTable) -> Array:
    """Computes the Euclidean length of each row, (rows,) float32."""
    squares = np.bincount(table.row_numbers(), np.square(table.values, dtype=np.float64), table.rows)
    return np.sqrt(squares).astype(np.float32)
