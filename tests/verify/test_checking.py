"""The check itself: it passes on many problems, it fails where the engine is wrong, and it can do without PyTorch."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparserec_np.errors import ConfigError
from sparserec_np.learning.losses import LOSSES
from sparserec_np.verify import MissingTorchError, every_case, gradcheck, plain
from sparserec_np.verify.checking import Plain, by_differences, compare_a_batch, largest_errors
from sparserec_np.verify.problems import Engine, Problem, Settings

# In which every fault of mutants.py is caught; differences take a time that grows with the square.
SMALL: dict[str, Any] = {"seed": 1, "users": 9, "items": 11, "interactions": 40, "dim": 6}
SIZES: list[dict[str, Any]] = [
    {"seed": 1},
    {"seed": 2, "density": 0.1},
    {"seed": 3, "density": 1.0},
    {"seed": 4, "dim": 20, "density": 0.3},  # more columns than a cache line holds
    {"seed": 5, "dim": 2, "density": 0.9},
    {"seed": 1, "dim": 1},
    {"seed": 6, "users": 2, "items": 3, "interactions": 5},
    {"seed": 7, "batch_size": 1},
]


@pytest.mark.parametrize(
    ("against", "sizes"),
    [("finite-differences", SMALL), *(("torch", sizes) for sizes in SIZES)],
    ids=str,
)
def test_all_is_well(against: str, sizes: dict[str, Any]) -> None:
    if against == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'sparserec_np[verify]'")
    errors = list(gradcheck(every_case(**sizes), against, steps=2, optimizers=["adam"]))
    assert [error for error in errors if not error.passed] == []
    checked = {(error.model, error.loss, error.negatives) for error in errors}
    of_cosines = {name for name, loss in LOSSES.items() if loss.cosine and sizes.get("dim") == 1}
    assert {loss for _, loss, _ in checked} == set(plain.LOSSES) - of_cosines
    assert {error.dtype for error in errors} == {"float64", "float32"}


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    density=st.floats(0.01, 1.0),
    dim=st.integers(1, 6),
    users=st.integers(1, 6),
    items=st.integers(1, 7),
    interactions=st.integers(1, 30),
    batch_size=st.integers(1, 40),
    explore=st.floats(0.0, 1.0),
    place=st.integers(0, len(every_case()) - 1),
)
def test_a_batch_of_any_problem(place: int, **sizes: Any) -> None:
    """Random masks, empty rows, users who have touched everything, batches of one pair and of all."""
    cases = every_case(**sizes)  # fewer of one column
    problem = Problem.draw(cases[place % len(cases)])
    for quantity, found, expected in compare_a_batch(Engine(problem), Plain(problem, by_differences)):
        assert largest_errors(found, expected)[1] < 1e-5, quantity


@pytest.mark.parametrize(
    ("quantity", "break_it"),
    [
        ("loss", lambda engine, batch: None),
        ("gradients, active entries", lambda engine, batch: engine.gradients.active.__imul__(1.001)),
        ("gradients, explored entries", lambda engine, batch: engine.gradients.explored.sums.__imul__(-1)),
    ],
)
def test_what_is_broken_is_named(quantity: str, break_it: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Engine.differentiate

    def wrong(self: Engine, batch: Any, **given: Any) -> Any:
        losses = right(self, batch, **given)
        break_it(self, batch)
        return losses * 1.001 if quantity == "loss" else losses

    monkeypatch.setattr(Engine, "differentiate", wrong)
    errors = gradcheck(every_case(loss="bpr"), "finite-differences", steps=2, optimizers=["sgd"])
    assert any(error.quantity == quantity and not error.passed for error in errors)


def test_topology_updates_change_masks_in_the_check() -> None:
    for case in every_case():
        engine = Engine(Problem.draw(case))
        for batch in islice(engine.problem.batches(), 3):
            engine.differentiate(batch)
            engine.step(batch)
        assert engine.update() >= 5


def test_errors_are_those_of_the_definition() -> None:
    assert largest_errors(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == (0, 0)
    assert largest_errors(np.array([1.1, 2.0]), np.array([1.0, 2.0])) == pytest.approx((0.1, 0.1))
    assert largest_errors(np.array([1e-6, 1.0]), np.array([0.0, 1.0])) == pytest.approx((1e-6, 1e-3))
    assert largest_errors(np.array([1e-6]), np.array([0.0])) == pytest.approx((1e-6, 1e-2))
    assert np.isnan(largest_errors(np.array([np.nan]), np.array([1.0]))[1])


def test_differences_of_a_known_function() -> None:
    value, gradient = by_differences(
        lambda at, xp: ((at["a"] ** 3).sum(), 2 * at["b"]), {"a": np.arange(3.0), "b": np.array(1.0)}
    )
    assert value == 9
    assert gradient["a"] == pytest.approx([0, 3, 12], abs=1e-8)
    assert gradient["b"] == pytest.approx(2)


def test_without_torch_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingTorchError, match=r"pip install 'sparserec_np\[verify\]'"):
        list(gradcheck(every_case(), "torch"))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"model": "x"}, "model must be one of mf, lightgcn, neumf"),
        ({"loss": "x"}, "loss must be one of bpr, softmax"),
        ({"similarity": "x"}, "similarity must be one of dot, cosine"),
        ({"model": "neumf", "loss": "bsl"}, "The model neumf has no cosines"),
        ({"loss": "ccl", "similarity": "dot"}, "The loss ccl is one of cosines"),
        ({"optimizer": "x"}, "optimizer must be one of adam"),
        ({"negatives": "x"}, "negatives must be one of pairs, block"),
        ({"loss": "softmax", "negatives": "pairs"}, "softmax needs a block of negatives"),
        ({"dim": 0}, "dim must be 1 or more, found 0"),
        (
            {"dim": 1, "loss": "bsl"},
            "A cosine of rows of one column has no gradient, so dim must be 2 or more",
        ),
        (
            {"dim": 1, "model": "neumf"},
            "The model neumf has a part that needs columns of its own, so dim must be 2",
        ),
        ({"dim": 1, "similarity": "cosine"}, "A cosine of rows of one column has no gradient"),
        ({"dim": 1000}, "dim must be at most 512"),
        ({"density": 0.0}, "density must be above 0"),
        ({"density": float("nan")}, "density must be above 0"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_what_cannot_be_checked_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        every_case(**wrong)
    with pytest.raises(ConfigError, match=sentence):
        Settings(**wrong)
