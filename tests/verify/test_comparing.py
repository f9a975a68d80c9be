"""Comparison with a reference case: agreement, the worst entry, and the name of every mistake that is planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparserec_np.errors import ConfigError
from sparserec_np.verify import compare, plain, reference_case
from sparserec_np.verify.comparing import FAULTS, Fault
from sparserec_np.verify.problems import forms

WAYS = [(loss, form) for loss in plain.LOSSES for form in forms(loss)]
ROOMY = {
    "users": 14,
    "items": 14,
    "interactions": 70,
    "density": 0.35,
    "floor": 2,
    "drop_fraction": 0.5,
    "seed": 2,
}


def test_what_is_right_passes_in_both_precisions() -> None:
    case = reference_case(loss="softmax")
    for dtype in (np.float64, np.float32):
        found = {name: array.astype(dtype) for name, array in case.expected.items()}
        result = compare(case, found)
        assert result.passed
        assert str(result).count(": agrees, ") == len(case.expected) == 12


OF_USERS = ("L2 term of the users", "that the user has touched", "users and items are swapped")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.hint)
def test_every_mistake_is_named(fault: Fault) -> None:
    """For each loss where it makes a difference, which is at least one, and in every quantity that it changes."""
    assert_named(fault, "mf", WAYS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.hint)
def test_every_mistake_without_stored_users_is_named(fault: Fault) -> None:
    if not any(hint in fault.hint for hint in OF_USERS):
        assert_named(fault, "fism", [("bpr", form) for form in forms("bpr")])


def assert_named(fault: Fault, model: str, ways: list[tuple[str, str]]) -> None:
    named = 0
    optimizer = "adam" if "sgd" in fault.hint else "sgd"  # the case's own is no mistake
    for loss, form in ways:
        case = reference_case(model=model, loss=loss, negatives=form, optimizer=optimizer, **ROOMY)
        wrong = fault.outcome(case.problem)
        hint = fault.hint.format(b=len(case.batch_users), s=len(case.batch_negatives))
        for finding in compare(case, wrong).findings:
            if not finding.passed:
                others = finding.hint.count("; or: ")
                assert hint in finding.hint or others == 2, finding
                named += hint in finding.hint
    assert named


def test_the_worst_entry_is_shown_with_its_place() -> None:
    case = reference_case()
    found = case.expected["gradient.items"].copy()
    found[4, 2] += 1
    (finding,) = compare(case, {"gradient.items": found}).findings
    assert not finding.passed
    assert (finding.row, finding.column) == (4, 2)
    assert finding.found == found[4, 2] and finding.expected == case.expected["gradient.items"][4, 2]
    assert finding.absolute == pytest.approx(1)
    assert "1 of 120 entries differ, in 1 of 15 rows" in finding.hint
    assert str(finding).startswith("gradient.items: DIFFERS, most at item 4, column 2: expected ")


def test_rows_of_explored_entries_are_those_of_the_table_and_active_entries_do_not_count() -> None:
    case = reference_case()
    place = len(case.explored_users) - 1
    row = case.explored_users[place]
    active = np.flatnonzero(case.user_mask[row])
    inactive = np.flatnonzero(~case.user_mask[row])
    found = case.expected["explored.users"].copy()
    found[place, active] = 77
    assert compare(case, {"explored.users": found}).passed
    found[place, inactive[0]] += 9
    (finding,) = compare(case, {"explored.users": found}).findings
    assert (finding.row, finding.column) == (row, inactive[0])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: 3 * a, "Every entry is 3 times what was expected"),
        (lambda a: a + np.random.default_rng(0).standard_normal(a.shape), "No usual mistake gives these"),
        (lambda a: np.where(a > 0, np.nan, a), "entries are not finite"),
        (lambda a: a.T, "it is transposed"),
        (lambda a: a[:, :3], r"The shape must be \(12, 8\), found \(12, 3\)"),
    ],
)
def test_what_is_no_usual_mistake_is_described(change: Any, sentence: str) -> None:
    case = reference_case(interactions=120, batch_size=200)
    (finding,) = compare(case, {"gradient.users": change(case.expected["gradient.users"])}).findings
    assert not finding.passed
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(finding.hint)


def test_swapped_tables_and_unselected_rows_are_told_by_their_shapes() -> None:
    case = reference_case()
    (finding,) = compare(case, {"gradient.users": case.expected["gradient.items"]}).findings
    assert "users and items are swapped" in str(finding)
    (finding,) = compare(case, {"explored.users": np.zeros_like(case.users)}).findings
    assert "give the explored rows alone, those of case.explored_users" in str(finding)


def test_tolerance_can_be_set() -> None:
    case = reference_case()
    found = {"loss": case.expected["loss"] * 1.01}
    assert not compare(case, found).passed
    assert compare(case, found, tolerance=0.02).passed


def test_unknown_quantities_are_refused() -> None:
    case = reference_case()
    with pytest.raises(ConfigError, match="'gradient' is no quantity; there are: loss, objective"):
        compare(case, {"gradient": 1.0})
    with pytest.raises(ConfigError, match="Nothing was given to compare"):
        compare(case, {})
