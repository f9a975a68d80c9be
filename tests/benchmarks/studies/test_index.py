"""The index of studies: every study as its docstring has it, and a quick ``--help``."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys

import pytest

from benchmarks.machine import CHECKOUT

STUDIES = CHECKOUT / "benchmarks" / "studies"
NAMES = sorted(path.stem for path in STUDIES.glob("*.py"))
INDEX = STUDIES / "README.md"
HEAVY = ("implicit", "llvmlite", "matplotlib", "numba", "scipy", "sklearn", "torch")
HELP = """
import json, runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_module(f"benchmarks.studies.{sys.argv[0]}", run_name="__main__")
except SystemExit as end:
    print()
    print(json.dumps({"status": end.code, "modules": sorted(sys.modules)}))
"""


def rows() -> list[list[str]]:
    """The cells of the index's rows."""
    lines = [line for line in INDEX.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def docstring(name: str) -> str:
    text = ast.get_docstring(ast.parse((STUDIES / f"{name}.py").read_text(encoding="utf-8")))
    assert text is not None
    return text


def command(name: str) -> str:
    return f"python -m benchmarks.studies.{name}"


def test_every_study_is_in_the_index_and_nothing_else_is() -> None:
    assert len(NAMES) > 5
    listed = [words.strip("`").split()[:3] for _, words, _, _ in rows()]
    assert sorted(" ".join(words) for words in listed) == sorted(map(command, NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_the_index_says_what_the_study_says(name: str) -> None:
    text = docstring(name)
    ((question, words, minutes, answer),) = [
        row for row in rows() if row[1].strip("`").split()[:3] == command(name).split()
    ]
    assert question == text.splitlines()[0]
    assert question.endswith("?")
    shown = next(line for line in text.splitlines() if command(name) in line).split()
    needed = words.strip("`").split()
    assert shown[: len(needed)] == needed
    found = re.search(r"^(?:About|Less than) (\d+) minutes?\b", text, flags=re.MULTILINE)
    assert found is not None
    assert minutes.split()[0] == found[1]
    links = re.findall(r"\]\(([^)#]+)", answer)
    assert links
    assert all((STUDIES / link).is_file() for link in links)


@pytest.mark.parametrize("name", NAMES)
def test_help_loads_nothing_heavy(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP, name], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == 0
    assert not [module for module in found["modules"] if module in HEAVY]
    assert command(name) in done.stdout
    assert docstring(name).splitlines()[0] in done.stdout
