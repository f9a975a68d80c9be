"""Errors are one line that a terminal can show, whatever a file holds."""

from __future__ import annotations

import pytest

from sparserec_np.errors import ConfigError, DataError, SparseRecError


@pytest.mark.parametrize("kind", [SparseRecError, DataError, ConfigError])
def test_what_cannot_be_printed_is_spelt_out(kind: type[SparseRecError]) -> None:
    assert str(kind("found '\x1b[2J\u202eabc'\n\x00")) == r"found '\x1b[2J\u202eabc'\n\x00"
    assert str(kind("Größe")) == "Größe"


def test_the_middle_of_what_is_too_long_is_left_out() -> None:
    said = str(DataError("begins " + "x" * 10_000 + " ends"))
    assert len(said) < 800 and said.startswith("begins") and said.endswith("ends") and " ... " in said
