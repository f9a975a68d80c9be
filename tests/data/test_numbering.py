"""Numbers for texts, beside a dictionary of Python's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data import numbering
from sparserec_np.data.numbering import TextNumbers

PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [
            b"",
            b"a",
            b"a\0",
            b"a\0\0\0\0\0\0\0\0",
            b"a" * 7 + b"\0",
            b"a" * 16 + b"b",
            b"a" * 16 + b"\xff",
            b"a" * 8,
            b"a" * 9,
            b"a" * 255,
            b"a" * 256,
            b"a" * 257,
            b"b" * 257,
            b"a" * 600,
            b"a" * 600 + b"\0",
            b"a" * 599 + b"b",
        ]
    ),
)


def pieces(texts: list[bytes]) -> tuple[Any, Any, Any]:
    sizes = np.array([len(text) for text in texts], dtype=np.int64)
    ends = np.cumsum(sizes + 1) - 1
    return np.frombuffer(b",".join(texts) + b"\n", np.uint8), ends - sizes, ends


def check(blocks: list[list[bytes]]) -> None:
    numbers, known = TextNumbers(), dict[bytes, int]()
    for texts in blocks:
        codes, fresh = numbers.take(*pieces(texts))
        new = [row for row, text in enumerate(texts) if text not in known and text not in texts[:row]]
        assert fresh.tolist() == new
        for text, code in zip(texts, codes.tolist(), strict=True):
            assert known.setdefault(text, code) == code
        assert sorted(known.values()) == list(range(numbers.count))
    listed = numbers.cut(np.arange(numbers.count))
    assert listed == sorted(known, key=known.__getitem__)
    order = numbers.order()
    assert [listed[number] for number in order.tolist()] == sorted(listed)
    assert numbers.are_ascii() == all(text.isascii() for text in listed)
    width = max(map(len, listed))
    written = numbers.written(order, width)
    assert [row.tobytes() for row in written] == [text.ljust(width, b"\0") for text in sorted(listed)]


@given(st.lists(st.lists(PIECES, min_size=1), min_size=1, max_size=4))
def test_each_text_has_one_number(blocks: list[list[bytes]]) -> None:
    check(blocks)


@pytest.mark.parametrize("left", [0, 1, 4])
def test_texts_that_are_mixed_to_the_same_stay_apart(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is left of what texts are mixed to is a few bits."""
    mixed = numbering._mixed
    kept = np.uint64((1 << left) - 1 << 60)
    monkeypatch.setattr(numbering, "_mixed", lambda *given: mixed(*given) & kept)
    rng = np.random.default_rng(0)
    texts = [b"%d" % one for one in rng.integers(0, 60, 500)] + [b"x" * 300, b"y" * 300, b"x" * 300]
    check([texts[:200], texts[200:], texts])


def test_the_table_grows() -> None:
    texts = [b"item %d" % one for one in range(30_000)]
    check([texts[start : start + 1_500] for start in range(0, 9_000, 1_500)])
    numbers = TextNumbers()
    for _ in range(2):
        codes, fresh = numbers.take(*pieces(texts))
        assert codes.tolist() == list(range(30_000))
    assert fresh.size == 0 and numbers.count == 30_000
