"""The engine against the plain definitions: worst errors by quantity, in float64 and float32."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from sparserec_np.data.table import Array
from sparserec_np.errors import SparseRecError
from sparserec_np.learning.batches import Batch
from sparserec_np.verify import plain
from sparserec_np.verify.problems import (
    Engine,
    Problem,
    Settings,
    drop_rounding,
    forms,
    similarities,
)

Parameters = dict[str, Array]
Objective = Callable[[plain.Parameters, plain.Library], tuple[plain.Tensor, plain.Tensor]]
# The loss without its L2 terms, and the gradient of their sum by every parameter, all float64.
Differentiate = Callable[[Objective, Parameters], tuple[float, Parameters]]

SMALL = 1e-3  # of the largest entry, and least: see Errors.relative
LEAST = 1e-4


class MissingTorchError(SparseRecError):
    """The error raised where PyTorch is asked for and not installed."""


def torch_library() -> Any:
    """Imports PyTorch, which happens here and nowhere else.

    Raises:
        MissingTorchError: it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise MissingTorchError(
            "PyTorch is needed to check against it and is not installed: pip install 'sparserec_np[verify]',"
            " or check against finite-differences"
        ) from error


def by_torch(objective: Objective, at: Parameters) -> tuple[float, Parameters]:
    """Differentiates with PyTorch's autograd in float64."""
    torch = torch_library()
    leaves = {
        name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in at.items()
    }
    loss, l2 = objective(leaves, torch)
    (loss + l2).backward()
    return loss.item(), {
        name: np.zeros_like(at[name]) if leaf.grad is None else leaf.grad.numpy()
        for name, leaf in leaves.items()
    }


def by_differences(objective: Objective, at: Parameters, step: float = 1e-5) -> tuple[float, Parameters]:
    """Differentiates by central differences in float64, entry by entry.

    They are right to about nine digits, and 0 below what rounding can do.
    """
    point = {name: np.array(array, dtype=np.float64) for name, array in at.items()}
    gradients = {name: np.zeros_like(array) for name, array in point.items()}
    for name, array in point.items():
        for place in np.ndindex(array.shape):
            here = array[place]
            ends = []
            for array[place] in (here + step, here - step):
                ends.append(float(sum(objective(point, np))))
            array[place] = here
            rounding = 4 * np.finfo(np.float64).eps * abs(ends[0])
            apart = ends[0] - ends[1]
            gradients[name][place] = apart / (2 * step) if abs(apart) > rounding else 0
    return float(objective(point, np)[0]), gradients


AGAINST: dict[str, Differentiate] = {"torch": by_torch, "finite-differences": by_differences}

# Largest relative error allowed, by what gives the expected values and the engine's precision. The
# largest seen against PyTorch over eight seeds are 3e-12, after steps of Adam, which divides by
# roots of small squares, and 2e-3, of sums over the whole batch, which dense weights have.
TOLERANCES = {
    ("torch", "float64"): 1e-9,
    ("torch", "float32"): 5e-3,
    ("finite-differences", "float64"): 1e-5,
    ("finite-differences", "float32"): 5e-3,
}


@dataclass(frozen=True)
class Errors:
    """The largest differences between a quantity and what was expected.

    Attributes:
        model, loss, negatives, similarity, weighted: what was checked; see
            :class:`~sparserec_np.verify.problems.Settings`.
        quantity: what was compared.
        dtype: of the engine's arithmetic; expected values are always made in float64.
        absolute: largest difference.
        relative: largest difference, relative to the expected entry, but at least to a thousandth
            of the largest and to 0.0001: sums that cancel have lost their relative accuracy to any
            arithmetic.
        tolerance: largest relative error allowed.
    """

    model: str
    loss: str
    negatives: str
    similarity: str
    quantity: str
    dtype: str
    absolute: float
    relative: float
    tolerance: float
    weighted: bool = False

    @property
    def passed(self) -> bool:
        """Whether the error is within its tolerance; not a number is not."""
        return self.relative <= self.tolerance


