"""The plain definitions, which check the engine, are checked themselves: against loops, and against PyTorch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.learning import losses, optimizers
from sparserec_np.models import views
from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.training import settings as config
from sparserec_np.verify import plain
from sparserec_np.verify.problems import NEGATIVES, Problem, Settings, forms
from tests.makers import oracles
from tests.makers.small import Array

CASES = [(loss, form) for loss in plain.LOSSES for form in forms(loss)]
OWN = {name: dict(loss.settings) for name, loss in losses.LOSSES.items()}
USERS = np.repeat(np.arange(5), [1, 2, 1, 3, 2])


def random_scores(seed: int) -> plain.Given:
    """Nine pairs of five users against five negatives; for the first user none counts, for the second all do."""
    rng = np.random.default_rng(seed)
    counted = rng.random((5, 5)) < 0.6
    counted[0], counted[1] = False, True
    return plain.Given(
        3 * rng.standard_normal((9, 1)),
        3 * rng.standard_normal((5, 5))[USERS],
        counted[USERS],
        USERS[:, None] == USERS,
    )


def test_everything_to_choose_from_has_its_row() -> None:
    trained = {name for name, model in BASE_MODELS.items() if not model.counted}
    assert set(plain.MODELS) == trained <= set(config.CHOICES["model"])
    for name, model in plain.MODELS.items():
        assert model.stores_users == BASE_MODELS[name].stores_users
    assert set(plain.LOSSES) == set(losses.LOSSES)
    assert set(plain.OPTIMIZERS) == set(optimizers.OPTIMIZERS)
    assert set(plain.SIMILARITIES) == set(views.SIMILARITIES)


@pytest.mark.parametrize("name", plain.LOSSES)
def test_losses_are_those_of_the_loops(name: str) -> None:
    given = random_scores(0)
    found = plain.LOSSES[name](given, np, **OWN[name])
    for user in range(5):
        own = user == USERS
        others = [n[c].tolist() for n, c in zip(given.negatives[own], given.counted[own], strict=True)]
        expected = oracles.LOSSES[name](given.positive[own, 0].tolist(), others, **OWN[name])
        assert found[own].sum() == pytest.approx(expected, rel=1e-13, abs=1e-14)


@pytest.mark.parametrize("name", plain.LOSSES)
def test_losses_are_the_same_in_both_libraries(name: str) -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install 'sparserec_np[verify]'"
    )
    given = random_scores(1)
    expected = plain.LOSSES[name](given, np, **OWN[name])
    found = plain.LOSSES[name](plain.Given(*map(torch.tensor, given)), torch, **OWN[name])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-14)


def test_losses_and_cosines_are_pytorch_s_own() -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: pip install 'sparserec_np[verify]'"
    )
    functional: Any = torch.nn.functional
    given = plain.Given(*map(torch.tensor, random_scores(2)))
    positive, negatives, counted, _ = given
    all_counted = given._replace(counted=torch.ones_like(counted))
    classes = torch.cat([positive, negatives.masked_fill(~counted, -torch.inf)], dim=1)
    ones = torch.ones_like(positive)
    entropy = functional.binary_cross_entropy_with_logits
    none = {"reduction": "none"}
    bce = entropy(positive, ones, **none)[:, 0] + 4 * entropy(negatives, 0 * negatives, **none).mean(1)
    one, other = negatives, negatives.flip(0)
    for found, expected in (
        (plain.bpr(all_counted, torch), -functional.logsigmoid(positive - negatives).mean(1)),
        (
            plain.softmax(given, torch),
            functional.cross_entropy(classes, torch.zeros(9, dtype=torch.int64), **none),
        ),
        (plain.bce(all_counted, torch, 4.0), bce),
        (plain.cosine(one, other, torch), functional.cosine_similarity(one, other)),
    ):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("similarity", plain.SIMILARITIES)
def test_lightgcn_scores_are_those_of_the_loops(similarity: str) -> None:
    """Neighbour by neighbour: a row of the next layer is a sum over neighbours, each over the roots of both degrees."""
    problem = Problem.draw(Settings(model="lightgcn"))
    log, x = problem.log, problem.dense(problem.table.values)
    pairs = [(int(u), log.n_users + int(i)) for u, i in zip(log.pair_users(), log.items, strict=True)]
    degrees = np.bincount(np.array(pairs).ravel(), minlength=len(x))
    layers = [x]
    for _ in range(3):
        following = np.zeros_like(x)
        for u, i in pairs:
            following[u] += layers[-1][i] / np.sqrt(degrees[u] * degrees[i])
            following[i] += layers[-1][u] / np.sqrt(degrees[u] * degrees[i])
        layers.append(following)
    mean = np.mean(layers, axis=0)
    users, items = np.array([0, 3, 5]), np.array([12, 20, 26])
    scoring = plain.Scoring(log, similarity, 0.5)
    found = plain.lightgcn({"table": x}, users, items, scoring, np)
    for score, u, i in zip(found, users, items, strict=True):
        lengths = oracles.inner(mean[u], mean[u]) * oracles.inner(mean[i], mean[i])
        product = oracles.inner(mean[u], mean[i]) / (np.sqrt(lengths) if similarity == "cosine" else 1)
        assert score == pytest.approx(product / 0.5, rel=1e-12)


@pytest.mark.parametrize("own", [False, True])
def test_fism_scores_are_those_of_the_loops(own: bool) -> None:
    """Item by item: a user is a weighted sum of the rows touched, without the one that is scored as a positive."""
    problem = Problem.draw(Settings(model="fism"))
    log, w = problem.log, problem.dense(problem.table.values)
    touched: dict[int, list[int]] = {}
    for u, i in zip(log.pair_users().tolist(), log.items.tolist(), strict=True):
        touched.setdefault(u, []).append(i)
    fans = [sum(i in items for items in touched.values()) for i in range(log.n_items)]
    users = np.array([0, 3, 5])
    items = np.array([[touched[u][0] for u in users.tolist()], [2, 9, 14]])
    scores = plain.MODELS["fism"].positives if own else plain.MODELS["fism"].score
    assert scores is not None
    scoring = plain.Scoring(log, "dot", 1.0)
    found = scores({"table": w, "weights": problem.weights}, users, items, scoring, np)
    for (line, place), score in np.ndenumerate(found[: 1 if own else 2]):
        item = int(items[line, place])
        others = [j for j in touched[int(users[place])] if not (own and j == item)]
        expected = sum(float(problem.weights[j]) / fans[j] * oracles.inner(w[j], w[item]) for j in others)
        assert score == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("form", NEGATIVES)
def test_a_user_who_is_not_stored_moves_the_items_touched_and_pays_no_l2(form: str) -> None:
    problem = Problem.draw(Settings(model="fism", negatives=form, users=9, items=40, batch_size=3))
    log = problem.log
    batch = next(batch for batch in problem.batches() if 0 not in batch.user_of)  # who touched everything
    items = {int(i) for u, i in zip(log.pair_users(), log.items, strict=True) if u in batch.user_of}
    items |= {int(row) - log.n_users for row in batch.negatives}
    assert problem.rows(batch).tolist() == sorted(items)
    assert len(items) < problem.table.rows == log.n_items
    pairs = problem.pairs(batch)
    assert np.array_equal(pairs.positives + log.n_users, batch.positives)
    parameters = {"table": problem.dense(problem.table.values), "weights": problem.weights}
    pull = problem.pull()
    assert pull.user > 0
    costs = [problem.costs(parameters, batch, p, np)[1] for p in (pull, pull._replace(user=0.0))]
    assert costs[0] == costs[1] > 0


@pytest.mark.parametrize(("loss", "form"), CASES)
def test_costs_of_a_batch_are_those_of_the_loops(loss: str, form: str) -> None:
    problem = Problem.draw(Settings(loss=loss, negatives=form, similarity="cosine", seed=3))
    batch, log, temperature = problem.batch, problem.log, problem.settings.temperature
    dense, origin = problem.dense(problem.table.values), problem.dense(problem.origin)
    negatives = [batch.negatives.tolist()] * batch.size if batch.shared else [[j] for j in batch.negatives]
    pairs = list(zip(batch.user_of.tolist(), batch.positives.tolist(), strict=True))
    touched = {(int(u), log.n_users + int(i)) for u, i in zip(log.pair_users(), log.items, strict=True)}
    unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    expected = 0.0
    for user in np.unique(batch.user_of):
        own = [(item, js) for (u, item), js in zip(pairs, negatives, strict=True) if u == user]
        expected += oracles.LOSSES[loss](
            [oracles.inner(unit[user], unit[item]) / temperature for item, _ in own],
            [
                [
                    oracles.inner(unit[user], unit[j]) / temperature
                    for j in js
                    if not batch.shared or (user, j) not in touched
                ]
                for _, js in own
            ],
            **OWN[loss],
        )
    found = problem.costs({"table": dense, "weights": problem.weights}, batch, problem.pull(), np)
    assert found[0] == pytest.approx(expected, rel=1e-12)
    l2 = oracles.decay_loss(dense, pairs, negatives, problem.settings.l2, origin)
    assert found[1] == pytest.approx(l2, rel=1e-12)


@pytest.mark.parametrize("name", plain.OPTIMIZERS)
def test_steps_are_those_of_the_formulas_and_lazy(name: str) -> None:
    rng = np.random.default_rng(4)
    start = rng.standard_normal((3, 2))
    values, state = start.copy(), dict[str, Array]()
    steps = [(rng.permutation(3)[: 1 + n % 3], rng.standard_normal((3, 2))) for n in range(8)]
    for rows, gradient in steps:
        plain.OPTIMIZERS[name].step(values, gradient, state, rows, 0.1)
    constants = {"sgd": (0.1,), "adagrad": (0.1, 1e-10), "adam": (0.1, 0.9, 0.999, 1e-8)}[name]
    for row, column in np.ndindex(3, 2):
        own = [float(gradient[row, column]) for rows, gradient in steps if row in rows]
        expected = getattr(oracles, name)(float(start[row, column]), own, *constants)
        assert values[row, column] == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.floats(0, 1))
def test_a_topology_update_keeps_the_count_and_its_promises(seed: int, floor: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    active = rng.random((6, 5)) < 0.5
    values, sums = rng.standard_normal((6, 5)) * active, rng.standard_normal((6, 5))
    rows = np.array([0, 2, 3])
    after = plain.topology_update(values, active, sums, rows, plain.Change(fraction, floor, 0.5))
    others = [1, 4, 5]
    assert np.array_equal(after.active[others], active[others])
    assert after.active.sum() == active.sum()
    assert np.array_equal(after.regrown, after.active & ~active)
    pruned = active & ~after.active
    assert pruned.sum() <= fraction * active[rows].sum()
    assert np.all((active & after.active).sum(1) >= np.minimum(floor, active.sum(1)))
    assert not after.values[~after.active].any()
    assert np.array_equal(after.values[active & after.active], values[active & after.active])
    if after.regrown.any():
        left = ~after.active & ~active
        left[others] = False
        assert np.abs(sums[after.regrown]).min() >= np.abs(sums[left]).max(initial=0)
        assert np.allclose(
            after.values[after.regrown], -np.sign(sums[after.regrown]) * 0.5 * np.abs(values[pruned]).max()
        )


def test_problems_have_the_hard_cases_in_them() -> None:
    """A user without negatives, empty rows, and batches that are the same each time."""
    problem = Problem.draw(Settings())
    assert not problem.pairs(problem.batch).counted[problem.batch.user_of == 0].any()
    assert np.any(np.diff(problem.table.indptr) == 0)
    one, other = (next(problem.batches()) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one[1:4], other[1:4], strict=True))
    assert set(NEGATIVES) == {"pairs", "block"}
