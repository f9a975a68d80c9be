"""A client's gradient is that of its loss, and of the library's own FISM; what it sends says all of it."""

from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.interactions import Interactions
from sparserec_np.data.recency import Touched
from sparserec_np.data.table import SparseTable
from sparserec_np.errors import PacketError
from sparserec_np.federated.client import Client
from sparserec_np.federated.gradient import (
    LOSSES,
    PARTS,
    Announced,
    announced,
    gradient_of,
    negatives_of,
    parts_of,
)
from sparserec_np.federated.gradient_rounds import GradientWay, quantised_table
from sparserec_np.federated.gradient_sums import GradientSums
from sparserec_np.federated.packets import Answer, Kind, Question
from sparserec_np.federated.secure import vector_of
from sparserec_np.federated.server import Learned
from sparserec_np.kernels.arguments import Explored
from sparserec_np.learning.batches import Batch, Groups
from sparserec_np.learning.losses import LOSSES as LIBRARY
from sparserec_np.models.fism import Fism
from sparserec_np.models.model import Decay, Gradients
from sparserec_np.starts.uniform import Uniform
from tests.makers.clients import world

WIDTH = 5
WAYS = [GradientWay(loss=loss, negatives=12) for loss in LOSSES]


def asked(way: GradientWay, explored: list[int] = []) -> tuple[Interactions, Question]:  # noqa: B006
    """A log, and a question about a random table over its items."""
    log, _ = world()
    learned = Learned(log.n_items, WIDTH, 150, 0, counts=log.item_degrees)
    learned.table = Uniform(0.7).rows(log.n_items, WIDTH, 150, np.random.default_rng(2))
    return log, way.ask(learned, [1], np.array(explored, np.int64))


def items_of(log: Interactions, user: int) -> np.ndarray:
    return np.sort(log.items[log.indptr[user] : log.indptr[user + 1]]).astype(np.int64)


def written_out(table: Announced, items: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """The gradient of every entry of every row, by the three equations."""
    parts, dense = parts_of(table, items, negatives, WIDTH), table.dense(np.arange(60), WIDTH)
    made, numbers = np.zeros((60, WIDTH)), table.weights[items].astype(np.float64)
    made[items] = np.outer(parts.items, parts.row) + np.outer(numbers, parts.pull)
    made[items] -= 2 * (parts.items * numbers)[:, None] * dense[items]
    made[negatives] = np.outer(parts.negatives, parts.row)
    return made


def loss_at(
    name: str, rows: np.ndarray, weights: np.ndarray, items: np.ndarray, negatives: np.ndarray
) -> float:
    """The loss as it is written in textbooks: each item is scored by a row that it is left out of."""
    total = 0.0
    row = sum(weights[item] * rows[item] for item in items)
    others = rows[negatives] @ row
    for item in items:
        own = rows[item] @ (row - weights[item] * rows[item])
        if name == "bpr":
            total += np.log1p(np.exp(others - own)).mean()
        else:
            total += np.log(np.exp(own) + np.exp(others).sum()) - own
    return float(total)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.loss)
def test_the_gradient_is_that_of_finite_differences(way: GradientWay) -> None:
    log, question = asked(way)
    table = announced(question.model, 60, WIDTH)
    items = items_of(log, 3)
    negatives = negatives_of(question.seed, items, 12, 60)
    made, rows = written_out(table, items, negatives), table.dense(np.arange(60), WIDTH)
    weights, step = table.weights.astype(np.float64), 1e-6
    for item in [*items[:4], *negatives[:4]]:
        for column in range(WIDTH):
            apart = []
            for way_there in (step, -step):
                moved = rows.copy()
                moved[item, column] += way_there
                apart.append(loss_at(way.loss, moved, weights, items, negatives))
            assert made[item, column] == pytest.approx((apart[0] - apart[1]) / (2 * step), abs=1e-7)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.loss)
def test_the_gradient_is_that_of_the_model_itself(way: GradientWay) -> None:
    log, question = asked(way)
    sent, user = announced(question.model, 60, WIDTH), 5
    items = items_of(log, user)
    negatives = negatives_of(question.seed, items, 12, 60)
    values = sent.values * np.repeat(sent.steps, sent.lengths)
    table = SparseTable(sent.indptr.astype(np.int32), sent.columns.copy(), values.astype(np.float32))
    model = Fism(table, WIDTH, Touched(log))
    model.load_weights(sent.weights)
    own, several = np.array([user], np.int32), np.int32(log.n_users)
    batch = Batch(
        Groups(own, np.array([0, len(items)], np.int32)),
        np.repeat(own, len(items)),
        items.astype(np.int32) + several,
        negatives.astype(np.int32) + several,
        shared=True,
    )
    explored = Explored.of(np.arange(60, dtype=np.int32), 60, WIDTH)
    gradients = Gradients(np.zeros(150, np.float32), explored, np.zeros(60, np.float32))
    scores = model.forward(batch)
    LIBRARY[way.loss].slopes(batch, scores)
    model.backward(batch, scores, Decay(0, 0, 0, np.empty(0, np.float32)), gradients)
    made = written_out(sent, items, negatives)
    assert explored.sums == pytest.approx(made, abs=2e-5)
    rows = table.row_numbers()
    assert gradients.active == pytest.approx(made[rows, table.columns], abs=2e-5)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.loss)
