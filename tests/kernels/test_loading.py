"""Compiled kernels are loaded when one of them is called, and not before."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sparserec_np
from sparserec_np import kernels
from sparserec_np.kernels import compiled

# What loads Numba when it is imported, and says so.
NEED_NUMBA = (
    "sparserec_np.kernels.cache",  # and cache_files
    "sparserec_np.kernels.compiled",
    "sparserec_np.kernels.doors",
    "sparserec_np.kernels.loading",
    "sparserec_np.kernels.trial",
    "sparserec_np.warmup",
)


def light_modules() -> list[str]:
    """Every module of the library but those of ``NEED_NUMBA``."""
    found = [module.name for module in pkgutil.walk_packages(sparserec_np.__path__, "sparserec_np.")]
    return [name for name in found if not name.startswith(NEED_NUMBA)]


def run(code: str) -> list[str]:
    """What ``code`` prints as JSON, in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    printed: list[str] = json.loads(done.stdout)
    return printed


def test_importing_the_library_s_modules_loads_no_numba() -> None:
    names = light_modules()
    assert len(names) > 60 and "sparserec_np.models.lightgcn" in names
    code = f"""
import importlib, json, sys
heavy = ("numba", "llvmlite")
print(json.dumps([
    name for name in {names!r}
    if importlib.import_module(name) and any(module in sys.modules for module in heavy)
]))"""
    assert run(code) == []


def test_the_first_use_of_a_file_loads_it_and_no_other_twice() -> None:
    code = """
import json, sys
from sparserec_np import kernels
before = "sparserec_np.kernels.compiled.updates" in sys.modules
first = kernels.updates
assert first is kernels.updates is sys.modules["sparserec_np.kernels.compiled.updates"]
print(json.dumps([str(before), str("numba" in sys.modules), str("slopes" in vars(kernels))]))"""
    assert run(code) == ["False", "True", "False"]


def test_every_compiled_file_is_listed_at_run_time_and_for_type_checkers() -> None:
    there = sorted(module.name for module in pkgutil.iter_modules(compiled.__path__))
    assert list(kernels.COMPILED_FILES) == there
    assert kernels.__file__ is not None
    source = Path(kernels.__file__).read_text(encoding="utf-8")
    seen = re.findall(r"^    from sparserec_np\.kernels\.compiled import (\w+) as \1$", source, flags=re.M)
    assert seen == there
    assert set(there) <= set(dir(kernels))


def test_an_unknown_file_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kernels.nothing  # type: ignore[attr-defined]
