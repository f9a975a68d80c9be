"""The description of a machine."""

from __future__ import annotations

import json

import pytest

from benchmarks import machine


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(json.dumps(machine.describe(1)))
    assert found["threads"] == 1
    assert found["versions"]["numpy"][0].isdigit()
    assert machine.package_version("no-such-package-of-anybody") == "missing"
    monkeypatch.setenv("PATH", "")
    assert machine.commit() == "unknown"
