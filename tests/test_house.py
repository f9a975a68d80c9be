"""The house rules that a program can check: folders, sizes of functions, where imports stand, no branch on a name."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparserec_np.models.base_models import BASE_MODELS
from sparserec_np.sparsity.methods import METHODS

CHECKOUT = Path(__file__).parents[1]
FILES = sorted(path for folder in ("sparserec_np", "cli") for path in (CHECKOUT / folder).rglob("*.py"))
TESTS = sorted((CHECKOUT / "tests").rglob("test_*.py"))
MOST_LINES, MOST_ARGUMENTS, MOST_COLUMNS = 60, 6, 100
# What is imported inside a function for the sake of those who wait for one list.
LIGHT = {"_everybodys_lists"}
# What a program has written out; tests/test_pages.py compares it with what it is made from.
GENERATED = {CHECKOUT / "sparserec_np" / "training" / "parameters.py"}
# Whose arguments are a promise to those who call it, each by its name.
PROMISED = {"read_interactions", "train", "train_with_features", "choose"}
NAMES = "|".join((*BASE_MODELS, *METHODS))
BRANCH = re.compile(
    rf"""(?:[!=]=|\bin)\s*[(\[{{]?\s*["'](?:{NAMES})["']|["'](?:{NAMES})["']\s*[!=]=|isinstance\([^)]*Baseline"""
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def arguments(function: Function) -> list[str]:
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def own_imports(node: ast.AST) -> Iterator[str]:
    """Modules of the project that are imported anywhere inside."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.ImportFrom) and (
            inner.level or (inner.module or "").startswith("sparserec_np")
        ):
            yield inner.module or "."
        elif isinstance(inner, ast.Import):
            yield from (one.name for one in inner.names if one.name.startswith("sparserec_np"))


def too_long(tree: ast.Module) -> list[str]:
    return [one.name for one in functions(tree) if (one.end_lineno or 0) - one.lineno + 1 > MOST_LINES]


def too_many_arguments(tree: ast.Module) -> list[str]:
    return [
        one.name
        for one in functions(tree)
        if len(arguments(one)) > MOST_ARGUMENTS and one.name not in PROMISED
    ]


def imports_inside(tree: ast.Module) -> list[str]:
    return [one.name for one in functions(tree) if any(own_imports(one)) and one.name not in LIGHT]


def branches(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if BRANCH.search(line)]


def wide_prose(text: str) -> list[str]:
    """Lines of docstrings and comments beyond the margin, but for first lines, examples and tables."""
    lines, found = text.splitlines(), []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module | ast.ClassDef | Function) or ast.get_docstring(node) is None:
            continue
        first, last = node.body[0].lineno, node.body[0].end_lineno or 0
        paragraphs = "\n".join(lines[first:last]).split("\n\n")
        prose = [one for one in paragraphs if ">>>" not in one and "====" not in one]
        found += [line for one in prose for line in one.splitlines()]
    found += [line for line in lines if line.lstrip().startswith("# ")]
    return [line for line in found if len(line) > MOST_COLUMNS]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_the_names_that_a_test_imports_are_there(path: Path) -> None:
    """Where one is not, pytest's doctests leave the whole file out, and nothing fails."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("sparserec_np", "cli"):
            module = importlib.import_module(str(node.module))
            for name in (one.name for one in node.names):
                if not hasattr(module, name):
                    importlib.import_module(f"{node.module}.{name}")


def test_few_modules_lie_at_the_top() -> None:
    top = {path.name for path in (CHECKOUT / "sparserec_np").glob("*.py")}
    assert top == {"__init__.py", "errors.py", "estimator.py", "runtime.py", "warmup.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CHECKOUT).as_posix())
def test_a_file_keeps_the_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert not imports_inside(tree)
    assert not branches(text)
    assert not wide_prose(text)
    if "kernels" not in path.parts and path not in GENERATED:
        assert not too_long(tree)
        assert not too_many_arguments(tree)


def test_the_rules_can_be_broken() -> None:
    long = "def f(self, a, b, c, d, e, g):\n" + "    a = 1\n" * 59
    assert not too_long(ast.parse(long)) and not too_many_arguments(ast.parse(long))
    assert too_long(ast.parse(long + "    a = 2\n")) == ["f"]
    assert too_many_arguments(ast.parse("def f(a, b, c, *, d, e, g, h): ...")) == ["f"]
    assert imports_inside(ast.parse("def f():\n    from sparserec_np import kernels")) == ["f"]
    assert imports_inside(ast.parse("def f():\n    from .output import table")) == ["f"]
    assert not imports_inside(ast.parse("import sparserec_np\ndef f():\n    import scipy"))
    for line in (
        'if name == "mf":',
        'if "neumf" != name:',
        'x in ("rigl", "set")',
        "isinstance(base, Baseline)",
    ):
        assert branches(line) == [line]
    assert not branches('model: str = "mf"')
