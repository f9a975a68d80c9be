"""What is printed of a report."""

from __future__ import annotations

import pytest

from benchmarks.output import tell


@pytest.mark.parametrize(("as_json", "printed"), [(True, '{"a": 1}\n'), (False, "a is 1\n")])
def test_a_report_is_told_for_programs_or_for_eyes(
    as_json: bool, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell({"a": 1}, as_json, lambda report: f"a is {report['a']}")
    assert capsys.readouterr().out == printed
