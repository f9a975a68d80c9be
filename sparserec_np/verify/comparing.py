"""Differences of another program's numbers from a reference case, and their likely causes.

A mistake is not guessed from the looks of the numbers: the engine makes it on purpose, and the
outcomes are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparserec_np.data.table import Array, SparseTable
from sparserec_np.errors import ConfigError
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.learning.losses import Scores
from sparserec_np.verify import plain
from sparserec_np.verify.cases import ReferenceCase, explored_halves, halves, outcome
from sparserec_np.verify.checking import largest_errors, relative_errors
from sparserec_np.verify.problems import Engine, Problem

HINTS = 3  # as many causes are named at most, where several would give the same numbers


@dataclass(frozen=True)
class Finding:
    """The outcome of comparing one quantity.

    Attributes:
        quantity: a name of :attr:`ReferenceCase.expected`.
        passed: whether all entries are within the tolerance.
        absolute, relative: largest differences; see :class:`~sparserec_np.verify.checking.Errors`.
        row, column: the entry with the largest relative difference; the row is a user, an item or
            the place of a weight, which has no column. None for a number.
        expected, found: what should be there, and what is; None where the shape is wrong.
        hint: likely causes; empty if it passed.
    """

    quantity: str
    passed: bool
    absolute: float
    relative: float
    row: int | None
    column: int | None
    expected: float | None
    found: float | None
    hint: str

    def __str__(self) -> str:
        if self.passed:
            return f"{self.quantity}: agrees, largest relative error {self.relative:.1e}"
        if self.expected is None:
            return f"{self.quantity}: DIFFERS. {self.hint}"
        what = self.quantity.rpartition(".")[2].removesuffix("s")
        where = ":" if self.row is None else f", most at {what} {self.row}:"
        if self.column is not None:
            where = f"{where[:-1]}, column {self.column}:"
        numbers = f"expected {self.expected:.6g}, found {self.found:.6g}"
        return f"{self.quantity}: DIFFERS{where} {numbers}. {self.hint}"


@dataclass(frozen=True)
class Comparison:
    """All findings of a comparison; it prints as one a line."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every quantity agrees."""
        return all(finding.passed for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


def compare(case: ReferenceCase, found: Mapping[str, Any], tolerance: float | None = None) -> Comparison:
    """Compares numbers from elsewhere with a reference case.

    Args:
        case: made by :func:`reference_case`, or loaded.
        found: some or all of the quantities of ``case.expected`` by name, as arrays, tensors or
            numbers of the same shapes.
        tolerance: largest relative error; by default 1e-7 for float64 and 1e-4 for what is
            narrower.

    Returns:
        A finding for each quantity given, with the worst entry and likely causes.

    Raises:
        ConfigError: a name that is no quantity, or nothing to compare.

    >>> from sparserec_np.verify import reference_case
    >>> case = reference_case(loss="bpr")
    >>> print(compare(case, {"loss": case.expected["loss"] / 25}))
    loss: DIFFERS: expected 14.0461, found 0.561843. Likely: the mean over the 25 pairs is taken, not their sum
    """
    unknown = [name for name in found if name not in case.expected]
    if unknown or not found:
        what = f"{unknown[0]!r} is no quantity" if unknown else "Nothing was given to compare"
        raise ConfigError(f"{what}; there are: {', '.join(case.expected)}")
    faults = _Faults(case)
    return Comparison(tuple(_finding(case, faults, name, _array(found[name]), tolerance) for name in found))


def _array(given: Any) -> Array:
    return np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)


def _finding(
    case: ReferenceCase, faults: _Faults, name: str, found: Array, tolerance: float | None
) -> Finding:
    expected = case.expected[name]
    if tolerance is None:
        tolerance = 1e-4 if found.dtype.kind == "f" and found.itemsize < 8 else 1e-7
    if found.shape != expected.shape:
        return Finding(name, False, np.inf, np.inf, None, None, None, None, _shape_hint(case, name, found))
    if name.startswith("explored."):
        found = np.where(_active_explored(case, name), 0, found)
    absolute, relative = largest_errors(found, expected)
    worst = np.unravel_index(int(np.argmax(relative_errors(found, expected))), expected.shape)
    row = column = None
    if expected.ndim:
        row, column = int(worst[0]), int(worst[1]) if expected.ndim > 1 else None
        if name.startswith("explored."):
            row = int(getattr(case, f"explored_{name[9:]}")[row])
    passed = relative <= tolerance
    hint = "" if passed else faults.hint(name, found, tolerance)
    return Finding(
        name, passed, absolute, relative, row, column, float(expected[worst]), float(found[worst]), hint
    )


