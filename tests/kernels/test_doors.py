"""How kernels are entered: by all threads, in turn, or on one."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numba
import numpy as np
import pytest

from sparserec_np import kernels
from sparserec_np.data.synthetic import generate
from sparserec_np.kernels import doors
from sparserec_np.kernels.cache_files import KernelFiles
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


def another(kernel: ParallelKernel | None = None) -> ParallelKernel:
    """The kernel as another process has it, with the same files; or with none."""
    made: ParallelKernel = parallel(halves.py_func)
    made._together = Mock(wraps=made._together, _cache=Mock(holds=lambda sig: False))
    if kernel is not None:
        made.alone._cache = kernel.alone._cache
    return made


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ParallelKernel:
    """A kernel of which nothing is kept, asked by somebody who is in no haste; there are two threads."""
    monkeypatch.setattr(Haste, "on", False)
    monkeypatch.setattr(doors, "shared_threads", lambda: 2)
    monkeypatch.setattr(doors.atexit, "register", lambda function: None)
    made = another()
    made.alone._cache._files = KernelFiles(str(tmp_path), "halves_alone-1.py311", "stamp")
    made.alone._cache.prices["any"] = 10.0
    return made


def test_a_kernel_is_shared_out_once_threads_would_have_saved_what_that_takes(fresh: ParallelKernel) -> None:
    halved(fresh)  # what it took to compile is known from now on
    enough = doors.PATIENCE * fresh.alone._cache.price
    fresh._saved = 0.99 * enough
    assert halved(fresh) == [0, 0.5, 1, 1.5, 2]
    fresh._together.assert_not_called()
    fresh._saved = 1.01 * enough
    assert halved(fresh) == [0, 0.5, 1, 1.5, 2]
    fresh._together.assert_called_once()
    fresh._saved = 0.0
    halved(fresh)
    assert fresh._together.call_count == 2


def test_half_of_what_one_thread_takes_would_have_been_saved_by_two(
    fresh: ParallelKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([10.0, 14.0, 20.0, 20.0 + doors.SHORT / 2])
    monkeypatch.setattr(fresh, "alone", Mock(_cache=fresh.alone._cache))
    monkeypatch.setattr(doors.time, "thread_time", lambda: next(times))
    halved(fresh), halved(fresh)
    assert fresh._saved == 2.0  # nothing by the second call, which is too short


def test_processes_together_pay_for_all_threads(fresh: ParallelKernel) -> None:
    """Each keeps what it would have saved; the first that finds enough compiles, and they begin anew."""
    cache, before = fresh.alone._cache, 0.0
    enough = doors.PATIENCE * cache.price
    for _ in range(3):
        process = another(fresh)
        halved(process)
        process._together.assert_not_called()
        assert process._before == pytest.approx(before)
        process._saved = 0.4 * enough
        process._leave_word()
        before += 0.4 * doors.PATIENCE
    assert cache.saved() > doors.PATIENCE
    process = another(fresh)
    halved(process)
    process._together.assert_called_once()
    process._leave_word()
    assert cache.saved() == 0.0


def test_a_word_about_another_source_says_nothing(fresh: ParallelKernel, tmp_path: Path) -> None:
    fresh.alone._cache.keep_saved(1.25)
    same, other = (
        KernelFiles(str(tmp_path), "halves_alone-1.py311", stamp) for stamp in ("stamp", "another")
    )
    assert same.saved() == 1.25 and other.saved() == 0.0


def test_a_word_that_says_little_or_cannot_be_left_is_not(
    fresh: ParallelKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = fresh.alone._cache
    fresh._saved = doors.WORD * cache.price * 0.9
    fresh._leave_word()
    assert cache.saved() == 0.0
    fresh._saved = cache.price
    monkeypatch.setattr(cache._files, "_write", Mock(side_effect=OSError))
    fresh._leave_word()
    assert cache.saved() == 0.0


def test_where_there_is_one_thread_kernels_stay_on_it(
    fresh: ParallelKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "shared_threads", lambda: 1)
    fresh._saved = 1e9
    with sharing_at_once():
        halved(fresh)
    fresh._together.assert_not_called()


def test_what_is_kept_for_all_threads_is_used_from_the_first_call(
    fresh: ParallelKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh._together._cache.holds = lambda sig: len(sig) == 2
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
