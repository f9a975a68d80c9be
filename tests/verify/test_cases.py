"""Reference cases: what they hold is right by the loops, comes back from a file, and nothing hostile is read."""

from __future__ import annotations

import io
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import ConfigError, DataError
from sparserec_np.learning.losses import LOSSES
from sparserec_np.verify import ReferenceCase, plain, reference_case
from sparserec_np.verify.problems import forms, similarities
from tests.makers import oracles
from tests.makers.small import Array

CASES = [
    {"model": model, "loss": loss, "negatives": form, "seed": 5}
    for model in plain.MODELS
    for loss in plain.LOSSES
    if similarities(loss, model)
    for form in forms(loss)
]


@pytest.mark.parametrize("settings", CASES, ids=lambda s: f"{s['model']} {s['loss']} {s['negatives']}")
def test_expected_values_follow_from_the_arrays_of_the_case(settings: dict[str, Any]) -> None:
    """By finite differences of the plain costs, from nothing but what a stranger is given."""
    case = reference_case(**settings, optimizer="sgd")
    n_users, stored = case.settings.users, len(case.users)
    shared = case.settings.negatives == "block"
    negatives = case.batch_negatives[None] if shared else case.batch_negatives[:, None]
    pairs = plain.Pairs(case.batch_users, case.batch_positives + stored, negatives + stored, case.counted)
    dense = np.concatenate([case.users, case.items])
    pull = plain.Pull(*case.settings.l2, np.zeros_like(dense))
    log = Interactions.from_pairs(
        *case.interactions.T, user_ids=np.arange(n_users), item_ids=np.arange(len(case.items))
    )
    scoring = plain.Scoring(log, case.settings.scored_by, case.settings.temperature)

    def costs(at: Array, weights: Array = case.weights) -> tuple[float, float]:
        names = (case.settings.model, case.settings.loss)
        objective = plain.Objective(*names, scoring, dict(LOSSES[names[1]].settings))
        found = plain.costs(objective, {"table": at, "weights": weights}, pairs, pull, np)
        return float(found[0]), float(found[1])

    assert case.expected["loss"] == pytest.approx(costs(dense)[0], rel=1e-12)
    assert case.expected["objective"] == pytest.approx(sum(costs(dense)), rel=1e-12)
    gradient = oracles.central_differences(lambda at: sum(costs(at)), dense)
    sides = {
        "users": (slice(None, stored), case.user_mask, case.explored_users),
        "items": (slice(stored, None), case.item_mask, case.explored_items),
    }
    assert stored in (0, n_users)
    if not stored:
        del sides["users"]
        assert not [name for name in case.expected if name.endswith(".users")]
    for side, (rows, mask, explored) in sides.items():
        own, table = gradient[rows], dense[rows]
        assert case.expected[f"gradient.{side}"] == pytest.approx(own * mask, rel=1e-6, abs=1e-8)
        inactive = (own * ~mask)[explored]
        assert case.expected[f"explored.{side}"] == pytest.approx(inactive, rel=1e-6, abs=1e-8)
        step = table - case.settings.learning_rate * own * mask
        assert case.expected[f"step.{side}"] == pytest.approx(step, rel=1e-8, abs=1e-9)
        after, values = case.expected[f"mask.{side}"], case.expected[f"update.{side}"]
        assert after.dtype == bool and (after != mask).any()
        kept = after & mask
        assert np.array_equal(values[kept], case.expected[f"step.{side}"][kept])
        assert not values[~after].any()
    if case.weights.size:
        by_weights = oracles.central_differences(lambda at: sum(costs(dense, at)), case.weights)
        assert case.expected["gradient.weights"] == pytest.approx(by_weights, rel=1e-6, abs=1e-7)
        step = case.weights - case.settings.learning_rate * by_weights
        assert case.expected["step.weights"] == pytest.approx(step, rel=1e-7, abs=1e-8)
    masks = [case.expected[f"mask.{side}"].sum() for side in sides]
    assert sum(masks) == case.user_mask.sum() + case.item_mask.sum()


def same(one: ReferenceCase, other: ReferenceCase) -> bool:
    arrays = [field.name for field in fields(one)[1:-1]]
    return (
        one.settings == other.settings
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
        and one.expected.keys() == other.expected.keys()
        and all(np.array_equal(one.expected[name], other.expected[name]) for name in one.expected)
    )


def test_a_case_comes_back_from_its_file(tmp_path: Path) -> None:
    case = reference_case(loss="softmax", dim=5)
    case.save(tmp_path / "case.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["case.npz"]
    assert same(ReferenceCase.load(tmp_path / "case.npz"), case)
    assert not same(case, reference_case(loss="softmax", dim=5, seed=1))


@pytest.mark.parametrize("model", plain.MODELS)
def test_a_case_is_a_problem_again(model: str) -> None:
    from sparserec_np.verify.cases import outcome

    case = reference_case(model=model, negatives="pairs")
    again = outcome(case.problem)
    assert all(np.array_equal(again[name], case.expected[name]) for name in case.expected)


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('pickle was loaded')",)


@pytest.mark.parametrize("content", ["text", "pickle", "an array", "other arrays"])
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, content: str) -> None:
    path, buffer = tmp_path / "case.npz", io.BytesIO()
    if content == "an array":
        np.save(buffer, np.zeros(3))
    elif content == "other arrays":
        np.savez(buffer, settings=np.array("{}"), users=np.zeros(3))
    made = {"text": b"nothing of the kind", "pickle": pickle.dumps(Evil())}
    path.write_bytes(made.get(content, buffer.getvalue()))
    with pytest.raises(DataError, match="is no reference case"):
        ReferenceCase.load(path)


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="loss must be one of"):
        reference_case(loss="hinge")


def test_a_case_has_no_place_for_weights() -> None:
    with pytest.raises(ConfigError, match="holds no weights of interactions"):
        reference_case(weighted=True)