def _active_explored(case: ReferenceCase, name: str) -> Array:
    side = name[len("explored.") :]
    mask: Array = getattr(case, f"{side[:-1]}_mask")[getattr(case, f"explored_{side}")]
    return mask


def _shape_hint(case: ReferenceCase, name: str, found: Array) -> str:
    quantity, _, side = name.partition(".")
    other = f"{quantity}.{'items' if side == 'users' else 'users'}"
    text = f"The shape must be {case.expected[name].shape}, found {found.shape}"
    if found.shape == case.expected[name].shape[::-1]:
        return f"{text}: it is transposed"
    if other in case.expected and found.shape == case.expected[other].shape:
        return f"{text}: likely, users and items are swapped"
    if quantity == "explored" and found.shape == getattr(case, side).shape:
        return f"{text}: give the explored rows alone, those of case.explored_{side}"
    return text


# ---- mistakes

Outcome = Callable[[Problem], Mapping[str, Array]]


@dataclass(frozen=True)
class Fault:
    """A usual mistake.

    Attributes:
        hint: says what it is; {b} and {s} stand for the numbers of pairs and of negatives in the
            batch.
        outcome: what comes of it, by quantity; those that it leaves as they are do no harm.
    """

    hint: str
    outcome: Outcome


def _weights(problem: Problem, *factors: float) -> tuple[float, float, float]:
    user, positive, negative = (w * f for w, f in zip(problem.settings.l2, factors, strict=True))
    return user, positive, negative


def _scaled(factor: Callable[[Problem], float], l2_too: bool) -> Outcome:
    """Makes a fault that multiplies the sum over pairs, with the L2 terms or without them."""

    def make(problem: Problem) -> Mapping[str, Array]:
        share = factor(problem)

        def slopes(slopes: Scores) -> None:
            slopes.positives[:] *= share
            slopes.negatives[:] *= share

        right = outcome(problem)
        wrong = outcome(problem, slopes=slopes, l2=_weights(problem, *[share if l2_too else 1] * 3))
        terms = right["objective"] - right["loss"]
        loss = right["loss"] * share
        if not l2_too:  # of the loss alone, the other one speaks
            return {**wrong, "loss": right["loss"], "objective": loss + terms}
        return {**wrong, "loss": loss, "objective": loss + terms * share}

    return make


def _slopes(change: Callable[[Scores], Any]) -> Outcome:
    return lambda problem: outcome(problem, slopes=change)


def _l2(*factors: float) -> Outcome:
    return lambda problem: outcome(problem, l2=_weights(problem, *factors))


def _update(**arguments: Any) -> Outcome:
    return lambda problem: outcome(problem, update=arguments)


def _summed_block(problem: Problem) -> Mapping[str, Array]:
    return outcome(problem, l2=_weights(problem, 1, 1, len(problem.batch.negatives)))


def _uphill(problem: Problem) -> Mapping[str, Array]:
    rate = problem.settings.learning_rate
    right = outcome(problem)
    wrong = outcome(replace(problem, settings=replace(problem.settings, learning_rate=-rate)))
    gradients = {name: -array for name, array in right.items() if name.startswith(("gradient", "explored"))}
    return {**wrong, **gradients}


def _seen_count(problem: Problem) -> Mapping[str, Array]:
    """Makes the outcome where shared negatives that the user has touched are counted.

    The batch may hold such an item, but nothing in the log says that it was touched. Where the log
    is what users are made from, this cannot be told.
    """
    if not problem.stored_users:
        return {}
    log = problem.log
    empty = replace(log, indptr=np.zeros_like(log.indptr), items=log.items[:0])
    return outcome(replace(problem, log=empty))


def _unmasked(problem: Problem) -> Mapping[str, Array]:
    """Makes the outcome where the mask is not applied.

    Inactive entries get a gradient and take part in the step, from 0 on.
    """
    full = SparseTable.from_dense(problem.dense(problem.table.values), np.ones_like(problem.active()))
    wrong = outcome(replace(problem, table=full, origin=problem.dense(problem.origin).ravel()))
    return {name: array for name, array in wrong.items() if name.startswith(("gradient", "step"))}


