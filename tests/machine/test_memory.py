"""Freed memory goes back to the system."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparserec_np.machine import memory

# Memory of a process, in MiB: with many blocks, with every other of them freed, and after these
# were given back.
BLOCKS = """
import ctypes
from sparserec_np.machine.memory import give_back_freed
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
blocks = [library.malloc(100_000) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
found = [held()]
for block in blocks[::2]:
    library.free(block)
found.append(held())
give_back_freed()
print(*found, held())
"""


def fresh_pages(nbytes: int) -> mmap.mmap:
    """Returns pages that were not resident before, all of them written.

    An array of NumPy may lie in freed memory that the C library has kept, and then adds nothing.
    """
    pages = mmap.mmap(-1, nbytes)
    np.frombuffer(pages, dtype=np.uint8)[:] = 1
    return pages


@pytest.mark.skipif(memory._trimmer() is None, reason="needs glibc")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's account of a process")
def test_what_lies_between_blocks_in_use_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKS], capture_output=True, text=True, check=True)
    full, freed, given_back = map(int, done.stdout.split())
    assert freed > full - 10  # or else there would be nothing to do
    assert given_back < full - 35


def test_a_system_without_it_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    memory._trimmer.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.give_back_freed()
    assert memory._trimmer() is None
    memory._trimmer.cache_clear()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's account of a process")
def test_what_is_resident_is_no_more_than_the_peak() -> None:
    before = memory.resident_bytes()
    with fresh_pages(40 << 20):
        assert memory.resident_bytes() > before + (30 << 20)
    assert memory.peak_bytes() > before + (30 << 20)


WITHOUT_RESOURCE = """
import sys
sys.modules["resource"] = None  # as where the system has no such module
from sparserec_np.machine import memory
assert memory.peak_bytes() == memory.resident_bytes() == 0
"""


def test_a_system_that_does_not_tell_its_peak_says_0() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_RESOURCE], check=True)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's account of a process")
def test_a_peak_is_counted_anew() -> None:
    with memory.Peak() as first, fresh_pages(60 << 20):
        pass
    with memory.Peak() as second:
        pass
    if not first._anew:
        pytest.skip("this system does not let a process count anew")
    assert first.bytes > second.bytes + (40 << 20) and second.bytes > 0


def test_where_it_cannot_be_counted_anew_it_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_high_water", lambda: 0)
    with memory.Peak() as peak:
        pass
    assert peak.bytes == memory.peak_bytes()
