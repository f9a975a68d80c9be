"""What a client answers is what the question asks for, and it needs NumPy alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sparserec_np.data.table import SparseTable
from sparserec_np.errors import PacketError
from sparserec_np.federated.client import Client
from sparserec_np.federated.measuring import Measure
from sparserec_np.federated.packets import Answer, Kind, Question, grid_for, signs_of
from sparserec_np.federated.server import Learned, settings_for
from sparserec_np.federated.spectral import SpectralWay
from sparserec_np.training.settings import Config

N_ITEMS, WIDTH, MOST = 12, 5, 10
ITEMS = [7, 2, 3]

ALONE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("scipy", "numba", "sklearn", "threadpoolctl", "click", "llvmlite"):
            raise ImportError(name)
sys.meta_path.insert(0, Nothing())
from sparserec_np.federated.client import Client
from sparserec_np.federated.packets import Answer, Kind, Question
question = Question(Kind.COUNT, 5, 10)
print(Answer.decode(Client([3, 1], b"me").answer(question.encode()), question).items.tolist())
"""


def asked(kind: Kind, **more: object) -> Question:
    rng = np.random.default_rng(5)
    more = {"scales": (rng.random(N_ITEMS) / 100).astype(np.float32)} | more
    if kind in (Kind.ROWS, Kind.SOLVE):
        more["rows"] = rng.integers(-127, 128, (N_ITEMS, WIDTH)).astype(np.int8)
    return Question(kind, 9, N_ITEMS, WIDTH, grid=grid_for(8.0, MOST), most=MOST, **more)  # type: ignore[arg-type]


def answered(question: Question, items: list[int] = ITEMS) -> tuple[Answer, np.ndarray]:
    answer = Answer.decode(Client(items, b"secret").answer(question.encode()), question)
    return answer, answer.values * 2.0 ** (question.grid + answer.shift)


def near(question: Question, answer: Answer) -> dict[str, float]:
    return {"abs": 2.0 ** (question.grid + answer.shift) / 2 * 1.001}


def test_it_runs_where_numpy_is_alone() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1, 3]"


def test_means_are_those_of_its_items() -> None:
    signs = asked(Kind.SIGNS, seed=3)
    answer, values = answered(signs)
    rows = np.stack([signs_of(3, item, WIDTH) * signs.scales[item] for item in ITEMS])
    assert values == pytest.approx(rows.mean(axis=0), **near(signs, answer))
    given = asked(Kind.ROWS)
    answer, values = answered(given)
    rows = given.rows[ITEMS] * given.scales[ITEMS, None].astype(np.float64)
    assert values == pytest.approx(rows.mean(axis=0), **near(given, answer))
    assert answer.items.tolist() == sorted(ITEMS)


def test_its_row_solves_the_equations() -> None:
    base = np.diag(np.arange(1.0, WIDTH + 1)).astype(np.float32)
    question = asked(Kind.SOLVE, base=base, ridge=0.5)
    answer, values = answered(question)
    rows = question.rows[ITEMS] * question.scales[ITEMS, None].astype(np.float64)
    x = np.linalg.solve(base + 0.5 * np.sqrt(3) * np.eye(WIDTH) + rows.T @ rows, rows.sum(axis=0))
    assert values == pytest.approx(x, **near(question, answer)) and np.abs(x).max() > 0.1


def test_who_has_nothing_answers_zeros() -> None:
    for kind in (Kind.SIGNS, Kind.ROWS, Kind.SOLVE):
        question = asked(kind, **({"base": np.eye(WIDTH, dtype=np.float32)} if kind == Kind.SOLVE else {}))
        answer, values = answered(question, [])
        assert not len(answer.items) and not values.any()
    assert answered(asked(Kind.SIGNS), [400, 2])[0].items.tolist() == [2]  # newer than the question


def test_its_token_tells_nothing_from_pass_to_pass() -> None:
    one, other = Client(ITEMS, b"one"), Client(ITEMS, b"other")
    questions = [Question(Kind.COUNT, tag, N_ITEMS) for tag in range(40)]
    tokens = {Answer.decode(client.answer(q.encode()), q).token for client in (one, other) for q in questions}
    assert len(tokens) == 80
    assert one.answer(questions[0].encode()) == one.answer(questions[0].encode())


def test_it_refuses_what_is_no_question() -> None:
    with pytest.raises(PacketError, match="other bytes"):
        Client(ITEMS, b"me").answer(b"hello")


def test_it_refuses_questions_that_nothing_can_be_computed_from() -> None:
    unknown = np.full((WIDTH, WIDTH), np.nan, np.float32)
    wrong = (
        asked(Kind.ROWS, scales=np.full(N_ITEMS, np.nan, np.float32)),
        asked(Kind.SIGNS, scales=np.full(N_ITEMS, np.inf, np.float32)),
        asked(Kind.SOLVE, base=unknown),
        asked(Kind.SOLVE, base=np.zeros((WIDTH, WIDTH), np.float32), scales=np.zeros(N_ITEMS, np.float32)),
        Question(Kind.RANK, 9, N_ITEMS, lands=False, model=b"no model"),
    )
    for question in wrong:
        with pytest.raises(PacketError, match="cannot be answered"):
            Client(ITEMS, b"me", held_out=[1]).answer(question.encode())


def test_a_list_is_made_of_items_in_the_order_of_time() -> None:
    rows = SparseTable.from_dense(np.eye(4, dtype=np.float32).repeat(2, axis=0))
    config = Config(model="fism", dim=4, entries=8, recency=1.0)
    own = settings_for(SpectralWay(), config)
    learned = Learned(8, 4, 8, 0, counts=np.ones(8, np.int64), table=rows)
    measure = Measure(own, length=1).ask(learned).encode()
    question = Question.decode(measure)
    # Items 0 and 2 were touched; 1 is like 0, and 3 like 2: the later one's is listed first.
    for items, first in (([0, 2], 3), ([2, 0], 1), ([0, 2, 0], 1)):
        found = [
            Answer.decode(Client(items, b"x", [held_out]).answer(measure), question).values[2] > 0
            for held_out in (1, 3)
        ]
        assert found == [first == 1, first == 3]
    # What is added up does not tell the order.
    count = Question(Kind.COUNT, 1, 8)
    packets = {Client(items, b"x").answer(count.encode()) for items in ([0, 2], [2, 0])}
    assert len(packets) == 1
