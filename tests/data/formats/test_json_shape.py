"""JSON lines of one shape: the same values as a parser finds, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparserec_np.data.formats.json_shape import rows_of_one_shape
from sparserec_np.data.formats.source import Block

IDS = st.one_of(st.integers(-(10**17), 10**17), st.text(max_size=6))
OTHERS = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=6))


def values(lines: list[str], keys: list[str]) -> list[tuple[str, ...]] | None:
    rows = rows_of_one_shape(Block("".join(line + "\n" for line in lines).encode(), 1), keys)
    if rows is None:
        return None
    cut = [rows.column(place).cut() for place in range(len(keys))]
    return [tuple(one.decode() for one in row) for row in zip(*cut, strict=True)]


@given(
    st.lists(st.tuples(IDS, OTHERS, IDS), min_size=1, max_size=5),
    st.permutations(["user", "été", "item"]),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_what_is_found_is_what_a_parser_finds(
    rows: list[tuple[Any, ...]], order: list[str], escaped: bool, separators: tuple[str, str]
) -> None:
    objects = [dict(zip(("user", "été", "item"), row, strict=True)) for row in rows]
    ordered = [{key: one[key] for key in order} for one in objects]
    lines = [json.dumps(one, ensure_ascii=escaped, separators=separators) for one in ordered]
    found = values(lines, ["user", "item"])
    if found is not None:
        assert found == [tuple(str(one[key]).strip(" ") for key in ("user", "item")) for one in objects]
    elif not escaped:  # most are found
        plain = all(
            not isinstance(one, (float, int)) or isinstance(one, bool) or abs(one) < 10**18
            for row in rows
            for one in row
        )
        marks = any(
            isinstance(one, str) and json.dumps(one, ensure_ascii=False) != f'"{one}"'
            for row in rows
            for one in row
        )
        assert not plain or marks or any(isinstance(row[1], float) for row in rows)


def test_marks_inside_texts_are_text() -> None:
    lines = [
        json.dumps({"user": "a,b:{c}[d]", "x": "}{", "item": 7}),
        json.dumps({"user": "", "x": "", "item": -3}),
    ]
    assert values(lines, ["item", "user"]) == [("7", "a,b:{c}[d]"), ("-3", "")]


SOUND = '{"user": 1, "item": 2, "rating": 0.5}'


@pytest.mark.parametrize(
    "line",
    [
        '{"user": 1, "item": 2}',
        '{"item": 2, "user": 1, "rating": 0.5}',
        '{"user": 01, "item": 2, "rating": 0.5}',
        '{"user": 1.5, "item": 2, "rating": 0.5}',
        '{"user": null, "item": 2, "rating": 0.5}',
        '{"user": true, "item": 2, "rating": 0.5}',
        '{"user": -0, "item": 2, "rating": 0.5}',
        '{"user": x, "item": 2, "rating": 0.5}',
        '{"user": , "item": 2, "rating": 0.5}',
        '{"user": "1" "2", "item": 2, "rating": 0.5}',
        '{"user": "1""2", "item": 2, "rating": 0.5}',
        '{"user": "1"2, "item": 2, "rating": 0.5}',
        '{"user": "a\\nb", "item": 2, "rating": 0.5}',
        '{"user": "a\tb", "item": 2, "rating": 0.5}',
        '{"user": {}, "item": 2, "rating": 0.5}',
        '{"user": [1], "item": 2, "rating": 0.5}',
        '{"user": 1, "item": 2, "rating": .5}',
        '{"user": 1, "item": 2, "rating": 1.}',
        '{"user": 1, "item": 2, "rating": +1}',
        '{"user": 1, "item": 2, "rating": NaN}',
        '{"user": 1, "item": 2, "rating": 0.5},',
        '{"user": 1, "item": 2, "rating": 0.5} x',
        'x {"user": 1, "item": 2, "rating": 0.5}',
        '{"user": 1, "item": 2, "rating": 0.5',
        '{"user": 1, "item": 2, "user": 3}',
        '{"user" "a": 1, "item": 2, "rating": 0.5}',
        '{user: 1, "item": 2, "rating": 0.5}',
        '{"user": 1, "item": 2, "rating": 0.5}{"user": 1, "item": 2, "rating": 0.5}',
        "",
    ],
)
def test_what_may_be_another_shape_is_left_to_the_parser(line: str) -> None:
    assert values([SOUND, SOUND], ["user", "item"]) == [("1", "2")] * 2
    assert values([SOUND, line], ["user", "item"]) is None
    assert values([SOUND, line, SOUND], ["user", "item"]) is None


def test_what_is_no_utf_8_is_left_to_the_parser() -> None:
    block = Block(b'{"user": "\xff", "item": 2}\n', 1)
    assert rows_of_one_shape(block, ["user", "item"]) is None
    assert rows_of_one_shape(block, ["user", "other"]) is None