def relative_errors(found: Array, expected: Array) -> Array:
    """Computes the relative difference of each entry, as :class:`Errors` defines it."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    size = np.abs(expected)
    relative: Array = np.abs(found - expected) / np.maximum(size, max(SMALL * size.max(initial=0), LEAST))
    return relative


def largest_errors(found: Array, expected: Array) -> tuple[float, float]:
    """Computes the largest absolute and the largest relative difference."""
    apart = np.abs(np.asarray(found, dtype=np.float64) - expected)
    return float(apart.max(initial=0)), float(relative_errors(found, expected).max(initial=0))


class Plain:
    """The plain counterpart of :class:`~sparserec_np.verify.problems.Engine`, over dense tables.

    All floats are float64.

    Attributes:
        values: (rows, dim), 0 where inactive.
        active: (rows, dim) bool.
        weights: (n,) what the model has besides the table.
        by_weights: (n,) gradient of the last batch by the weights.
        gradient: (rows, dim) of the last batch, L2 terms included, of every entry, active or not.
        sums: (rows, dim) of the gradients since the last topology update.
    """

    def __init__(self, problem: Problem, differentiate: Differentiate) -> None:
        self.problem = problem
        self._differentiate = differentiate
        self.values = problem.dense(problem.table.values).astype(np.float64)
        self.active = problem.active()
        self.sums = np.zeros_like(self.values)
        self.gradient = np.zeros_like(self.values)
        self.weights = problem.weights.astype(np.float64)
        self.by_weights = np.zeros_like(self.weights)
        self._weights_state: dict[str, Array] = {}
        self._origin = problem.dense(problem.origin).astype(np.float64)
        self._state: dict[str, Array] = {}

    def differentiate(self, batch: Batch) -> float:
        """Computes the loss of the batch without its L2 terms.

        Sets the gradient, and adds it to the sums.
        """
        settings = self.problem.settings
        pull = plain.Pull(*settings.l2, self._origin)

        def objective(parameters: plain.Parameters, xp: plain.Library) -> tuple[Any, Any]:
            return self.problem.costs(parameters, batch, pull, xp)

        loss, gradients = self._differentiate(objective, {"table": self.values, "weights": self.weights})
        self.gradient, self.by_weights = gradients["table"], gradients["weights"]
        self.sums += self.gradient
        return loss

    def step(self, batch: Batch) -> None:
        """Makes a step of the optimizer.

        It moves the active entries of the rows that the batch reads, and the weights.
        """
        settings = self.problem.settings
        gradient, rows = self.gradient * self.active, self.problem.rows(batch)
        step = plain.OPTIMIZERS[settings.optimizer].step
        step(self.values, gradient, self._state, rows, settings.learning_rate)
        drop_rounding(self.by_weights, self.problem.weights.dtype)
        weights, by_weights = self.weights[:, None], self.by_weights[:, None]
        moved = self.problem.weights_moved(batch)
        step(weights, by_weights, self._weights_state, moved, settings.learning_rate)

    def update(self) -> None:
        """Makes one topology update.

        The sums begin anew, and L2 terms draw regrown entries to 0.
        """
        settings, before = self.problem.settings, self.active
        change = plain.Change(settings.drop_fraction, settings.floor, settings.regrow_start)
        mask = plain.topology_update(self.values, before, self.sums, self.problem.explored, change)
        plain.carry(settings.optimizer, self._state, before, mask)
        self.active, self.values = mask.active, mask.values
        self._origin = self._origin * (mask.active & ~mask.regrown)
        self.sums[:] = 0


Quantity = tuple[str, Array, Array]


def compare_a_batch(engine: Engine, expected: Plain) -> Iterator[Quantity]:
    """Yields loss and gradients of one batch, found and expected."""
    problem = engine.problem
    losses = engine.differentiate(problem.batch)
    loss = expected.differentiate(problem.batch)
    yield "loss", losses.sum(dtype=np.float64), np.asarray(loss)
    table, active = engine.model.table, expected.active
    yield (
        "gradients, active entries",
        problem.dense(engine.gradients.active, table),
        expected.gradient * active,
    )
    if problem.weights.size:
        yield "gradients, weights", engine.gradients.weights, expected.by_weights
    inactive = np.zeros_like(active)
    inactive[problem.explored] = ~active[problem.explored]
    yield "gradients, explored entries", engine.inactive_sums(), expected.gradient * inactive


def compare_a_run(engine: Engine, expected: Plain, steps: int) -> Iterator[Quantity]:
    """Yields parameters and mask along ``steps`` batches, found and expected.

    A topology update comes in the middle.
    """
    name = engine.problem.settings.optimizer
    for number, batch in enumerate(islice(engine.problem.batches(), steps), 1):
        for side in (engine, expected):
            side.differentiate(batch)
            side.step(batch)
        if number == 1:
            yield f"parameters, 1 {name} step", *_values(engine, expected)
        if number == (steps + 1) // 2:
            for side in (engine, expected):
                side.update()
            yield (
                f"mask, topology update ({name})",
                engine.problem.active(engine.model.table),
                expected.active,
            )
            yield f"parameters, topology update ({name})", *_values(engine, expected)
    yield f"parameters, {steps} {name} steps", *_values(engine, expected)


def _values(engine: Engine, expected: Plain) -> tuple[Array, Array]:
    table, model = engine.model.table, engine.model
    found = engine.problem.dense(table.values, table)
    return _joined(found, model.weights), _joined(expected.values, expected.weights)


def _joined(table: Array, weights: Array) -> Array:
    return np.concatenate([table.ravel(), weights])


def every_case(
    model: str | None = None,
    loss: str | None = None,
    negatives: str | None = None,
    similarity: str | None = None,
    weighted: bool | None = None,
    **sizes: Any,
) -> list[Settings]:
    """Lists settings of every model with every loss, similarity and form of negatives it has.

    Where one is named, only that one is taken. Those with weights of interactions follow those
    without, of the similarity that a loss is for and of models that say so. What says nothing of
    rows of one column, cosines above all, is left out there.

    Raises:
        ConfigError: see :class:`~sparserec_np.verify.problems.Settings`.
    """
    named = {"model": model, "loss": loss, "negatives": negatives}
    given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    Settings(**given, similarity=similarity, **sizes)  # refuses what there is not
    cases = [
        Settings(model=each_model, loss=each_loss, negatives=form, similarity=like, **sizes)
        for each_model in ([model] if model else _models_of(sizes.get("dim", Settings.dim)))
        for each_loss in ([loss] if loss else plain.LOSSES)
        for form in forms(each_loss)
        if negatives in (None, form)
        for like in similarities(each_loss, each_model, sizes.get("dim", Settings.dim))
        if similarity in (None, like)
    ]
    usual = [case for case in cases if case.scored_by == replace(case, similarity=None).scored_by]
    with_weights = [replace(case, weighted=True) for case in usual if plain.MODELS[case.model].weighted]
    return [case for case in (*cases, *with_weights) if weighted in (None, case.weighted)]


def _models_of(dim: int) -> list[str]:
    """Lists the models whose parts all have a column in a table of ``dim`` columns."""
    return [name for name, model in plain.MODELS.items() if model.least_dim <= dim]


def gradcheck(
    cases: Iterable[Settings],
    against: str = "torch",
    steps: int = 100,
    optimizers: Collection[str] = tuple(plain.OPTIMIZERS),
    dtypes: Collection[str] = ("float64", "float32"),
) -> Iterator[Errors]:
    """Yields the engine's worst errors, for each case and each precision of its arithmetic.

    Args:
        cases: what to check.
        against: "torch" or "finite-differences".
        steps: length of the training runs.
        optimizers: those to run with, each from the start; the cases' own do not count.
        dtypes: precisions.

    Yields:
        A record for each quantity, as soon as it is known.

    Raises:
        MissingTorchError: PyTorch is asked for and not installed.

    >>> cases = every_case(model="mf", loss="bpr")
    >>> errors = list(gradcheck(cases, "finite-differences", steps=2, optimizers=["sgd"]))
    >>> all(error.passed for error in errors)
    True
    """
    for settings in cases:
        exact = Problem.draw(settings)
        for dtype in dtypes:
            tolerance = TOLERANCES[against, dtype]
            for quantity, found, expected in _quantities(
                exact.as_dtype(dtype), AGAINST[against], steps, optimizers
            ):
                yield Errors(
                    settings.model,
                    settings.loss,
                    settings.negatives,
                    settings.scored_by,
                    quantity,
                    dtype,
                    *largest_errors(found, expected),
                    tolerance,
                    settings.weighted,
                )


def _quantities(
    problem: Problem, differentiate: Differentiate, steps: int, optimizers: Collection[str]
) -> Iterator[Quantity]:
    yield from compare_a_batch(Engine(problem), Plain(problem, differentiate))
    for optimizer in optimizers:
        with_it = replace(problem, settings=replace(problem.settings, optimizer=optimizer))
        yield from compare_a_run(Engine(with_it), Plain(with_it, differentiate), steps)
