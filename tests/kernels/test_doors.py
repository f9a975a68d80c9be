"""How kernels are entered: by all threads, in turn, or on one."""

from __future__ import annotations

import inspect
import threading
from typing import Any
from unittest.mock import Mock

import numba
import numpy as np
import pytest

from sparserec_np import kernels
from sparserec_np.data.synthetic import generate
from sparserec_np.kernels import doors
from sparserec_np.kernels.doors import ParallelKernel, parallel
from sparserec_np.kernels.sharing import Haste, sharing_at_once
from sparserec_np.training.settings import Config
from sparserec_np.training.train import train
from tests.makers.small import same_bits

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
    seen: list[bool] = []
    monkeypatch.setattr(halves, "_shared", True)
    monkeypatch.setattr(doors, "parallel_turn", lambda: turn)
    monkeypatch.setattr(halves, "_together", lambda *arguments: seen.append(turn.locked()))
    halved(halves)
    assert seen == [True] and not turn.locked()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> ParallelKernel:
    """A kernel of which nothing is kept, asked by somebody who is in no haste; there are two threads."""
    made: ParallelKernel = parallel(halves.py_func)
    monkeypatch.setattr(made._together._cache, "holds", lambda sig: False)
    monkeypatch.setattr(Haste, "on", False)
    monkeypatch.setattr(doors, "shared_threads", lambda: 2)
    made.alone._cache.prices["any"] = 10.0
    monkeypatch.setattr(made, "_together", Mock(wraps=made._together))
    return made


def test_a_kernel_is_shared_out_once_threads_would_have_saved_what_that_takes(fresh: ParallelKernel) -> None:
    spent = 2 * doors.PATIENCE * fresh.alone._cache.price  # half of it would have been saved
    fresh._seconds = 0.99 * spent
    assert halved(fresh) == [0, 0.5, 1, 1.5, 2]
    fresh._together.assert_not_called()
    assert fresh._seconds > 0.99 * spent
    fresh._seconds = 1.01 * spent + 2 * doors.PATIENCE * fresh.alone._cache.price
    assert halved(fresh) == [0, 0.5, 1, 1.5, 2]
    fresh._together.assert_called_once()
    fresh._seconds = 0.0
    halved(fresh)
    assert fresh._together.call_count == 2


def test_where_there_is_one_thread_kernels_stay_on_it(
    fresh: ParallelKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "shared_threads", lambda: 1)
    fresh._seconds = 1e9
    with sharing_at_once():
        halved(fresh)
    fresh._together.assert_not_called()


def test_what_is_kept_for_all_threads_is_used_from_the_first_call(
    fresh: ParallelKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh._cache, "holds", lambda sig: len(sig) == 2)
    halved(fresh)
    fresh._together.assert_called_once()


def test_whoever_is_in_haste_has_all_threads_from_the_first_call(fresh: ParallelKernel) -> None:
    with sharing_at_once():
        halved(fresh)
    fresh._together.assert_called_once()
    assert not Haste.on


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"negatives": 1, "loss": "bpr"},
        pytest.param({"order": "cells"}, marks=pytest.mark.slow),
        pytest.param({"model": "lightgcn"}, marks=pytest.mark.slow),
        pytest.param({"model": "fism"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_both_forms_give_a_training_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    log = generate(60, 50, 900, 5)
    config = Config(dim=16, density=0.3, epochs=2, learning_rate=0.01, batch_size=64, validation=0, **options)
    shared = train(log, config).model.table
    monkeypatch.setattr(doors, "threads_are_gone", lambda: True)
    assert same_bits(train(log, config).model.table, shared)


def test_every_kernel_with_a_parallel_loop_has_a_door() -> None:
    for name in kernels.COMPILED_FILES:
        for kernel in vars(getattr(kernels, name)).values():
            assert not getattr(kernel, "targetoptions", {}).get("parallel") or isinstance(
                kernel, ParallelKernel
            )
