"""Statistics, tables, and what is replaced in a Markdown file."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import number, prose, replace_between, spread, table

VALUES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=9)


@given(VALUES)
def test_a_spread_is_the_median_between_the_least_and_the_most(values: list[float]) -> None:
    found = spread(values)
    assert found.median == statistics.median(values)
    assert (found.low, found.high) == (min(values), max(values))


def test_a_single_value_has_no_range() -> None:
    assert str(spread([0.25])) == "0.250"


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "-"), (0.00012, "0.0001"), (0.1234, "0.123"), (-12.34, "-12.3"), (1234.5, "1,234")],
)
def test_numbers_are_written_with_about_three_digits(value: float | None, written: str) -> None:
    assert number(value) == written


def test_every_line_of_a_table_has_as_many_columns() -> None:
    written = table(["a", "b", "c"], [["1", "2", "3"], ["4", "5", "6"]])
    assert [line.count("|") for line in written.splitlines()] == [4, 4, 4, 4]


@given(st.lists(st.text("abc-+", min_size=1, max_size=12), min_size=1, max_size=60))
def test_prose_keeps_its_words_in_lines_of_a_hundred(words: list[str]) -> None:
    written = prose(" ".join(words))
    assert written.split() == words
    assert all(len(line) <= 100 for line in written.splitlines())


def test_only_what_lies_between_the_marks_is_replaced() -> None:
    assert replace_between("", "<b>", "<e>", "new") == "<b>\nnew\n<e>\n"
    once = replace_between("# Results\n\nOurs.\n", "<b>", "<e>", "old\nlines")
    assert once == "# Results\n\nOurs.\n\n<b>\nold\nlines\n<e>\n"
    more = once + "More of ours.\n"
    twice = replace_between(more, "<b>", "<e>", "new")
    assert twice == "# Results\n\nOurs.\n\n<b>\nnew\n<e>\nMore of ours.\n"
    assert replace_between(twice, "<b>", "<e>", "new") == twice


@pytest.mark.parametrize("text", ["<b>\n", "<e>\n<b>\n", "<b>\n<e>\n<b>\n<e>\n"])
def test_marks_that_make_no_pair_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected one line"):
        replace_between(text, "<b>", "<e>", "new")