def _after_the_step(problem: Problem) -> Mapping[str, Array]:
    engine = Engine(problem)
    engine.differentiate(problem.batch)
    engine.step(problem.batch)
    engine.gradients.explored.sums[:] = 0
    engine.differentiate(problem.batch)
    return {
        **explored_halves(problem, engine.inactive_sums()),
        **halves(problem, "gradient", problem.dense(engine.gradients.active)),
    }


def _after_the_update(problem: Problem) -> Mapping[str, Array]:
    engine = Engine(problem)
    engine.differentiate(problem.batch)
    engine.step(problem.batch)
    engine.update()
    engine.gradients.active[:] = 0
    engine.differentiate(problem.batch)
    stored = problem.dense(engine.gradients.active, engine.model.table)
    rows = np.isin(np.arange(len(stored)), problem.explored)[:, None]
    inactive = np.where(rows & ~problem.active(), engine.inactive_sums() + stored, 0)
    return {**explored_halves(problem, inactive), **halves(problem, "gradient", stored)}


def _overwritten(problem: Problem) -> Mapping[str, Array]:
    """Makes the outcome where gradients are overwritten, not added.

    Each pair puts its rows' gradients where those of earlier pairs were.
    """
    stacked = np.zeros((problem.table.rows, problem.settings.dim))
    whole = problem.batch
    for m in range(whole.size):
        negatives = whole.negatives if whole.shared else whole.negatives[m : m + 1]
        users = whole.user_of[m : m + 1]
        one = Batch(
            Groups(users, np.array([0, 1], np.int32)),
            users,
            whole.positives[m : m + 1],
            negatives,
            whole.shared,
        )
        engine = Engine(problem)
        engine.differentiate(one)
        rows = engine.model.touched(one)
        stacked[rows] = problem.dense(engine.gradients.active)[rows]
    return halves(problem, "gradient", stacked)


def _l2_once_a_row(problem: Problem) -> Mapping[str, Array]:
    stacked = problem.dense(_active_gradient(problem, (0, 0, 0)))
    dense, pairs = problem.dense(problem.table.values), problem.pairs(problem.batch)
    users = pairs.users if problem.stored_users else pairs.users[:0]
    for weight, rows in zip(problem.settings.l2, (users, pairs.positives, pairs.negatives), strict=True):
        rows = np.unique(rows)
        stacked[rows] += weight * dense[rows]
    return halves(problem, "gradient", stacked)


def _weight_decay(problem: Problem) -> Mapping[str, Array]:
    stacked = problem.dense(_active_gradient(problem, (0, 0, 0)))
    user, positive, _ = problem.settings.l2
    weights = np.where(np.arange(len(stacked)) < problem.stored_users, user, positive)
    stacked += weights[:, None] * problem.dense(problem.table.values)
    return halves(problem, "gradient", stacked)


def _active_gradient(problem: Problem, l2: tuple[float, float, float]) -> Array:
    engine = Engine(problem)
    engine.differentiate(problem.batch, l2)
    return engine.gradients.active


def _with_l2(problem: Problem) -> Mapping[str, Array]:
    right = outcome(problem)
    return {"loss": right["objective"], "objective": right["loss"]}


def _other_optimizer(name: str) -> Outcome:
    return lambda problem: outcome(replace(problem, settings=replace(problem.settings, optimizer=name)))


def _swapped(problem: Problem) -> Mapping[str, Array]:
    right = outcome(problem)
    other = {"users": "items", "items": "users"}
    return {
        f"{kind}.{side}": right[f"{kind}.{other[side]}"]
        for kind, _, side in (name.partition(".") for name in right)
        if side in other and problem.stored_users
    }


def _signed(sums: Array) -> Array:
    return np.maximum(sums, 0)


def _negated(scores: Array) -> None:
    np.negative(scores, out=scores)


