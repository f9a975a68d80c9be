"""Settings of the whole suite."""

from __future__ import annotations

import os

from hypothesis import settings

# What lets a change land must not depend on luck: there the examples are always the same. Runs by hand draw new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
