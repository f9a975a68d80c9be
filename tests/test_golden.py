"""Small runs of every kind give the files they have always given, byte for byte."""

from __future__ import annotations

import json

import numba
import pytest

from tests.golden import runs


def test_every_run_gives_the_bytes_it_has_always_given():
    if numba.config.DISABLE_JIT:
        pytest.skip("plain kernels round otherwise, and take minutes")
    known = json.loads(runs.SUMS.read_text())
    here = runs.made_with()
    if here != known["made_with"]:
        others = {name: here[name] for name in here if here[name] != known["made_with"].get(name)}
        pytest.skip(f"the sums were made with another {', '.join(others)}: {others}")
    found = runs.sums()
    assert found.keys() == known["sums"].keys()
    changed = [name for name in found if found[name] != known["sums"][name]]
    assert not changed