FAULTS = (
    Fault("the mean over the {b} pairs is taken, not their sum", _scaled(lambda p: 1 / p.batch.size, True)),
    Fault(
        "the mean over the {b} pairs is taken, not their sum, and the L2 terms are not divided with it",
        _scaled(lambda p: 1 / p.batch.size, False),
    ),
    Fault("the L2 terms are missing", _l2(0, 0, 0)),
    Fault("the L2 terms lack their factor 1/2, and are twice too strong", _l2(2, 2, 2)),
    Fault("the L2 term of the users is missing", _l2(0, 1, 1)),
    Fault("the L2 term of the positives is missing", _l2(1, 0, 1)),
    Fault("the L2 term of the negatives is missing", _l2(1, 1, 0)),
    Fault("the L2 terms of the {s} shared negatives are summed for each pair, not averaged", _summed_block),
    Fault("L2 terms count once for each row, not once for each pair that reads it", _l2_once_a_row),
    Fault("L2 terms pull on all rows, as weight_decay does, not on those that pairs read", _weight_decay),
    Fault("the L2 terms belong to the objective and not to the loss", _with_l2),
    Fault("the mask is not applied: inactive entries are not left at zero", _unmasked),
    Fault("the sign of the negatives' part is wrong", _slopes(lambda slopes: _negated(slopes.negatives))),
    Fault("the sign of the positives' part is wrong", _slopes(lambda slopes: _negated(slopes.positives))),
    Fault("the sign is wrong: a step goes against the gradient", _uphill),
    Fault("the negatives have no part in it", _slopes(lambda slopes: slopes.negatives.fill(0))),
    Fault("shared negatives that the user has touched are counted (see case.counted)", _seen_count),
    Fault("the gradient is taken after the step, at the new values", _after_the_step),
    Fault("the gradient is taken after the topology update, at the new values and mask", _after_the_update),
    Fault("a row that several pairs read keeps the gradient of the last: they must be added", _overwritten),
    Fault("users and items are swapped", _swapped),
    *(Fault(f"this is a step of {name}", _other_optimizer(name)) for name in plain.OPTIMIZERS),
    Fault(
        "entries are pruned in all rows, not in the explored ones alone", _update(prunes_explored_only=False)
    ),
    Fault("the floor of entries that each row keeps is not kept", _update(floor=0)),
    Fault("regrown entries start at zero, not against their gradient", _update(start=0.0)),
    Fault("growth goes by the signed gradient, not by its magnitude", lambda p: outcome(p, sums=_signed)),
    Fault("the mask is changed before the step, not after it", lambda p: outcome(p, early=True)),
    Fault("the topology update is missing", lambda p: _without_update(p)),
)


def _without_update(problem: Problem) -> Mapping[str, Array]:
    right = outcome(problem)
    same = halves(problem, "mask", problem.active())
    return {**same, **{name.replace("mask", "update"): right[name.replace("mask", "step")] for name in same}}


class _Faults:
    """The outcomes of all faults for a case, made when the first hint is asked for."""

    def __init__(self, case: ReferenceCase) -> None:
        self.case = case
        self.outcomes: list[tuple[str, Mapping[str, Array]]] = []

    def hint(self, name: str, found: Array, tolerance: float) -> str:
        """Names the faults that give these numbers; or else says in what way they are different."""
        problem, expected = self.case.problem, self.case.expected[name]
        numbers = {"b": problem.batch.size, "s": len(problem.batch.negatives)}
        self.outcomes = self.outcomes or [(f.hint.format(**numbers), f.outcome(problem)) for f in FAULTS]
        likely = [
            hint
            for hint, outcomes in self.outcomes
            if name in outcomes
            and outcomes[name].shape == found.shape
            and largest_errors(found, outcomes[name])[1] <= tolerance
            and largest_errors(outcomes[name], expected)[1] > tolerance
        ]
        if likely:
            return f"Likely: {'; or: '.join(likely[:HINTS])}"
        if not np.isfinite(found).all():
            return f"{np.count_nonzero(~np.isfinite(found))} of {found.size} entries are not finite"
        square = float((expected * expected).sum()) if expected.dtype.kind == "f" else 0.0
        factor = float((found * expected).sum()) / square if square else 0.0
        if factor and largest_errors(found, factor * expected)[1] <= tolerance:
            return f"Every entry is {factor:.6g} times what was expected: a factor is missing or too many"
        wrong = relative_errors(found, expected) > tolerance
        if expected.ndim and not wrong.all():
            rows = np.flatnonzero(wrong.any(axis=tuple(range(1, wrong.ndim))))
            return f"{np.count_nonzero(wrong)} of {wrong.size} entries differ, in {len(rows)} of {len(wrong)} rows"
        return "No usual mistake gives these numbers"
