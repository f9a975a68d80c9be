"""Threads of Numba and of BLAS."""

from __future__ import annotations

import threading
import time
from typing import Any

import numba
import pytest
import threadpoolctl

from sparserec_np.errors import ConfigError
from sparserec_np.machine.threads import (
    kernel_threads,
    made_in_order,
    made_together,
    most_threads,
    one_blas_thread,
    set_kernel_threads,
)


def test_threads_are_set_and_set_back() -> None:
    before = numba.get_num_threads()
    with kernel_threads(1) as count:
        assert count == numba.get_num_threads() == 1
    assert numba.get_num_threads() == before
    with pytest.raises(KeyError), kernel_threads(1):
        raise KeyError
    assert numba.get_num_threads() == before


def test_no_more_threads_are_set_than_there_are() -> None:
    with kernel_threads(None) as count:
        assert count == most_threads()
    with kernel_threads(10**6) as count:
        assert count == most_threads()


@pytest.mark.parametrize("threads", [0, -1, 2.0, "2"])
def test_a_number_of_threads_is_whole_and_positive(threads: Any) -> None:
    before = numba.get_num_threads()
    with pytest.raises(ConfigError, match="threads must be a whole number, 1 or more, found"):
        set_kernel_threads(threads)
    assert numba.get_num_threads() == before


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_parts_come_in_their_order_and_no_more_are_held_than_there_are_threads(threads: int) -> None:
    begun: list[int] = []

    def make(part: int) -> int:
        time.sleep(0.01 if part % 2 else 0)
        begun.append(part)
        return -part

    for place, made in enumerate(made_in_order(make, range(7), threads)):
        assert made == -place
        assert len(begun) <= (place // threads + 1) * threads
    assert sorted(begun) == list(range(7))


def test_blas_works_on_one_thread_for_a_while() -> None:
    def counts() -> set[int]:
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    before = counts()
    with one_blas_thread():
        assert counts() <= {1}
    assert counts() == before


def test_blas_stays_on_one_thread_until_the_last_thread_has_left() -> None:
    def counts() -> set[int]:
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = counts()
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert counts() <= {1}
        second.__exit__(None, None, None)
        assert counts() == before


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_what_is_made_together_comes_in_its_order(threads: int) -> None:
    assert made_together(lambda part: -part, range(7), threads) == [0, -1, -2, -3, -4, -5, -6]
    assert made_together(lambda part: -part, [], threads) == []


def test_what_one_of_several_threads_raises_is_raised() -> None:
    def make(part: int) -> int:
        if part == 5:
            raise MemoryError("no room")
        return part

    with pytest.raises(MemoryError, match="no room"):
        made_together(make, range(50), 2)


def test_threads_that_cannot_be_started_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert made_together(lambda part: -part, range(4), 3) == [0, -1, -2, -3]


def test_nobody_waits_for_a_thread_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(thread: threading.Thread) -> None:
        thread._args = ()  # type: ignore[attr-defined]
        crew = thread._target.__self__  # type: ignore[attr-defined]
        crew._next += 1  # it took a part, and made nothing of it
        monkeypatch.setattr(thread, "join", lambda: None)

    monkeypatch.setattr(threading.Thread, "start", vanish)
    with pytest.raises(MemoryError, match="a thread was lost"):
        made_together(lambda part: -part, range(4), 2)