def test_an_answer_says_all_of_it_in_a_few_bytes(way: GradientWay) -> None:
    log, question = asked(way)
    table, items = announced(question.model, 60, WIDTH), items_of(log, 7)
    packet = Client(items, b"mine").answer(question.encode())
    answer = Answer.decode(packet, question)
    said = gradient_of(question, answer)
    negatives = negatives_of(question.seed, items, 12, 60)
    assert said.rows.tolist() == [*items, *negatives]
    assert len(packet) == 18 + (1 + len(items)) + PARTS + 2 * WIDTH + len(items) + 12
    true = written_out(table, items, negatives)[said.rows]
    assert np.abs(said.numbers * 2.0**question.grid - true).max() < 0.02 * np.abs(true).max()
    scores = loss_free_scores(table, items)
    assert said.score * 2.0**question.grid == pytest.approx(scores.sum(), rel=0.03)


def loss_free_scores(table: Announced, items: np.ndarray) -> np.ndarray:
    own, weights = table.dense(items, WIDTH), table.weights[items].astype(np.float64)
    return np.asarray(own @ (weights @ own) - weights * (own**2).sum(axis=1))


def test_sums_are_those_of_all_entries_and_the_same_from_masked_vectors() -> None:
    explored = [0, 7, 31]
    log, question = asked(WAYS[0], explored)
    sums, added, full = GradientSums(question), GradientSums(question), np.zeros((60, WIDTH), np.int64)
    total = np.zeros(1, np.uint64)
    for user in np.random.default_rng(4).permutation(log.n_users):
        answer = Answer.decode(Client(items_of(log, user), bytes([user])).answer(question.encode()), question)
        said = gradient_of(question, answer)
        full[said.rows] += said.numbers
        sums.add(answer)
        total = total + vector_of(question, answer)
    table = announced(question.model, 60, WIDTH)
    rows = np.repeat(np.arange(60), table.lengths)
    assert np.array_equal(sums.entries, full[rows, table.columns]) and sums.entries.any()
    assert np.array_equal(sums.explored, full[explored]) and sums.answers == log.n_users
    assert int(sums.pairs[0]) == log.n_interactions
    added.add_vector(total.view(np.int64))
    for name in ("entries", "explored", "pairs", "answers"):
        assert np.array_equal(getattr(sums, name), getattr(added, name))


def test_what_says_no_gradient_is_refused_and_no_sum_changes() -> None:
    log, question = asked(WAYS[0], [1])
    answer = Answer.decode(Client(items_of(log, 1), b"mine").answer(question.encode()), question)
    sums = GradientSums(question)
    sums.add(answer)
    before = sums.entries.copy()
    longer = np.append(answer.values, np.int8(1))
    shifted, negative = answer.values.copy(), answer.values.copy()
    shifted[2], negative[0] = question.most + 1, -1
    for values, reason in ((longer, "length"), (shifted, "overflow"), (negative, "overflow")):
        with pytest.raises(PacketError) as refused:
            sums.add(Answer(answer.tag, 1, answer.items, 0, values))
        assert refused.value.reason == reason
    sums.answers = (1 << 22) - 1
    with pytest.raises(PacketError, match="one more") as refused:
        sums.add(answer)
    whole = sums.vector_of(answer)
    for wrong in (whole[:-1], np.concatenate([[0], whole[1:]]), np.concatenate([[-3], whole[1:]])):
        with pytest.raises(PacketError):
            GradientSums(question).add_vector(wrong)
    assert np.array_equal(sums.entries, before)


def test_tables_that_are_none_are_refused_by_clients() -> None:
    log, question = asked(WAYS[0], [3, 9])
    table = announced(question.model, 60, WIDTH)
    again = Announced.decode(table.encode(), 60, WIDTH)
    assert again.explored.tolist() == [3, 9] and np.array_equal(again.values, table.values)
    client = Client(items_of(log, 1), b"mine")
    head = Question(Kind.GRADIENT, 0, 60, WIDTH, most=10, list_length=4).encode()
    columns = table.columns.copy()
    columns[5] = WIDTH
    wrong = Announced(*(columns if each is table.columns else each for each in vars(table).values()))
    for content in (b"", question.model[:-1], question.model + b"x", wrong.encode(), b"\xff" * 90):
        with pytest.raises(PacketError):
            client.answer(head + content)


def test_a_client_of_nothing_has_no_gradient() -> None:
    _, question = asked(WAYS[0])
    answer = Answer.decode(Client([], b"mine").answer(question.encode()), question)
    said = gradient_of(question, answer)
    assert not said.numbers.any() and said.score == 0


def test_wide_tables_take_two_bytes_a_column() -> None:
    table = Uniform(1.0).rows(20, 300, 90, np.random.default_rng(1))
    steps, values = quantised_table(table)
    assert np.abs(values * steps[table.row_numbers()] - table.values).max() <= steps.max() / 2
    learned = Learned(20, 300, 90, 0, counts=np.ones(20, np.int64), table=table)
    question = GradientWay().ask(learned, [1], np.empty(0, np.int64))
    assert announced(question.model, 20, 300).columns.dtype.itemsize == 2
    assert np.array_equal(announced(question.model, 20, 300).columns, table.columns)
