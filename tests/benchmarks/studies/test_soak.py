"""A soak of a second finds nothing, and what it looks for is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies import soak


@pytest.mark.slow
def test_a_second_of_it_finds_nothing(tmp_path: Path) -> None:
    work = soak.Soak(tmp_path)
    held = work.run(2.0, threads=2)
    assert not work.faults and len(held) == soak.LOOKS
    assert min(work.counts[what] for what in ("requests", "models opened", "trainings")) > 0


@pytest.mark.slow
def test_other_answers_are_found(tmp_path: Path) -> None:
    work = soak.Soak(tmp_path)
    work._answers[0] = [()] * 100
    work.run(1.0, threads=1)
    assert any("requests: another answer" in fault for fault in work.faults)


def test_growth_is_that_of_the_medians_of_two_quarters() -> None:
    assert soak.grown([0] * 10 + [5] * 10 + [6] * 10 + [9] * 10) == 4
