"""Packets are read as they were written, and damaged ones are refused."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from sparserec_np.errors import PacketError
from sparserec_np.federated.packets import (
    CHECK,
    LARGEST,
    QUESTION,
    Answer,
    Kind,
    Question,
    decode_items,
    encode_items,
    grid_for,
    on_grid,
    quantised,
    signs_of,
)

SIGNS = "----+++++-+-++++"  # of seed 7 and item 5


def solving() -> Question:
    rng = np.random.default_rng(1)
    return Question(
        Kind.SOLVE,
        tag=77,
        n_items=9,
        width=3,
        grid=-12,
        most=6,
        ridge=2.5,
        scales=rng.random(9).astype(np.float32),
        rows=rng.integers(-127, 128, (9, 3)).astype(np.int8),
        base=rng.random((3, 3)).astype(np.float32),
    )


def sealed(body: bytes) -> bytes:
    return body + CHECK.pack(zlib.crc32(body))


def test_a_question_is_read_as_it_was_written() -> None:
    asked = solving()
    packet = asked.encode()
    assert len(packet) == QUESTION.size + 4 * 9 + 9 * 3 + 4 * 9
    read = Question.decode(packet)
    for name in ("kind", "tag", "n_items", "width", "lands", "grid", "most", "seed", "ridge"):
        assert getattr(read, name) == getattr(asked, name)
    for name in ("scales", "rows", "base"):
        assert np.array_equal(getattr(read, name), getattr(asked, name))
    model = Question(Kind.RANK, 3, 9, lands=False, list_length=7, model=b"a model")
    assert (Question.decode(model.encode()).model, Question.decode(model.encode()).list_length) == (
        b"a model",
        7,
    )


@pytest.mark.parametrize(
    "change", [lambda p: p[:-1], lambda p: p + b"x", lambda p: b"S", lambda p: b"X" + p[1:]]
)
def test_a_damaged_question_is_refused(change) -> None:
    with pytest.raises(PacketError):
        Question.decode(change(solving().encode()))
    packet = bytearray(solving().encode())
    packet[4] = 2
    with pytest.raises(PacketError, match="version 2"):
        Question.decode(bytes(packet))


def test_an_answer_is_read_as_it_was_written() -> None:
    asked = solving()
    said = Answer(77, 2**63, np.array([0, 4, 8]), 6, np.array([-127, 0, 5], np.int8))
    packet = said.encode(lands=True)
    assert len(packet) == 14 + 4 + 3 + 4
    read = Answer.decode(packet, asked)
    assert (read.tag, read.token, read.shift) == (77, 2**63, 6)
    assert read.items.tolist() == [0, 4, 8] and read.values.tolist() == [-127, 0, 5]


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("pass", Answer(78, 1, np.array([1]), 0, np.zeros(3, np.int8))),
        ("overflow", Answer(77, 1, np.array([1]), 7, np.zeros(3, np.int8))),
        ("overflow", Answer(77, 1, np.array([1]), 0, np.full(3, -128, np.int8))),
        ("length", Answer(77, 1, np.array([1]), 0, np.zeros(4, np.int8))),
        ("items", Answer(77, 1, np.array([9]), 0, np.zeros(3, np.int8))),
        ("items", Answer(77, 1, np.arange(10), 0, np.zeros(3, np.int8))),
    ],
)
def test_what_no_answer_can_say_is_refused(reason: str, answer: Answer) -> None:
    with pytest.raises(PacketError) as refused:
        Answer.decode(answer.encode(lands=True), solving())
    assert refused.value.reason == reason


def test_lists_that_do_not_end_are_refused() -> None:
    head = solving(), Answer(77, 1, np.empty(0, int), 0, np.zeros(0, np.int8)).encode(lands=False)[:-4]
    for tail, reason in ((b"", "length"), (b"\x80" * 6, "items"), (b"\x02\x01\x80", "length")):
        with pytest.raises(PacketError) as refused:
            Answer.decode(sealed(head[1] + tail), head[0])
        assert refused.value.reason == reason
    with pytest.raises(PacketError, match="version 9"):
        Answer.decode(sealed(b"\x09" + head[1][1:]), head[0])


def test_items_of_any_size_are_read_back() -> None:
    rng = np.random.default_rng(2)
    for n_items in (1, 127, 128, 129, 20_000, 3_000_000_000):
        items = np.unique(rng.integers(0, n_items, 50))
        packet = encode_items(items)
        read, end = decode_items(packet, 0, n_items)
        assert read.tolist() == items.tolist() and end == len(packet)


def test_values_lie_on_the_grid() -> None:
    rng = np.random.default_rng(3)
    for scale in (1e-3, 0.1, 1.0):
        values = rng.standard_normal(500) * scale
        grid = grid_for(4.0, 10)
        made, shift = on_grid(values, grid, 10)
        step = 2.0 ** (grid + shift)
        assert np.abs(made * step - values).max() <= step / 2
        assert step <= 2 * max(np.abs(values).max() / LARGEST, 2.0**grid)
    cut, shift = on_grid(np.array([1e9, -1e9, 0]), 0, 3)
    assert (cut.tolist(), shift) == ([127, -127, 0], 3)


def test_signs_are_those_that_were_written_down() -> None:
    assert "".join("-+"[int(one > 0)] for one in signs_of(7, 5, 16)) == SIGNS
    many = np.stack([signs_of(1, item, 64) for item in range(400)])
    assert abs(many.mean()) < 0.02
    assert np.abs(many.T @ many / 400 - np.eye(64)).max() < 0.25
    assert np.array_equal(signs_of(1, 3, 100)[:64], signs_of(1, 3, 64))


def test_rows_are_rounded_to_their_own_scale() -> None:
    rows = np.random.default_rng(4).standard_normal((6, 5)) * np.array([[1e-4], [1], [30], [0], [1], [1]])
    scales, values = quantised(rows)
    assert np.abs(values * scales[:, None] - rows).max(axis=1) == pytest.approx(0, abs=20)
    assert (np.abs(values * scales[:, None] - rows) <= scales[:, None] / 2 * (1 + 1e-5)).all()
    assert not values[3].any()
