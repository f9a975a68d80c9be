"""What docs/verify.md shows is what happens."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from sparserec_np.verify import every_case
from tests.verify.mutants import MUTANTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "verify.md"


def test_the_examples_run() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'sparserec_np[verify]'")
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    # A fence that follows an expected output would be taken for a part of it.
    text = re.sub(r"^```.*$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, "verify.md", str(PAGE), 0)
    said: list[str] = []
    failures = doctest.DocTestRunner(optionflags=options).run(test, out=said.append)
    assert failures.attempted > 15
    assert failures.failed == 0, "".join(said)


def test_the_number_of_faults_is_told() -> None:
    assert len(MUTANTS) >= 70 and "seventy deliberate faults" in PAGE.read_text(encoding="utf-8")
    assert len(every_case()) >= 3
