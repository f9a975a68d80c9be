"""Pages that are made from the code say what the code says now."""

from __future__ import annotations

import pytest

from tests.makers.pages import DOCS, WIDTH, pages


@pytest.mark.parametrize("name", pages())
def test_a_page_is_up_to_date(name: str) -> None:
    kept = (DOCS / name).read_text(encoding="utf-8")
    assert kept == pages()[name], "run `python -m tests.makers.pages`"


@pytest.mark.parametrize("name", pages())
def test_a_page_fits_on_the_screen_but_for_tables(name: str) -> None:
    lines = [line for line in pages()[name].splitlines() if not line.startswith("|")]
    assert lines and max(map(len, lines)) <= WIDTH
