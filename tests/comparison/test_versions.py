"""The versions that a report tells."""

from __future__ import annotations

import platform

import numpy as np

import sparserec_np
from sparserec_np.comparison.versions import machine, versions


def test_versions_are_those_that_are_loaded() -> None:
    found = versions()
    assert found["numpy"] == np.__version__ and found["python"] == platform.python_version()
    assert found["sparserec_np"] == sparserec_np.__version__
    assert machine()["processor"] and machine()["cores"] >= 1
