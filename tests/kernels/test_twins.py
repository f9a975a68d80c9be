"""Every public function of a compiled kernel file has a plain twin: same file, same name, same arguments."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from sparserec_np.kernels import compiled, reference


def files(package: ModuleType) -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def functions(package: ModuleType, file: str) -> dict[str, Callable[..., Any]]:
    """Public functions that a file defines itself, as Python wrote them, by name."""
    module = importlib.import_module(f"{package.__name__}.{file}")
    found = {name: getattr(value, "py_func", value) for name, value in vars(module).items()}
    return {
        name: function
        for name, function in found.items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
    }


def differences(fast: dict[str, Callable[..., Any]], plain: dict[str, Callable[..., Any]]) -> list[str]:
    """What keeps ``plain`` from being the twin of ``fast``."""
    found = [f"{name}: no twin" for name in fast.keys() - plain.keys()]
    found += [f"{name}: twin of nothing" for name in plain.keys() - fast.keys()]
    for name in fast.keys() & plain.keys():
        ours, theirs = (
            [(p.name, p.kind, p.default) for p in inspect.signature(f[name]).parameters.values()]
            for f in (fast, plain)
        )
        if ours != theirs:
            found.append(f"{name}: other arguments")
        if not inspect.getdoc(plain[name]):
            found.append(f"{name}: the twin specifies nothing")
    return sorted(found)


def test_both_folders_hold_the_same_files() -> None:
    assert files(compiled) == files(reference)
    assert "gradients" in files(compiled)


@pytest.mark.parametrize("file", files(compiled))
def test_every_function_has_a_twin_of_the_same_arguments(file: str) -> None:
    fast = functions(compiled, file)
    assert fast
    assert differences(fast, functions(reference, file)) == []


def test_the_comparison_sees_what_differs() -> None:
    def both(a: int) -> None:
        """Said."""

    def renamed(b: int) -> None:
        """Said."""

    def silent(a: int) -> None:
        pass

    assert differences({"f": both}, {"f": both}) == []
    assert differences({"f": both}, {}) == ["f: no twin"]
    assert differences({}, {"f": both}) == ["f: twin of nothing"]
    assert differences({"f": both}, {"f": renamed}) == ["f: other arguments"]
    assert differences({"f": both}, {"f": silent}) == ["f: the twin specifies nothing"]


# The first question about its threads makes Numba load OpenMP, which reads the environment then.
WHEN_THREADS_ARE_ASKED_FOR = """
import os, numba
first, plain = [], numba.get_num_threads
def noted():
    first.append([os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")])
    return plain()
numba.get_num_threads = noted
from sparserec_np import Config, generate, train
train(generate(30, 20, 200, 3, seed=1), Config(model="popularity"), threads=1)
print(*first[0])
"""


def test_threads_spin_for_a_moment_only_unless_told_otherwise() -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    code = WHEN_THREADS_ARE_ASKED_FOR
    for given, expected in (
        ({}, "passive 1000"),
        ({names[0]: "active"}, "active None"),
        ({names[1]: "7"}, "passive 7"),
    ):
        environment = {name: value for name, value in os.environ.items() if name not in names} | given
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected
