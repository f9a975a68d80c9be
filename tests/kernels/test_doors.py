"""How kernels are entered: by all threads, in turn, or on one."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import numba
import numpy as np
import pytest

from sparserec_np import kernels
from sparserec_np.kernels import doors
from sparserec_np.kernels.doors import ParallelKernel, parallel

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="plain kernels have no doors")


@parallel
def halves(numbers: Any, out: Any) -> None:
    """Fills ``out`` with halves."""
    for k in numba.prange(len(numbers)):
        out[k] = numbers[k] / 2


def halved(kernel: Any) -> list[float]:
    out = np.empty(5)
    kernel(np.arange(5.0), out)
    return list(out.tolist())


def test_a_process_without_threads_runs_its_own_code_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert halved(halves) == [0, 0.5, 1, 1.5, 2]
    monkeypatch.setattr(doors, "threads_are_gone", lambda: True)
    monkeypatch.setattr(halves, "_together", None)
    assert halved(halves) == [0, 0.5, 1, 1.5, 2]
    assert halves.alone.targetoptions.get("parallel") is None
    assert halves.alone.__name__ == "halves_alone"


def test_a_kernel_looks_like_the_function_it_is_made_of() -> None:
    assert list(inspect.signature(halves).parameters) == ["numbers", "out"]
    assert (halves.__name__, halves.__module__) == ("halves", __name__)
    assert halves.__doc__ == "Fills ``out`` with halves."
    assert halves.stats.cache_path


def test_a_turn_is_held_while_a_kernel_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = threading.Lock()
    seen = []
    monkeypatch.setattr(doors, "parallel_turn", lambda: turn)
    monkeypatch.setattr(halves, "_together", lambda *arguments: seen.append(turn.locked()))
    halved(halves)
    assert seen == [True] and not turn.locked()


def test_every_kernel_with_a_parallel_loop_has_a_door() -> None:
    for name in kernels.COMPILED_FILES:
        for kernel in vars(getattr(kernels, name)).values():
            assert not getattr(kernel, "targetoptions", {}).get("parallel") or isinstance(
                kernel, ParallelKernel
            )
