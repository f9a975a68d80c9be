"""A small problem with everything that comes of it, in plain arrays, to check other code with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.learning.losses import Scores
from sparserec_np.machine.files import replacing
from sparserec_np.verify import plain
from sparserec_np.verify.problems import Engine, Problem, Settings

EXPECTED = "expected."


@dataclass(frozen=True, eq=False)
class ReferenceCase:
    """Tables, masks and a batch, and what is to come of them.

    All floats are float64; users and items are numbers.

    Attributes:
        settings: the names of model, loss and optimizer, and the numbers that steps and topology
            updates take.
        users, items: (n_users, dim) and (n_items, dim) tables, 0 where inactive; users is (0, dim)
            where the model stores none.
        user_mask, item_mask: bool, which of their entries are active.
        interactions: (n, 2) int64 users and items of the training interactions.
        batch_users, batch_positives: (b,) int64, the pairs.
        batch_negatives: (b,) int64, one for each pair; or (s,), those of all pairs.
        counted: (b, 1) or (b, s) bool, which negatives are set against each pair: of shared ones,
            not those that the user has touched.
        explored_users, explored_items: int64, the explored rows.
        weights: (n,) what the model has besides the tables, in the order of
            :class:`~sparserec_np.models.towers.Weights`, or one for each item; empty for most.
        expected: by name,

            * ``loss`` (), the sum of the pairs' losses, and ``objective`` (), with the L2 terms;
            * ``gradient.users``, ``gradient.items``: of the objective, 0 at inactive entries;
            * ``explored.users`` (explored users, dim), ``explored.items``: gradients of the
              inactive entries of the explored rows; what a comparison is given for the active ones
              does not count;
            * ``step.users``, ``step.items``: tables after one step of the optimizer;
            * ``mask.users``, ``mask.items``, ``update.users``, ``update.items``: masks and tables
              after a topology update that follows the step and grows by the gradients of this
              batch;
            * ``gradient.weights`` and ``step.weights`` (n,), where there are any.

            Without stored users there is nothing that ends in ``.users``.
    """

    settings: Settings
    users: Array
    items: Array
    user_mask: Array
    item_mask: Array
    interactions: Array
    batch_users: Array
    batch_positives: Array
    batch_negatives: Array
    counted: Array
    explored_users: Array
    explored_items: Array
    weights: Array
    expected: dict[str, Array]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one ``.npz`` file, without pickle.

        Arrays stand under their names, the expected ones under ``expected.NAME``. ``settings`` is
        JSON text. The file appears when it is whole.
        """
        arrays = {field.name: getattr(self, field.name) for field in fields(self)[1:-1]}
        arrays |= {EXPECTED + name: array for name, array in self.expected.items()}
        with replacing(path) as file:
            np.savez(file, settings=np.array(json.dumps(asdict(self.settings))), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ReferenceCase:
        """Reads a file that :meth:`save` wrote.

        Raises:
            DataError: the file is something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            given = json.loads(str(arrays.pop("settings")))
            expected = {name: arrays.pop(name) for name in list(arrays) if name.startswith(EXPECTED)}
            settings = Settings(**{**given, "l2": tuple(given["l2"])})
            return cls(
                settings,
                **arrays,
                expected={name[len(EXPECTED) :]: array for name, array in expected.items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
            raise DataError(
                f"{path} is no reference case, which sparserec gradcheck --export writes"
            ) from error

    @property
    def problem(self) -> Problem:
        """The case in the form that the engine takes."""
        n_users, stored = self.settings.users, len(self.users)
        log = Interactions.from_pairs(
            *self.interactions.T, user_ids=np.arange(n_users), item_ids=np.arange(len(self.items))
        )
        table = SparseTable.from_dense(
            np.concatenate([self.users, self.items]), np.concatenate([self.user_mask, self.item_mask])
        )
        users = self.batch_users.astype(np.int32)
        heads = np.flatnonzero(np.diff(users, prepend=-1))
        batch = Batch(
            Groups(users[heads], np.append(heads, len(users)).astype(np.int32)),
            users,
            (self.batch_positives + n_users).astype(np.int32),
            (self.batch_negatives + n_users).astype(np.int32),
            self.settings.negatives == "block",
        )
        explored = np.concatenate([self.explored_users, self.explored_items + stored]).astype(np.int32)
        return Problem(self.settings, log, table, np.zeros(table.nnz), batch, explored, self.weights)


def reference_case(**settings: Any) -> ReferenceCase:
    """Draws a problem from a seed, and computes what comes of it. L2 terms draw to zero.

    Args:
        settings: see :class:`~sparserec_np.verify.problems.Settings`, for instance
            ``loss="softmax"``, ``dim=16``, ``seed=3``.

    Raises:
        ConfigError: a setting is out of range, or names nothing there is; or ``weighted``, which a
            case has no place for.

    >>> case = reference_case(loss="bpr", dim=4)
    >>> case.users.shape, case.expected["gradient.items"].shape, float(case.expected["loss"]) > 0
    ((12, 4), (15, 4), True)
    """
    problem = Problem.draw(Settings(**settings), to_zero=True)
    if problem.settings.weighted:
        raise ConfigError("A reference case holds no weights of interactions; leave out weighted")
    batch, n_users, stored = problem.batch, problem.log.n_users, problem.stored_users
    dense, mask = problem.dense(problem.table.values), problem.active()
    explored = problem.explored.astype(np.int64)
    return ReferenceCase(
        settings=problem.settings,
        users=dense[:stored],
        items=dense[stored:],
        user_mask=mask[:stored],
        item_mask=mask[stored:],
        interactions=np.column_stack([problem.log.pair_users(), problem.log.items]).astype(np.int64),
        batch_users=batch.user_of.astype(np.int64),
        batch_positives=batch.positives.astype(np.int64) - n_users,
        batch_negatives=batch.negatives.astype(np.int64) - n_users,
        counted=problem.pairs(batch).counted,
        explored_users=explored[explored < stored],
        explored_items=explored[explored >= stored] - stored,
        weights=problem.weights,
        expected=outcome(problem),
    )


def outcome(
    problem: Problem,
    *,
    l2: tuple[float, float, float] | None = None,
    slopes: Callable[[Scores], None] = lambda slopes: None,
    sums: Callable[[Array], Array] = lambda sums: sums,
    early: bool = False,
    update: Mapping[str, Any] = {},  # read only
) -> dict[str, Array]:
    """Computes what :attr:`ReferenceCase.expected` holds, with the engine; arguments plant faults.

    Args:
        problem: what it comes of.
        l2: weights of the L2 terms, by default those of the settings.
        slopes: changes slopes in place.
        sums: makes of the explored rows' gradients what the topology update grows by.
        early: change the mask before the step.
        update: arguments of :meth:`~sparserec_np.verify.problems.Engine.update`.
    """
    engine, settings = Engine(problem), problem.settings
    losses = engine.differentiate(problem.batch, l2, slopes)
    weights = settings.l2 if l2 is None else l2
    pull = plain.Pull(*weights, problem.dense(problem.origin))
    parameters = {"table": problem.dense(problem.table.values), "weights": problem.weights}
    _, terms = problem.costs(parameters, problem.batch, pull, np)
    found = {"loss": losses.sum(), "objective": losses.sum() + terms}
    found |= halves(problem, "gradient", problem.dense(engine.gradients.active))
    if problem.weights.size:
        found["gradient.weights"] = engine.gradients.weights.copy()
    found |= explored_halves(problem, engine.inactive_sums())
    explored = engine.gradients.explored
    explored.sums[:] = sums(explored.sums)
    if early:
        engine.update(**update)
    engine.step(problem.batch)
    if not early:
        found |= halves(problem, "step", _values(engine))
        if problem.weights.size:
            found["step.weights"] = engine.model.weights
        engine.update(**update)
    found |= halves(problem, "mask", problem.active(engine.model.table))
    found |= halves(problem, "update", _values(engine))
    return {name: np.asarray(array) for name, array in found.items()}


def _values(engine: Engine) -> Array:
    return engine.problem.dense(engine.model.table.values, engine.model.table)


def halves(problem: Problem, name: str, stacked: Array) -> dict[str, Array]:
    """Splits (rows, dim) into the users' and the items' part, by name."""
    stored = problem.stored_users
    of_users = {f"{name}.users": stacked[:stored].copy()} if stored else {}
    return of_users | {f"{name}.items": stacked[stored:].copy()}


def explored_halves(problem: Problem, stacked: Array) -> dict[str, Array]:
    """Picks the explored users' and the explored items' part of (rows, dim), by name."""
    users = problem.explored < problem.stored_users
    of_users = {"explored.users": stacked[problem.explored[users]]} if problem.stored_users else {}
    return of_users | {"explored.items": stacked[problem.explored[~users]]}
