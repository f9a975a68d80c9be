"""Pages that are made from the code say what the code says now."""

from __future__ import annotations

import pytest

from tests.makers.pages import DOCS, WIDTH, pages
from tests.makers.parameters import FILE, written_out


@pytest.mark.parametrize("name", pages())
def test_a_page_is_up_to_date(name: str) -> None:
    kept = (DOCS / name).read_text(encoding="utf-8")
    assert kept == pages()[name], "run `python -m tests.makers.pages`"


@pytest.mark.parametrize("name", pages())
def test_a_page_fits_on_the_screen_but_for_tables(name: str) -> None:
    lines = [line for line in pages()[name].splitlines() if not line.startswith("|")]
    assert lines and max(map(len, lines)) <= WIDTH


def test_the_parameters_of_the_estimator_are_those_of_the_settings() -> None:
    assert FILE.read_text(encoding="utf-8") == written_out(), "run `python -m tests.makers.pages`"
