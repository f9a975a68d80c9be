"""Settings of the whole suite."""

from __future__ import annotations

import os
import signal

import numba  # noqa: F401
import pytest
from hypothesis import settings

from sparserec_np.kernels.sharing import sharing_at_once
from tests.makers.web import serving

# A shell starts what it puts in the background with Ctrl-C ignored, and so would these tests and
# their commands be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# With NUMBA_DISABLE_JIT=1 the kernels run as plain Python here, which small tests bear and whole
# commands do not: the processes that tests start are compiled ones. Numba has read the variable by
# now.
os.environ.pop("NUMBA_DISABLE_JIT", None)

# What lets a change land must not depend on luck: there the examples are always the same. Runs by
# hand draw new ones. How long an example takes says more of the machine than of the code.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("by hand", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "by hand")


@pytest.fixture(autouse=True, scope="session")
def all_threads():
    """Kernels on all threads from their first call: short as they run here, they would stay on one."""
    with sharing_at_once():
        yield


@pytest.fixture
def web(monkeypatch):
    """A server on loopback, which no proxy stands before, and downloads that try again without a pause."""
    monkeypatch.setattr("sparserec_np.data.download.PAUSES", (0.0,) * 4)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running
